import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readRuleNode } from '../../../../../../agent/zookeeper/dubbo/rules/rule.ts';
import { leaf, node, outcome, provider, rulesOf } from './providers.ts';
import type { ProviderWords } from './providers.ts';

const serviceNode = 'com.example.A::.configurators';
const appNode = 'orders.configurators';
const dropped = (reason: string) => ({ kind: 'dropped', reason });
const ignored = (what: string) => ({ kind: 'ignored', what });

function service(config: string, key = 'com.example.A') {
  return node(
    serviceNode,
    `configVersion: v2.7\nscope: service\nkey: ${key}\nconfigs:\n- ${config}\n`,
  );
}

function application(config: string) {
  return node(
    appNode,
    `configVersion: v3.0\nscope: application\nkey: orders\nconfigs:\n- ${config}\n`,
  );
}

test('a document sets weight and traffic of the providers of its service', () => {
  const cases: readonly (readonly [string, ProviderWords, string])[] = [
    ['{side: provider, parameters: {weight: 77}}', {}, '77 UP'],
    ['{side: provider, parameters: {weight: "77"}}', { weight: 77 }, '77 UP'],
    [
      '{side: provider, addresses: ["0.0.0.0"], parameters: {weight: 0}}',
      { weight: 9 },
      '0 OUT_OF_SERVICE',
    ],
    ['{parameters: {weight: -1}}', { weight: 9 }, '0 OUT_OF_SERVICE'],
    ['{parameters: {disabled: true}}', { weight: 9 }, '9 OUT_OF_SERVICE'],
    ['{parameters: {disabled: "false"}}', { isDisabled: true }, '0 UP'],
    ['{parameters: {enabled: false}}', {}, '0 OUT_OF_SERVICE'],
    ['{parameters: {enabled: true}}', {}, '0 UP'],
    // It registered as disabled: enabled alone does not outweigh that.
    ['{parameters: {enabled: true}}', { isDisabled: true }, '0 OUT_OF_SERVICE'],
    ['{parameters: {enabled: false, disabled: false}}', {}, '0 UP'],
    ['{parameters: {weight: 77, timeout: 100, retries: [1]}}', {}, '77 UP'],
    ['{parameters: {weight: 77}}', { interfaceName: 'com.example.B' }, '0 UP'],
    ['{parameters: {weight: 77}}', { group: 'g1' }, '0 UP'],
  ];
  for (const [config, words, expected] of cases) {
    assert.equal(outcome(provider(words), service(config)), expected, config);
  }
});

test('addresses of a config, and of the providers, say whom it is for', () => {
  const cases: readonly (readonly [string, boolean])[] = [
    ['addresses: [0.0.0.0]', true],
    ['addresses: ["0.0.0.0:20880"]', true],
    ['addresses: ["0.0.0.0:*"]', true],
    ['addresses: ["0.0.0.0:20881"]', false],
    ['addresses: [192.0.2.11]', true],
    ['addresses: ["192.0.2.11:20880"]', true],
    ['addresses: ["192.0.2.11:20881", 192.0.2.12]', false],
    ['addresses: ["192.0.2.11:20881", "192.0.2.11:20880"]', true],
    ['addresses: []', true],
    ['addresses: ~', true],
    ['addresses: [10.0.0.0/8, 192.*]', false],
    ['providerAddresses: ["192.0.2.11:20880"]', true],
    ['providerAddresses: [192.0.2.12]', false],
    ['addresses: [192.0.2.11], providerAddresses: ["0.0.0.0:20881"]', false],
    ['addresses: [192.0.2.11], providerAddresses: ["0.0.0.0:*"]', true],
  ];
  for (const [words, isConcerned] of cases) {
    const reading = service(`{${words}, side: provider, parameters: {weight: 7}}`);
    assert.equal(outcome(provider(), reading), isConcerned ? '7 UP' : '0 UP', words);
  }
});

