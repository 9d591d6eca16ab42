import assert from 'node:assert/strict';
import { test } from 'node:test';
import { guardOfAll, guardOfRegistry, serviceLimits } from '../../../common/guard-limits.ts';
import { serviceKeyText } from '../../../common/instance.ts';

const none = { guardFraction: undefined, guardMinimum: undefined, guardHold: undefined };

test('what is not given overrides nothing', () => {
  assert.deepStrictEqual(guardOfAll({ ...none, guardServices: {} }), {});
  assert.deepStrictEqual(guardOfRegistry({ ...none, guardServices: {} }, 'dc1/main'), {});
});

test('a registry has its own row before what holds for all', () => {
  const values = {
    guardFraction: 0.3,
    guardMinimum: 7,
    guardHold: 1000,
    guardServices: {},
    guard: { 'dc1/main': { fraction: 0.9 }, 'dc1/other': { minimum: 1, hold: 5 } },
  };
  const all = { fraction: 0.3, minimum: 7, holdMs: 1000 };
  assert.deepStrictEqual(guardOfAll(values), all);
  assert.deepStrictEqual(guardOfRegistry(values, 'dc1/main'), { ...all, fraction: 0.9 });
  assert.deepStrictEqual(guardOfRegistry(values, 'dc1/other'), { ...all, minimum: 1, holdMs: 5 });
  assert.deepStrictEqual(guardOfRegistry(values, 'dc1/third'), all);
});

test('services are named as their registries name them', () => {
  const limits = serviceLimits({
    ORDERS: { fraction: 1 },
    'com.acme.Cart': { minimum: 2, hold: 60_000 },
    'a/b:c': { minimum: 3 },
  });
  assert.ok(limits !== undefined);
  const application = (name: string): string =>
    serviceKeyText({ kind: 'application', name, group: '', version: '' });
  const dubbo = (name: string, group = '', version = ''): string =>
    serviceKeyText({ kind: 'dubbo', name, group, version });
  assert.deepStrictEqual(limits(application('orders')), { fraction: 1 });
  assert.deepStrictEqual(limits(application('com.acme.cart')), { minimum: 2, holdMs: 60_000 });
  assert.deepStrictEqual(limits(application('a/b:c')), { minimum: 3 });
  assert.deepStrictEqual(limits(dubbo('com.acme.Cart')), { minimum: 2, holdMs: 60_000 });
  assert.deepStrictEqual(
    limits(dubbo('com.acme.Cart', 'blue', '1.0.0')),
    limits(dubbo('com.acme.Cart')),
  );
  assert.equal(limits(dubbo('com.acme.cart')), undefined);
  assert.equal(limits(application('other')), undefined);
  assert.equal(limits('no key'), undefined);
});

test('without services nothing is looked up', () => {
  assert.equal(serviceLimits({}), undefined);
});
