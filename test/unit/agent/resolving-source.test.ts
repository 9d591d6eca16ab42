import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import pino from 'pino';
import type { HostAnswer, LookupHost } from '../../../agent/host-lookup.ts';
import { ResolvingSource } from '../../../agent/resolving-source.ts';
import type { Source, SourceEvent, SuspectedLoss, Verdicts } from '../../../agent/source.ts';
import type { Instance } from '../../../common/instance.ts';
import { eventually } from '../../support/eventually.ts';
import { FollowedSource } from '../../support/followed-source.ts';
import { confirmedBy, verdictsOf } from '../../support/verdicts.ts';

function instance(id: string, address: string, changes: Partial<Instance> = {}): Instance {
  return {
    id,
    service: { kind: 'application', name: 'orders', group: '', version: '' },
    address,
    ports: [{ protocol: 'http', number: 8080 }],
    labels: {},
    locality: '',
    weight: 0,
    status: 'UP',
    ...changes,
  };
}

/** A source that says what the test gives it. */
class ScriptedSource implements Source {
  readonly asked: string[] = [];
  hasEnded = false;
  failure: Error | undefined;
  private readonly events: SourceEvent[] = [];
  private wake: () => void = () => undefined;

  say(...events: SourceEvent[]): void {
    this.events.push(...events);
    this.wake();
  }

  fail(error: Error): void {
    this.failure = error;
    this.wake();
  }

  async *watch(signal: AbortSignal): AsyncGenerator<SourceEvent> {
    try {
      while (!signal.aborted) {
        if (this.failure !== undefined) throw this.failure;
        const event = this.events.shift();
        if (event !== undefined) {
          yield event;
          continue;
        }
        await new Promise<void>((resolve) => {
          this.wake = resolve;
          signal.addEventListener('abort', () => resolve(), { once: true });
        });
      }
    } finally {
      this.hasEnded = true;
    }
  }

  confirmLosses(losses: readonly SuspectedLoss[]): Promise<Verdicts> {
    for (const { instance } of losses) this.asked.push(`${instance.id} ${instance.address}`);
    return Promise.resolve(verdictsOf([]));
  }
}

function snapshot(...instances: Instance[]): SourceEvent {
  return {
    kind: 'snapshot',
    instances: new Map(instances.map((each) => [each.id, each])),
    observedAt: 1,
  };
}

function upserts(...instances: Instance[]): SourceEvent {
  return {
    kind: 'changes',
    changes: instances.map((each) => ({ kind: 'upsert', instance: each })),
    observedAt: 2,
  };
}

function start(context: TestContext, lookup: LookupHost) {
  const inner = new ScriptedSource();
  const source = new ResolvingSource(inner, lookup, {}, pino({ level: 'silent' }));
  const followed = new FollowedSource(source);
  context.after(() => followed.stop());
  const addresses = (): Record<string, string> =>
    Object.fromEntries(followed.instances().map(({ id, address }) => [id, address]));
  return { inner, source, followed, addresses };
}

const answer = (address: string): Promise<HostAnswer> =>
  Promise.resolve({ addresses: [address], ttlMs: 60_000 });
const failing: LookupHost = (name) => Promise.reject(new Error(`${name}: ENOTFOUND`));

test('events without host names pass as they are', async (context) => {
  const { inner, followed } = start(context, failing);
  const said = [
    snapshot(instance('a', '10.0.0.1'), instance('b', '10.0.0.1:80')),
    upserts(instance('c', 'fd00::1')),
    { kind: 'changes', changes: [{ kind: 'removal', id: 'a' }], observedAt: 3 },
    { kind: 'changes', changes: [], observedAt: 4 },
    { kind: 'lost', reason: 'x' },
    { kind: 'suspect', reason: 'y' },
  ] as const satisfies SourceEvent[];
  inner.say(...said);
  await eventually(() => assert.equal(followed.events.length, said.length));
  followed.events.forEach((event, index) => assert.equal(event, said[index]));
});

test('the first snapshot waits until its names were looked up', async (context) => {
  let finish: (answer: HostAnswer) => void = () => undefined;
  const lookup: LookupHost = () => new Promise((resolve) => (finish = resolve));
  const { inner, followed, addresses } = start(context, lookup);
  inner.say(snapshot(instance('a', 'web.x'), instance('b', '10.0.0.2')));
  for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(followed.events.length, 0);
  finish({ addresses: ['10.0.0.1'], ttlMs: 1000 });
  await eventually(() => assert.equal(followed.events[0]?.kind, 'snapshot'));
  assert.deepEqual(addresses(), { a: '10.0.0.1', b: '10.0.0.2' });
});

