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
