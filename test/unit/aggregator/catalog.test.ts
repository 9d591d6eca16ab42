import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import pino from 'pino';
import { Catalog } from '../../../aggregator/catalog.ts';
import type { Contribution, Receipt, RegistryHealth } from '../../../aggregator/contribution.ts';
import type { RegistryCatalog } from '../../../aggregator/registry-catalog.ts';
import { ProtocolError } from '../../../common/errors.ts';
import type { GuardPolicy } from '../../../common/guard.ts';
import { serviceKeyText } from '../../../common/instance.ts';
import type { Instance } from '../../../common/instance.ts';
import { eventually } from '../../support/eventually.ts';
import { agent, health, instance, instances, registryId } from './samples.ts';

const main = registryId('dc1/main');
const receipt: Receipt = { receivedAt: 0, ageMs: 0 };
const log = pino({ level: 'silent' });
const strict: GuardPolicy = { fraction: 0.15, minimum: 5, windowMs: 30_000, holdMs: 60_000 };
const off: GuardPolicy = { ...strict, minimum: Infinity };

/** A catalog, and what it announced: the instances as one who follows it would see them. */
class Followed {
  readonly seen = new Map<string, Instance>();
  readonly activations: string[] = [];
  readonly attributes: string[] = [];
  readonly catalog: Catalog;
  announcements = 0;

  constructor(policy: GuardPolicy, expected = [main], ownLog = log) {
    this.catalog = new Catalog(
      { expected: new Set(expected), guardPolicy: () => policy },
      {
        changed: ({ source, ids }) => {
          this.announcements += 1;
          for (const id of ids) {
            const found = source.effective(id);
            if (found === undefined) this.seen.delete(id);
            else this.seen.set(id, found);
          }
          return undefined;
        },
        census: () => ({
          registry: this.up().length,
          service: (text) =>
            this.up().filter(({ service }) => serviceKeyText(service) === text).length,
        }),
        attributes: (_, network, locality) => this.attributes.push(`${network} ${locality}`),
        guardActivated: (_, { evidence }) => this.activations.push(evidence),
        failed: (error) => assert.fail(String(error)),
      },
      ownLog,
    );
  }

  up(): Instance[] {
    return [...this.seen.values()].filter(({ status }) => status === 'UP');
  }

  ids(): string[] {
    return [...this.seen.keys()].sort();
  }

  get registry(): RegistryCatalog {
    const found = this.catalog.registries.get(main);
    assert.ok(found !== undefined);
    return found;
  }

  async settled(): Promise<void> {
    await this.registry.settled();
  }
}

const upsert = (changed: Instance) => ({ kind: 'upsert', instance: changed }) as const;
const removal = (id: string) => ({ kind: 'removal', id }) as const;

test('a snapshot replaces what the agent said before', async () => {
  const followed = new Followed(off);
  const contribution = followed.catalog.open(agent());
  assert.equal(contribution.hasBase, false);
  await contribution.replace(instances('a', 3), receipt);
  contribution.apply([removal('a-1'), upsert(instance('b'))], receipt);
  assert.deepEqual(followed.ids(), ['a-2', 'a-3', 'b']);
  await contribution.replace(instances('a', 2), receipt);
  assert.deepEqual(followed.ids(), ['a-1', 'a-2']);
});

test('an equal snapshot announces nothing and keeps the records', async () => {
  const followed = new Followed(off);
  const contribution = followed.catalog.open(agent());
  await contribution.replace(instances('a', 3), receipt);
  const before = followed.registry.effective('a-1');
  const { announcements } = followed;
  await contribution.replace(instances('a', 3), receipt);
  assert.equal(followed.announcements, announcements);
  assert.equal(followed.registry.effective('a-1'), before);
});

