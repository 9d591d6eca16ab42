import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile, chmod, mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import fc from 'fast-check';
import pino from 'pino';
import type { AgentIdentity, Contribution, Receipt } from '../../../aggregator/contribution.ts';
import { StateFile } from '../../../aggregator/state-file.ts';
import { Pipeline } from '../../../aggregator/pipeline.ts';
import type { PipelineObserver, PipelineOptions } from '../../../aggregator/pipeline.ts';
import type { ChangeOrigin } from '../../../aggregator/store-types.ts';
import type { Instance } from '../../../common/instance.ts';
import { eventually } from '../../support/eventually.ts';
import { agent, health, instance, instances, registryId } from './samples.ts';

const main = registryId('dc1/main');
const other = registryId('dc2/other');
const receipt: Receipt = { receivedAt: 5, ageMs: 7 };
const unguarded = { eureka: { minimum: Infinity }, zookeeper: { minimum: Infinity } };

class Counted implements PipelineObserver {
  changed = 0;
  unchanged = 0;
  saved = 0;
  failed = 0;
  readonly invalids: string[] = [];
  readonly registries = new Map<string, unknown>();
  readonly guarded: string[] = [];
  readonly moved: string[] = [];

  rendered(isChanged: boolean): void {
    if (isChanged) this.changed += 1;
    else this.unchanged += 1;
  }
  invalid(reason: string): void {
    this.invalids.push(reason);
  }
  vipMoved(host: string): void {
    this.moved.push(host);
  }
  registryChanged(registry: string, counts: object, services: number): void {
    this.registries.set(registry, { ...counts, services });
  }
  registryGone(registry: string): void {
    this.registries.delete(registry);
  }
  guardActivated(registry: string): void {
    this.guarded.push(registry);
  }
  stateSaved(): void {
    this.saved += 1;
  }
  stateFailed(): void {
    this.failed += 1;
  }
}

function start(options: Partial<PipelineOptions> = {}) {
  const observer = new Counted();
  const pipeline = new Pipeline(
    { expected: [main], domain: 'tributary.internal', namespace: 'tributary', ...options },
    observer,
    pino({ level: 'silent' }),
  );
  return { pipeline, observer };
}

function bytes(pipeline: Pipeline): Buffer {
  const state = pipeline.store.state('ServiceEntry');
  assert.ok(state !== undefined);
  return Buffer.concat(state.segments);
}

async function directory(context: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'tributary-state-'));
  context.after(() => rm(path, { recursive: true, force: true }));
  return path;
}

const upsert = (changed: Instance) => ({ kind: 'upsert', instance: changed }) as const;
const fromOther: Partial<AgentIdentity> = { registry: other, kind: 'zookeeper' };

test('silent until every expected registry was heard, then complete', async () => {
  const { pipeline } = start({ expected: [main, other] });
  await pipeline.sink.open(agent()).replace(instances('a', 2), receipt);
  assert.equal(pipeline.isComplete(), false);
  assert.equal(pipeline.store.state('ServiceEntry'), undefined);
  let calls = 0;
  pipeline.store.subscribe('ServiceEntry', () => (calls += 1));
  await pipeline.sink.open(agent(fromOther)).replace(new Map(), receipt);
  assert.equal(pipeline.isComplete(), true);
  assert.equal(pipeline.store.state('ServiceEntry')?.count, 1);
  assert.equal(calls, 1);
});

test('a small change is published before apply returns, with its origin', async () => {
  const { pipeline, observer } = start();
  const contribution = pipeline.sink.open(agent());
  await contribution.replace(instances('a', 2), receipt);
  const told: (readonly ChangeOrigin[])[] = [];
  pipeline.store.subscribe('ServiceEntry', (origins) => told.push(origins));
  contribution.apply([upsert(instance('b'))], { receivedAt: 1, ageMs: 2 });
  assert.deepEqual(told, [[{ registry: main, receivedAt: 1, ageMs: 2 }]]);
  assert.deepEqual(
    pipeline.services('', 10).map(({ host }) => host),
    ['a.tributary.internal', 'orders.tributary.internal'],
  );
  contribution.apply([upsert(instance('b'))], receipt);
  assert.equal(told.length, 1, 'an equal record is published by nobody');
  assert.equal(observer.unchanged, 1);
  contribution.apply([{ kind: 'removal', id: 'b' }], receipt);
  assert.equal(pipeline.serviceCount(), 1);
  assert.equal(told.length, 2);
});

