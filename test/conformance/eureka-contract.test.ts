import assert from 'node:assert/strict';
import { afterEach, describe, test } from 'node:test';
import { pino } from 'pino';
import type { EurekaOptions } from '../../agent/eureka/options.ts';
import { createEurekaSource } from '../../agent/eureka/source.ts';
import type { Instance } from '../../common/instance.ts';
import type { Registration } from '../../standalone/eureka-registry/model.ts';
import { createEurekaRegistry } from '../../standalone/eureka-registry/registry.ts';
import { eurekaOptionsForTests, follow } from './eureka-source-suite.ts';
import type { Followed } from './eureka-source-suite.ts';
import { registrationOf } from '../support/eureka-registration.ts';
import { eventually } from '../support/eventually.ts';
import { startFakeEureka } from '../support/fake-eureka.ts';
import type { FakeEureka, FakeEurekaNode, FakeEurekaOptions } from '../support/fake-eureka.ts';
import { startFastTime } from '../support/fast-time.ts';
import type { FastTime } from '../support/fast-time.ts';
import { FollowedSource, RememberedReport } from '../support/followed-source.ts';

/**
 * What Eureka's contract says of endpoints, codes, deltas, failover and fresh servers, row by row, as far as
 * source.test.ts, client.test.ts, plan.test.ts, failover.test.ts and the conformance suite have no case for it.
 */
let fake: FakeEureka | undefined;
let time: FastTime | undefined;

afterEach(async () => {
  time?.[Symbol.dispose]();
  time = undefined;
  await fake?.stop();
});

async function start(size: number, options: FakeEurekaOptions = {}): Promise<FakeEurekaNode[]> {
  fake = await startFakeEureka(size, { now: () => Date.now(), ...options });
  return [...fake.nodes];
}

/** A registration that does not expire, however fast time goes. */
function lasting(id: string, lastDirtyTimestamp = 1): Registration {
  return registrationOf('SHOP', id, { lastDirtyTimestamp, durationSecs: 10_000_000 });
}

/** One node that knows these. */
async function startOne(
  ids: readonly string[],
  options: FakeEurekaOptions = {},
): Promise<FakeEurekaNode> {
  const [node] = await start(1, options);
  assert.ok(node !== undefined);
  for (const id of ids) node.registry.register(lasting(id));
  return node;
}

const quick: Partial<EurekaOptions> = { pollIntervalMs: 20, requestTimeoutMs: 2_000 };

function followQuick(
  nodes: readonly FakeEurekaNode[],
  options: Partial<EurekaOptions> = {},
): Followed {
  const urls = nodes.map((node) => node.serviceUrl);
  return follow(urls, { ...quick, ...options });
}

async function knows(reader: Followed, size: number): Promise<readonly Instance[]> {
  await eventually(() => assert.equal(reader.followed.view.size, size));
  return reader.followed.instances();
}

/** Polls go on: so many more have been answered. */
async function polls(node: FakeEurekaNode, more: number): Promise<void> {
  const before = node.requests.length;
  await eventually(() => assert.ok(node.requests.length >= before + more));
}

const fulls = (node: FakeEurekaNode): number =>
  node.requests.filter(({ path }) => /^\/eureka\/apps(\?|$)/.test(path)).length;
const deltas = (node: FakeEurekaNode): number =>
  node.requests.filter(({ path }) => path.startsWith('/eureka/apps/delta')).length;