test('a lost agent keeps its instances', async () => {
  const followed = new Followed(off);
  const contribution = followed.catalog.open(agent());
  await contribution.replace(instances('a', 3), receipt);
  contribution.close('gone');
  contribution.close('again');
  await followed.settled();
  assert.equal(followed.ids().length, 3);
  assert.equal(followed.registry.isLive, false);
  const next = followed.catalog.open(agent());
  assert.equal(next.hasBase, true);
  next.apply([removal('a-1')], receipt);
  assert.deepEqual(followed.ids(), ['a-2', 'a-3']);
});

test('healthy agents are united', async () => {
  const followed = new Followed(off);
  const a = followed.catalog.open(agent());
  const b = followed.catalog.open(agent({ agentId: 'agent-b' }));
  await a.replace(instances('a', 2), receipt);
  await b.replace(instances('b', 2), receipt);
  assert.deepEqual(followed.ids(), ['a-1', 'a-2', 'b-1', 'b-2']);
  b.apply([upsert(instance('a-1'))], receipt);
  a.apply([removal('a-1')], receipt);
  assert.ok(followed.seen.has('a-1'));
  b.apply([removal('a-1')], receipt);
  assert.ok(!followed.seen.has('a-1'));
});

test('an agent that is lost, or whose registry is, counts only until another has delivered', async () => {
  for (const isClosed of [true, false]) {
    const followed = new Followed(off);
    const a = followed.catalog.open(agent());
    await a.replace(instances('a', 2), receipt);
    if (isClosed) a.close('gone');
    else a.health(health('lost'));
    const b = followed.catalog.open(agent({ agentId: 'agent-b' }));
    await followed.settled();
    assert.deepEqual(followed.ids(), ['a-1', 'a-2']);
    await b.replace(instances('b', 1), receipt);
    assert.deepEqual(followed.ids(), ['b-1']);
    b.close('gone');
    await followed.settled();
    assert.deepEqual(followed.ids(), ['b-1'], 'what was discarded does not come back');
    if (isClosed) followed.catalog.open(agent());
    else a.health(health('live'));
    await followed.settled();
    assert.deepEqual(followed.ids(), ['a-1', 'a-2'], 'but when its agent is healthy again');
  }
});

test('of two records the same one holds whoever came first', async () => {
  const records = [
    instance('a', { status: 'DOWN' }),
    instance('a', { weight: 1 }),
    instance('a', { weight: 2 }),
  ];
  for (const [first, second] of [
    [0, 1],
    [1, 0],
    [1, 2],
    [2, 1],
  ] as const) {
    const followed = new Followed(off);
    const a = followed.catalog.open(agent());
    const b = followed.catalog.open(agent({ agentId: 'agent-b' }));
    await a.replace(new Map([['a', records[first] ?? instance('a')]]), receipt);
    await b.replace(new Map([['a', records[second] ?? instance('a')]]), receipt);
    const found = followed.seen.get('a');
    assert.equal(found?.status, 'UP');
    assert.equal(found.weight, 1);
  }
});

test('what the first snapshot of a new epoch would remove is held, additions pass', async () => {
  const followed = new Followed(strict);
  await followed.catalog.open(agent()).replace(instances('a', 10), receipt);
  const contribution = followed.catalog.open(agent({ epoch: '02' }));
  await contribution.replace(new Map([...instances('a', 2), ...instances('b', 1)]), receipt);
  assert.equal(followed.ids().length, 11);
  assert.equal(followed.registry.guard.heldCount, 8);
  assert.deepEqual(followed.activations, [
    'registry: 8 of 10 UP instances removed within 30 s, limit 2',
  ]);
  contribution.apply([upsert(instance('a-10'))], receipt);
  assert.equal(followed.registry.guard.heldCount, 7);
  await contribution.replace(instances('a', 3), receipt);
  assert.equal(followed.registry.guard.heldCount, 6, 'a later snapshot does not undo the hold');
  assert.deepEqual(followed.ids().length, 9);
  assert.equal(followed.catalog.release(main), 6);
  assert.deepEqual(followed.ids(), ['a-1', 'a-2', 'a-3']);
  assert.equal(followed.catalog.release(main), 0);
  assert.equal(followed.catalog.release(registryId('dc9/x')), undefined);
});