test('a large snapshot is one revision, and small changes go on beside it', async () => {
  const { pipeline } = start({ expected: [main, other], guardPolicies: unguarded });
  const contribution = pipeline.sink.open(agent());
  const beside = pipeline.sink.open(agent(fromOther));
  await beside.replace(new Map([['x', instance('x')]]), receipt);
  await contribution.replace(new Map(), receipt);
  const large = new Map<string, Instance>();
  for (let index = 0; index < 3000; index += 1) {
    for (const [id, found] of instances(`s${index}`, 2)) large.set(id, found);
  }
  const counts: (number | undefined)[] = [];
  pipeline.store.subscribe('ServiceEntry', () =>
    counts.push(pipeline.store.state('ServiceEntry')?.count),
  );
  const replaced = contribution.replace(large, receipt);
  const progress = { isDone: false };
  const changes: number[] = [];
  void replaced.then(() => (progress.isDone = true));
  for (let port = 1; !progress.isDone; port += 1) {
    const ports = [{ protocol: 'http', number: port }];
    beside.apply(
      [
        upsert(instance('x', { ports })),
        upsert({ ...(instances('s7', 1).get('s7-1') ?? instance('')), id: 'y', ports }),
      ],
      receipt,
    );
    changes.push(port);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await replaced;
  assert.ok(changes.length > 2);
  assert.ok(counts.includes(2), 'published beside the snapshot');
  assert.deepEqual([...new Set(counts)].sort(), [2, 3001]);
  const [service] = pipeline.services('orders', 1);
  assert.equal(service?.endpoints[0]?.port, changes.at(-1));
  const shared = pipeline.services('s7.', 1)[0]?.endpoints.map(({ port }) => port);
  assert.deepEqual(shared?.sort(), [8080, 8080, changes.at(-1)].sort());
});

test('a registry that is not expected is shown, not served', async () => {
  const { pipeline, observer } = start();
  await pipeline.sink.open(agent()).replace(new Map(), receipt);
  await pipeline.sink.open(agent(fromOther)).replace(instances('a', 2), receipt);
  assert.equal(pipeline.sink.isServed(other), false);
  assert.equal(pipeline.serviceCount(), 0);
  const view = pipeline.registries().find(({ id }) => id === other);
  assert.deepEqual(view?.instances, { UP: 2 });
  assert.equal(view.services, 1);
  assert.equal(view.isExpected, false);
  assert.deepEqual(observer.registries.get(other), { UP: 2, services: 1 });
});

test('the view says what is known of registries and agents', async () => {
  const { pipeline } = start({ expected: [main, other] });
  assert.deepEqual(
    pipeline.registries().map(({ id, state, isHeard }) => [id, state, isHeard]),
    [
      [main, 'waiting', false],
      [other, 'waiting', false],
    ],
  );
  const contribution = pipeline.sink.open(agent());
  contribution.health({ ...health('live'), hiddenDelayMs: 30_000, heldRemovals: 2 });
  assert.equal(pipeline.registries()[0]?.state, 'waiting');
  await contribution.replace(instances('a', 20), receipt);
  const [live] = pipeline.registries();
  assert.equal(live?.state, 'live');
  assert.equal(live.hiddenDelayMs, 30_000);
  assert.deepEqual(live.agents, [
    {
      agentId: 'agent-a',
      software: 'test',
      isConnected: true,
      state: 'live',
      reason: '',
      instances: 20,
      heldRemovals: 2,
    },
  ]);
  contribution.close('the connection is gone');
  const [stale] = pipeline.registries();
  assert.equal(stale?.state, 'stale');
  assert.equal(stale.agents[0]?.state, 'lost');
  assert.equal(stale.agents[0].reason, 'the connection is gone');
});

test('held removals are shown, counted and released', async () => {
  const { pipeline, observer } = start();
  await pipeline.sink.open(agent()).replace(instances('a', 20), receipt);
  await pipeline.sink.open(agent({ epoch: '02' })).replace(instances('a', 1), receipt);
  const [view] = pipeline.registries();
  assert.equal(view?.heldRemovals, 19);
  assert.match(view.guardReason, /^registry: 19 of 20 UP instances removed/);
  assert.deepEqual(observer.guarded, [main]);
  assert.equal(pipeline.services('', 1)[0]?.endpoints.length, 20);
  assert.equal(pipeline.release(main), 19);
  assert.equal(pipeline.services('', 1)[0]?.endpoints.length, 1);
  assert.equal(pipeline.release(other), undefined);
});

test('a guard can be set by kind and by registry', async () => {
  const { pipeline } = start({
    guardPolicies: { eureka: { holdMs: 1 }, [main]: { minimum: 100 } },
  });
  await pipeline.sink.open(agent()).replace(instances('a', 20), receipt);
  await pipeline.sink.open(agent({ epoch: '02' })).replace(instances('a', 1), receipt);
  assert.equal(pipeline.registries()[0]?.heldRemovals, 0);
});

test('a hold runs out by itself', async () => {
  const { pipeline } = start({ guardPolicies: { eureka: { holdMs: 1 } } });
  const stop = new AbortController();
  const running = pipeline.run(stop.signal);
  await pipeline.ready;
  await pipeline.sink.open(agent()).replace(instances('a', 20), receipt);
  await pipeline.sink.open(agent({ epoch: '02' })).replace(instances('a', 1), receipt);
  assert.equal(pipeline.services('', 1)[0]?.endpoints.length, 20);
  await eventually(() => assert.equal(pipeline.services('', 1)[0]?.endpoints.length, 1));
  stop.abort();
  await running;
});

test('a registry can be forgotten when nobody feeds it', async () => {
  const { pipeline, observer } = start({ expected: [main, other] });
  const contribution = pipeline.sink.open(agent());
  await contribution.replace(instances('a', 2), receipt);
  assert.equal(await pipeline.forget(main), 'fed');
  assert.equal(await pipeline.forget(other), 'forgotten');
  assert.equal(pipeline.isComplete(), true);
  contribution.close('gone');
  assert.equal(await pipeline.forget(main), 'forgotten');
  assert.equal(pipeline.store.state('ServiceEntry')?.count, 0);
  assert.deepEqual(pipeline.registries(), []);
  assert.equal(observer.registries.size, 0);
  assert.equal(await pipeline.forget(registryId('dc9/x')), 'unknown');
});

test('explain says why an instance is served or not', async () => {
  const { pipeline } = start();
  const contribution = pipeline.sink.open(agent());
  await contribution.replace(
    new Map([
      ['a', instance('a')],
      ['b', instance('b', { status: 'DOWN' })],
    ]),
    receipt,
  );
  const explained = pipeline.explain('orders.tributary.internal');
  assert.deepEqual(
    explained?.members.map(({ instance: id, verdict }) => [id, verdict]),
    [
      ['a', 'served'],
      ['b', 'DOWN'],
    ],
  );
  assert.deepEqual(explained.service.withheld, { DOWN: 1 });
  assert.deepEqual([...pipeline.totals().withheld], [['DOWN', 1]]);
  contribution.apply([{ kind: 'removal', id: 'b' }], receipt);
  assert.equal(pipeline.totals().withheld.size, 0);
  assert.equal(pipeline.explain('x'), undefined);
});

test('applications that share a VIP have one more host with the endpoints of all', async () => {
  const { pipeline } = start();
  const contribution = pipeline.sink.open(agent());
  const ports = [
    { protocol: 'http', number: 8080 },
    { protocol: 'https', number: 8443 },
  ];
  const named = (name: string, address: string, changes: Partial<Instance> = {}): Instance =>
    instance(`${name}/1`, {
      service: { kind: 'application', name, group: '', version: '' },
      address,
      ports,
      aliases: [
        { name: 'pay.vip', ports: 'plain' },
        { name: 'safe', ports: 'secure' },
      ],
      ...changes,
    });
  const cards = named('cards', '10.0.0.1');
  const wallet = named('wallet', '10.0.0.2');
  await contribution.replace(new Map([cards, wallet].map((each) => [each.id, each])), receipt);
  const hosts = (): string[] =>
    pipeline
      .services('', 20)
      .map(({ host, endpoints }) =>
        [
          host.replace('.tributary.internal', ''),
          ...endpoints.map(({ address, port }) => `${address}:${port}`),
        ].join(' '),
      )
      .sort();
  assert.deepEqual(hosts(), [
    'cards 10.0.0.1:8080',
    'pay.vip 10.0.0.1:8080 10.0.0.2:8080',
    'secure.cards 10.0.0.1:8443',
    'secure.safe 10.0.0.1:8443 10.0.0.2:8443',
    'secure.wallet 10.0.0.2:8443',
    'wallet 10.0.0.2:8080',
  ]);
  contribution.apply([upsert({ ...cards, status: 'GONE' })], receipt);
  const { aliases, ...withoutAliases } = wallet;
  assert.equal(aliases?.length, 2);
  contribution.apply([upsert(withoutAliases)], receipt);
  assert.deepEqual(hosts(), [
    'cards',
    'pay.vip',
    'secure.cards',
    'secure.safe',
    'secure.wallet 10.0.0.2:8443',
    'wallet 10.0.0.2:8080',
  ]);
  contribution.apply([{ kind: 'removal', id: cards.id }], receipt);
  assert.deepEqual(hosts(), ['secure.wallet 10.0.0.2:8443', 'wallet 10.0.0.2:8080']);
});

test('conflicts between registries are shown and counted', async () => {
  const { pipeline } = start({
    expected: [main, other],
    priorities: new Map([[other, 1]]),
  });
  await pipeline.sink
    .open(agent())
    .replace(new Map([['a', instance('a', { weight: 1 })]]), receipt);
  await pipeline.sink
    .open(agent(fromOther))
    .replace(new Map([['b', instance('b', { weight: 2 })]]), receipt);
  assert.deepEqual(pipeline.services('', 1)[0]?.conflicts, [
    '10.0.0.1:8080: weight 2, not 1 (dc1/main a)',
  ]);
  assert.equal(pipeline.totals().conflicts, 1);
});

test('a resource that istiod would refuse is not published', async () => {
  const { pipeline, observer } = start({
    pins: new Map([['orders.tributary.internal', '10.9.9.9']]),
    namespace: 'a/b',
  });
  const contribution = pipeline.sink.open(agent());
  await contribution.replace(new Map([['a', instance('a')]]), receipt);
  assert.deepEqual(observer.invalids, ['metadata-name']);
  assert.equal(pipeline.store.state('ServiceEntry')?.count, 0);
  assert.equal(pipeline.services('', 1)[0]?.version, '');
});

test('a network of a registry stands at its endpoints, and follows its agent', async () => {
  const { pipeline } = start();
  await pipeline.sink.open(agent({ network: 'n1' })).replace(instances('a', 2), receipt);
  const networks = (): string[] =>
    pipeline.services('', 1)[0]?.endpoints.map(({ network }) => network) ?? [];
  assert.deepEqual(networks(), ['n1', 'n1']);
  pipeline.sink.open(agent({ network: 'n2', defaultLocality: 'r/z' }));
  await eventually(() => assert.deepEqual(networks(), ['n2', 'n2']));
  assert.equal(pipeline.services('', 1)[0]?.endpoints[0]?.locality, 'r/z');
});

const record = fc
  .record({
    id: fc.integer({ min: 0, max: 30 }).map((number) => `i${number}`),
    kind: fc.constantFrom('application' as const, 'dubbo-application' as const),
    name: fc.constantFrom('a', 'b', 'B', 'c', 'd', 'e', 'f'),
    port: fc.constantFrom(80, 81),
    weight: fc.constantFrom(0, 1),
    status: fc.constantFrom('UP' as const, 'DOWN' as const),
    protocols: fc.subarray(['dubbo', 'grpc', 'http', 'https']),
    aliases: fc.subarray(['a', 'b', 'v.x']),
    which: fc.constantFrom('all' as const, 'plain' as const, 'secure' as const),
  })
  .map(({ id, kind, name, port, protocols, aliases, which, ...rest }) =>
    instance(id, {
      ...rest,
      service: { kind, name, group: '', version: '' },
      address: `10.0.0.${id.slice(1).length}`,
      ports: protocols.map((protocol, index) => ({ protocol, number: port + index })),
      ...(aliases.length > 0 && {
        aliases: aliases.map((alias) => ({ name: alias, ports: which })),
      }),
    }),
  );

test('the same input gives the same bytes, whatever the history', async () => {
  const step = fc.oneof(
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constant('replace' as const),
        where: fc.constantFrom(main, other),
        records: fc.array(record, { maxLength: 30 }),
        size: fc.constantFrom(0, 0, 700),
      }),
    },
    {
      weight: 6,
      arbitrary: fc.record({
        kind: fc.constant('apply' as const),
        where: fc.constantFrom(main, other),
        records: fc.array(record, { maxLength: 3 }),
        removed: fc.array(record, { maxLength: 2 }),
        waits: fc.boolean(),
      }),
    },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 20 }), async (steps) => {
      const options = { expected: [main, other], guardPolicies: unguarded };
      const { pipeline, observer } = start(options);
      const model = new Map([main, other].map((id) => [id, new Map<string, Instance>()]));
      const open = new Map<string, Contribution>();
      const busy = new Map<string, Promise<void>>();
      for (const [id] of model) {
        const contribution = pipeline.sink.open(agent({ registry: id }));
        open.set(id, contribution);
        await contribution.replace(new Map(), receipt);
      }
      for (const taken of steps) {
        const said = model.get(taken.where) ?? new Map<string, Instance>();
        const contribution = open.get(taken.where);
        assert.ok(contribution !== undefined);
        await busy.get(taken.where);
        if (taken.kind === 'replace') {
          said.clear();
          for (const found of taken.records) said.set(found.id, found);
          for (const [id, found] of instances('large', taken.size)) {
            said.set(id, { ...found, address: taken.where === main ? found.address : '10.9.9.9' });
          }
          busy.set(taken.where, contribution.replace(new Map(said), receipt));
        } else {
          for (const found of taken.records) said.set(found.id, found);
          for (const { id } of taken.removed) said.delete(id);
          const removals = taken.removed.map(({ id }) => ({ kind: 'removal', id }) as const);
          contribution.apply([...taken.records.map(upsert), ...removals], receipt);
          if (taken.waits) await new Promise((resolve) => setImmediate(resolve));
        }
      }
      await Promise.all(busy.values());
      const fresh = start(options);
      for (const id of [other, main]) {
        const all = [...(model.get(id) ?? [])].reverse();
        await fresh.pipeline.sink.open(agent({ registry: id })).replace(new Map(all), receipt);
      }
      assert.ok(bytes(pipeline).equals(bytes(fresh.pipeline)));
      assert.equal(
        pipeline.store.state('ServiceEntry')?.versionInfo,
        fresh.pipeline.store.state('ServiceEntry')?.versionInfo,
      );
      assert.deepEqual(pipeline.totals(), fresh.pipeline.totals());
      assert.deepEqual(observer.invalids, []);
    }),
    { numRuns: 40 },
  );
});