void describe('endpoints', () => {
  test('only lists and single instances are asked for, with GET', async () => {
    const node = await startOne(['1', '2'], { flavour: 'spring' });
    await using reader = followQuick([node], { fullIntervalMs: 60 });
    const [one] = await knows(reader, 2);
    assert.ok(one !== undefined);
    const losses = [{ instance: one, kind: 'removal' as const }];
    await reader.source.confirmLosses(losses, 'single', new AbortController().signal);
    await polls(node, 10);
    for (const { method, path } of node.requests) {
      assert.equal(method, 'GET');
      assert.match(path, /^\/eureka\/apps(\/delta|\/SHOP\/\d)?$/);
    }
  });

  test('a server that warms up lists nothing, and is no empty registry', async () => {
    const node = await startOne(['1', '2'], { warmUpMs: 300 });
    await using reader = followQuick([node], { emptyHoldMs: 0 });
    await eventually(() => assert.ok(reader.followed.count('lost') >= 1));
    await knows(reader, 2);
    assert.equal(reader.followed.events.find(({ kind }) => kind !== 'lost')?.kind, 'snapshot');
    assert.equal(reader.followed.count('suspect'), 0);
  });

  test('single instances are answered for behind a closed gate', async () => {
    const node = await startOne(['1', '2', '3']);
    await using reader = followQuick([node]);
    const [one, two] = await knows(reader, 3);
    assert.ok(one !== undefined && two !== undefined);
    node.registry.cancel('SHOP', '1');
    await knows(reader, 2);
    node.fail({ kind: 'status', code: 403 });
    const losses = [one, two].map((instance) => ({ instance, kind: 'removal' as const }));
    const { signal } = new AbortController();
    const { confirmed } = await reader.source.confirmLosses(losses, 'single', signal);
    assert.deepEqual([...confirmed], ['SHOP/1']);
  });

  test('remote regions are asked for with every list, and waited for', async () => {
    const node = await startOne(['1'], { remoteRegions: ['us-west-2'] });
    await using reader = followQuick([node], { regions: ['us-west-2'] });
    await eventually(() => assert.ok(reader.followed.count('lost') >= 1));
    const remote = createEurekaRegistry({ readOnlyCacheMs: 0 });
    remote.register(registrationOf('FAR', '1'));
    node.registry.setRegion('us-west-2', remote);
    await knows(reader, 2);
    const before = deltas(node);
    await eventually(() => assert.ok(deltas(node) > before + 2));
    assert.equal(reader.followed.count('snapshot'), 1);
    assert.ok(node.requests.every(({ path }) => path.includes('regions=us-west-2')));
  });

  test('compact lists are asked for by a header, and do without metadata', async () => {
    const node = await startOne([]);
    node.registry.register(registrationOf('SHOP', '1', { metadata: { version: '7' } }));
    await using reader = followQuick([node], { isCompact: true });
    const [one] = await knows(reader, 1);
    assert.deepEqual(one?.labels, {});
    assert.deepEqual(one.ports, [{ protocol: 'http', number: 8080 }]);
    node.registry.register(registrationOf('SHOP', '2'));
    await knows(reader, 2);
    assert.ok(node.requests.every(({ headers }) => headers['x-eureka-accept'] === 'compact'));
    assert.equal(fulls(node), 1);
  });

  test('204 is a failure, as every answer without a body', async () => {
    const node = await startOne(['1']);
    await using reader = followQuick([node]);
    await knows(reader, 1);
    node.fail({ kind: 'status', code: 204 });
    await eventually(() => assert.ok(reader.followed.count('lost') >= 1));
    assert.deepEqual(reader.followed.removed, []);
  });
});

void describe('what is followed by a full read', () => {
  const causes: readonly {
    readonly name: string;
    readonly options?: Partial<EurekaOptions>;
    readonly cause: (node: FakeEurekaNode, reader: Followed) => Promise<void> | void;
  }[] = [
    { name: 'a delta that is refused', cause: (node) => delta(node, 403) },
    { name: 'a delta that is not found', cause: (node) => delta(node, 404) },
    { name: 'a delta cut short', cause: (node) => node.fail({ kind: 'truncated-gzip' }, /delta/) },
    { name: 'a delta that is a page', cause: (node) => node.fail({ kind: 'html' }, /delta/) },
    { name: 'a census that does not match', cause: (node) => wrongCensus(node) },
    {
      name: 'a server that was away',
      cause: async (node, reader) => {
        await node.stop();
        await eventually(() => assert.ok(reader.followed.count('lost') >= 1));
        await node.start();
      },
    },
    { name: 'a server that restarts between two polls', cause: (node) => node.restartSynced(node) },
    { name: 'a silence longer than the window of deltas', cause: () => time?.jump(151_000) },
    {
      name: 'the interval of full reads',
      options: { fullIntervalMs: 600_000 },
      cause: async (node) => {
        for (let step = 0; step < 9; step += 1) {
          time?.jump(100_000);
          await polls(node, 2);
        }
      },
    },
  ];
  const delta = (node: FakeEurekaNode, code: number): void =>
    node.fail({ kind: 'status', code }, /delta/);
  const wrongCensus = (node: FakeEurekaNode): void => {
    node.fail({ kind: 'wrong-census' }, /delta/);
    node.registry.register(lasting('1', 9));
  };

  for (const { name, options, cause } of causes) {
    test(name, async () => {
      time = startFastTime(1);
      const node = await startOne(['1', '2', '3']);
      await using reader = followQuick([node], options);
      await knows(reader, 3);
      // The version of the delta grows, as it does in a server that has been there for a while.
      for (const dirty of [2, 3, 4]) {
        node.registry.register(lasting('1', dirty));
        await polls(node, 2);
      }
      assert.equal(fulls(node), 1);
      assert.ok(deltas(node) >= 3);
      await cause(node, reader);
      await eventually(() => assert.ok(fulls(node) >= 2));
      assert.deepEqual(reader.followed.removed, []);
    });
  }

  test('nothing else: a gap within the window is bridged by the delta', async () => {
    time = startFastTime(1);
    const node = await startOne(['1', '2', '3']);
    await using reader = followQuick([node]);
    await knows(reader, 3);
    await polls(node, 2);
    time.jump(140_000);
    node.registry.register(registrationOf('SHOP', '4'));
    node.registry.cancel('SHOP', '1');
    await eventually(() => assert.ok(reader.followed.view.has('SHOP/4')));
    await eventually(() => assert.deepEqual(reader.followed.removed, ['SHOP/1']));
    assert.equal(fulls(node), 1);
  });

  test('another server is always read in full first', async () => {
    const [a, b] = await start(2);
    assert.ok(a !== undefined && b !== undefined);
    for (const id of ['1', '2']) a.registry.register(registrationOf('SHOP', id));
    await using reader = followQuick([a, b]);
    await knows(reader, 2);
    assert.equal(b.requests.length, 0);
    await a.stop();
    await eventually(() => assert.deepEqual(reader.report.servers, [a.serviceUrl, b.serviceUrl]));
    assert.equal(b.requests[0]?.path, '/eureka/apps');
    assert.deepEqual(reader.followed.removed, []);
  });

  test('a census that never matches does not make a loop, and in the end only full reads are made', async () => {
    time = startFastTime(100);
    const node = await startOne(['1', '2', '3']);
    await using reader = followQuick([node], { pollIntervalMs: 2_000, requestTimeoutMs: 60_000 });
    await knows(reader, 3);
    node.fail({ kind: 'wrong-census' }, /delta/);
    const before = fulls(node);
    const from = performance.now();
    // Something changes all the time, so that no body is like the one before.
    let number = 0;
    const churn = setInterval(() => {
      number += 1;
      node.registry.register(lasting('1', number));
    }, 15);
    try {
      await eventually(() => assert.ok(performance.now() - from > 200_000), 300_000);
      // At once, then at least 30, 60 and 120 s apart.
      assert.ok(fulls(node) - before <= 4, String(fulls(node) - before));
      await eventually(() => {
        const recent = node.requests.slice(-5).map(({ path }) => path);
        assert.deepEqual(
          recent,
          Array.from({ length: 5 }, () => '/eureka/apps'),
        );
      }, 2_000_000);
    } finally {
      clearInterval(churn);
    }
    assert.deepEqual(reader.followed.removed, []);
  });
});

