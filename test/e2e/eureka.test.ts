import assert from 'node:assert/strict';
import { eventually } from '../support/eventually.ts';
import { eurekaApplication } from '../support/eureka-application.ts';
import { startMesh } from '../support/mesh.ts';
import { startNetflixEureka } from '../rigs/eureka.ts';
import { rigTest } from '../rigs/rig-test.ts';

const id = 'dc1/orders';
const orders = 'orders.tributary.internal';

rigTest('an Eureka registration reaches istiod, changes, drains and leaves', 'every', async () => {
  await using eureka = await startNetflixEureka();
  const first = eurekaApplication(eureka.serviceUrl, 'ORDERS', '192.0.2.1');
  const second = eurekaApplication(eureka.serviceUrl, 'ORDERS', '192.0.2.2');
  await first.register();
  await using mesh = await startMesh(id);
  const flags = ['--eureka', `${id}=${eureka.serviceUrl}`, '--eureka-poll-interval', '200ms'];
  await mesh.startAgent(id, flags);
  await eventually(() => assert.deepEqual(mesh.endpoints(orders), ['192.0.2.1:8080']));
  assert.equal(mesh.istiod.hasSynced(), true);

  await second.register({ port: 8081, metadata: { version: '2', weight: '30' } });
  await eventually(() =>
    assert.deepEqual(mesh.endpoints(orders), ['192.0.2.1:8080', '192.0.2.2:8081']),
  );
  const entry = mesh.istiod.serviceEntries().get(`tributary/${orders}`);
  const endpoint = entry?.spec.endpoints.find(({ address }) => address === '192.0.2.2');
  assert.equal(endpoint?.labels['version'], '2');
  assert.equal(endpoint.weight, 30);

  await second.override('OUT_OF_SERVICE');
  await eventually(() => assert.deepEqual(mesh.endpoints(orders), ['192.0.2.1:8080']));
  await second.cancel();
  await first.cancel();
  await eventually(() => assert.deepEqual(mesh.endpoints(orders), []));
  const empty = mesh.istiod.serviceEntries().get(`tributary/${orders}`);
  assert.notDeepEqual(empty?.labels, entry?.labels);
  assert.equal((empty?.createTime ?? 0) - (entry?.createTime ?? 0), 1000);

  await first.register();
  await eventually(() => assert.deepEqual(mesh.endpoints(orders), ['192.0.2.1:8080']));
  const kinds = new Set(mesh.istiod.events.map((event) => event.kind));
  assert.deepEqual([...kinds].sort(), ['added', 'updated']);
});

rigTest('no part that dies and returns withdraws an Eureka instance', 'every', async () => {
  await using eureka = await startNetflixEureka();
  const apps = Array.from({ length: 8 }, (_, index) =>
    eurekaApplication(
      eureka.serviceUrl,
      index < 6 ? 'ORDERS' : `APP${index}`,
      `192.0.2.${index + 1}`,
    ),
  );
  for (const app of apps) await app.register();
  await using mesh = await startMesh(id);
  const flags = ['--eureka', `${id}=${eureka.serviceUrl}`, '--eureka-poll-interval', '200ms'];
  await mesh.startAgent(id, flags);
  const whole = apps.slice(0, 6).map((_, index) => `192.0.2.${index + 1}:8080`);
  await eventually(() => assert.deepEqual(mesh.endpoints(orders), whole));
  const versions = (): Record<string, string> =>
    Object.fromEntries(
      [...mesh.istiod.serviceEntries()].map(([name, { version }]) => [name, version]),
    );
  const before = versions();
  const events = mesh.istiod.events.length;

  // The agent is killed, and returns with a new epoch.
  await mesh.agents.get(id)?.kill();
  await mesh.startAgent(id, flags);
  await mesh.registryIs('live');

  // The aggregator is killed, and serves its saved state before any agent has come back.
  await mesh.agents.get(id)?.kill();
  await new Promise((resolve) => setTimeout(resolve, 0));
  await mesh.aggregator.stop();
  await mesh.startAggregator();
  const pushes = mesh.istiod.pushes.length;
  await eventually(() => {
    const later = mesh.istiod.pushes.slice(pushes);
    assert.ok(later.some(({ typeUrl }) => typeUrl.endsWith('/ServiceEntry')));
  });
  await mesh.registryIs('stale');
  await mesh.startAgent(id, flags);
  await mesh.registryIs('live');

  // The registry is killed, and returns with an empty memory: its applications come back one by one.
  await eureka.kill();
  await mesh.registryIs('stale');
  await eureka.restart();
  await eventually(async () => {
    const agent = await (await fetch(`http://127.0.0.1:${mesh.ports.admin}/api/registries`)).text();
    assert.match(agent, /"heldRemovals":[1-9]|"state":"live"/);
  });
  for (const app of apps) await app.register();
  await mesh.registryIs('live');

  assert.deepEqual(versions(), before);
  const later = mesh.istiod.events.slice(events).map(({ kind, name }) => `${kind} ${name}`);
  assert.deepEqual(later, [], 'istiod saw no change at all');
});
