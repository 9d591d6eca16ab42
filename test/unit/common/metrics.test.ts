import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Registry } from 'prom-client';
import type { HttpRequest } from '../../../common/http-server.ts';
import {
  MetricFactory,
  addProcessMetrics,
  healthRoutes,
  measureEventLoop,
} from '../../../common/metrics.ts';
import type { Readiness } from '../../../common/metrics.ts';
import { eventually } from '../../support/eventually.ts';

const request: HttpRequest = { parameters: {}, query: new URLSearchParams(), body: '' };

async function get(path: string, readiness: Readiness, registry = new Registry()) {
  const route = healthRoutes(registry, () => readiness).find((each) => each.path === path);
  assert.ok(route);
  return await route.handle(request);
}

test('names get the prefix of the factory, labels and help', async () => {
  const factory = new MetricFactory('tributary_test_');
  factory.counter('things_total', 'Things.', ['kind']).inc({ kind: 'a' }, 2);
  const text = await factory.registry.metrics();
  assert.match(text, /^# HELP tributary_test_things_total Things\.$/m);
  assert.match(text, /^tributary_test_things_total\{kind="a"\} 2$/m);
});

test('two factories share a registry', async () => {
  const registry = new Registry();
  new MetricFactory('a_', registry).gauge('size', 'Size.').set(1);
  new MetricFactory('b_', registry).gauge('size', 'Size.').set(2);
  const text = await registry.metrics();
  assert.match(text, /^a_size 1$/m);
  assert.match(text, /^b_size 2$/m);
});

test('a gauge that is collected forgets what is not set again', async () => {
  const factory = new MetricFactory('t_');
  let present = ['x', 'y'];
  factory.gauge('sizes', 'Sizes.', ['name'], (gauge) => {
    for (const name of present) gauge.set({ name }, 1);
  });
  assert.match(await factory.registry.metrics(), /name="x"/);
  present = ['y'];
  const text = await factory.registry.metrics();
  assert.doesNotMatch(text, /name="x"/);
  assert.match(text, /^t_sizes\{name="y"\} 1$/m);
});

test('histograms have the lag buckets unless others are given', async () => {
  const factory = new MetricFactory('t_');
  factory.histogram('lag_seconds', 'Lag.').observe(0.05);
  factory.histogram('other_seconds', 'Other.', [], [1, 2]).observe(1);
  const text = await factory.registry.metrics();
  for (const bound of [0.001, 0.025])
    assert.ok(text.includes(`t_lag_seconds_bucket{le="${bound}"} 0`));
  for (const bound of [0.05, 300])
    assert.ok(text.includes(`t_lag_seconds_bucket{le="${bound}"} 1`));
  assert.match(text, /^t_other_seconds_bucket\{le="1"\} 1$/m);
  assert.doesNotMatch(text, /t_other_seconds_bucket\{le="0/);
});

test('process figures are there, and CPU time only grows', async () => {
  const factory = new MetricFactory('t_');
  addProcessMetrics(factory, '1.2.3');
  const cpuSeconds = async (): Promise<number> => {
    const text = await factory.registry.metrics();
    assert.match(text, /^t_build_info\{version="1\.2\.3"\} 1$/m);
    assert.match(text, /^process_resident_memory_bytes [1-9]/m);
    assert.match(text, /^process_heap_used_bytes [1-9]/m);
    assert.match(text, /^process_start_time_seconds 1\d{9}$/m);
    return Number(/^process_cpu_seconds_total (.+)$/m.exec(text)?.[1]);
  };
  const first = await cpuSeconds();
  assert.ok(first > 0);
  assert.ok((await cpuSeconds()) >= first);
});

test('the delay of the event loop is sampled until the signal aborts', async () => {
  const factory = new MetricFactory('t_');
  const stop = new AbortController();
  const measuring = measureEventLoop(factory, stop.signal);
  await eventually(async () => {
    const text = await factory.registry.metrics();
    assert.match(text, /^t_event_loop_delay_seconds_count [1-9]/m);
    assert.match(text, /^t_event_loop_delay_seconds_bucket\{le="0\.05"\}/m);
  });
  stop.abort();
  await measuring;
});

test('health routes answer, and readiness says why not', async () => {
  const ready = { isReady: true, reason: '' };
  const waiting = { isReady: false, reason: 'waiting for dc1/orders' };
  const registry = new Registry();
  new MetricFactory('t_', registry).gauge('size', 'Size.').set(3);
  const metrics = await get('/metrics', ready, registry);
  assert.equal(metrics.status, 200);
  assert.match(metrics.contentType, /^text\/plain; version=0\.0\.4/);
  assert.match(metrics.body, /^t_size 3$/m);
  assert.deepEqual([(await get('/healthz', waiting)).status], [200]);
  assert.equal((await get('/readyz', ready)).body, 'ready\n');
  const notReady = await get('/readyz', waiting);
  assert.equal(notReady.status, 503);
  assert.equal(notReady.body, 'not ready: waiting for dc1/orders\n');
  assert.match((await get('/', ready)).body, /metrics/);
});
