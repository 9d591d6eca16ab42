import assert from 'node:assert/strict';
import { aggregatorPorts, startAgent, startAggregator } from '../support/binaries.ts';
import { eventually } from '../support/eventually.ts';
import { openZooKeeperWriter } from '../support/independent-writer.ts';
import { TestIstiod } from '../support/istiod.ts';
import { startMesh } from '../support/mesh.ts';
import { rigTest } from '../rigs/rig-test.ts';
import { startZooKeeper } from '../rigs/zookeeper.ts';

const id = 'dc1/dubbo';
const host = 'com.example.replica.dubbo.tributary.internal';

function leaf(number: number): string {
  const url = `dubbo://192.0.2.${number}:20880/com.example.Replica?interface=com.example.Replica`;
  return `/dubbo/com.example.Replica/providers/${encodeURIComponent(url)}`;
}

rigTest('two aggregators, fed at different times, serve the same versions', 'every', async () => {
  await using zookeeper = await startZooKeeper();
  await using writer = await openZooKeeperWriter(zookeeper.connectString);
  for (const number of [3, 1, 2]) await writer.create(leaf(number));
  await using mesh = await startMesh(id);
  const second = await aggregatorPorts();
  const addresses = `127.0.0.1:${mesh.ports.feed},127.0.0.1:${second.feed}`;
  const flags = ['--zookeeper', `${id}=${zookeeper.connectString}`];
  mesh.agents.set(id, await startAgent(flags, addresses));
  await eventually(() => assert.equal(mesh.endpoints(host)?.length, 3));
  await writer.create(leaf(4));
  await writer.remove(leaf(3));
  const late = await startAggregator(second, id);
  const istiod = new TestIstiod({ address: `127.0.0.1:${second.mcp}` });
  const stop = new AbortController();
  const running = istiod.run(stop.signal);
  try {
    await eventually(() => {
      const here = mesh.istiod.serviceEntries().get(`tributary/${host}`);
      const there = istiod.serviceEntries().get(`tributary/${host}`);
      assert.equal(here?.spec.endpoints.length, 3);
      assert.ok(here.spec.endpoints.every(({ address }) => address !== '192.0.2.3'));
      assert.equal(there?.version, here.version);
    });
  } finally {
    stop.abort();
    await running;
    await late.stop();
  }
});

rigTest('of two agents of a registry one may die, and nothing is withdrawn', 'every', async () => {
  await using zookeeper = await startZooKeeper();
  await using writer = await openZooKeeperWriter(zookeeper.connectString);
  for (const number of [1, 2, 3]) await writer.create(leaf(number));
  await using mesh = await startMesh(id);
  const flags = ['--zookeeper', `${id}=${zookeeper.connectString}`, '--agent-id'];
  await mesh.startAgent('first', [...flags, 'first']);
  await mesh.startAgent('second', [...flags, 'second']);
  await eventually(async () => {
    const response = await fetch(`http://127.0.0.1:${mesh.ports.admin}/api/registries`);
    const connected = (await response.text()).match(/"isConnected":true/g);
    assert.equal(connected?.length, 2);
  });
  await eventually(() => assert.equal(mesh.endpoints(host)?.length, 3));
  await mesh.agents.get('first')?.kill();
  await writer.create(leaf(4));
  await eventually(() => assert.equal(mesh.endpoints(host)?.length, 4));
  await mesh.registryIs('live');
  const kinds = mesh.istiod.events.map(({ kind }) => kind);
  assert.deepEqual(kinds, ['added', 'updated']);
});