test('name and key of a node must both fit, and stand in for each other', () => {
  const body = 'configs: [{parameters: {weight: 7}}]\n';
  const versioned = { group: 'g1', version: '1.0.0' };
  const cases: readonly (readonly [string, string, ProviderWords, string])[] = [
    [serviceNode, '', {}, '7 UP'],
    [serviceNode, 'key: "*"\n', {}, '7 UP'],
    ['com.example.A:1.0.0:g1.configurators', '', versioned, '7 UP'],
    ['com.example.A:1.0.0:g1.configurators', 'key: g1/com.example.A:1.0.0\n', versioned, '7 UP'],
    ['com.example.A:1.0.0:g1.configurators', 'key: "*/com.example.A:*"\n', versioned, '7 UP'],
    [
      'com.example.A:1.0.0.configurators',
      'key: com.example.A:1.0.0\n',
      { version: '1.0.0' },
      '7 UP',
    ],
    ['g1*com.example.A:1.0.0.configurators', '', versioned, '7 UP'],
    ['com.example.A.configurators', '', {}, '7 UP'],
    [serviceNode, 'key: "com.example.A::"\n', {}, '7 UP'],
    ['com.example.A:1.0.0:g1.configurators', 'key: com.example.A:1.0.0:g1\n', versioned, '7 UP'],
    ['com.example.A.configurators', 'key: com.example.A:1.0.0\n', { version: '1.0.0' }, '7 UP'],
    ['.configurators', 'key: com.example.A\n', {}, '7 UP'],
    ['orders.configurators', 'key: com.example.A\n', {}, '7 UP'],
    ['billing.configurators', 'key: com.example.A\n', {}, '0 UP'],
    ['orders.configurators', 'scope: application\n', {}, '7 UP'],
    ['orders.configurators', 'scope: application\nkey: "*"\n', {}, '7 UP'],
    ['.configurators', 'scope: application\nkey: orders\n', {}, '7 UP'],
    ['.configurators', 'scope: application\nkey: "*"\n', {}, '7 UP'],
    [serviceNode, 'scope: application\nkey: orders\n', {}, '7 UP'],
    [serviceNode, 'scope: application\nkey: "*"\n', {}, '7 UP'],
    [serviceNode, 'scope: application\nkey: billing\n', {}, '0 UP'],
  ];
  for (const [name, key, words, expected] of cases) {
    assert.equal(outcome(provider(words), node(name, key + body)), expected, `${name} ${key}`);
  }
  const contradictions: readonly (readonly [string, string])[] = [
    [serviceNode, 'key: com.example.B\n'],
    [serviceNode, 'key: "com.example.B::"\n'],
    [serviceNode, 'key: com.example.A:1.0.0:g1\n'],
    [serviceNode, 'key: g1/com.example.A\n'],
    ['com.example.A:1.0.0:g1.configurators', 'key: com.example.A\n'],
    [serviceNode, 'scope: application\n'],
    ['billing.configurators', 'scope: application\nkey: orders\n'],
    ['.configurators', ''],
    ['.configurators', 'scope: application\n'],
    ['::.configurators', 'key: com.example.A\n'],
    ['a:b:c:d.configurators', ''],
    ['g1*.configurators', ''],
  ];
  for (const [name, key] of contradictions) {
    assert.deepEqual(node(name, key + body), dropped('name'), `${name} ${key}`);
  }
});

test('an application rules all its services, or those that the config names', () => {
  const weight = 'parameters: {weight: 7}';
  const versioned = { group: 'g1', version: '1.0.0' };
  const cases: readonly (readonly [string, ProviderWords, boolean])[] = [
    [`{${weight}}`, {}, true],
    [`{${weight}}`, versioned, true],
    [`{${weight}}`, { application: 'billing' }, false],
    [`{services: ["*"], ${weight}}`, versioned, true],
    [`{services: [com.example.A], ${weight}}`, {}, true],
    [`{services: [com.example.A], ${weight}}`, versioned, false],
    [`{services: [com.example.B, "g1/com.example.A:1.0.0"], ${weight}}`, versioned, true],
    [`{services: [com.example.B], ${weight}}`, {}, false],
    [`{applications: [billing], ${weight}}`, {}, true],
  ];
  for (const [config, words, isConcerned] of cases) {
    const expected = isConcerned ? '7 UP' : '0 UP';
    assert.equal(outcome(provider(words), application(config)), expected, config);
  }
});

