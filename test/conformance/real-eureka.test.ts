import assert from 'node:assert/strict';
import { startEurekaPeers, startNetflixEureka } from '../rigs/eureka.ts';
import { requireRigs, rigTest } from '../rigs/rig-test.ts';
import { startSpringEureka } from '../rigs/spring.ts';
import { eventually } from '../support/eventually.ts';
import { eurekaSourceSuite, follow, restHandle } from './eureka-source-suite.ts';
import { confirmedBy } from '../support/verdicts.ts';

/**
 * A body that a server builds while something registers can stay without it until the next change or the
 * expiry of the cache (180 s): its invalidation does not reach the entry that is being built. Without the read-only
 * cache and with polls every 20 ms that happens in some of a hundred changes.
 */
const shortCaches = { 'eureka.responseCacheAutoExpirationInSeconds': 2 };

eurekaSourceSuite(
  'a Netflix server',
  async () => {
    const rig = await startNetflixEureka({ systemProperties: shortCaches });
    return restHandle([rig.serviceUrl], () => rig.stop());
  },
  requireRigs('every'),
);

eurekaSourceSuite(
  'a Netflix server with the codec of old servers',
  async () => {
    const systemProperties = { ...shortCaches, 'eureka.jsonCodecName': 'XStreamJson' };
    const rig = await startNetflixEureka({ systemProperties });
    return restHandle([rig.serviceUrl], () => rig.stop());
  },
  requireRigs('every'),
);

eurekaSourceSuite(
  'a Spring Cloud server',
  async () => {
    const properties = { 'eureka.server.response-cache-auto-expiration-in-seconds': '2' };
    const rig = await startSpringEureka({ properties });
    return restHandle([rig.serviceUrl], () => rig.stop());
  },
  requireRigs('ci'),
);

rigTest('a killed server is replaced by its peer, and nothing is withdrawn', 'every', async () => {
  await using peers = await startEurekaPeers({ systemProperties: shortCaches });
  const [a, b] = peers.servers;
  const writer = restHandle([a.serviceUrl], () => Promise.resolve());
  const ids = ['1', '2', '3', '4', '5', '6'];
  for (const id of ids) await writer.register({ app: 'SHOP', id, ip: `10.0.7.${id}` });
  await using onB = follow([b.serviceUrl], { emptyHoldMs: 60_000 });
  await eventually(() => assert.equal(onB.followed.view.size, ids.length));

  await using reader = follow(peers.serviceUrls);
  await eventually(() => assert.equal(reader.followed.view.size, ids.length));
  await a.kill();
  await eventually(() => assert.equal(reader.followed.count('snapshot'), 2));
  assert.deepEqual(reader.report.servers, [a.serviceUrl, b.serviceUrl]);
  const toB = restHandle([b.serviceUrl], () => Promise.resolve());
  await toB.register({ app: 'SHOP', id: '7', ip: '10.0.7.7' });
  await eventually(() => assert.equal(reader.followed.view.size, 7));
  assert.deepEqual(reader.followed.removed, []);
});

rigTest('a server that is gone leaves everything as it was, and comes back', 'every', async () => {
  await using rig = await startNetflixEureka({ systemProperties: shortCaches });
  const writer = restHandle([rig.serviceUrl], () => Promise.resolve());
  await writer.register({ app: 'SHOP', id: '1', ip: '10.0.8.1' });
  await writer.register({ app: 'SHOP', id: '2', ip: '10.0.8.2' });
  await using reader = follow([rig.serviceUrl]);
  await eventually(() => assert.equal(reader.followed.view.size, 2));
  await rig.kill();
  await eventually(() => assert.ok(reader.followed.count('lost') > 0));
  assert.equal(reader.followed.view.size, 2);
  const instances = reader.followed.instances();
  const { signal } = new AbortController();
  await assert.rejects(confirmedBy(reader.source, instances, 'single', signal));

  await rig.restart();
  await writer.register({ app: 'SHOP', id: '1', ip: '10.0.8.1' });
  // The fresh server knows one of two; the other has only not come back yet.
  await eventually(() => assert.equal(reader.followed.events.at(-1)?.kind, 'changes'));
  assert.deepEqual([...(await confirmedBy(reader.source, instances, 'single', signal))], []);
  await writer.register({ app: 'SHOP', id: '2', ip: '10.0.8.2' });
  await eventually(() => assert.deepEqual(reader.followed.instances(), instances));
});

rigTest('a server that warms up is no empty registry', 'every', async () => {
  await using rig = await startNetflixEureka({ warmUpMs: 4_000, systemProperties: shortCaches });
  const writer = restHandle([rig.serviceUrl], () => Promise.resolve());
  await using reader = follow([rig.serviceUrl]);
  await eventually(() => assert.ok(reader.followed.count('lost') > 0));
  await writer.register({ app: 'SHOP', id: '1', ip: '10.0.9.1' });
  await eventually(() => assert.equal(reader.followed.view.size, 1));
  const first = reader.followed.events.find(({ kind }) => kind === 'snapshot');
  assert.ok(first?.kind === 'snapshot');
  assert.equal(first.instances.size, 1);
});

rigTest('an instance that dies is removed when its lease is evicted', 'every', async () => {
  await using rig = await startNetflixEureka({ systemProperties: shortCaches });
  const writer = restHandle([rig.serviceUrl], () => Promise.resolve());
  await writer.register({ app: 'SHOP', id: 'stays', ip: '10.0.10.1' });
  await writer.register({ app: 'SHOP', id: 'dies', ip: '10.0.10.2', durationSecs: 2 });
  await using reader = follow([rig.serviceUrl]);
  await eventually(() => assert.deepEqual(reader.followed.removed, ['SHOP/dies']), 60_000);
  assert.deepEqual([...reader.followed.view.keys()], ['SHOP/stays']);
});
