import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Registry } from 'prom-client';
import { AgentMetrics } from '../../../agent/metrics.ts';
import type { RegistryId } from '../../../common/registry.ts';

const orders = 'dc1/orders' as RegistryId;
const dubbo = 'dc1/dubbo' as RegistryId;
const hub = '10.0.0.9:9903';

function setUp() {
  const registry = new Registry();
  const metrics = new AgentMetrics(registry);
  const lines = async (): Promise<readonly string[]> =>
    (await registry.metrics()).split('\n').map((line) => line.replace('tributary_agent_', ''));
  return { metrics, lines, ...metrics.forRegistry(orders) };
}

function has(lines: readonly string[], ...wanted: readonly string[]): void {
  for (const line of wanted) assert.ok(lines.includes(line), `${line} in:\n${lines.join('\n')}`);
}

test('what is fed is counted by registry and aggregator', async () => {
  const { observer, lines } = setUp();
  observer.connected(hub, false);
  observer.sent(hub, 0, 1000);
  observer.sent(hub, 3, 50);
  observer.observedToSent(hub, 0.002);
  observer.roundTrip(hub, 0.04);
  observer.disconnected(hub);
  observer.connected(hub, true);
  const of = `registry="dc1/orders",aggregator="${hub}"`;
  has(
    await lines(),
    `feed_connected{${of}} 1`,
    `feed_streams_total{${of},start="snapshot"} 1`,
    `feed_streams_total{${of},start="resume"} 1`,
    `feed_disconnections_total{${of}} 1`,
    `feed_sent_chunks_total{${of}} 1`,
    `feed_sent_batches_total{${of}} 3`,
    `feed_sent_bytes_total{${of}} 1050`,
    `observed_to_sent_seconds_bucket{le="0.001",${of}} 0`,
    `observed_to_sent_seconds_bucket{le="0.0025",${of}} 1`,
    `feed_round_trip_seconds_sum{${of}} 0.04`,
  );
});

test('an aggregator that cannot be reached is shown as not connected', async () => {
  const { observer, lines } = setUp();
  observer.disconnected(hub);
  const of = `registry="dc1/orders",aggregator="${hub}"`;
  has(await lines(), `feed_connected{${of}} 0`, `feed_disconnections_total{${of}} 1`);
});

test('the series of a forgotten aggregator go, those of others stay', async () => {
  const { observer, lines } = setUp();
  for (const aggregator of [hub, '10.0.0.10:9903']) {
    observer.connected(aggregator, true);
    observer.connected(aggregator, false);
    observer.sent(aggregator, 0, 1);
    observer.sent(aggregator, 1, 1);
    observer.observedToSent(aggregator, 1);
    observer.roundTrip(aggregator, 1);
    observer.disconnected(aggregator);
  }
  observer.forgotten(hub);
  observer.forgotten('10.0.0.11:9903');
  const text = (await lines()).join('\n');
  assert.doesNotMatch(text, /10\.0\.0\.9/);
  assert.equal(text.match(/_count\{.*10\.0\.0\.10/g)?.length, 2);
});

test('the census sets every state and status', async () => {
  const { observer, lines } = setUp();
  observer.census({
    state: 'waiting',
    instances: {},
    services: 0,
    heldRemovals: 0,
    registryAgeSeconds: undefined,
  });
  assert.doesNotMatch((await lines()).join('\n'), /^registry_age_seconds\{/m);
  observer.census({
    state: 'lost',
    instances: { UP: 12, GONE: 1 },
    services: 4,
    heldRemovals: 7,
    registryAgeSeconds: 61.5,
  });
  const of = 'registry="dc1/orders"';
  has(
    await lines(),
    `registry_state{${of},state="waiting"} 0`,
    `registry_state{${of},state="lost"} 1`,
    `instances{${of},status="UP"} 12`,
    `instances{${of},status="DOWN"} 0`,
    `instances{${of},status="GONE"} 1`,
    `services{${of}} 4`,
    `guard_held_removals{${of}} 7`,
    `registry_age_seconds{${of}} 61.5`,
  );
});

test('guards count from zero, so that the first activation is an increase', async () => {
  const { observer, lines } = setUp();
  const of = 'registry="dc1/orders"';
  has(
    await lines(),
    `guard_activations_total{${of},scope="registry"} 0`,
    `guard_activations_total{${of},scope="service"} 0`,
  );
  observer.guardActivated('service');
  has(await lines(), `guard_activations_total{${of},scope="service"} 1`);
});

test('records dropped by the source and by the core are one figure, without the record', async () => {
  const { observer, report, lines } = setUp();
  observer.dropped('limit', 'secret-record');
  report.dropped('limit', 'secret-record');
  report.dropped('json', 'secret-record');
  const all = await lines();
  has(
    all,
    'dropped_records_total{registry="dc1/orders",reason="limit"} 2',
    'dropped_records_total{registry="dc1/orders",reason="json"} 1',
  );
  assert.doesNotMatch(all.join('\n'), /secret-record/);
});

test('sources report connections, hidden delay and resyncs, without addresses', async () => {
  const { metrics, report, lines } = setUp();
  report.connected('http://eureka-1:8761/eureka/');
  report.hiddenDelay(35_000);
  report.expiredButListed(5, []);
  const zookeeper = metrics.forRegistry(dubbo).report;
  zookeeper.connected('zk1:2181', 'persistent');
  zookeeper.disconnected?.('zk1:2181', 'closed');
  zookeeper.resynced?.(321, 40);
  zookeeper.unknownError?.(-999);
  zookeeper.unseenChange?.();
  const all = await lines();
  has(
    all,
    'registry_connections_total{registry="dc1/orders",driver="http"} 1',
    'registry_hidden_delay_seconds{registry="dc1/orders"} 35',
    'expired_but_listed_instances{registry="dc1/orders"} 5',
    'registry_connections_total{registry="dc1/dubbo",driver="persistent"} 1',
    'registry_disconnections_total{registry="dc1/dubbo",cause="closed"} 1',
    'registry_resync_seconds_sum{registry="dc1/dubbo"} 0.04',
    'registry_nodes{registry="dc1/dubbo"} 321',
    'registry_unknown_errors_total{registry="dc1/dubbo"} 1',
    'registry_unseen_changes_total{registry="dc1/dubbo"} 1',
  );
  assert.doesNotMatch(all.join('\n'), /8761|2181/);
});

test('the report can be spread and wrapped', async () => {
  const { report, lines } = setUp();
  const wrapped = { ...report };
  wrapped.hiddenDelay(1000);
  has(await lines(), 'registry_hidden_delay_seconds{registry="dc1/orders"} 1');
});
