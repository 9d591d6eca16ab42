import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { GuardedView } from '../../../agent/guarded-view.ts';
import { Outbox } from '../../../agent/outbox.ts';
import { Retention } from '../../../agent/retention.ts';
import { Guard } from '../../../common/guard.ts';
import type { Instance, InstanceStatus } from '../../../common/instance.ts';
import { decodeInstance } from '../../../proto/instance-codec.ts';

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

  say(upserts: readonly Instance[], removals: readonly string[] = []): void {
    for (const instance of upserts) this.view.upsert(instance);
    for (const id of removals) this.view.remove(id, this.now);
    this.view.settle(this.now, this.now);
  }

  /** Confirms whatever waits, except these. */
  confirm(stillThere: readonly string[] = []): string[] {
    const { instances, observedAt } = this.view.takeUnconfirmed(1000);
    const asked = instances.map(({ id }) => id);
    const gone = new Set(asked.filter((id) => !stillThere.includes(id)));
    this.view.confirmed({ asked, gone, scale: 'single', observedAt }, this.now);
    return asked;
  }

  wait(ms: number): void {
    this.now += ms;
    this.view.tick(this.now);
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
  const { instances, observedAt } = bench.view.takeUnconfirmed(10);
  bench.say([instance('a0', { weight: 5 })]);
  const asked = instances.map(({ id }) => id);
  bench.view.confirmed({ asked, gone: new Set(asked), scale: 'single', observedAt }, 0);
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
    const asked = bench.view.heldIds();
    assert.equal(asked.length, 10);
    if (way === 'time') bench.wait(5000);
    else if (way === 'operator') assert.equal(bench.view.release(0), 10);
    else {
      const answer = { asked, gone: new Set(asked), scale: 'mass', observedAt: 0 } as const;
      bench.view.confirmed(answer, 0);
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
  assert.deepStrictEqual(bench.view.heldIds(), []);
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
    fc.record({ kind: fc.constant('remove'), ids: fc.array(fc.nat(19), { maxLength: 10 }) }),
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
          bench.say([], step.ids.map(named));
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
