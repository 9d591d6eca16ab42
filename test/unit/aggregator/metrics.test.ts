import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Registry } from 'prom-client';
import { AggregatorMetrics } from '../../../aggregator/metrics.ts';
import type { RegistryId } from '../../../common/registry.ts';
import {
  fakeRegistry,
  fakeService,
  fakeSubscriber,
  fakeView,
} from '../../support/aggregator-view.ts';

const orders = 'dc1/orders' as RegistryId;
const istiod = { id: 1, node: 'istiod-a' };

function setUp() {
  const registry = new Registry();
  const metrics = new AggregatorMetrics(registry);
  const lines = async (): Promise<readonly string[]> =>
    (await registry.metrics()).split('\n').map((line) => line.replace('tributary_aggregator_', ''));
  return { metrics, lines };
}

function has(lines: readonly string[], ...wanted: readonly string[]): void {
  for (const line of wanted) assert.ok(lines.includes(line), `${line} in:\n${lines.join('\n')}`);
}

test('what the pipeline does is counted', async () => {
  const { metrics, lines } = setUp();
  const { pipeline } = metrics;
  pipeline.registryChanged(orders, { UP: 3 }, 2);
  has(await lines(), 'guard_activations_total{registry="dc1/orders"} 0');
  pipeline.guardActivated(orders);
  pipeline.rendered(true);
  pipeline.rendered(false);
  pipeline.rendered(false);
  pipeline.invalid('port');
  pipeline.vipMoved('orders.example');
  pipeline.stateSaved(4096, 20);
  pipeline.stateFailed();
  has(
    await lines(),
    'instances{registry="dc1/orders",status="UP"} 3',
    'instances{registry="dc1/orders",status="DOWN"} 0',
    'services{registry="dc1/orders"} 2',
    'guard_activations_total{registry="dc1/orders"} 1',
    'resources_rendered_total{outcome="changed"} 1',
    'resources_rendered_total{outcome="unchanged"} 2',
    'resources_invalid_total{reason="port"} 1',
    'virtual_address_moves_total 1',
    'state_saves_total 1',
    'state_save_failures_total 1',
    'state_save_seconds_sum 0.02',
    'state_bytes 4096',
  );
});

test('what the feed does is counted, agents not named', async () => {
  const { metrics, lines } = setUp();
  const { feed } = metrics;
  feed.connected(orders, 'agent-1');
  has(
    await lines(),
    'feed_disconnections_total{registry="dc1/orders"} 0',
    'feed_resyncs_total{registry="dc1/orders",cause="digest"} 0',
  );
  feed.received(orders, 'snapshot', 100);
  feed.received(orders, 'delta', 2);
  feed.received(orders, 'delta', 3);
  feed.resync(orders, 'gap');
  feed.leftOut(orders, 'address: not one');
  feed.disconnected(orders, 'agent-1');
  feed.refused('UNAUTHENTICATED');
  feed.throttled();
  const all = await lines();
  has(
    all,
    'feed_connections_total{registry="dc1/orders"} 1',
    'feed_disconnections_total{registry="dc1/orders"} 1',
    'feed_received_total{registry="dc1/orders",kind="snapshot"} 1',
    'feed_received_total{registry="dc1/orders",kind="delta"} 2',
    'feed_received_records_total{registry="dc1/orders",kind="snapshot"} 100',
    'feed_received_records_total{registry="dc1/orders",kind="delta"} 5',
    'feed_resyncs_total{registry="dc1/orders",cause="gap"} 1',
    'dropped_records_total{registry="dc1/orders"} 1',
    'feed_refused_total{code="UNAUTHENTICATED"} 1',
    'feed_throttles_total 1',
  );
  assert.doesNotMatch(all.join('\n'), /agent-1|address: not one/);
});

test('what the subscribers get is counted', async () => {
  const { metrics, lines } = setUp();
  const { mcp } = metrics;
  has(await lines(), 'mcp_nacks_total{type="ServiceEntry"} 0', 'mcp_pushes_total{type="empty"} 0');
  mcp.subscribers(2);
  mcp.pushed('ServiceEntry', 900);
  mcp.pushed('empty', 10);
  mcp.receivedToWritten(istiod, 4);
  mcp.writtenToAcknowledged(istiod, 8);
  mcp.observedToAcknowledged(orders, 20);
  mcp.nacked('ServiceEntry');
  mcp.rejected('rate');
  has(
    await lines(),
    'mcp_subscribers 2',
    'mcp_pushes_total{type="ServiceEntry"} 1',
    'mcp_push_bytes_total{type="ServiceEntry"} 900',
    'mcp_push_bytes_total{type="empty"} 10',
    'mcp_nacks_total{type="ServiceEntry"} 1',
    'mcp_rejected_total{reason="rate"} 1',
    'received_to_written_seconds_sum{node="istiod-a"} 0.004',
    'written_to_acknowledged_seconds_sum{node="istiod-a"} 0.008',
    'observed_to_acknowledged_seconds_sum{registry="dc1/orders"} 0.02',
  );
});