test('a restarted aggregator serves the same bytes before any agent is back', async (context) => {
  const stateDir = await directory(context);
  const options = { expected: [main, other], stateDir };
  const first = start(options);
  const stop = new AbortController();
  const running = first.pipeline.run(stop.signal);
  await first.pipeline.ready;
  const contribution = first.pipeline.sink.open(agent({ network: 'n1', defaultLocality: 'r/z' }));
  await contribution.replace(instances('a', 6000), receipt);
  contribution.health({ ...health('live'), registryAgeMs: 4000 });
  const others = instances('b', 3);
  others.set('v', instance('v', { aliases: [{ name: 'vip', ports: 'plain' }] }));
  await first.pipeline.sink.open(agent(fromOther)).replace(others, receipt);
  stop.abort();
  await running;
  assert.ok(first.observer.saved >= 1);

  const second = start(options);
  const stopAgain = new AbortController();
  const runningAgain = second.pipeline.run(stopAgain.signal);
  await second.pipeline.ready;
  assert.equal(second.pipeline.isComplete(), true);
  assert.ok(bytes(second.pipeline).equals(bytes(first.pipeline)));
  const [view] = second.pipeline.registries();
  assert.equal(view?.state, 'stale');
  assert.equal(view.isHeard, true);
  assert.deepEqual(view.agents, []);
  assert.ok((view.ageMs ?? 0) >= 4000);

  await second.pipeline.sink
    .open(agent({ epoch: '02', network: 'n1', defaultLocality: 'r/z' }))
    .replace(instances('a', 1), receipt);
  assert.ok(bytes(second.pipeline).equals(bytes(first.pipeline)), 'a shrunken registry is held');
  assert.equal(second.pipeline.registries()[0]?.heldRemovals, 5999);
  stopAgain.abort();
  await runningAgain;

  const third = start({ expected: [other], stateDir });
  const stopThird = new AbortController();
  const runningThird = third.pipeline.run(stopThird.signal);
  await third.pipeline.ready;
  assert.deepEqual(
    third.pipeline.services('', 9).map(({ host }) => host.split('.')[0]),
    ['b', 'orders', 'vip'],
    'what is no longer expected is only shown',
  );
  assert.equal(third.pipeline.registries()[0]?.isExpected, false);
  stopThird.abort();
  await runningThird;
});

