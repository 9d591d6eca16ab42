import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { GuardedView } from '../../../agent/guarded-view.ts';
import { Outbox } from '../../../agent/outbox.ts';
import { Retention } from '../../../agent/retention.ts';
import { Guard } from '../../../common/guard.ts';
import type { Instance, InstanceStatus } from '../../../common/instance.ts';
import { decodeInstance } from '../../../proto/instance-codec.ts';
import { verdictsOf } from '../../support/verdicts.ts';

const policy = { fraction: 0.5, minimum: 5, windowMs: 1000, holdMs: 5000 };

class Bench {
  readonly outbox = new Outbox();
  readonly activations: string[] = [];
  readonly dropped: string[] = [];
  readonly view: GuardedView;
  now = 0;

  constructor(emptyServiceMs = 10_000) {
    const report = {
      guardActivated: (activation: { readonly evidence: string }) =>
        void this.activations.push(activation.evidence),
      dropped: (_reason: string, record: string) => void this.dropped.push(record),
    };
    const retention = new Retention(emptyServiceMs);
    this.view = new GuardedView(this.outbox, new Guard(policy), retention, report);
    this.outbox.open();
  }

  say(upserts: readonly Instance[], removals: readonly string[] = [], doubt?: string): void {
    for (const instance of upserts) this.view.upsert(instance);
    for (const id of removals) this.view.remove(id, this.now);
    this.view.settle(this.now, this.now, doubt);
  }

  /** Confirms whatever waits, except these. */
  confirm(stillThere: readonly string[] = []): string[] {
    const { losses, observedAt } = this.view.takeUnconfirmed(1000);
    const asked = losses.map(({ instance }) => instance.id);
    const verdicts = verdictsOf(asked.filter((id) => !stillThere.includes(id)));
    this.view.answered({ asked, verdicts, scale: 'single', observedAt }, this.now);
    return asked;
  }

  wait(ms: number): void {
    this.now += ms;
    this.view.tick(this.now);
  }

  heldIds(): string[] {
    return this.view.heldLosses().map(({ id }) => id);
  }

  statuses(): Record<string, InstanceStatus> {
    const found: Record<string, InstanceStatus> = {};
    const snapshot = this.outbox.snapshot();
    for (let place = 0; place < (snapshot?.size ?? 0); place++) {
      const instance = decodeInstance(snapshot?.encoded(place) ?? Buffer.alloc(0));
      found[instance.id] = instance.status;
    }
    return found;
  }
}

function instance(id: string, fields: Partial<Instance> = {}): Instance {
  return {
    id,
    service: { kind: 'application', name: id.slice(0, 1), group: '', version: '' },
    address: '10.0.0.1',
    ports: [{ protocol: 'http', number: 80 }],
    labels: {},
    locality: '',
    weight: 0,
    status: 'UP',
    ...fields,
  };
}

function many(service: string, count: number, fields: Partial<Instance> = {}): Instance[] {
  return Array.from({ length: count }, (_, index) => instance(`${service}${index}`, fields));
}

test('a removal is applied when the registry confirms it, not before', () => {
  const bench = new Bench();
  bench.say(many('a', 3));
  bench.say([], ['a0']);
  assert.equal(bench.statuses()['a0'], 'UP');
  assert.deepStrictEqual(bench.confirm(), ['a0']);
  assert.deepStrictEqual(Object.keys(bench.statuses()), ['a1', 'a2']);
});

test('a removal that the registry denies is not applied, and is asked about again', () => {
  const bench = new Bench();
  bench.say(many('a', 3));
  bench.say([], ['a0']);
  bench.confirm(['a0']);
  assert.equal(bench.statuses()['a0'], 'UP');
  bench.wait(1000);
  assert.deepStrictEqual(bench.confirm(['a0']), []);
  bench.wait(1000);
  assert.deepStrictEqual(bench.confirm(['a0']), ['a0']);
  bench.wait(60_000);
  assert.deepStrictEqual(bench.confirm(), ['a0']);
  assert.equal(bench.statuses()['a0'], undefined);
});

test('an instance that is there again is not asked about any more', () => {
  const bench = new Bench();
  bench.say(many('a', 3));
  bench.say([], ['a0', 'a1']);
  bench.say([instance('a0')]);
  assert.deepStrictEqual(bench.confirm(['a1']), ['a1']);
  bench.say([instance('a1')]);
  bench.wait(60_000);
  assert.deepStrictEqual(bench.confirm(), []);
  assert.equal(bench.outbox.size, 3);
});

