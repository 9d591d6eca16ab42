import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Store } from '../../../aggregator/store.ts';
import type { ChangeOrigin, CollectionState, Resource } from '../../../aggregator/store-types.ts';
import { registryId } from './samples.ts';

const collection = 'ServiceEntry';

function resource(name: string, version: string, bytes = 10): Resource {
  return { name, version, field: Buffer.alloc(bytes, `${name}:${version};`) };
}

function state(store: Store): CollectionState {
  const found = store.state(collection);
  assert.ok(found !== undefined);
  return found;
}

function content(found: CollectionState): string {
  return Buffer.concat(found.segments).toString();
}

const origins: ChangeOrigin[] = [{ registry: registryId('dc1/a'), receivedAt: 1, ageMs: 2 }];

test('nothing is served before the collection is complete', () => {
  const store = new Store();
  let calls = 0;
  store.subscribe(collection, () => (calls += 1));
  store.set(collection, [resource('a', '1')], [], []);
  assert.equal(store.state(collection), undefined);
  store.complete(collection);
  store.complete(collection);
  assert.equal(state(store).count, 1);
  assert.equal(calls, 2);
});

test('an empty collection has a state once it is complete', () => {
  const store = new Store();
  store.complete(collection);
  const { revision, versionInfo, segments, byteLength, count } = state(store);
  assert.deepEqual([segments, byteLength, count], [[], 0, 0]);
  assert.equal(versionInfo, '0000000000000000');
  assert.ok(revision > 0);
});

test('a batch is one revision and tells where it came from', () => {
  const store = new Store();
  store.complete(collection);
  const told: (readonly ChangeOrigin[])[] = [];
  const unsubscribe = store.subscribe(collection, (from) => told.push(from));
  const before = state(store).revision;
  store.set(collection, [resource('a', '1'), resource('b', '1')], [], origins);
  assert.equal(state(store).revision, before + 1);
  assert.deepEqual(told, [origins]);
  unsubscribe();
  store.set(collection, [], ['a'], []);
  assert.equal(told.length, 1);
  assert.equal(store.version(collection, 'a'), undefined);
  assert.equal(store.version(collection, 'b'), '1');
});

test('a batch that changes nothing makes no revision', () => {
  const store = new Store();
  store.complete(collection);
  store.set(collection, [resource('a', '1')], [], []);
  const before = state(store);
  store.subscribe(collection, () => assert.fail('called'));
  store.set(collection, [resource('a', '1')], ['unknown'], []);
  assert.equal(state(store), before);
});

test('the version follows the content, not the history', () => {
  const one = new Store();
  one.complete(collection);
  one.set(collection, [resource('a', '1'), resource('b', '2')], [], []);
  const other = new Store();
  other.complete(collection);
  other.set(collection, [resource('b', '1'), resource('c', '1')], [], []);
  other.set(collection, [resource('b', '2'), resource('a', '1')], [], []);
  assert.notEqual(state(other).versionInfo, state(one).versionInfo);
  other.set(collection, [], ['c'], []);
  assert.equal(state(other).versionInfo, state(one).versionInfo);
  assert.equal(content(state(other)), content(state(one)));
});

test('a state that is held does not change', () => {
  const store = new Store();
  store.complete(collection);
  store.set(collection, [resource('a', '1'), resource('b', '1')], [], []);
  const held = state(store);
  const text = content(held);
  store.set(collection, [resource('a', '2')], ['b'], []);
  state(store);
  assert.equal(content(held), text);
  assert.equal(held.count, 2);
});

test('a change of one resource costs one segment', () => {
  const store = new Store();
  store.complete(collection);
  const all = Array.from({ length: 3000 }, (_, index) => resource(`s${10_000 + index}`, '1', 2000));
  store.set(collection, all, [], []);
  const before = state(store).segments;
  assert.ok(before.length > 10);
  for (const segment of before) assert.ok(segment.length <= 1024 * 1024);
  store.set(collection, [resource('s11500', '2', 2100)], [], []);
  const after = state(store).segments;
  assert.equal(after.filter((segment) => !before.includes(segment)).length, 1);
  const names = all.map(({ name }) => name);
  store.set(collection, [], names.slice(0, 2995), []);
  assert.equal(state(store).segments.length, 1);
  assert.equal(state(store).count, 5);
});

test('a resource larger than a segment is served too', () => {
  const store = new Store();
  store.complete(collection);
  store.set(
    collection,
    [resource('b', '1', 3_000_000), resource('a', '1'), resource('c', '1')],
    [],
    [],
  );
  assert.equal(state(store).byteLength, 3_000_020);
});