test('a registry that was forgotten is not waited for after a restart', async (context) => {
  const stateDir = await directory(context);
  const options = { expected: [main, other], stateDir };
  const first = start(options);
  const stop = new AbortController();
  const running = first.pipeline.run(stop.signal);
  await first.pipeline.sink.open(agent()).replace(instances('a', 1), receipt);
  await first.pipeline.forget(other);
  stop.abort();
  await running;
  const second = start(options);
  const stopAgain = new AbortController();
  const runningAgain = second.pipeline.run(stopAgain.signal);
  await second.pipeline.ready;
  assert.equal(second.pipeline.isComplete(), true);
  stopAgain.abort();
  await runningAgain;
});

test('changes are saved while it runs', async (context) => {
  const stateDir = await directory(context);
  const { pipeline, observer } = start({ stateDir, saveIntervalMs: 10 });
  const stop = new AbortController();
  const running = pipeline.run(stop.signal);
  await pipeline.ready;
  await pipeline.sink.open(agent()).replace(instances('a', 1), receipt);
  await eventually(() => assert.ok(observer.saved > 0));
  await eventually(async () => assert.deepEqual(await readdir(stateDir), ['catalog.state']));
  stop.abort();
  await running;
});

test('a state that is behind what was served is served when agents were heard, or in time', async (context) => {
  const stateDir = await directory(context);
  const run = async (options: Partial<PipelineOptions>) => {
    const { pipeline } = start({ stateDir, saveIntervalMs: 10, ...options });
    const stop = new AbortController();
    const running = pipeline.run(stop.signal);
    context.after(() => {
      stop.abort();
      return running;
    });
    await pipeline.ready;
    return pipeline;
  };
  const isEven = async () => assert.deepEqual(await readdir(stateDir), ['catalog.state']);
  const first = await run({ saveIntervalMs: 10 });
  const contribution = first.sink.open(agent());
  await contribution.replace(instances('a', 3), receipt);
  await eventually(isEven);
  new StateFile(stateDir).markBehind();

  const second = await run({ saveIntervalMs: 1_000_000 });
  assert.equal(second.isComplete(), false, 'what it has loaded was overtaken');
  assert.equal(second.serviceCount(), 1);
  await second.sink.open(agent({ epoch: '02' })).replace(instances('a', 4), receipt);
  await eventually(() => assert.equal(second.isComplete(), true));
  assert.deepEqual((await readdir(stateDir)).sort(), ['catalog.behind', 'catalog.state']);

  const third = await run({ behindMs: 50 });
  assert.equal(third.isComplete(), false);
  await eventually(() => assert.equal(third.isComplete(), true), 5_000);
  await eventually(isEven);
  const fourth = await run({});
  assert.equal(fourth.isComplete(), true);
});

