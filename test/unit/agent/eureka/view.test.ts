import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodeApplications } from '../../../../agent/eureka/decode.ts';
import { diffView } from '../../../../agent/eureka/diff.ts';
import { defaultEurekaOptions } from '../../../../agent/eureka/options.ts';
import type { DecodedRecord, EurekaStatus } from '../../../../agent/eureka/record.ts';
import {
  findExpired,
  deltaChanges,
  isSameLife,
  memoryOf,
  overlayChanges,
  RegistryView,
  RowMaker,
} from '../../../../agent/eureka/view.ts';
import type { Row, ViewEntry } from '../../../../agent/eureka/view.ts';
import type { Instance } from '../../../../common/instance.ts';

const options = { ...defaultEurekaOptions.conversion, labelKeys: ['version', 'zone'] };
const fixtures = new URL('../../../fixtures/eureka/', import.meta.url);

async function rowsOf(file: string): Promise<{ rows: Row[]; hashcode: string | undefined }> {
  const maker = new RowMaker(options);
  const rows: Row[] = [];
  const { hashcode } = await decodeApplications([readFileSync(new URL(file, fixtures))], (each) => {
    rows.push(maker.row(each, () => undefined));
  });
  return { rows, hashcode };
}

function viewOf(rows: readonly Row[]): RegistryView {
  const view = new RegistryView();
  for (const { key, entry } of rows) view.set(key, entry);
  return view;
}

function contents(view: RegistryView): Map<string, Instance | undefined> {
  return new Map([...view].map(([key, entry]) => [key, entry.instance]));
}

for (const [codec, suffix] of [
  ['jackson-default', ''],
  ['jackson-default', '.compact'],
  ['xstream-json', ''],
  ['xstream-json', '.compact'],
]) {
  test(`recorded deltas lead from every older full read to the new one: ${codec}${suffix}`, async () => {
    const steps = readdirSync(new URL(`${codec}/`, fixtures))
      .filter((name) => /^\d\d-.*\.apps\.json$/.test(name))
      .sort()
      .map((name) => name.replace('.apps.json', ''));
    assert.equal(steps.length, 13);
    let pairs = 0;
    for (const [n, step] of steps.entries()) {
      const delta = await rowsOf(`${codec}/${step}.apps-delta${suffix}.json`);
      const target = await rowsOf(`${codec}/${step}.apps${suffix}.json`);
      for (const base of steps.slice(0, n + 1)) {
        const { rows, hashcode } = await rowsOf(`${codec}/${base}.apps${suffix}.json`);
        const view = viewOf(rows);
        assert.equal(view.census(), hashcode);
        const changes = deltaChanges(delta.rows);
        view.apply(changes);
        assert.deepEqual(contents(view), contents(viewOf(target.rows)));
        assert.equal(view.census(), delta.hashcode);
        view.apply(changes);
        assert.equal(view.census(), delta.hashcode);
        pairs += 1;
      }
    }
    assert.equal(pairs, 91);
  });
}

const statuses = ['UP', 'DOWN', 'STARTING', 'OUT_OF_SERVICE', 'UNKNOWN'] as const;

function entry(status: EurekaStatus, version = 'v', fields: Partial<ViewEntry> = {}): ViewEntry {
  const instance: Instance = {
    id: '',
    service: { kind: 'application', name: 'a', group: '', version: '' },
    address: '10.0.0.1',
    ports: [],
    labels: { version },
    locality: '',
    weight: 0,
    status,
  };
  return {
    status,
    instance,
    dropped: undefined,
    registeredAt: 0,
    leaseEndsAt: 0,
    updatedAt: 0,
    dirtyAt: 0,
    ...fields,
  };
}

const arbitraryView = fc
  .dictionary(
    fc.constantFrom('A/1', 'A/2', 'A/3', 'B/1', 'B/2'),
    fc.tuple(fc.constantFrom(...statuses), fc.constantFrom('1', '2')),
  )
  .map((record) => {
    const view = new RegistryView();
    for (const [key, [status, version]] of Object.entries(record)) {
      const made = entry(status, version);
      const instance = made.instance === undefined ? undefined : { ...made.instance, id: key };
      view.set(key, { ...made, instance });
    }
    return view;
  });

test('the census stays what counting anew would give', () => {
  fc.assert(
    fc.property(
      arbitraryView,
      fc.array(
        fc.tuple(fc.constantFrom('A/1', 'B/1', 'C/1'), fc.option(fc.constantFrom(...statuses))),
      ),
      (view, edits) => {
        for (const [key, status] of edits) {
          if (status === null) view.remove(key);
          else view.set(key, entry(status));
        }
        const anew = new RegistryView();
        for (const [key, value] of view) anew.set(key, value);
        assert.equal(view.census(), anew.census());
      },
    ),
  );
  assert.equal(new RegistryView().census(), '');
});