test('a service is ruled for all applications, or for those that the config names', () => {
  const weight = 'parameters: {weight: 7}';
  assert.equal(outcome(provider(), service(`{applications: [orders, b], ${weight}}`)), '7 UP');
  assert.equal(outcome(provider(), service(`{applications: ["*"], ${weight}}`)), '7 UP');
  assert.equal(outcome(provider(), service(`{applications: [billing], ${weight}}`)), '0 UP');
  const both = (name: string) =>
    node(appNode, `key: com.example.A\nconfigs: [{applications: [${name}], ${weight}}]`);
  assert.equal(outcome(provider(), both('orders')), '7 UP');
  assert.equal(outcome(provider(), both('billing')), '0 UP');
  const scoped = (name: string) =>
    node(
      serviceNode,
      `scope: application\nkey: orders\nconfigs: [{services: [${name}], ${weight}}]`,
    );
  assert.equal(outcome(provider(), scoped('com.example.A')), '7 UP');
  assert.deepEqual(scoped('com.example.B'), { kind: 'rules', rules: [] });
});

test('leaves yield to the application, and the application to the service', () => {
  const leafRule = leaf('override://192.0.2.11:20880/a?weight=1&priority=99');
  const appRule = application('{addresses: [192.0.2.11], parameters: {weight: 2, priority: 99}}');
  const serviceRule = service('{parameters: {weight: 3}}');
  assert.equal(outcome(provider(), leafRule, appRule), '2 UP');
  assert.equal(outcome(provider(), serviceRule, appRule, leafRule), '3 UP');
  assert.equal(outcome(provider(), appRule, serviceRule), '3 UP');
});

test('within a document single addresses win, then the priority, then what stands below', () => {
  const two = (first: string, second: string) =>
    node(serviceNode, `configs:\n- ${first}\n- ${second}\n`);
  const weight = (value: number, priority = 0) =>
    `parameters: {weight: ${value}, priority: ${priority}}`;
  assert.equal(outcome(provider(), two(`{${weight(1)}}`, `{${weight(2)}}`)), '2 UP');
  assert.equal(outcome(provider(), two(`{${weight(1, 5)}}`, `{${weight(2)}}`)), '1 UP');
  const single = `{addresses: [192.0.2.11, 0.0.0.0], ${weight(1)}}`;
  assert.equal(outcome(provider(), two(single, `{${weight(2, 5)}}`)), '1 UP');
  assert.equal(outcome(provider({ address: '192.0.2.12' }), two(single, `{${weight(2)}}`)), '2 UP');
});

test('a document that is switched off rules nothing, unless a config has a type of its own', () => {
  const off = (config: string) => node(serviceNode, `enabled: false\nconfigs: [${config}]`);
  assert.deepEqual(off('{parameters: {weight: 7}}'), { kind: 'rules', rules: [] });
  assert.deepEqual(off('{type: general, parameters: {weight: 7}}'), { kind: 'rules', rules: [] });
  assert.equal(
    outcome(provider(), off('{type: weight, enabled: true, parameters: {weight: 7}}')),
    '7 UP',
  );
  assert.deepEqual(service('{type: weight, parameters: {weight: 7}}'), {
    kind: 'rules',
    rules: [],
  });
  assert.deepEqual(service('{type: weight, enabled: false, parameters: {weight: 7}}'), {
    kind: 'rules',
    rules: [],
  });
});