test('a damaged state is moved aside, and the start is silent', async (context) => {
  const stateDir = await directory(context);
  const first = start({ stateDir });
  const stop = new AbortController();
  const running = first.pipeline.run(stop.signal);
  await first.pipeline.sink.open(agent()).replace(instances('a', 5), receipt);
  stop.abort();
  await running;
  const path = join(stateDir, 'catalog.state');
  const whole = await readFile(path);
  const damages = [
    whole.subarray(0, whole.length - 1),
    whole.subarray(0, 40),
    Buffer.concat([whole.subarray(0, 60), Buffer.from('x'), whole.subarray(61)]),
    Buffer.alloc(0),
    Buffer.from('something else\n'),
  ];
  for (const damaged of damages) {
    await writeFile(path, damaged);
    const { pipeline } = start({ stateDir });
    const stopAgain = new AbortController();
    const runningAgain = pipeline.run(stopAgain.signal);
    await pipeline.ready;
    assert.equal(pipeline.isComplete(), false);
    assert.equal(pipeline.serviceCount(), 0);
    assert.deepEqual(await readFile(`${path}.corrupt`), damaged);
    stopAgain.abort();
    await runningAgain;
    assert.deepEqual(await readdir(stateDir), ['catalog.state.corrupt']);
  }
});

