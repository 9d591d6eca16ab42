import assert from 'node:assert/strict';
import { startDubboProvider } from '../rigs/dubbo.ts';
import { startNetflixEureka } from '../rigs/eureka.ts';
import { rigTest } from '../rigs/rig-test.ts';
import {
  startSpringEureka,
  startSpringEurekaClient,
  startSpringZooKeeperApp,
} from '../rigs/spring.ts';
import { connectRigClient } from '../rigs/zookeeper-client.ts';
import type { RigClient } from '../rigs/zookeeper-client.ts';
import { startZooKeeper } from '../rigs/zookeeper.ts';
import { eventually } from '../support/eventually.ts';

const DEMO = 'com.example.DemoService';

async function providers(client: RigClient, name: string): Promise<string[]> {
  const leaves = await client.children(`/dubbo/${name}/providers`);
  return leaves.map((leaf) => decodeURIComponent(leaf)).sort();
}

for (const generation of ['2.7', '3.3'] as const) {
  rigTest(`a Dubbo ${generation} provider comes, stops and crashes`, 'every', async () => {
    await using server = await startZooKeeper({ maxSessionTimeoutMs: 2_000 });
    await using provider = await startDubboProvider({
      generation,
      registry: server.connectString,
      ip: '192.0.2.21',
      application: 'orders',
      services: [
        { interface: DEMO, group: 'g1', version: '1.0.0', weight: 150, tag: 'gray' },
        { interface: 'com.acme.Billing' },
      ],
    });
    using client = await connectRigClient(server.connectString);

    const [demo = '', ...others] = await providers(client, DEMO);
    assert.deepEqual(others, []);
    assert.ok(demo.startsWith(`dubbo://192.0.2.21:${provider.port}/${DEMO}?`), demo);
    const parameters = Object.fromEntries(new URL(demo).searchParams);
    const { application, group, version, weight, methods } = parameters;
    assert.deepEqual(
      { application, group, version, weight, methods, tag: parameters['dubbo.tag'] },
      {
        application: 'orders',
        group: 'g1',
        version: '1.0.0',
        weight: '150',
        methods: 'add,sayHello',
        tag: 'gray',
      },
    );
    assert.equal((await providers(client, 'com.acme.Billing')).length, 1);
    const instances = generation === '3.3' ? [`192.0.2.21:${provider.port}`] : [];
    assert.deepEqual(await client.children('/services/orders'), instances);

    const stopped = provider.stop();
    await eventually(async () => assert.deepEqual(await providers(client, DEMO), []));
    await stopped;
    await provider.restart();
    assert.equal((await providers(client, DEMO)).length, 1);

    await provider.kill();
    await eventually(async () => assert.deepEqual(await providers(client, DEMO), []));
  });
}

rigTest(
  'a Dubbo 3.3 provider can register by instance, in several protocols',
  'every',
  async () => {
    await using server = await startZooKeeper();
    await using provider = await startDubboProvider({
      generation: '3.3',
      registry: server.connectString,
      ip: '192.0.2.22',
      application: 'orders',
      services: [{ interface: DEMO }],
      protocols: ['dubbo', 'tri'],
      registerMode: 'instance',
      metadataType: 'remote',
      registryParameters: { simplified: 'true' },
    });
    using client = await connectRigClient(server.connectString);
    assert.deepEqual(await providers(client, DEMO), []);
    const data = await client.data(`/services/orders/192.0.2.22:${provider.port}`);
    for (const port of provider.ports) assert.ok(data.includes(String(port)), data);
    assert.equal((await client.children('/dubbo/metadata/orders')).length, 1);
  },
);

for (const [server, start] of [
  ['Spring', startSpringEureka],
  ['Netflix', startNetflixEureka],
] as const) {
  rigTest(`a Spring application comes to a ${server} Eureka and leaves it`, 'ci', async () => {
    await using eureka = await start();
    const { serviceUrl } = eureka;
    await using app = await startSpringEurekaClient({ serviceUrl, application: 'shop' });
    const shop = () => fetch(`${serviceUrl}apps/SHOP`, { headers: { Accept: 'application/json' } });
    const text = await (await shop()).text();
    assert.ok(text.includes(`"$":${app.port}`), text);
    await app.stop();
    await eventually(async () => assert.equal((await shop()).status, 404));
  });
}

rigTest('a Spring application comes to ZooKeeper and leaves it', 'ci', async () => {
  await using server = await startZooKeeper();
  await using app = await startSpringZooKeeperApp({
    connectString: server.connectString,
    application: 'billing',
  });
  using client = await connectRigClient(server.connectString);
  const [id = '', ...others] = await client.children('/services/billing');
  assert.deepEqual(others, []);
  const node: unknown = JSON.parse(await client.data(`/services/billing/${id}`));
  assert.ok(typeof node === 'object' && node !== null && 'port' in node);
  assert.equal(node.port, app.port);
  await app.stop();
  await eventually(async () => assert.deepEqual(await client.children('/services/billing'), []));
});