test('the series of a registry go when it is forgotten, those of others stay', async () => {
  const { metrics, lines } = setUp();
  for (const registry of [orders, 'dc2/kept' as RegistryId]) {
    metrics.pipeline.registryChanged(registry, { UP: 3, GONE: 1 }, 2);
    metrics.pipeline.guardActivated(registry);
    metrics.feed.connected(registry, 'a');
    metrics.feed.received(registry, 'snapshot', 1);
    metrics.feed.received(registry, 'delta', 1);
    metrics.feed.resync(registry, 'gap');
    metrics.feed.leftOut(registry, 'x');
    metrics.feed.disconnected(registry, 'a');
    metrics.mcp.observedToAcknowledged(registry, 1);
  }
  metrics.pipeline.registryGone(orders);
  const text = (await lines()).join('\n');
  assert.doesNotMatch(text, /dc1\/orders/);
  assert.match(text, /^services\{registry="dc2\/kept"\} 2$/m);
  assert.match(text, /^observed_to_acknowledged_seconds_count\{registry="dc2\/kept"\} 1$/m);
});

test('the series of a subscriber go with the last stream of its node', async () => {
  const { metrics, lines } = setUp();
  const again = { id: 2, node: istiod.node };
  for (const subscriber of [istiod, again]) {
    metrics.mcp.receivedToWritten(subscriber, 1);
    metrics.mcp.writtenToAcknowledged(subscriber, 1);
  }
  metrics.mcp.subscriberGone(istiod);
  has(await lines(), 'received_to_written_seconds_count{node="istiod-a"} 2');
  metrics.mcp.subscriberGone(again);
  metrics.mcp.subscriberGone({ id: 3, node: 'never-measured' });
  assert.doesNotMatch((await lines()).join('\n'), /istiod-a/);
});

test('so many nodes are named, all others are one', async () => {
  const { metrics, lines } = setUp();
  const { mcp } = metrics;
  for (let id = 1; id <= 60; id++) mcp.receivedToWritten({ id, node: `node-${id}` }, 1);
  const all = await lines();
  has(all, 'received_to_written_seconds_count{node="other"} 10');
  assert.equal(
    all.filter((line) => line.startsWith('received_to_written_seconds_count')).length,
    51,
  );
  mcp.subscriberGone({ id: 1, node: 'node-1' });
  mcp.subscriberGone({ id: 2, node: 'node-2' });
  mcp.receivedToWritten({ id: 61, node: 'node-61' }, 1);
  mcp.receivedToWritten({ id: 51, node: 'node-51' }, 1);
  has(
    await lines(),
    'received_to_written_seconds_count{node="node-61"} 1',
    'received_to_written_seconds_count{node="other"} 11',
  );
  for (let id = 51; id <= 60; id++) mcp.subscriberGone({ id, node: `node-${id}` });
  assert.doesNotMatch((await lines()).join('\n'), /node="other"/);
});

test('a hostile node id breaks no line', async () => {
  const { metrics, lines } = setUp();
  metrics.mcp.receivedToWritten({ id: 1, node: 'a"}\n\\b 1' }, 1);
  has(await lines(), String.raw`received_to_written_seconds_count{node="a\"}\n\\b 1"} 1`);
});

test('gauges of the view follow the view', async () => {
  const { metrics, lines } = setUp();
  const view = fakeView();
  view.registryList = [
    fakeRegistry({ heldRemovals: 6 }),
    fakeRegistry({
      id: 'dc2/stale' as RegistryId,
      state: 'stale',
      isExpected: false,
      isHeard: false,
      ageMs: undefined,
      agents: fakeRegistry().agents.map((agent) => ({
        ...agent,
        isConnected: false,
        heldRemovals: 9,
      })),
    }),
  ];
  view.serviceList = [fakeService(), fakeService({ host: 'b.example' })];
  const [subscription] = fakeSubscriber().subscriptions;
  assert.ok(subscription);
  view.subscriberList = [
    fakeSubscriber({ id: 1, node: 'istiod-a' }),
    fakeSubscriber({
      id: 2,
      node: 'istiod-a',
      subscriptions: [subscription, { ...subscription, isInFlight: true }],
    }),
    fakeSubscriber({ id: 3, node: '', subscriptions: [] }),
  ];
  let withheld = new Map([['address', 4]]);
  metrics.watch(view, () => ({ conflicts: 3, withheld }));
  has(
    await lines(),
    'complete 1',
    'hosts 2',
    'conflicts 3',
    'withheld_instances{reason="address"} 4',
    'registry_state{registry="dc1/orders",state="live"} 1',
    'registry_state{registry="dc1/orders",state="stale"} 0',
    'registry_state{registry="dc2/stale",state="stale"} 1',
    'registry_age_seconds{registry="dc1/orders"} 2.3',
    'registry_hidden_delay_seconds{registry="dc1/orders"} 30',
    'registry_expected{registry="dc1/orders"} 1',
    'registry_expected{registry="dc2/stale"} 0',
    'registry_heard{registry="dc1/orders"} 1',
    'registry_heard{registry="dc2/stale"} 0',
    'registry_agents{registry="dc1/orders"} 1',
    'registry_agents{registry="dc2/stale"} 0',
    'guard_held_removals{registry="dc1/orders"} 6',
    'agent_held_removals{registry="dc2/stale"} 9',
    'mcp_unacknowledged{node="istiod-a"} 1',
    'mcp_unacknowledged{node="unnamed"} 0',
  );
  assert.doesNotMatch((await lines()).join('\n'), /registry_age_seconds\{registry="dc2/);

  view.complete = false;
  view.registryList = [];
  view.subscriberList = [];
  withheld = new Map();
  const after = await lines();
  has(after, 'complete 0');
  assert.doesNotMatch(after.join('\n'), /istiod-a|dc1\/orders|dc2\/stale|reason=/);
});