test('the conditions of a match must all hold', () => {
  const labels = { env: 'gray' };
  const cases: readonly (readonly [string, boolean])[] = [
    ['{}', true],
    ['{address: {wildcard: "192.0.2.*"}}', true],
    ['{address: {wildcard: "192.0.2.11:20880"}}', true],
    ['{address: {wildcard: 0.0.0.0}}', true],
    ['{address: {wildcard: "*"}}', true],
    ['{address: {wildcard: "10.*"}}', false],
    ['{address: {cird: 192.0.2.0/24}}', true],
    ['{address: {cidr: 192.0.2.0/28}}', true],
    ['{address: {cird: 192.0.2.128/25}}', false],
    ['{address: {exact: 192.0.2.11}}', true],
    ['{address: {exact: "192.0.2.11:20880"}}', true],
    ['{address: {exact: 192.0.2.1}}', false],
    ['{providerAddress: {exact: "192.0.2.11:20880"}}', true],
    ['{providerAddress: {exact: "192.0.2.11:20881"}}', false],
    ['{service: {oneof: [{exact: b}, {exact: "g1/com.example.A:1.0.0"}]}}', true],
    ['{service: {oneof: [{prefix: g1/}]}}', true],
    ['{service: {oneof: [{exact: com.example.A}]}}', false],
    ['{service: {oneof: []}}', false],
    ['{app: {oneof: [{wildcard: "ord*"}]}}', true],
    ['{app: {oneof: [{exact: billing}]}}', false],
    ['{param: [{key: env, value: {exact: gray}}]}', true],
    ['{param: [{key: env, value: {exact: blue}}]}', false],
    ['{param: [{key: zone, value: {empty: ""}}]}', false],
    ['{param: [{key: env, value: {regex: "gr.y"}}, {key: version, value: {noempty: ""}}]}', true],
    ['{address: {wildcard: "192.*"}, app: {oneof: [{exact: billing}]}}', false],
    ['{address: ~}', true],
  ];
  const one = provider({ group: 'g1', version: '1.0.0', labels });
  for (const [match, isConcerned] of cases) {
    const reading = application(`{match: ${match}, side: provider, parameters: {weight: 7}}`);
    assert.equal(outcome(one, reading), isConcerned ? '7 UP' : '0 UP', match);
  }
  const plain = provider();
  const reading = application(
    '{match: {service: {oneof: [{exact: com.example.A}]}}, parameters: {weight: 7}}',
  );
  assert.equal(outcome(plain, reading), '7 UP');
});

test('a match that is not understood concerns nobody', () => {
  const matches = [
    'x',
    '[a]',
    '{other: 1}',
    '{address: {range: 1}}',
    '{address: x}',
    '{service: x}',
    '{service: {oneof: x}}',
    '{service: {oneof: [x]}}',
    '{app: {oneof: [{mod: 3}]}}',
    '{app: x}',
    '{param: x}',
    '{param: [x]}',
    '{param: [{key: a}]}',
    '{param: [{value: {exact: a}}]}',
    '{param: [{key: a, value: {exact: [a]}}]}',
    '{param: [{key: a, value: {regex: "(a+)+"}}]}',
  ];
  for (const match of matches) {
    const reading = application(`{match: ${match}, parameters: {weight: 7}}`);
    assert.deepEqual(reading, ignored('unsupported-condition'), match);
  }
});

test('further parameters of the provider must be those with a tilde', () => {
  const reading = service('{parameters: {weight: 7, ~release: 2.7.23, ~env: "*"}}');
  assert.equal(outcome(provider({ labels: { release: '2.7.23' } }), reading), '7 UP');
  assert.equal(outcome(provider(), reading), '0 UP');
});