test('a confirmation that comes after the instance is back changes nothing', () => {
  const bench = new Bench();
  bench.say(many('a', 2));
  bench.say([], ['a0']);
  const { losses, observedAt } = bench.view.takeUnconfirmed(10);
  bench.say([instance('a0', { weight: 5 })]);
  const asked = losses.map((loss) => loss.instance.id);
  bench.view.answered({ asked, verdicts: verdictsOf(asked), scale: 'single', observedAt }, 0);
  assert.equal(bench.statuses()['a0'], 'UP');
});

test('removals that could not be asked about wait for the next answer', () => {
  const bench = new Bench();
  bench.say(many('a', 2));
  bench.say([], ['a0']);
  bench.view.putBackUnconfirmed(bench.view.takeUnconfirmed(10));
  assert.ok(bench.view.hasUnconfirmed);
  bench.wait(4999);
  assert.equal(bench.statuses()['a0'], 'UP');
  bench.wait(1);
  assert.equal(bench.statuses()['a0'], undefined);
});

test('a mass removal is held, then released by time, confirmation or operator', () => {
  for (const way of ['time', 'witness', 'operator'] as const) {
    const bench = new Bench(0);
    bench.say(many('a', 10));
    bench.say(
      [],
      many('a', 10).map(({ id }) => id),
    );
    assert.equal(bench.view.heldCount, 10);
    assert.equal(bench.activations.length, 1);
    assert.deepStrictEqual(bench.confirm(), []);
    assert.equal(bench.outbox.size, 10);
    const asked = bench.heldIds();
    assert.equal(asked.length, 10);
    if (way === 'time') bench.wait(5000);
    else if (way === 'operator') assert.equal(bench.view.release(0), 10);
    else {
      const answer = { asked, verdicts: verdictsOf(asked), scale: 'mass', observedAt: 0 } as const;
      bench.view.answered(answer, 0);
    }
    assert.equal(bench.outbox.size, 0);
    assert.equal(bench.view.heldCount, 0);
  }
});

test('additions pass while removals are held', () => {
  const bench = new Bench();
  bench.say(many('a', 10));
  bench.say(
    many('b', 3),
    many('a', 10).map(({ id }) => id),
  );
  assert.equal(bench.outbox.size, 13);
});

test('instances that are not UP leave at once', () => {
  const bench = new Bench(0);
  bench.say(many('a', 10, { status: 'DOWN' }));
  bench.say(
    [],
    many('a', 10).map(({ id }) => id),
  );
  assert.equal(bench.outbox.size, 0);
});

test('the last instance of a service stays as an empty service for a while', () => {
  const bench = new Bench();
  bench.say([instance('a0'), instance('b0')]);
  bench.say([], ['a0']);
  bench.confirm();
  assert.deepStrictEqual(bench.statuses(), { a0: 'GONE', b0: 'UP' });
  assert.equal(bench.view.serviceCount, 2);
  bench.say([], ['a0']);
  bench.wait(9999);
  assert.deepStrictEqual(bench.statuses(), { a0: 'GONE', b0: 'UP' });
  bench.wait(1);
  assert.deepStrictEqual(bench.statuses(), { b0: 'UP' });
  assert.equal(bench.view.serviceCount, 1);
});

test('a new instance takes the place of the empty service in the same batch', () => {
  const bench = new Bench();
  bench.say([instance('a0')]);
  bench.say([], ['a0']);
  bench.confirm();
  const before = bench.outbox.sequence;
  bench.say([instance('a1')]);
  assert.equal(bench.outbox.sequence, before + 1);
  assert.deepStrictEqual(bench.statuses(), { a1: 'UP' });
  bench.wait(60_000);
  assert.deepStrictEqual(bench.statuses(), { a1: 'UP' });
});

test('the same instance comes back to its empty service', () => {
  const bench = new Bench();
  bench.say([instance('a0')]);
  bench.say([], ['a0']);
  bench.confirm();
  bench.say([instance('a0')]);
  bench.wait(60_000);
  assert.deepStrictEqual(bench.statuses(), { a0: 'UP' });
});

test('an id that moves to another service leaves no empty one behind', () => {
  const bench = new Bench();
  const b = { kind: 'application', name: 'b', group: '', version: '' } as const;
  bench.say([instance('a0')]);
  bench.say([], ['a0']);
  bench.confirm();
  bench.say([instance('a0', { service: b })]);
  assert.equal(bench.view.serviceCount, 1);
  bench.wait(60_000);
  assert.deepStrictEqual(bench.statuses(), { a0: 'UP' });
});

test('all instances DOWN at once is held, OUT_OF_SERVICE is not', () => {
  const bench = new Bench();
  bench.say(many('a', 6));
  bench.say(many('a', 6, { status: 'DOWN' }));
  assert.deepStrictEqual(bench.view.statusCounts(), { UP: 6 });
  assert.equal(bench.heldIds().length, 6);
  bench.say([instance('a0')]);
  bench.say([instance('a1', { status: 'OUT_OF_SERVICE' })]);
  assert.deepStrictEqual(bench.view.statusCounts(), { UP: 5, OUT_OF_SERVICE: 1 });
  bench.wait(5000);
  assert.deepStrictEqual(bench.view.statusCounts(), { UP: 1, OUT_OF_SERVICE: 1, DOWN: 4 });
});