test('a hold runs out while a healthy agent speaks, and only then', async () => {
  const followed = new Followed(strict);
  await followed.catalog.open(agent()).replace(instances('a', 10), receipt);
  const contribution = followed.catalog.open(agent({ epoch: '02' }));
  await contribution.replace(new Map(), receipt);
  assert.equal(followed.ids().length, 10);
  const later = performance.now() + 61_000;
  contribution.health(health('lost'));
  followed.catalog.tick(later);
  assert.equal(followed.ids().length, 10);
  contribution.health(health('live'));
  for (let ms = 0; ms <= 59_000; ms += 1000) followed.catalog.tick(later + ms);
  assert.equal(followed.ids().length, 10);
  followed.catalog.tick(later + 61_000);
  assert.equal(followed.ids().length, 0);
});

test('very many that are released go in slices, and the end of the hold is told', async () => {
  const lines: string[] = [];
  const followed = new Followed(
    strict,
    [main],
    pino({ level: 'info' }, { write: (line: string) => void lines.push(line) }),
  );
  await followed.catalog.open(agent()).replace(instances('a', 1200), receipt);
  const contribution = followed.catalog.open(agent({ epoch: '02' }));
  await contribution.replace(new Map(), receipt);
  assert.equal(followed.catalog.release(main), 1200);
  assert.equal(followed.ids().length, 700);
  contribution.apply([upsert(instance('a-1199'))], receipt);
  assert.equal(followed.catalog.release(main), 0);
  await eventually(() => assert.deepEqual(followed.ids(), ['a-1199']));
  assert.equal(followed.registry.guard.heldCount, 0);
  const ended = lines.filter((line) => line.includes('held no more'));
  assert.equal(ended.length, 1);
  assert.match(ended[0] ?? '', /"released":1200/);
});

test('no more than some of the parts that are held are named in the log', async () => {
  const lines: string[] = [];
  const followed = new Followed(
    { ...strict, fraction: 0.5 },
    [main],
    pino({ level: 'info' }, { write: (line: string) => void lines.push(line) }),
  );
  const all = new Map<string, Instance>();
  const kept = new Map<string, Instance>();
  for (let service = 0; service < 22; service++) {
    const name = `s${service}`;
    for (const [id, found] of instances(name, 10)) all.set(id, found);
  }
  for (const [id, found] of instances('kept', 1000)) {
    all.set(id, found);
    kept.set(id, found);
  }
  await followed.catalog.open(agent()).replace(all, receipt);
  await followed.catalog.open(agent({ epoch: '02' })).replace(kept, receipt);
  assert.equal(followed.activations.length, 22);
  assert.equal(lines.filter((line) => line.includes('"removals are held"')).length, 20);
  followed.catalog.release(main);
  assert.equal(lines.filter((line) => line.includes('"removals are held no more"')).length, 20);
  assert.equal(lines.filter((line) => line.includes('"others":2')).length, 2);
});

test('what an agent of an ensemble held before it restarted is held here', async () => {
  const loose: GuardPolicy = { ...strict, fraction: 0.5 };
  const followed = new Followed(loose);
  const first = followed.catalog.open(agent({ kind: 'zookeeper' }));
  await first.replace(instances('a', 40), receipt);
  first.health({ ...health('live'), heldRemovals: 6 });
  first.close('restarts');
  const second = followed.catalog.open(agent({ kind: 'zookeeper', epoch: '02' }));
  second.health(health('live'));
  await second.replace(instances('a', 34), receipt);
  assert.equal(followed.ids().length, 40);
  assert.match(
    followed.activations[0] ?? '',
    /6 of 40 UP instances removed .*; in doubt: agent .* held 6 removals when it was last heard of/,
  );
  second.close('restarts again');
  const third = followed.catalog.open(agent({ kind: 'zookeeper', epoch: '03' }));
  await third.replace(instances('a', 28), receipt);
  assert.equal(followed.ids().length, 34, 'nothing was held by the second one');
  assert.equal(followed.registry.release(), 6);
  await followed.settled();
  await eventually(() => assert.equal(followed.ids().length, 28));
});

