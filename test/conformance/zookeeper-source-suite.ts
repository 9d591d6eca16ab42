import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { pino } from 'pino';
import type { Source } from '../../agent/source.ts';
import { defaultZooKeeperOptions } from '../../agent/zookeeper/options.ts';
import type { ZooKeeperOptions } from '../../agent/zookeeper/options.ts';
import type { Instance, Port } from '../../common/instance.ts';
import type { RegistryId } from '../../common/registry.ts';
import { eventually } from '../support/eventually.ts';
import { FollowedSource, RememberedReport } from '../support/followed-source.ts';
import { dataOf, providerLeaf, readDump } from '../support/zookeeper-writer.ts';
import type { DumpedNode } from '../support/zookeeper-writer.ts';
import { confirmedBy } from '../support/verdicts.ts';

/**
 * What every ZooKeeper source must do, whatever lies under it: one suite for the fake tree and for
 * real servers.
 */

/** One empty tree, to write to and to read from. */
export interface TreeUnderTest {
  create(path: string, data: string | Buffer | null, isEphemeral: boolean): Promise<void>;
  setData(path: string, data: string): Promise<void>;
  remove(path: string): Promise<void>;
  source(options: Omit<ZooKeeperOptions, 'target'>, report: RememberedReport): Source;
  close(): Promise<void>;
}

/** How to get an empty tree for each test. */
export interface TreeFactory {
  open(): Promise<TreeUnderTest>;
  start?(): Promise<void>;
  stop?(): Promise<void>;
}

export const silent = pino({ level: 'silent' });
export const optionsForTests: Omit<ZooKeeperOptions, 'target'> = {
  ...defaultZooKeeperOptions,
  registry: 'dc1/dubbo' as RegistryId,
};

/** Declares the suite. `skip` as in node:test. */
export function zooKeeperSourceSuite(
  name: string,
  factory: TreeFactory,
  options: { readonly skip: string | false } = { skip: false },
): void {
  void describe(`zookeeper source on ${name}`, { ...options, timeout: 180_000 }, () => {
    before(async () => {
      await factory.start?.();
    });
    after(async () => {
      await factory.stop?.();
    });
    fixtureTests(factory);
    changeTests(factory);
    removalTests(factory);
  });
}

function fixtureTests(factory: TreeFactory): void {
  for (const [fixture, expected] of Object.entries(expectedByFixture)) {
    void test(`${fixture} is read as a snapshot`, async () => {
      await using tree = await opened(factory);
      await replay(tree.under, readDump(fixture));
      const { followed, report } = tree.follow(optionsFor(fixture));
      await eventually(() => assert.equal(followed.count('snapshot'), 1));
      assert.deepEqual(followed.instances(), expected);
      assert.deepEqual(report.drops, []);
    });
  }

  void test('what registers while the source watches is seen as it comes', async () => {
    await using tree = await opened(factory);
    const { followed } = tree.follow();
    await eventually(() => assert.equal(followed.count('snapshot'), 1));
    await replay(tree.under, readDump('dubbo-3.3.6-all'));
    await eventually(() =>
      assert.deepEqual(followed.instances(), expectedByFixture['dubbo-3.3.6-all']),
    );
    assert.deepEqual(followed.removed, []);
    assert.equal(followed.count('snapshot'), 1);
  });
}