test('some instances DOWN pass at once', () => {
  const bench = new Bench();
  bench.say(many('a', 10));
  bench.say(many('a', 8, { status: 'DOWN' }));
  assert.deepStrictEqual(bench.view.statusCounts(), { UP: 2, DOWN: 8 });
});

function idsOf(instances: readonly Instance[]): string[] {
  return instances.map(({ id }) => id);
}

/** A view that loses 2500 of 3000 instances of one service, in one event. */
function manyLost(status?: InstanceStatus): Bench {
  const bench = new Bench(0);
  bench.say(many('a', 3000));
  const lost = many('a', 2500, status === undefined ? {} : { status });
  if (status === undefined) bench.say([], idsOf(lost));
  else bench.say(lost);
  return bench;
}

function drain({ view }: Bench): void {
  while (view.hasDue) view.passDue(0);
}

test('very many losses are judged in slices, and none passes before all are judged', () => {
  const bench = manyLost();
  assert.ok(bench.view.hasDue);
  assert.equal(bench.view.hasUnconfirmed, false);
  drain(bench);
  assert.equal(bench.view.heldCount, 2500);
  assert.equal(bench.outbox.size, 3000);
});

test('what comes back while very many losses are judged is no loss', () => {
  const bench = manyLost();
  bench.say(many('a', 2400));
  drain(bench);
  assert.equal(bench.view.heldCount, 0);
  assert.equal(bench.confirm().length, 100);
});

test('losses that come while others are judged are judged after them', () => {
  const bench = manyLost();
  bench.say([], ['a2600']);
  drain(bench);
  assert.equal(bench.view.heldCount, 2501);
});

test('very many demotions pass in slices, and what is UP again does not', () => {
  const bench = manyLost('DOWN');
  bench.view.passDue(0);
  bench.view.passDue(0);
  assert.deepStrictEqual(bench.view.statusCounts(), { UP: 2500, DOWN: 500 });
  bench.say([instance('a2499')]);
  drain(bench);
  assert.deepStrictEqual(bench.view.statusCounts(), { UP: 501, DOWN: 2499 });
});

test('neither additions that are sent early nor a tick take losses with them', () => {
  const bench = new Bench();
  bench.say(many('a', 10));
  for (const each of many('a', 10, { status: 'DOWN' })) {
    bench.view.upsert(each);
    bench.view.commit(0);
    bench.view.tick(0);
  }
  bench.view.settle(0, 0);
  assert.deepStrictEqual(bench.view.statusCounts(), { UP: 10 });
  assert.equal(bench.view.heldCount, 10);
});

test('a release of very many passes in slices', () => {
  const bench = manyLost();
  drain(bench);
  assert.equal(bench.view.release(0), 2500);
  assert.equal(bench.view.heldCount, 0);
  assert.equal(bench.outbox.size, 2500);
  bench.say([instance('a2499')]);
  drain(bench);
  assert.equal(bench.outbox.size, 501);
});

test('nothing passes by its time but at a tick', () => {
  const bench = new Bench(0);
  bench.say(many('a', 20));
  bench.say([], ['a19']);
  bench.say([], idsOf(many('a', 15)));
  bench.view.release(60_000);
  assert.equal(bench.outbox.size, 4);
  bench.say([], ['a18']);
  bench.now = 120_000;
  bench.say([], ['a17']);
  assert.equal(bench.outbox.size, 4);
});

test('a held demotion passes with the word of a witness', () => {
  const bench = new Bench();
  bench.say(many('a', 6));
  bench.say(many('a', 6, { status: 'DOWN' }));
  const asked = bench.heldIds();
  const verdicts = verdictsOf(['a0', 'a1'], ['a2']);
  bench.now = 4000;
  bench.view.answered({ asked, verdicts, scale: 'mass', observedAt: 0 }, bench.now);
  assert.deepStrictEqual(bench.view.statusCounts(), { UP: 4, DOWN: 2 });
  bench.wait(1000);
  assert.deepStrictEqual(bench.heldIds(), ['a2']);
  bench.wait(4000);
  assert.deepStrictEqual(bench.view.statusCounts(), { DOWN: 6 });
});

test('who was asked about what is held, and how it ended, is told', () => {
  const bench = new Bench();
  bench.say(many('a', 6));
  bench.say(many('a', 6, { status: 'DOWN' }));
  bench.view.testify('b lists 6 of 6 as UP');
  assert.equal(bench.view.held()[0]?.witnesses, 'b lists 6 of 6 as UP');
  assert.equal(bench.view.holdMsMin, 5000);
  bench.say(many('a', 6));
  assert.deepStrictEqual(
    bench.view.takeEnded().map(({ ends }) => ends.back),
    [6],
  );
});

