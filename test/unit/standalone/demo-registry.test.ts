import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DemoShop, runDemoRegistry } from '../../../standalone/demo-registry.ts';
import { demoSteps, initialInstances } from '../../../standalone/demo-services.ts';
import { createEurekaRegistry } from '../../../standalone/eureka-registry/registry.ts';

const [first] = initialInstances();
assert.ok(first);
const { app, id } = first;

test('the demo shop starts with its instances registered and up', () => {
  const registry = createEurekaRegistry({ readOnlyCacheMs: 0 });
  new DemoShop(registry);
  assert.equal(registry.size, initialInstances().length);
  for (const instance of initialInstances()) {
    const lease = registry.lease(instance.app, instance.id);
    assert.equal(lease?.status, 'UP');
    const { port, securePort, metadata } = lease.registration;
    assert.equal(port.enabled, !instance.isSecure);
    assert.equal(securePort.enabled, instance.isSecure);
    assert.equal((instance.isSecure ? securePort : port).number, instance.port);
    assert.equal(metadata['version'], instance.version);
  }
});

test('an instance is drained, restored and leaves', () => {
  const registry = createEurekaRegistry({ readOnlyCacheMs: 0 });
  const shop = new DemoShop(registry);
  shop.apply({ kind: 'drain', instance: first });
  assert.equal(registry.lease(app, id)?.status, 'OUT_OF_SERVICE');
  shop.apply({ kind: 'restore', instance: first });
  assert.equal(registry.lease(app, id)?.status, 'UP');
  shop.apply({ kind: 'leave', instance: first });
  assert.equal(registry.lease(app, id), undefined);
  shop.heartbeat();
  assert.equal(registry.lease(app, id), undefined);
});

test('an instance that registers again says what is new', () => {
  const registry = createEurekaRegistry({ readOnlyCacheMs: 0 });
  const shop = new DemoShop(registry);
  shop.apply({ kind: 'register', instance: { ...first, weight: 7 } });
  assert.equal(registry.lease(app, id)?.registration.metadata['weight'], '7');
});

test('heartbeats keep every lease, and bring back what the registry lost while the machine slept', () => {
  let now = 1_000_000;
  const registry = createEurekaRegistry({ readOnlyCacheMs: 0, now: () => now });
  const shop = new DemoShop(registry);
  for (let minute = 0; minute < 30; minute += 1) {
    shop.heartbeat();
    now += 60_000;
    assert.equal(registry.evict(), 0);
  }
  now += 8 * 3_600_000;
  while (registry.evict() > 0);
  assert.equal(registry.size, 0);
  shop.heartbeat();
  assert.equal(registry.size, initialInstances().length);
});

test('the registry never holds more than the story tells', () => {
  const registry = createEurekaRegistry({ readOnlyCacheMs: 0 });
  const shop = new DemoShop(registry);
  let count = 0;
  for (const step of demoSteps()) {
    shop.apply(step);
    assert.ok(registry.size <= initialInstances().length + 5);
    count += 1;
    if (count === 500) break;
  }
});

test('the demo registry answers as Eureka does until it is stopped', async () => {
  const stop = new AbortController();
  const ready = Promise.withResolvers<string>();
  const running = runDemoRegistry(stop.signal, ready.resolve);
  const url = await ready.promise;
  const response = await fetch(`${url}apps`, { headers: { accept: 'application/json' } });
  const body = await response.text();
  for (const instance of initialInstances()) assert.match(body, new RegExp(`"${instance.id}"`));
  stop.abort();
  await running;
  await assert.rejects(fetch(`${url}apps`));
});

test('a demo registry that is stopped before it starts ends', async () => {
  await runDemoRegistry(AbortSignal.abort(), () => undefined);
});