function changeTests(factory: TreeFactory): void {
  void test('a leaf with another weight changes the endpoint', async () => {
    await using tree = await opened(factory);
    const light = providerPath({ weight: 50, timestamp: 1 });
    await tree.under.create(light, null, true);
    const { followed } = tree.follow();
    await eventually(() => assert.equal(followed.instances()[0]?.weight, 50));
    await tree.under.create(providerPath({ weight: 80, timestamp: 2 }), null, true);
    await eventually(() => assert.equal(followed.instances()[0]?.weight, 80));
    await tree.under.remove(light);
    await tree.under.create(otherProvider, null, true);
    await eventually(() => assert.equal(followed.view.size, 2));
    assert.deepEqual(followed.removed, []);
  });

  void test('a status that changes in place changes the instance', async () => {
    await using tree = await opened(factory);
    const path = '/services/orders/11111111-2222-3333-4444-555555555555';
    await tree.under.create(path, springNode('UP'), true);
    const { followed } = tree.follow();
    await eventually(() => assert.equal(followed.instances()[0]?.status, 'UP'));
    await tree.under.setData(path, springNode('OUT_OF_SERVICE'));
    await eventually(() => assert.equal(followed.instances()[0]?.status, 'OUT_OF_SERVICE'));
    assert.deepEqual(followed.removed, []);
  });

  void test('data that becomes unreadable leaves the instance as it was', async () => {
    await using tree = await opened(factory);
    const path = '/services/orders/orders-1';
    await tree.under.create(path, springNode('UP'), true);
    const { followed, report } = tree.follow();
    await eventually(() => assert.equal(followed.view.size, 1));
    await tree.under.setData(path, '{"name":');
    await eventually(() => assert.deepEqual(report.drops, [{ reason: 'json', record: path }]));
    await tree.under.setData(path, springNode('DOWN'));
    await eventually(() => assert.equal(followed.instances()[0]?.status, 'DOWN'));
    assert.deepEqual(followed.removed, []);
  });

  void test('a bad record costs the others nothing', async () => {
    await using tree = await opened(factory);
    const { followed, report } = tree.follow();
    await eventually(() => assert.equal(followed.count('snapshot'), 1));
    await tree.under.create('/dubbo/com.example.A/providers/dubbo%3A%2F%2F%zz', null, true);
    await tree.under.create('/services/orders/bad', 'not json', true);
    await tree.under.create(otherProvider, null, true);
    await eventually(() => assert.equal(followed.view.size, 1));
    await eventually(() =>
      assert.deepEqual(report.drops.map((drop) => drop.reason).sort(), ['json', 'url']),
    );
  });
}

function removalTests(factory: TreeFactory): void {
  void test('an endpoint lives as long as one of its leaves', async () => {
    await using tree = await opened(factory);
    const dead = providerPath({ timestamp: 1, pid: 1 });
    await tree.under.create(dead, null, true);
    const { followed } = tree.follow();
    await eventually(() => assert.equal(followed.view.size, 1));
    await tree.under.create(providerPath({ timestamp: 2, pid: 2 }), null, true);
    await tree.under.remove(dead);
    await tree.under.create(otherProvider, null, true);
    await eventually(() => assert.equal(followed.view.size, 2));
    await tree.under.remove(otherProvider);
    await eventually(() => assert.equal(followed.removed.length, 1));
    assert.equal(followed.instances()[0]?.address, '192.0.2.1');
  });

  void test('a node that is deleted and created again was never gone', async () => {
    await using tree = await opened(factory);
    const path = providerPath({});
    await tree.under.create(path, null, true);
    const { followed } = tree.follow({ ...optionsForTests, removalDelayMs: 2_000 });
    await eventually(() => assert.equal(followed.view.size, 1));
    await tree.under.remove(path);
    await tree.under.create(path, null, true);
    await tree.under.create(otherProvider, null, true);
    await eventually(() => assert.equal(followed.view.size, 2));
    assert.deepEqual(followed.removed, []);
  });

  void test('the last leaf takes its endpoint with it, and the registry confirms it', async () => {
    await using tree = await opened(factory);
    const path = providerPath({});
    await tree.under.create(path, null, true);
    await tree.under.create(otherProvider, null, true);
    const { followed, source } = tree.follow();
    await eventually(() => assert.equal(followed.view.size, 2));
    const instances = followed.instances();
    await tree.under.remove(path);
    await eventually(() => assert.equal(followed.view.size, 1));
    const { signal } = new AbortController();
    const gone = await confirmedBy(source, instances, 'single', signal);
    assert.deepEqual([...gone], followed.removed);
    assert.equal((await confirmedBy(source, instances, 'mass', signal)).size, 0);
    await tree.under.create(path, null, true);
    await eventually(() => assert.equal(followed.view.size, 2));
    assert.equal((await confirmedBy(source, instances, 'single', signal)).size, 0);
  });

  void test('a registry whose directories vanish and come back is followed', async () => {
    await using tree = await opened(factory);
    const path = '/services/orders/orders-1';
    await tree.under.create(path, springNode('UP'), true);
    const { followed } = tree.follow();
    await eventually(() => assert.equal(followed.view.size, 1));
    for (const gone of [path, '/services/orders', '/services']) await tree.under.remove(gone);
    await eventually(() => assert.equal(followed.view.size, 0));
    for (const made of ['/services', '/services/orders'])
      await tree.under.create(made, null, false);
    await tree.under.create(path, springNode('UP'), true);
    await eventually(() => assert.equal(followed.view.size, 1));
  });
}

