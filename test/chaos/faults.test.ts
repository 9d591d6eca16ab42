import assert from 'node:assert/strict';
import { startAgent } from '../support/binaries.ts';
import { eurekaApplication } from '../support/eureka-application.ts';
import { eventually } from '../support/eventually.ts';
import { openZooKeeperWriter } from '../support/independent-writer.ts';
import { startMesh } from '../support/mesh.ts';
import { startTcpProxy } from '../support/tcp-proxy.ts';
import { startEurekaPeers } from '../rigs/eureka.ts';
import { rigTest } from '../rigs/rig-test.ts';
import { startZooKeeper } from '../rigs/zookeeper.ts';

const id = 'dc1/dubbo';
const host = 'com.example.chaos.dubbo.tributary.internal';

function leaf(number: number): string {
  const url = `dubbo://192.0.2.${number}:20880/com.example.Chaos?interface=com.example.Chaos`;
  return `/dubbo/com.example.Chaos/providers/${encodeURIComponent(url)}`;
}

function endpoints(...numbers: readonly number[]): string[] {
  return numbers.map((number) => `192.0.2.${number}:20880`);
}

rigTest(
  'a feed that is cut again and again ends with what the registry says',
  'every',
  async () => {
    await using zookeeper = await startZooKeeper();
    await using writer = await openZooKeeperWriter(zookeeper.connectString);
    for (const number of [1, 2, 3]) await writer.create(leaf(number));
    await using mesh = await startMesh(id);
    const proxy = await startTcpProxy({ port: mesh.ports.feed });
    try {
      const flags = ['--zookeeper', `${id}=${zookeeper.connectString}`];
      mesh.agents.set(id, await startAgent(flags, `127.0.0.1:${proxy.port}`));
      await eventually(() => assert.deepEqual(mesh.endpoints(host), endpoints(1, 2, 3)));
      for (let number = 4; number < 10; number += 1) {
        await writer.create(leaf(number));
        proxy.cut();
      }
      await writer.remove(leaf(1));
      proxy.cut();
      const whole = endpoints(2, 3, 4, 5, 6, 7, 8, 9);
      await eventually(() => assert.deepEqual(mesh.endpoints(host), whole));
      const kinds = new Set(mesh.istiod.events.map(({ kind }) => kind));
      assert.deepEqual([...kinds].sort(), ['added', 'updated']);
    } finally {
      await proxy.close();
    }
  },
);

rigTest(
  'a ZooKeeper that falls silent withdraws nothing, and is caught up with',
  'every',
  async () => {
    await using zookeeper = await startZooKeeper();
    await using writer = await openZooKeeperWriter(zookeeper.connectString);
    for (const number of [1, 2, 3]) await writer.create(leaf(number));
    await using mesh = await startMesh(id);
    const flags = ['--zookeeper', `${id}=${zookeeper.connectString}`];
    await mesh.startAgent(id, [...flags, '--zookeeper-session-timeout', '2s']);
    await eventually(() => assert.deepEqual(mesh.endpoints(host), endpoints(1, 2, 3)));
    zookeeper.suspend();
    await mesh.registryIs('stale');
    assert.deepEqual(mesh.endpoints(host), endpoints(1, 2, 3));
    zookeeper.resume();
    await mesh.registryIs('live');
    await using late = await openZooKeeperWriter(zookeeper.connectString);
    await late.create(leaf(4));
    await eventually(() => assert.deepEqual(mesh.endpoints(host), endpoints(1, 2, 3, 4)));
  },
);

rigTest('a mass removal is held, shown, and released by an operator', 'every', async () => {
  await using zookeeper = await startZooKeeper();
  await using writer = await openZooKeeperWriter(zookeeper.connectString);
  const all = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
  for (const number of all) await writer.create(leaf(number));
  await using mesh = await startMesh(id);
  const flags = ['--zookeeper', `${id}=${zookeeper.connectString}`];
  const agent = await startAgent(flags, `127.0.0.1:${mesh.ports.feed}`);
  mesh.agents.set(id, agent);
  await eventually(() => assert.equal(mesh.endpoints(host)?.length, 10));
  await Promise.all(all.slice(0, 8).map((number) => writer.remove(leaf(number))));
  // Fewer than five may have been confirmed one by one before the rest made it a mass removal.
  const held = await eventually(async () => {
    const response = await fetch(`http://127.0.0.1:${mesh.ports.admin}/api/registries`);
    const [, count = ''] = /"heldRemovals":([4-8])/.exec(await response.text()) ?? [];
    assert.equal(mesh.endpoints(host)?.length, 2 + Number(count || NaN));
    return Number(count);
  });
  assert.ok(held >= 4);
  const release = `http://127.0.0.1:${agent.adminPort}/api/release`;
  const released = await fetch(release, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
  });
  assert.equal(released.status, 200, await released.text());
  await eventually(() => assert.deepEqual(mesh.endpoints(host), endpoints(10, 9).sort()));
});

rigTest(
  'an Eureka server that dies is replaced by its peer, and nothing is withdrawn',
  'every',
  async () => {
    const registry = 'dc1/orders';
    await using peers = await startEurekaPeers();
    const [first, second] = peers.servers;
    const applications = Array.from({ length: 7 }, (_, index) =>
      eurekaApplication(first.serviceUrl, 'ORDERS', `192.0.2.${index + 1}`),
    );
    for (const application of applications) await application.register();
    await using mesh = await startMesh(registry);
    const servers = `${first.serviceUrl},${second.serviceUrl}`;
    await mesh.startAgent(registry, [
      ...['--eureka', `${registry}=${servers}`],
      ...['--eureka-poll-interval', '200ms'],
    ]);
    const orders = 'orders.tributary.internal';
    await eventually(() => assert.equal(mesh.endpoints(orders)?.length, 7));
    await eventually(async () => {
      const apps = await fetch(`${second.serviceUrl}apps/ORDERS`, {
        headers: { accept: 'application/json' },
      });
      assert.match(await apps.text(), /192\.0\.2\.7/);
    });
    await first.kill();
    const late = eurekaApplication(second.serviceUrl, 'ORDERS', '192.0.2.8');
    await eventually(() => late.register());
    await eventually(() => assert.equal(mesh.endpoints(orders)?.length, 8));
    const kinds = new Set(mesh.istiod.events.map(({ kind }) => kind));
    assert.deepEqual([...kinds].sort(), ['added', 'updated']);
  },
);

rigTest('what changes while the aggregator is dead arrives when it is back', 'every', async () => {
  await using zookeeper = await startZooKeeper();
  await using writer = await openZooKeeperWriter(zookeeper.connectString);
  for (const number of [1, 2, 3]) await writer.create(leaf(number));
  await using mesh = await startMesh(id);
  await mesh.startAgent(id, ['--zookeeper', `${id}=${zookeeper.connectString}`]);
  await eventually(() => assert.deepEqual(mesh.endpoints(host), endpoints(1, 2, 3)));
  await mesh.aggregator.kill();
  await writer.create(leaf(4));
  await writer.remove(leaf(2));
  await mesh.startAggregator();
  await eventually(() => assert.deepEqual(mesh.endpoints(host), endpoints(1, 3, 4)));
  const kinds = mesh.istiod.events.map(({ kind }) => kind);
  assert.ok(kinds.every((kind) => kind === 'added' || kind === 'updated'));
  assert.equal(kinds.filter((kind) => kind === 'added').length, 1);
});
