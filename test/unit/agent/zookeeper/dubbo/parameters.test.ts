import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createDubboReading } from '../../../../../agent/zookeeper/dubbo/dubbo.ts';
import { ParameterKeys } from '../../../../../agent/zookeeper/dubbo/parameters.ts';
import type { NodeReading } from '../../../../../agent/zookeeper/reading.ts';
import { defaultZooKeeperOptions } from '../../../../../agent/zookeeper/options.ts';
import { Sharing } from '../../../../../agent/zookeeper/sharing.ts';

const keys = new ParameterKeys(['application', 'timeout']);

test('what is given is looked at, and what Dubbo does not know', () => {
  for (const key of [
    'application',
    'timeout',
    'env',
    'my.zone',
    'Color-1',
    'owner',
    'app.version',
    'my.group',
  ]) {
    assert.equal(keys.has(key), true, key);
    assert.equal(keys.isCustom(key), !['application', 'timeout'].includes(key), key);
  }
  const others = [
    'methods',
    'pid',
    'sayHello.retries',
    'default.x',
    'password',
    'token',
    '',
    '1a',
    'a b',
  ];
  for (const key of [...others, 'x'.repeat(65)]) {
    assert.equal(keys.has(key), false, key);
    assert.equal(keys.has(key), false, `${key} again`);
  }
});

test('custom parameters are kept sorted, without what is empty, too long or a secret', () => {
  const parameters = new Map([
    ['application', 'a'],
    ['zone', 'z'],
    ['env', 'gray'],
    ['empty', ''],
    ['long', 'x'.repeat(257)],
    ['url', 'http://user:secret@host'],
  ]);
  assert.deepEqual(keys.customOf(parameters), [
    ['env', 'gray'],
    ['zone', 'z'],
  ]);
  assert.equal(keys.customOf(new Map([['application', 'a']])), undefined);
  const many = new Map(Array.from({ length: 40 }, (_, index) => [`k${index}`, 'v'] as const));
  assert.equal(keys.customOf(many)?.length, 32);
});

const reading = createDubboReading(
  {
    roots: ['/dubbo'],
    hiddenInterfaces: [],
    labelKeys: [...defaultZooKeeperOptions.dubboLabelKeys, 'cluster'],
    metadataLabelKeys: [],
    zones: {},
  },
  new Sharing(),
);

/** A tag router with a tag for the providers whose parameter is `x`, for each of these parameters. */
function routerOn(...parameters: readonly string[]): NodeReading {
  const tags = parameters.map((key) => ({ name: key, match: [{ key, value: { exact: 'x' } }] }));
  const text = JSON.stringify({ configVersion: 'v3.0', enabled: true, key: 'orders', tags });
  return reading.read('/dubbo/config/dubbo/orders.tag-router', Buffer.from(text));
}

test('a rule counts if what it asks for is looked at, else it is counted as left alone', () => {
  for (const key of ['env', 'application', 'side', 'weight', 'dubbo.tag', 'release', 'cluster']) {
    const said = routerOn(key, 'timeout');
    assert.ok(said.kind === 'fact' && said.fact.kind === 'rules', key);
    const [rule] = said.fact.rules;
    assert.deepEqual(
      rule?.kind === 'tag-router' && rule.tags.map(({ name }) => name),
      [key],
      'the tag that cannot be told is left out',
    );
  }
  for (const key of ['timeout', 'methods', 'token', 'timestamp']) {
    assert.deepEqual(routerOn(key), { kind: 'ignored', what: 'unsupported-condition' }, key);
  }
  assert.equal(routerOn().kind, 'fact', 'a router without tags says that there are none');
});

test('a configurator on a parameter that is not looked at is left alone', () => {
  const configs = [{ match: { param: [{ key: 'timeout', value: { exact: '1' } }] } }].map(
    (config) => ({ ...config, side: 'provider', parameters: { disabled: true } }),
  );
  const text = JSON.stringify({
    configVersion: 'v3.0',
    scope: 'application',
    enabled: true,
    configs,
  });
  assert.deepEqual(reading.read('/dubbo/config/dubbo/orders.configurators', Buffer.from(text)), {
    kind: 'ignored',
    what: 'unsupported-condition',
  });
});