test('a disk that cannot be written is counted and tried again', async (context) => {
  const stateDir = join(await directory(context), 'state');
  await writeFile(stateDir, 'in the way');
  const { pipeline, observer } = start({ stateDir, saveIntervalMs: 10 });
  const stop = new AbortController();
  const running = pipeline.run(stop.signal);
  await pipeline.ready;
  await pipeline.sink.open(agent()).replace(instances('a', 1), receipt);
  await eventually(() => assert.ok(observer.failed > 1));
  await rm(stateDir);
  await eventually(() => assert.ok(observer.saved > 0));
  stop.abort();
  await running;
});

test('a state that cannot be read leads to a silent start', async (context) => {
  const stateDir = await directory(context);
  await mkdir(join(stateDir, 'catalog.state'));
  await chmod(stateDir, 0o755);
  const { pipeline } = start({ stateDir });
  const stop = new AbortController();
  const running = pipeline.run(stop.signal);
  await pipeline.ready;
  assert.equal(pipeline.isComplete(), false);
  stop.abort();
  await running;
});

test('an agent that was faster than the saved state wins', async (context) => {
  const stateDir = await directory(context);
  const first = start({ stateDir });
  const stop = new AbortController();
  const running = first.pipeline.run(stop.signal);
  await first.pipeline.sink.open(agent()).replace(instances('a', 5), receipt);
  stop.abort();
  await running;
  const { pipeline } = start({ stateDir });
  await pipeline.sink.open(agent()).replace(instances('b', 1), receipt);
  const stopAgain = new AbortController();
  const runningAgain = pipeline.run(stopAgain.signal);
  await pipeline.ready;
  assert.deepEqual(
    pipeline.services('', 9).map(({ host }) => host),
    ['b.tributary.internal'],
  );
  stopAgain.abort();
  await runningAgain;
});