void describe('when it is not well', () => {
  test('all servers failing leaves everything as it was, for ever', async () => {
    time = startFastTime(100);
    const nodes = await start(3);
    nodes[0]?.registry.register(registrationOf('SHOP', '1'));
    await using reader = followQuick(nodes, { pollIntervalMs: 1_000, requestTimeoutMs: 60_000 });
    const before = await knows(reader, 1);
    for (const node of nodes) node.fail({ kind: 'status', code: 503 });
    const from = performance.now();
    await eventually(() => assert.ok(reader.followed.count('lost') >= 3), 1_000_000);
    time.jump(86_400_000);
    await eventually(() => assert.ok(reader.followed.count('lost') >= 5), 1_000_000);
    assert.ok(performance.now() - from > 86_400_000);
    assert.deepEqual(reader.followed.instances(), before);
    // An hour after the fault has gone nobody is in quarantine any more, whatever happened before.
    for (const node of nodes) node.heal();
    nodes[0]?.registry.register(registrationOf('SHOP', '2'));
    await eventually(() => assert.equal(reader.followed.view.size, 2), 3_600_000);
  });

  test('what has expired and is still listed is counted, named and kept', async () => {
    time = startFastTime(1);
    const node = await startOne([], { selfPreservation: true });
    for (const id of ['1', '2', '3']) {
      node.registry.register(registrationOf('SHOP', id));
      node.registry.heartbeat('SHOP', id);
    }
    const told: (readonly [number, readonly string[]])[] = [];
    const report = new RememberedReport();
    report.expiredButListed = (...all: unknown[]) => {
      told.push(all as unknown as readonly [number, readonly string[]]);
    };
    const options = { ...eurekaOptionsForTests, ...quick, serviceUrls: [node.serviceUrl] };
    const followed = new FollowedSource(
      createEurekaSource(options, report, pino({ level: 'silent' })),
    );
    try {
      await eventually(() => assert.equal(followed.view.size, 3));
      assert.deepEqual(told, [[0, []]]);
      time.jump(400_000);
      node.registry.heartbeat('SHOP', '2');
      // The server's caches show new lease times with the next change only.
      node.registry.register(registrationOf('SHOP', '4'));
      await eventually(() => assert.deepEqual(told.at(-1), [2, ['SHOP/1', 'SHOP/3']]));
      assert.deepEqual(followed.removed, []);
      assert.equal(followed.view.size, 4);
    } finally {
      await followed.stop();
    }
  });

  test('a registry that changes nothing but its times changes nothing', async () => {
    const node = await startOne(['1', '2']);
    await using reader = followQuick([node], { fullIntervalMs: 60 });
    await knows(reader, 2);
    const events = reader.followed.events.length;
    for (let dirty = 2; dirty < 6; dirty += 1) {
      for (const id of ['1', '2']) {
        node.registry.register(registrationOf('SHOP', id, { lastDirtyTimestamp: dirty }));
        node.registry.heartbeat('SHOP', id);
      }
      await polls(node, 2);
    }
    for (const event of reader.followed.events.slice(events)) {
      assert.ok(event.kind === 'changes' && event.changes.length === 0, JSON.stringify(event));
    }
  });
});
