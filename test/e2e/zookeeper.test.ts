import assert from 'node:assert/strict';
import { eventually } from '../support/eventually.ts';
import { openZooKeeperWriter } from '../support/independent-writer.ts';
import { startMesh } from '../support/mesh.ts';
import { startDubboProvider } from '../rigs/dubbo.ts';
import { rigTest } from '../rigs/rig-test.ts';
import { startEnsemble, startZooKeeper } from '../rigs/zookeeper.ts';

const id = 'dc1/dubbo';
const demo = 'com.example.demoservice.dubbo.tributary.internal';
const grouped = 'com.example.demoservice.g-g1.v-1-0-0.dubbo.tributary.internal';

for (const generation of ['2.7', '3.3'] as const) {
  rigTest(`a Dubbo ${generation} provider reaches istiod and leaves again`, 'every', async () => {
    await using zookeeper = await startZooKeeper({ maxSessionTimeoutMs: 4_000 });
    await using mesh = await startMesh(id);
    await mesh.startAgent(id, ['--zookeeper', `${id}=${zookeeper.connectString}`]);
    await using provider = await startDubboProvider({
      generation,
      registry: zookeeper.connectString,
      ip: '192.0.2.21',
      services: [
        { interface: 'com.example.DemoService', group: 'g1', version: '1.0.0', weight: 150 },
        { interface: 'com.example.DemoService' },
      ],
    });
    const endpoint = `192.0.2.21:${provider.port}`;
    await eventually(() => assert.deepEqual(mesh.endpoints(demo), [endpoint]));
    await eventually(() => assert.deepEqual(mesh.endpoints(grouped), [endpoint]));
    const entry = mesh.istiod.serviceEntries().get(`tributary/${grouped}`);
    assert.equal(entry?.spec.endpoints[0]?.weight, 150);
    assert.equal(entry.spec.ports[0]?.protocol, 'TCP');
    assert.equal(entry.spec.addresses.length, 1);

    // Killed and started again on the same address: for a while both leaves exist.
    await provider.kill();
    await provider.restart();
    await eventually(() => assert.deepEqual(mesh.endpoints(demo), [endpoint]));
    const deleted = mesh.istiod.events.filter(({ kind }) => kind === 'deleted');
    assert.deepEqual(deleted, []);

    await provider.stop();
    await eventually(() => assert.deepEqual(mesh.endpoints(demo), []));
    await eventually(() => assert.deepEqual(mesh.endpoints(grouped), []));
  });
}

for (const version of ['3.9.5', '3.4.14'] as const) {
  rigTest(`no part that dies withdraws a provider of a ZooKeeper ${version}`, 'every', async () => {
    await using zookeeper = await startZooKeeper({ version });
    await using writer = await openZooKeeperWriter(zookeeper.connectString);
    const leaf = (host: number): string =>
      `/dubbo/com.example.DemoService/providers/${encodeURIComponent(
        `dubbo://192.0.2.${host}:20880/com.example.DemoService?interface=com.example.DemoService&timestamp=1`,
      )}`;
    const hosts = [1, 2, 3, 4, 5, 6];
    for (const host of hosts) await writer.create(leaf(host));
    await using mesh = await startMesh(id);
    const flags = ['--zookeeper', `${id}=${zookeeper.connectString}`];
    await mesh.startAgent(id, flags);
    const whole = hosts.map((host) => `192.0.2.${host}:20880`);
    await eventually(() => assert.deepEqual(mesh.endpoints(demo), whole));

    await zookeeper.kill();
    await mesh.registryIs('stale');
    await zookeeper.restart();
    await mesh.registryIs('live');
    await mesh.agents.get(id)?.kill();
    await mesh.aggregator.kill();
    await mesh.startAggregator();
    await mesh.startAgent(id, flags);
    await mesh.registryIs('live');
    const changes = mesh.istiod.events.filter(({ name }) => name.endsWith(demo));
    assert.deepEqual(
      changes.map(({ kind }) => kind),
      ['added'],
    );

    // What really changes meanwhile arrives, and nothing else.
    await writer.create(leaf(7));
    await writer.remove(leaf(1));
    const next = [2, 3, 4, 5, 6, 7].map((host) => `192.0.2.${host}:20880`);
    await eventually(() => assert.deepEqual(mesh.endpoints(demo), next));
  });
}

rigTest('the death of an ensemble leader withdraws nothing', 'every', async () => {
  await using ensemble = await startEnsemble();
  await using writer = await openZooKeeperWriter(ensemble.connectString);
  const path = (host: number): string =>
    `/dubbo/com.example.DemoService/providers/dubbo%3A%2F%2F192.0.2.${host}%3A20880%2Fcom.example.DemoService`;
  for (const host of [1, 2, 3]) await writer.create(path(host));
  await using mesh = await startMesh(id);
  await mesh.startAgent(id, ['--zookeeper', `${id}=${ensemble.connectString}`]);
  const whole = [1, 2, 3].map((host) => `192.0.2.${host}:20880`);
  await eventually(() => assert.deepEqual(mesh.endpoints(demo), whole));
  await ensemble.kill(await ensemble.leader());
  await eventually(async () => {
    await writer.create(path(4));
  });
  await eventually(() => assert.deepEqual(mesh.endpoints(demo), [...whole, '192.0.2.4:20880']));
  const kinds = mesh.istiod.events.map(({ kind }) => kind);
  assert.deepEqual(kinds, ['added', 'updated']);
});