test('after a restart an agent is doubted while it had doubts, or no ensemble at all', async () => {
  const words: readonly (readonly [Partial<RegistryHealth>, RegExp])[] = [
    [{ doubt: 'away for 41 s' }, /agent .* doubted its registry .*: away for 41 s/],
    [{ state: 'lost', reason: 'no server' }, /agent .* had lost its registry .*: no server/],
  ];
  for (const [word, evidence] of words) {
    const followed = new Followed({ ...strict, fraction: 0.5 });
    const first = followed.catalog.open(agent({ kind: 'zookeeper' }));
    await first.replace(instances('a', 40), receipt);
    first.health({ ...health('live'), ...word });
    first.close('restarts');
    const second = followed.catalog.open(agent({ kind: 'zookeeper', epoch: '02' }));
    second.health(health('lost'));
    await second.replace(instances('a', 34), receipt);
    assert.equal(followed.ids().length, 40);
    assert.match(followed.activations[0] ?? '', evidence);
  }
});

test('of saved state that was doubted nothing is lost at once', async () => {
  const followed = new Followed({ ...strict, fraction: 0.5 });
  const { id, kind } = { id: main, kind: 'zookeeper' as const };
  const place = { network: '', defaultLocality: '', ageMs: undefined };
  const saved = {
    id,
    kind,
    ...place,
    doubt: '6 removals were held',
    instances: instances('a', 40),
  };
  await followed.catalog.load(saved, performance.now());
  const first = followed.catalog.open(agent({ kind }));
  await first.replace(instances('a', 34), receipt);
  assert.equal(followed.ids().length, 40);
  assert.match(followed.activations[0] ?? '', /in doubt: 6 removals were held/);
});

test('what an agent cannot see after it has restarted is held until it sees everything', async () => {
  const followed = new Followed({ ...strict, holdMs: 60_000 });
  const first = followed.catalog.open(agent({ kind: 'zookeeper' }));
  await first.replace(new Map([...instances('a', 4), ...instances('b', 4)]), receipt);
  first.health(health('live'));
  first.close('restarts');
  const second = followed.catalog.open(agent({ kind: 'zookeeper', epoch: '02' }));
  second.health({ ...health('suspect'), reason: 'no permission to read /b' });
  await second.replace(instances('a', 3), receipt);
  await followed.settled();
  assert.equal(followed.ids().length, 8, 'not one is believed to be gone');
  assert.equal(followed.registry.guard.heldCount, 5);
  assert.match(followed.activations.join(), /agent .* does not see .*: no permission to read \/b/);
  const start = performance.now();
  followed.registry.tick(start + 1_000_000);
  assert.equal(followed.ids().length, 8, 'holds do not run out meanwhile');
  second.apply([removal('a-3')], receipt);
  assert.equal(followed.ids().length, 7, 'what the agent sees counts');
  second.health(health('live'));
  second.apply([upsert(instance('b-1'))], receipt);
  await followed.settled();
  assert.equal(followed.registry.guard.heldCount, 4);
  followed.registry.tick(start + 1_010_000);
  assert.equal(followed.ids().length, 7);
  followed.registry.tick(start + 1_023_000);
  followed.registry.tick(start + 1_036_000);
  followed.registry.tick(start + 1_049_000);
  followed.registry.tick(start + 1_062_000);
  await followed.settled();
  assert.deepEqual(followed.ids(), ['a-1', 'a-2', 'b-1']);
});