const demo = {
  kind: 'dubbo',
  name: 'com.example.DemoService',
  group: 'g1',
  version: '1.0.0',
} as const;
const other = { kind: 'dubbo', name: 'com.example.OtherService', group: '', version: '' } as const;

interface Expected {
  readonly application: string;
  readonly release: string;
  readonly scheme?: string;
  readonly ports?: readonly Port[];
  readonly tag?: string;
  readonly weight?: number;
  readonly isInferred?: boolean;
}

function demoService(expected: Expected): Instance {
  const { application, release, scheme = 'dubbo', tag = 'gray' } = expected;
  const { ports = [{ protocol: 'dubbo', number: 20880 }], weight = 150 } = expected;
  const { isInferred = false } = expected;
  const number = ports.find((port) => port.protocol === scheme)?.number ?? 0;
  return {
    id: `dubbo:com.example.DemoService:g1:1.0.0:${scheme}://192.0.2.11:${number}`,
    service: demo,
    address: '192.0.2.11',
    ports,
    labels: {
      application,
      ...(tag === '' ? {} : { 'dubbo.tag': tag }),
      ...(isInferred ? { inferred: 'true' } : {}),
      release,
    },
    locality: '',
    weight,
    status: 'UP',
  };
}

function otherService(expected: Expected): Instance {
  const { scheme = 'dubbo', weight = 0, tag = '' } = expected;
  const service = demoService({ ...expected, tag, weight });
  const number = service.ports.find((port) => port.protocol === scheme)?.number ?? 0;
  return {
    ...service,
    id: `dubbo:com.example.OtherService:::${scheme}://192.0.2.11:${number}`,
    service: other,
  };
}

function bothServices(expected: Expected): readonly Instance[] {
  return [demoService(expected), otherService(expected)];
}

function bothProtocols(expected: Expected): readonly Instance[] {
  const tri = { ...expected, scheme: 'tri', ports: [{ protocol: 'tri', number: 50051 }] };
  return [demoService(expected), demoService(tri), otherService(expected), otherService(tri)];
}

/** The application's own endpoint, and those of its services. */
function withApplication(
  services: readonly Instance[],
  name: string,
  words: { readonly ports?: readonly Port[]; readonly root?: string; readonly tag?: string } = {},
): readonly Instance[] {
  const { ports = [{ protocol: 'dubbo', number: 20880 }], root = '/services', tag = '' } = words;
  const instance: Instance = {
    id: `dubbo-app:${root}/${name}/192.0.2.11%3A20880`,
    service: { kind: 'dubbo-application', name, group: '', version: '' },
    address: '192.0.2.11',
    ports,
    labels: tag === '' ? {} : { 'dubbo.tag': tag },
    locality: '',
    weight: 0,
    status: 'UP',
  };
  return [instance, ...services];
}

const twoPorts = [
  { protocol: 'dubbo', number: 20880 },
  { protocol: 'tri', number: 50051 },
];
const onePortForBoth = [
  { protocol: 'dubbo', number: 20880 },
  { protocol: 'tri', number: 20880 },
];

const orders2 = { application: 'orders2-app', release: '2.7.23' };
const orders3 = { application: 'orders3-app', release: '3.3.6' };
const spring = { locality: '', weight: 0 };