test('the diff of two views, applied to the first, gives the second', async () => {
  await fc.assert(
    fc.asyncProperty(arbitraryView, arbitraryView, async (before, after) => {
      const emitted = new Map<string, Instance>();
      await diffView(emitted, before);
      const copy = new Map(emitted);
      const changes = await diffView(emitted, after);
      for (const change of changes) {
        if (change.kind === 'removal') assert.ok(copy.delete(change.id));
        else {
          assert.notDeepEqual(copy.get(change.instance.id), change.instance);
          copy.set(change.instance.id, change.instance);
        }
      }
      assert.deepEqual(copy, contents(after));
      assert.deepEqual(emitted, copy);
      assert.deepEqual(await diffView(emitted, after), []);
    }),
  );
});

test('a diff of named keys looks at nothing else', async () => {
  const emitted = new Map<string, Instance>();
  const view = new RegistryView();
  for (const key of ['A/1', 'A/2']) view.set(key, entry('UP'));
  assert.equal((await diffView(emitted, view, ['A/2', 'A/9'])).length, 1);
  assert.deepEqual([...emitted.keys()], ['A/2']);
});

test('a record that has become unreadable keeps its last good content and its new status', () => {
  const maker = new RowMaker(options);
  const known = entry('UP');
  const bad: DecodedRecord = {
    kind: 'bad',
    bad: { reason: 'malformed', app: 'a', id: '1', status: 'DOWN', action: 'ADDED' },
  };
  const row = maker.row(bad, (key) => (key === 'A/1' ? known : undefined));
  assert.equal(row.entry.instance?.status, 'DOWN');
  assert.equal(row.entry.instance.address, '10.0.0.1');
  assert.equal(row.entry.dropped, 'malformed');
  const unknown = maker.row(bad, () => undefined);
  assert.equal(unknown.entry.instance, undefined);
  const nameless: DecodedRecord = { kind: 'bad', bad: { ...bad.bad, id: '' } };
  const keys = [1, 2].map(() => maker.row(nameless, () => undefined).key);
  assert.deepEqual(keys, ['A/?0', 'A/?1']);
});

test('a full read that is older than the delta before it takes nothing back', () => {
  const full = new RegistryView();
  full.set('A/old', entry('UP', 'old', { updatedAt: 1 }));
  full.set('A/dirty', entry('UP', 'old', { updatedAt: 1, dirtyAt: 1 }));
  full.set('A/equal', entry('UP', 'full'));
  full.set('A/newer', entry('UP', 'full', { updatedAt: 9 }));
  full.set('A/gone', entry('UP', 'full', { updatedAt: 3 }));
  full.set('A/back', entry('UP', 'full', { updatedAt: 8 }));
  const row = (key: string, action: Row['action'], fields: Partial<ViewEntry>): Row => ({
    key,
    action,
    entry: entry('UP', 'delta', fields),
  });
  const changes = overlayChanges(full, [
    row('A/old', 'ADDED', { updatedAt: 2 }),
    row('A/dirty', 'ADDED', { updatedAt: 1, dirtyAt: 2 }),
    row('A/equal', 'DELETED', {}),
    row('A/newer', 'ADDED', { updatedAt: 5 }),
    row('A/gone', 'DELETED', { updatedAt: 4 }),
    row('A/back', 'DELETED', { updatedAt: 4 }),
    row('A/absent', 'DELETED', {}),
    row('A/added', 'MODIFIED', {}),
  ]);
  assert.deepEqual(
    changes.map(({ key, entry: made }) => [key, made?.instance?.labels.version]),
    [
      ['A/old', 'delta'],
      ['A/dirty', 'delta'],
      ['A/gone', undefined],
      ['A/added', 'delta'],
    ],
  );
});

test('a server that kept one registration time is the same process', () => {
  const before = new RegistryView();
  const after = new RegistryView();
  before.set('A/1', entry('UP', 'v', { registeredAt: 5 }));
  before.set('A/2', entry('UP'));
  after.set('A/2', entry('UP'));
  assert.equal(isSameLife(before, after), false);
  after.set('A/1', entry('UP', 'v', { registeredAt: 6 }));
  assert.equal(isSameLife(before, after), false);
  after.set('A/1', entry('UP', 'v', { registeredAt: 5 }));
  assert.equal(isSameLife(before, after), true);
  const recent = [{ key: 'A/1', action: 'ADDED' as const, entry: entry('UP') }];
  assert.equal(isSameLife(before, after, recent), false);
});

test('the memory of a server is the age of its oldest registration', () => {
  const view = new RegistryView();
  assert.equal(memoryOf(view, 100_000), 0);
  view.set('A/1', entry('UP'));
  assert.equal(memoryOf(view, 100_000), Infinity);
  view.set('A/2', entry('UP', 'v', { registeredAt: 90_000 }));
  view.set('A/3', entry('UP', 'v', { registeredAt: 40_000 }));
  assert.equal(memoryOf(view, 100_000), 60_000);
  assert.equal(memoryOf(view, 30_000), 0);
});

test('an instance counts as expired when neither lease nor caches explain its silence', async () => {
  const view = new RegistryView();
  view.set('A/1', entry('UP', 'v', { leaseEndsAt: 1_000_000 }));
  view.set('A/2', entry('UP', 'v', { leaseEndsAt: 0 }));
  assert.equal((await findExpired(view, 1_210_000)).count, 0);
  assert.deepEqual(await findExpired(view, 1_210_001), { count: 1, examples: ['A/1'] });
});