test('an agent that sees a part of a registry speaks for it, also to an aggregator that has restarted', async () => {
  const followed = new Followed(strict);
  const saved = { id: main, kind: 'zookeeper', network: '', defaultLocality: '' } as const;
  const known = new Map([...instances('a', 4), ...instances('b', 4)]);
  await followed.catalog.load({ ...saved, ageMs: undefined, instances: known }, 0);
  assert.equal(followed.ids().length, 8);
  const contribution = followed.catalog.open(agent({ kind: 'zookeeper' }));
  contribution.health({ ...health('suspect'), reason: 'no permission to read /b' });
  await contribution.replace(new Map([...instances('a', 4), ...instances('b', 1)]), receipt);
  await followed.settled();
  assert.deepEqual([followed.ids().length, followed.registry.guard.heldCount], [8, 3]);
  contribution.apply([removal('a-1'), removal('a-2')], receipt);
  assert.equal(followed.ids().length, 6, 'what it sees counts');
  contribution.close('gone');
  await followed.settled();
  assert.equal(followed.ids().length, 6, 'and nobody from before says otherwise');
  assert.equal(followed.registry.release(), 3);
  await followed.settled();
  await eventually(() => assert.deepEqual(followed.ids(), ['a-3', 'a-4', 'b-1']));
});

test('who took over from an agent that is gone is believed although it sees a part only', async () => {
  const followed = new Followed(strict);
  const first = followed.catalog.open(agent({ kind: 'zookeeper', agentId: 'agent-a' }));
  first.health(health('live'));
  await first.replace(instances('a', 6), receipt);
  first.close('gone');
  const second = followed.catalog.open(agent({ kind: 'zookeeper', agentId: 'agent-b' }));
  second.health(health('suspect'));
  await second.replace(instances('a', 5), receipt);
  await followed.settled();
  assert.deepEqual([followed.ids().length, followed.registry.guard.heldCount], [6, 1]);
  second.apply([removal('a-1')], receipt);
  assert.equal(followed.ids().length, 5);
  second.health(health('live'));
  await followed.settled();
  assert.equal(followed.registry.guard.heldCount, 1);
});

test('instances that all are down in a new epoch are held as they were', async () => {
  const followed = new Followed(strict);
  await followed.catalog.open(agent()).replace(instances('a', 10), receipt);
  const down = new Map(
    [...instances('a', 10)].map(([id, found]) => [id, { ...found, status: 'DOWN' as const }]),
  );
  const contribution = followed.catalog.open(agent({ epoch: '02' }));
  await contribution.replace(down, receipt);
  assert.equal(followed.up().length, 10);
  contribution.apply([upsert(instance('a-1', { status: 'DOWN' }))], receipt);
  assert.equal(followed.up().length, 9, 'what the agent says afterwards counts');
});

test('a switch between agents passes the guard too', async () => {
  const followed = new Followed(strict);
  const a = followed.catalog.open(agent());
  const b = followed.catalog.open(agent({ agentId: 'agent-b' }));
  await a.replace(instances('a', 10), receipt);
  await b.replace(instances('a', 2), receipt);
  a.close('gone');
  await followed.settled();
  assert.equal(followed.ids().length, 10);
  assert.equal(followed.registry.guard.heldCount, 8);
});

test('later snapshots of an epoch were guarded by the agent', async () => {
  const followed = new Followed(strict);
  const contribution = followed.catalog.open(agent());
  await contribution.replace(instances('a', 10), receipt);
  await contribution.replace(instances('a', 1), receipt);
  assert.deepEqual(followed.ids(), ['a-1']);
});

test('changes before a snapshot, and calls on an older stream, are refused', async () => {
  const followed = new Followed(off);
  const first = followed.catalog.open(agent());
  assert.throws(
    () => first.apply([], receipt),
    new ProtocolError('dc1/main: changes of an agent whose snapshot is not known'),
  );
  await first.replace(instances('a', 1), receipt);
  followed.catalog.open(agent());
  const outdated = new ProtocolError('dc1/main: the agent has another stream');
  assert.throws(() => first.apply([], receipt), outdated);
  await assert.rejects(first.replace(new Map(), receipt), outdated);
  first.health(health('lost'));
  first.close('late');
  assert.equal(followed.registry.isLive, true);
});

test('a snapshot that was on its way when its stream ended counts', async () => {
  const followed = new Followed(off);
  const contribution = followed.catalog.open(agent());
  const replaced = contribution.replace(instances('a', 2), receipt);
  contribution.close('gone');
  await replaced;
  await followed.settled();
  assert.equal(followed.ids().length, 2);
  assert.equal(followed.registry.isLive, false);
});