/** Written by hand from the dumps. Sorted by id. */
const expectedByFixture: Readonly<Record<string, readonly Instance[]>> = {
  'dubbo-2.7.23': bothServices(orders2),
  'dubbo-2.7.23-simplified': bothServices(orders2),
  'dubbo-2.7.23-configured': [
    demoService({ ...orders2, weight: 300, tag: 'blue' }),
    otherService({ ...orders2, weight: 77, tag: 'blue' }),
  ],
  'dubbo-3.2.16-all': withApplication(
    bothProtocols({ application: 'orders32-app', release: '3.2.16' }),
    'orders32-app',
    { ports: twoPorts },
  ),
  'dubbo-3.3.6-all': withApplication(bothProtocols(orders3), 'orders3-app', {
    ports: twoPorts,
  }),
  'dubbo-3.3.6-all.stopped': [],
  'dubbo-3.3.6-interface': bothServices(orders3),
  'dubbo-3.3.6-group': withApplication(bothServices(orders3), 'orders3-app', {
    root: '/mygroup',
  }),
  'dubbo-3.3.6-ext-protocol': withApplication(
    bothServices({ ...orders3, ports: onePortForBoth }),
    'orders3-app',
    { ports: onePortForBoth },
  ),
  'dubbo-3.3.6-simplified': withApplication(
    [demoService({ ...orders3, tag: '' }), otherService(orders3)],
    'orders3-app',
  ),
  'dubbo-3.3.6-configured': withApplication(
    [
      demoService({ ...orders3, weight: 300, tag: 'blue' }),
      otherService({ ...orders3, weight: 77, tag: 'blue' }),
    ],
    'orders3-app',
    { tag: 'blue' },
  ),
  'dubbo-3.3.6-acl': withApplication(bothServices(orders3), 'orders3-app'),
  'dubbo-3.3.6-instance-local': withApplication(
    bothServices({ ...orders3, isInferred: true }),
    'orders3-app',
  ),
  'dubbo-3.3.6-instance-remote': withApplication(bothProtocols(orders3), 'orders3-app', {
    ports: twoPorts,
  }),
  'spring-cloud-zookeeper-4.3.0': [
    {
      ...spring,
      id: 'spring-cloud:/services/scz-billing/billing-1',
      service: { kind: 'application', name: 'scz-billing', group: '', version: '' },
      address: '192.0.2.11',
      ports: [{ protocol: 'http', number: 8083 }],
      labels: {},
      status: 'UP',
    },
    {
      ...spring,
      id: 'spring-cloud:/services/scz-orders/4410342d-8748-476b-9ad8-69711bf8e3df',
      service: { kind: 'application', name: 'scz-orders', group: '', version: '' },
      address: '192.0.2.11',
      ports: [{ protocol: 'http', number: 8081 }],
      labels: {},
      locality: 'eu/az1',
      status: 'UP',
    },
    {
      ...spring,
      id: 'spring-cloud:/services/scz-orders/dc9cdda9-625f-4757-b18c-a183846c3523',
      service: { kind: 'application', name: 'scz-orders', group: '', version: '' },
      address: 'orders-2.internal',
      ports: [{ protocol: 'https', number: 8443 }],
      labels: {},
      status: 'OUT_OF_SERVICE',
    },
  ],
};

/** The options with which a fixture gives what is expected of it. */
function optionsFor(fixture: string): Omit<ZooKeeperOptions, 'target'> {
  const zones = { az1: 'eu' };
  return fixture === 'dubbo-3.3.6-group'
    ? { ...optionsForTests, zones, dubboRoots: ['/dubbo', '/mygroup'] }
    : { ...optionsForTests, zones };
}

const interfaceName = 'com.example.Greeter';
const otherProvider = providerPath({}, '192.0.2.99');

/** The path of a provider of one interface, all at one address unless told otherwise. */
export function providerPath(
  parameters: Readonly<Record<string, string | number>>,
  host = '192.0.2.1',
): string {
  const leaf = providerLeaf({ interfaceName, host, parameters });
  return `/dubbo/${interfaceName}/providers/${leaf}`;
}

/** The data of a Spring Cloud instance node. */
export function springNode(status: string): string {
  return JSON.stringify({
    name: 'orders',
    id: 'orders-1',
    address: '192.0.2.5',
    port: 8080,
    sslPort: null,
    payload: {
      '@class': 'org.springframework.cloud.zookeeper.discovery.ZookeeperInstance',
      id: 'orders',
      name: 'orders',
      metadata: { instance_status: status },
    },
    serviceType: 'DYNAMIC',
  });
}

interface Opened extends AsyncDisposable {
  readonly under: TreeUnderTest;
  follow(options?: Omit<ZooKeeperOptions, 'target'>): {
    readonly followed: FollowedSource;
    readonly report: RememberedReport;
    readonly source: Source;
  };
}

async function opened(factory: TreeFactory): Promise<Opened> {
  const under = await factory.open();
  const followers: FollowedSource[] = [];
  return {
    under,
    follow: (options = optionsForTests) => {
      const report = new RememberedReport();
      const source = under.source(options, report);
      const followed = new FollowedSource(source);
      followers.push(followed);
      return { followed, report, source };
    },
    [Symbol.asyncDispose]: async () => {
      try {
        for (const followed of followers) await followed.stop();
      } finally {
        await under.close();
      }
    },
  };
}

async function replay(tree: TreeUnderTest, nodes: readonly DumpedNode[]): Promise<void> {
  for (const node of nodes) await tree.create(node.path, dataOf(node), node.ephemeral);
}