test('the bytes are those of the resources, sorted, whatever was set and removed', () => {
  const step = fc.record({
    upserts: fc.array(
      fc.record({
        name: fc.integer({ min: 0, max: 40 }),
        version: fc.integer({ min: 0, max: 3 }),
        bytes: fc.constantFrom(10, 30_000, 200_000),
      }),
      { maxLength: 8 },
    ),
    removals: fc.array(fc.integer({ min: 0, max: 40 }), { maxLength: 4 }),
    isRead: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 15 }), (steps) => {
      const store = new Store();
      store.complete(collection);
      const model = new Map<string, Resource>();
      for (const { upserts, removals, isRead } of steps) {
        const set = upserts.map(({ name, version, bytes }) =>
          resource(`n${name}`, `${version}-${bytes}`, bytes),
        );
        const removed = removals.map((name) => `n${name}`);
        store.set(collection, set, removed, []);
        for (const name of removed) model.delete(name);
        for (const found of set) model.set(found.name, found);
        if (isRead) state(store);
      }
      const sorted = [...model.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
      const expected = Buffer.concat(sorted.map(({ field }) => field));
      const found = state(store);
      assert.ok(Buffer.concat(found.segments).equals(expected));
      assert.equal(found.byteLength, expected.length);
      assert.equal(found.count, model.size);
    }),
    { numRuns: 60 },
  );
});

test('a listener that throws does not keep others from being told', (context) => {
  const store = new Store();
  const thrown: unknown[] = [];
  context.mock.method(globalThis, 'queueMicrotask', (run: () => void) => {
    assert.throws(run, (error: unknown) => thrown.push(error) > 0);
  });
  let calls = 0;
  store.subscribe(collection, () => {
    throw new Error('defect');
  });
  store.subscribe(collection, () => (calls += 1));
  store.complete(collection);
  assert.equal(calls, 1);
  assert.equal(thrown.length, 1);
});

test('a draft shows nothing before it is committed, then all of it as one revision', () => {
  const store = new Store();
  store.complete(collection);
  store.set(collection, [resource('a', '1'), resource('b', '1')], [], []);
  const before = state(store);
  const told: (readonly ChangeOrigin[])[] = [];
  store.subscribe(collection, (from) => told.push(from));
  const draft = store.draft(collection);
  draft.put(resource('a', '2'));
  draft.put(resource('c', '1'));
  draft.remove('b');
  while (draft.prepare());
  assert.equal(state(store), before);
  draft.commit(origins);
  assert.deepEqual(told, [origins]);
  assert.equal(state(store).revision, before.revision + 1);
  assert.equal(content(state(store)), content(stateOf([resource('a', '2'), resource('c', '1')])));
  assert.equal(
    content(before),
    content(stateOf([resource('a', '1'), resource('b', '1')])),
    'a state that somebody holds stays as it was',
  );
});

test('what is set while a draft is open is served at once and stays', () => {
  const store = new Store();
  store.complete(collection);
  store.set(collection, [resource('a', '1'), resource('b', '1')], [], []);
  const draft = store.draft(collection);
  draft.put(resource('a', '2'));
  store.set(collection, [resource('c', '1')], ['b'], []);
  assert.equal(content(state(store)), content(stateOf([resource('a', '1'), resource('c', '1')])));
  draft.commit([]);
  const expected = stateOf([resource('a', '2'), resource('c', '1')]);
  assert.equal(content(state(store)), content(expected));
  assert.equal(state(store).versionInfo, expected.versionInfo);
});

test('a draft that changes nothing, or is dropped, makes no revision', () => {
  const store = new Store();
  store.complete(collection);
  store.set(collection, [resource('a', '1')], [], []);
  const { revision } = state(store);
  const same = store.draft(collection);
  same.put(resource('a', '2'));
  same.put(resource('a', '1'));
  same.remove('unknown');
  same.commit([]);
  same.discard();
  const dropped = store.draft(collection);
  dropped.put(resource('a', '3'));
  dropped.discard();
  assert.throws(() => dropped.commit([]), /the draft is not open/);
  assert.equal(state(store).revision, revision);
  assert.equal(store.version(collection, 'a'), '1');
});

test('a draft and changes beside it end in the same bytes as one after the other', () => {
  const key = fc.integer({ min: 0, max: 40 });
  const step = fc.record({ key, version: fc.option(fc.integer({ max: 3, min: 1 })) });
  fc.assert(
    fc.property(
      fc.array(step),
      fc.array(fc.record({ isDraft: fc.boolean(), step })),
      (first, then) => {
        const store = new Store();
        const other = new Store();
        store.complete(collection);
        other.complete(collection);
        const make = (name: string, version: number): Resource =>
          resource(name, String(version), 40_000);
        const set = (target: Store, name: string, version: number | null): void =>
          target.set(
            collection,
            version === null ? [] : [make(name, version)],
            version === null ? [name] : [],
            [],
          );
        for (const target of [store, other]) {
          for (const one of first) set(target, `n${one.key}`, one.version);
        }
        const draft = store.draft(collection);
        for (const { isDraft, step: one } of then) {
          const name = `${isDraft ? 'n' : 'm'}${one.key}`;
          set(other, name, one.version);
          if (!isDraft) set(store, name, one.version);
          else if (one.version === null) draft.remove(name);
          else draft.put(make(name, one.version));
        }
        draft.commit([]);
        assert.equal(state(store).versionInfo, state(other).versionInfo);
        assert.equal(state(store).byteLength, state(other).byteLength);
        assert.equal(state(store).count, state(other).count);
        assert.ok(content(state(store)) === content(state(other)));
      },
    ),
    { numRuns: 50 },
  );
});

function stateOf(resources: readonly Resource[]): CollectionState {
  const store = new Store();
  store.complete(collection);
  store.set(collection, resources, [], []);
  return state(store);
}