test('what is for consumers or sets nothing of traffic is counted by kind', () => {
  const cases: readonly (readonly [string, string])[] = [
    ['{side: consumer, parameters: {weight: 7}}', 'consumer-configurator'],
    ['{side: both, parameters: {weight: 7}}', 'unsupported-condition'],
    ['{parameters: {timeout: 100}}', 'unknown-parameters'],
    ['{parameters: {disabled: [true]}}', 'unknown-parameters'],
  ];
  for (const [config, what] of cases) assert.deepEqual(service(config), ignored(what), config);
  const mixed = service('{side: consumer, parameters: {weight: 1}}\n- {parameters: {weight: 7}}');
  assert.equal(outcome(provider(), mixed), '7 UP');
});

test('a document that makes no sense is dropped', () => {
  const documents = [
    'configs: x',
    'key: com.example.A',
    'configs: [x]',
    'configs: [{side: provider}]',
    'configs: [{parameters: {}}]',
    'configs: [{parameters: [weight]}]',
    'configs: [{parameters: {weight: 7}}, {}]',
    'configs: [{parameters: {weight: many}}]',
    'configs: [{parameters: {weight: 7.5}}]',
    'configs: [{addresses: x, parameters: {weight: 7}}]',
    'configs: [{addresses: [[x]], parameters: {weight: 7}}]',
    'configs: [{services: {}, parameters: {weight: 7}}]',
    '127.0.0.1',
    '42',
    '---\na: 1\n---\nb: 2\n',
    'a: [',
    '[1, 2]',
    '["dubbo://192.0.2.11:20880/com.example.A"]',
  ];
  for (const document of documents) {
    assert.deepEqual(node(serviceNode, document), dropped('rule'), document);
  }
});

test('a node without data rules nothing', () => {
  const nothing = { kind: 'rules', rules: [] };
  for (const data of [null, Buffer.alloc(0), Buffer.from(' \n')]) {
    assert.deepEqual(readRuleNode('dubbo', serviceNode, data), nothing);
  }
  assert.deepEqual(node(serviceNode, 'configs: []'), nothing);
  assert.deepEqual(node(serviceNode, '[]'), nothing);
});

test('a document can be a JSON list of URLs', () => {
  const url =
    'override://0.0.0.0:20880/com.example.A?category=configurators&weight=7&dynamic=false&enabled=true&group=g1&priority=1&version=1.0';
  const words = { group: 'g1', version: '1.0' };
  const read = (name: string, ...urls: readonly string[]) =>
    node(`${name}.configurators`, JSON.stringify(urls, undefined, '\t'));
  assert.equal(outcome(provider(words), read('com.example.A:1.0:g1', url)), '7 UP');
  assert.equal(outcome(provider(words), read('orders', url)), '7 UP');
  assert.equal(outcome(provider(words), read('billing', url)), '0 UP');
  assert.equal(outcome(provider(), read('com.example.A:1.0:g1', url)), '0 UP');
  assert.equal(outcome(provider(words), read('orders', `${url}&application=billing`)), '0 UP');
  assert.equal(outcome(provider(words), read('orders', `${url}&application=orders`)), '7 UP');
  assert.deepEqual(read('com.example.B::', url), dropped('rule'));
  assert.deepEqual(read('orders', 'override://0.0.0.0?weight=7'), dropped('rule'));
  const named = 'override://0.0.0.0?interface=com.example.A&weight=7';
  assert.equal(outcome(provider(), read('orders', named)), '7 UP');
  assert.deepEqual(node('orders.configurators', '["\\ud800://x"]'), dropped('rule'));
});

test('a document with too many rules is not taken', () => {
  const names = Array.from({ length: 1001 }, (_, index) => `com.example.S${index}`).join();
  assert.deepEqual(
    application(`{services: [${names}], parameters: {weight: 7}}`),
    dropped('too-long'),
  );
  const configs = '{parameters: {weight: 7}}\n- '.repeat(1002);
  assert.deepEqual(application(`${configs}{parameters: {weight: 7}}`), dropped('too-long'));
  const fine = Array.from({ length: 500 }, () => '{parameters: {weight: 7}}').join('\n- ');
  assert.equal(rulesOf(application(fine)).length, 500);
});