test('what is said in doubt is held by stricter limits, and no longer than the doubt lasts', () => {
  const bench = new Bench();
  bench.say([...many('a', 100)]);
  const gone = (from: number): string[] =>
    many('a', 100)
      .map(({ id }) => id)
      .slice(from, from + 5);
  bench.say([], gone(0), 'the ensemble was away');
  assert.deepStrictEqual(bench.heldIds(), gone(0));
  assert.match(bench.activations[0] ?? '', /5 of 100 .*; in doubt: the ensemble was away$/);
  bench.wait(1000);
  bench.say([], gone(5));
  assert.deepStrictEqual(bench.confirm(), gone(5));
  assert.equal(bench.view.heldCount, 5);
  bench.wait(4000);
  assert.equal(bench.view.heldCount, 0);
  assert.equal(Object.keys(bench.statuses()).length, 90);
});

test('what has been said in doubt and is still to be judged stays in doubt', () => {
  const bench = new Bench();
  const all = many('a', 4000);
  bench.say(all);
  const ids = all.map(({ id }) => id);
  bench.say([], ids.slice(0, 1500), 'the ensemble was away');
  bench.say([], []);
  while (bench.view.hasDue) bench.view.passDue(bench.now);
  assert.equal(bench.view.heldCount, 1500);
});

test('an unconfirmed removal that comes in doubt of a service with nobody else is held', () => {
  const bench = new Bench();
  bench.say([...many('a', 1), ...many('b', 50)]);
  bench.say([], ['a0', 'b0'], 'the ensemble was away');
  assert.deepStrictEqual(bench.confirm(), ['b0']);
  assert.deepStrictEqual(bench.heldIds(), ['a0']);
  bench.say(many('a', 1), [], 'the ensemble was away');
  assert.equal(bench.view.heldCount, 0);
});

test('an instance that breaks the limits is left out and counted', () => {
  const bench = new Bench();
  bench.say([instance('a0'), instance('a1', { weight: -1 })]);
  assert.deepStrictEqual(Object.keys(bench.statuses()), ['a0']);
  assert.match(bench.dropped[0] ?? '', /instance a1: weight/);
});

test('what has not changed is not sent', () => {
  const bench = new Bench();
  bench.say(many('a', 3));
  const before = bench.outbox.sequence;
  bench.say(many('a', 3));
  assert.equal(bench.outbox.sequence, before);
});

test('after any history and enough time, what is said is what the source says', () => {
  const step = fc.oneof(
    fc.record({
      kind: fc.constant('upsert'),
      id: fc.nat(19),
      status: fc.constantFrom('UP', 'UP', 'DOWN', 'OUT_OF_SERVICE'),
    }),
    fc.record({
      kind: fc.constant('remove'),
      ids: fc.array(fc.nat(19), { maxLength: 10 }),
      doubt: fc.constantFrom(undefined, 'the ensemble was away'),
    }),
    fc.record({ kind: fc.constant('wait'), ms: fc.nat(3000) }),
    fc.record({ kind: fc.constantFrom('confirm', 'release') }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const bench = new Bench();
      const source = new Map<string, InstanceStatus>();
      const named = (id: number): string => `${'abc'.charAt(id % 3)}${id}`;
      for (const step of steps) {
        if (step.kind === 'upsert') {
          const status = step.status as InstanceStatus;
          source.set(named(step.id), status);
          bench.say([instance(named(step.id), { status })]);
          if (status === 'UP') assert.equal(bench.statuses()[named(step.id)], 'UP');
        } else if (step.kind === 'remove') {
          for (const id of step.ids) source.delete(named(id));
          bench.say([], step.ids.map(named), step.doubt);
        } else if (step.kind === 'wait') bench.wait(step.ms);
        else if (step.kind === 'release') bench.view.release(bench.now);
        else {
          const asked = bench.confirm([...source.keys()]);
          for (const id of asked) assert.ok(!source.has(id));
        }
        const said = bench.statuses();
        for (const [id, status] of source) {
          if (status === 'UP') assert.equal(said[id], 'UP', 'what is UP is never withdrawn');
        }
      }
      bench.wait(policy.holdMs);
      bench.wait(10_000);
      assert.deepStrictEqual(Object.entries(bench.statuses()).sort(), [...source].sort());
      assert.equal(bench.view.heldCount, 0);
      const services = new Set([...source.keys()].map((id) => id.charAt(0)));
      assert.equal(bench.view.serviceCount, services.size);
    }),
  );
});