test('a later name is passed on at once, and its address when it is there', async (context) => {
  let finish: (answer: HostAnswer) => void = () => undefined;
  const lookup: LookupHost = () => new Promise((resolve) => (finish = resolve));
  const { inner, followed, addresses } = start(context, lookup);
  inner.say(snapshot(), upserts(instance('a', 'web.x')), { kind: 'lost', reason: 'x' });
  await eventually(() => assert.equal(followed.events.length, 3));
  assert.deepEqual(addresses(), { a: 'web.x' });
  finish({ addresses: ['10.0.0.1'], ttlMs: 1000 });
  await eventually(() => assert.deepEqual(addresses(), { a: '10.0.0.1' }));
  const last = followed.events.at(-1);
  assert.ok(last?.kind === 'changes' && last.isPartial === true);
});

test('an instance that changes keeps its address, one that goes away is forgotten', async (context) => {
  const { inner, source, followed, addresses } = start(context, () => answer('10.0.0.1'));
  inner.say(snapshot(instance('a', 'web.x'), instance('b', 'web.x')));
  await eventually(() => assert.deepEqual(addresses(), { a: '10.0.0.1', b: '10.0.0.1' }));
  inner.say(upserts(instance('a', 'web.x', { weight: 5 })));
  await eventually(() => assert.equal(followed.view.get('a')?.weight, 5));
  assert.equal(followed.view.get('a')?.address, '10.0.0.1');
  inner.say(
    { kind: 'changes', changes: [{ kind: 'removal', id: 'b' }], observedAt: 3 },
    upserts(instance('a', '10.9.9.9')),
  );
  await eventually(() => assert.deepEqual(addresses(), { a: '10.9.9.9' }));
  inner.say(upserts(instance('a', 'other.x')));
  await eventually(() => assert.deepEqual(addresses(), { a: '10.0.0.1' }));
  inner.say(snapshot(instance('c', 'web.x')));
  await eventually(() => assert.deepEqual(addresses(), { c: '10.0.0.1' }));
  const { signal } = new AbortController();
  const known = [...followed.view.values(), instance('z', '10.0.0.5')];
  assert.deepEqual(await confirmedBy(source, known, 'single', signal), new Set());
  assert.deepEqual(inner.asked, ['c 10.0.0.1', 'z 10.0.0.5']);
});

test('a name that cannot be resolved is passed on as it is', async (context) => {
  const { inner, addresses } = start(context, failing);
  inner.say(snapshot(instance('a', 'web.x'), instance('b', '10.0.0.2')));
  await eventually(() => assert.deepEqual(addresses(), { a: 'web.x', b: '10.0.0.2' }));
});

test('it ends when its source ends, with everything that it started', async () => {
  const inner = new ScriptedSource();
  const lookup: LookupHost = (_, signal) =>
    new Promise((_resolve, reject) =>
      signal.addEventListener('abort', () => reject(new Error('aborted')), { once: true }),
    );
  const source = new ResolvingSource(inner, lookup, {}, pino({ level: 'silent' }));
  const stop = new AbortController();
  const events = source.watch(stop.signal);
  inner.say(snapshot(), upserts(instance('a', 'web.x')));
  await events.next();
  await events.next();
  stop.abort();
  assert.equal((await events.next()).done, true);
  assert.ok(inner.hasEnded);
});

test('who stops listening ends the source too', async () => {
  const inner = new ScriptedSource();
  const source = new ResolvingSource(inner, failing, {}, pino({ level: 'silent' }));
  inner.say(snapshot());
  const { signal } = new AbortController();
  for await (const event of source.watch(signal)) {
    assert.equal(event.kind, 'snapshot');
    break;
  }
  assert.ok(inner.hasEnded);
});

test('a defect of the source is passed on', async () => {
  const inner = new ScriptedSource();
  const followed = new FollowedSource(
    new ResolvingSource(inner, failing, {}, pino({ level: 'silent' })),
  );
  inner.fail(new Error('a defect'));
  await eventually(() => assert.ok(followed.hasFailed));
  await assert.rejects(followed.stop(), /a defect/);
});

test('many host names are resolved, event by event', async (context) => {
  const { inner, addresses } = start(context, (name) => answer(`10.0.0.${name.length}`));
  const many = Array.from({ length: 5000 }, (_, index) => instance(`${index}`, `host${index}.x`));
  inner.say(snapshot(...many.slice(0, 4000)), upserts(...many.slice(4000)));
  await eventually(() => {
    const found = Object.values(addresses());
    assert.equal(found.filter((address) => address.startsWith('10.0.')).length, 5000);
  });
});