test('changes that come while a snapshot is taken over are not lost', async () => {
  const followed = new Followed(off);
  const a = followed.catalog.open(agent());
  const b = followed.catalog.open(agent({ agentId: 'agent-b' }));
  await a.replace(instances('a', 100), receipt);
  await b.replace(instances('a', 100), receipt);
  const replaced = a.replace(instances('a', 50), receipt);
  b.apply([removal('a-60'), upsert(instance('c'))], receipt);
  await replaced;
  assert.ok(!followed.seen.has('a-60'));
  assert.ok(followed.seen.has('a-70'));
  assert.ok(followed.seen.has('c'));
});

test('complete means that every expected registry was heard', async () => {
  const other = registryId('dc2/other');
  const followed = new Followed(off, [main, other]);
  assert.equal(new Followed(off, []).catalog.isComplete, false);
  const contribution = followed.catalog.open(agent());
  assert.equal(followed.catalog.isComplete, false);
  await contribution.replace(new Map(), receipt);
  assert.equal(followed.catalog.isComplete, false);
  await followed.catalog.open(agent({ registry: other })).replace(new Map(), receipt);
  assert.equal(followed.catalog.isComplete, true);
});

test('a registry that is forgotten is withdrawn and not waited for', async () => {
  const other = registryId('dc2/other');
  const followed = new Followed(strict, [main, other]);
  const contribution = followed.catalog.open(agent());
  await contribution.replace(instances('a', 20), receipt);
  assert.equal(await followed.catalog.forget(main), 'fed');
  assert.equal(await followed.catalog.forget(registryId('dc9/x')), 'unknown');
  assert.equal(await followed.catalog.forget(other), 'forgotten');
  assert.equal(followed.catalog.isComplete, true);
  contribution.close('gone');
  assert.equal(await followed.catalog.forget(main), 'forgotten');
  assert.deepEqual(followed.ids(), []);
  assert.equal(followed.catalog.registries.size, 0);
  const back = followed.catalog.open(agent());
  assert.equal(back.hasBase, false);
  assert.equal(followed.catalog.isComplete, false);
});

test('what is held goes with a registry that is forgotten', async () => {
  const followed = new Followed(strict);
  await followed.catalog.open(agent()).replace(instances('a', 10), receipt);
  const contribution = followed.catalog.open(agent({ epoch: '02' }));
  await contribution.replace(instances('a', 2), receipt);
  contribution.close('gone');
  await followed.catalog.forget(main);
  assert.deepEqual(followed.ids(), []);
});

test('another network or default locality is announced for all instances', async () => {
  const followed = new Followed(off);
  const first = followed.catalog.open(agent({ network: 'n1' }));
  await first.replace(instances('a', 2), receipt);
  assert.deepEqual(followed.attributes, ['n1 ']);
  followed.seen.clear();
  followed.catalog.open(agent({ network: 'n2', defaultLocality: 'r' }));
  await followed.settled();
  assert.deepEqual(followed.attributes, ['n1 ', 'n2 r']);
  assert.deepEqual(followed.ids(), ['a-1', 'a-2']);
});

test('an agent that is away for long and superseded is forgotten', async () => {
  const followed = new Followed(off);
  const a = followed.catalog.open(agent());
  await a.replace(instances('a', 1), receipt);
  const b = followed.catalog.open(agent({ agentId: 'agent-b' }));
  await b.replace(instances('a', 1), receipt);
  a.close('gone');
  await followed.settled();
  followed.catalog.tick(performance.now() + 599_000);
  assert.equal(followed.registry.voices.size, 2);
  followed.catalog.tick(performance.now() + 601_000);
  assert.deepEqual([...followed.registry.voices.keys()], ['agent-b']);
});

test('the age is that of the latest confirmation', async () => {
  const followed = new Followed(off);
  const contribution = followed.catalog.open(agent());
  await contribution.replace(new Map(), receipt);
  const { registry } = followed;
  assert.equal(registry.ageMs(performance.now()), undefined);
  contribution.health({ ...health('live'), registryAgeMs: 5000 });
  const now = performance.now();
  const age = registry.ageMs(now + 1000) ?? 0;
  assert.ok(age >= 6000 && age < 7000);
});

test('whatever agents do, what holds is what the rule says', async () => {
  const id = fc.integer({ min: 0, max: 5 }).map((number) => `i${number}`);
  const record = fc
    .record({ id, isUp: fc.boolean() })
    .map((raw) => instance(raw.id, { status: raw.isUp ? 'UP' : 'DOWN' }));
  const who = fc.constantFrom('a', 'b', 'c');
  const step = fc.oneof(
    fc.record({
      kind: fc.constant('replace' as const),
      who,
      records: fc.array(record, { maxLength: 4 }),
    }),
    fc.record({ kind: fc.constant('upsert' as const), who, record }),
    fc.record({ kind: fc.constant('remove' as const), who, id }),
    fc.record({ kind: fc.constant('health' as const), who, isLive: fc.boolean() }),
    fc.record({ kind: fc.constant('close' as const), who }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
      const followed = new Followed(off);
      const open = new Map<string, Contribution>();
      const model = new Map<
        string,
        { said: Map<string, Instance>; isLive: boolean; isOpen: boolean; isOut: boolean }
      >();
      for (const taken of steps) {
        const { who: name } = taken;
        let contribution = open.get(name);
        if (contribution === undefined) {
          contribution = followed.catalog.open(agent({ agentId: name }));
          open.set(name, contribution);
          const known = model.get(name);
          if (known !== undefined) known.isOpen = true;
        }
        const voice = model.get(name);
        if (taken.kind === 'replace') {
          const said = new Map(taken.records.map((found) => [found.id, found]));
          await contribution.replace(new Map(said), receipt);
          model.set(name, { isLive: true, isOut: false, ...voice, said, isOpen: true });
        } else if (taken.kind === 'close') {
          contribution.close('gone');
          open.delete(name);
          if (voice !== undefined) voice.isOpen = false;
        } else if (voice !== undefined && taken.kind === 'health') {
          contribution.health(health(taken.isLive ? 'live' : 'lost'));
          voice.isLive = taken.isLive;
        } else if (voice !== undefined && taken.kind === 'upsert') {
          contribution.apply([upsert(taken.record)], receipt);
          voice.said.set(taken.record.id, taken.record);
        } else if (voice !== undefined && taken.kind === 'remove') {
          contribution.apply([removal(taken.id)], receipt);
          voice.said.delete(taken.id);
        }
        await followed.settled();
        const voices = [...model.values()];
        const healthy = voices.filter(({ isOpen, isLive }) => isOpen && isLive);
        for (const other of voices) {
          if (healthy.includes(other)) other.isOut = false;
          else if (healthy.length > 0) other.isOut = true;
        }
        const counted = healthy.length > 0 ? healthy : voices.filter(({ isOut }) => !isOut);
        const expected = new Map<string, string>();
        for (const { said } of counted) {
          for (const found of said.values()) {
            if (expected.get(found.id) !== 'UP') expected.set(found.id, found.status);
          }
        }
        const seen = new Map([...followed.seen].map(([key, found]) => [key, found.status]));
        assert.deepEqual(new Map([...seen].sort()), new Map([...expected].sort()));
      }
    }),
    { numRuns: 300 },
  );
});

test('registries that nobody expects are known up to a limit', () => {
  const followed = new Followed(off);
  for (let index = 0; index < 1000; index += 1) {
    followed.catalog.open(agent({ registry: registryId(`dc2/r${index}`) }));
  }
  const another = agent({ registry: registryId('dc3/one-more') });
  assert.throws(() => followed.catalog.open(another), /dc3\/one-more: 1000 registries are known/);
  followed.catalog.open(agent());
});
