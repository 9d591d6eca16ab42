import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readRuleNode } from '../../../../../../agent/zookeeper/dubbo/rules/rule.ts';
import { bookOf, node, outcome, provider } from './providers.ts';

const dropped = (reason: string) => ({ kind: 'dropped', reason });

function tags(list: string, head = 'configVersion: v3.0\nforce: true\nkey: orders\n') {
  return node('orders.tag-router', `${head}tags: ${list}\n`);
}

test('addresses of a tag are addresses, ranges, subnets, or everybody on a port', () => {
  const cases: readonly (readonly [string, boolean])[] = [
    ['192.0.2.11', true],
    ['192.0.2.11:20880', true],
    ['192.0.2.11:20881', false],
    ['192.0.2.12', false],
    ['0.0.0.0:20880', true],
    ['0.0.0.0:20881', false],
    // Not known to tag routers.
    ['0.0.0.0', false],
    ['0.0.0.0:*', false],
    ['192.0.2.0/24', true],
    ['192.0.2.0/29', false],
    ['192.0.*.*', true],
    ['192.0.2.1-63', true],
    ['192.0.2.1-63:20880', true],
    ['192.0.2.1-63:20881', false],
    ['192.0.2.12-63', false],
    ['*', true],
    ['*.*.*.*', true],
    ['nonsense', false],
  ];
  for (const [address, isTagged] of cases) {
    const reading = tags(`[{name: blue, addresses: ["${address}"]}]`);
    assert.equal(outcome(provider(), reading), isTagged ? '0 UP blue' : '0 UP', address);
  }
});

test('a tag takes the place of the one that the provider registered with', () => {
  const labels = { application: 'orders', 'dubbo.tag': 'gray', release: '3.3.6' };
  const { instance, traits } = provider({ labels });
  const book = bookOf(tags('[{name: blue, addresses: [192.0.2.11]}]'));
  const projected = book.project(instance, traits);
  assert.deepEqual(Object.entries(projected.labels), [
    ['application', 'orders'],
    ['dubbo.tag', 'blue'],
    ['release', '3.3.6'],
  ]);
  assert.equal(book.project({ ...instance, id: 'another' }, traits).labels, projected.labels);
  assert.equal(book.project(projected, traits), projected);
  const other = provider({ labels, address: '192.0.2.12' });
  assert.equal(book.project(other.instance, other.traits), other.instance);
});

test('of several tags the first one counts', () => {
  const both = '[{name: blue, addresses: [192.0.2.11]}, {name: green, addresses: ["*"]}]';
  assert.equal(outcome(provider(), tags(both)), '0 UP blue');
  assert.equal(outcome(provider({ address: '192.0.2.12' }), tags(both)), '0 UP green');
});

test('a tag router is for its application alone', () => {
  const reading = tags('[{name: blue, addresses: ["*"]}]');
  assert.equal(outcome(provider({ application: 'billing' }), reading), '0 UP');
  assert.equal(outcome(provider({ application: '' }), reading), '0 UP');
  assert.equal(outcome(provider({ interfaceName: 'b', group: 'g' }), reading), '0 UP blue');
  const byKey = node('.tag-router', 'key: orders\ntags: [{name: blue, addresses: ["*"]}]');
  assert.equal(outcome(provider(), byKey), '0 UP blue');
});

test('a tag router tags the host of the application, too', () => {
  const { instance, traits } = provider();
  const service = { kind: 'dubbo-application', name: 'orders', group: '', version: '' } as const;
  const book = bookOf(
    tags('[{name: blue, addresses: ["*"]}]'),
    node('orders.configurators', 'scope: application\nconfigs: [{parameters: {weight: 7}}]'),
    node('orders::.configurators', 'configs: [{parameters: {weight: 9}}]'),
  );
  const projected = book.project({ ...instance, service }, traits);
  assert.equal(projected.labels['dubbo.tag'], 'blue');
  assert.equal(projected.weight, 7);
});

test('a tag can ask for parameters, by what the provider registered', () => {
  const cases: readonly (readonly [string, string])[] = [
    ['[{key: env, value: {exact: gray}}]', '0 UP blue'],
    ['[{key: env, value: {exact: x}}]', '0 UP'],
    ['[{key: env, value: {prefix: gr}}, {key: application, value: {wildcard: "*"}}]', '0 UP blue'],
    ['[]', '0 UP blue'],
  ];
  for (const [match, expected] of cases) {
    const reading = tags(`[{name: blue, match: ${match}}]`);
    assert.equal(outcome(provider({ labels: { env: 'gray' } }), reading), expected, match);
  }
  const old = tags('[{name: blue, match: []}]', 'configVersion: v2.7\n');
  assert.deepEqual(old, { kind: 'rules', rules: [] });
});

test('a match that is not understood is counted, and the other tags stay', () => {
  const strange = '{name: blue, match: [{key: a, value: {mod: 3}}]}';
  assert.deepEqual(tags(`[${strange}]`), { kind: 'ignored', what: 'unsupported-condition' });
  const both = tags(`[${strange}, {name: green, addresses: ["*"]}]`);
  assert.equal(outcome(provider(), both), '0 UP green');
});

test('a tag router that is switched off or has no tags rules nothing', () => {
  const nothing = { kind: 'rules', rules: [] };
  assert.deepEqual(tags('[{name: blue, addresses: ["*"]}]', 'enabled: false\n'), nothing);
  assert.deepEqual(tags('[]'), nothing);
  assert.deepEqual(tags('~'), nothing);
  assert.deepEqual(tags('[{name: blue}]'), nothing);
  assert.deepEqual(tags('[{name: blue, addresses: []}]'), nothing);
  assert.deepEqual(tags('[{name: blue, addresses: x}]'), nothing);
  assert.deepEqual(readRuleNode('dubbo', 'orders.tag-router', null), nothing);
});

test('a tag router that makes no sense is dropped', () => {
  for (const list of ['x', '[x]', '[{}]', '[{name: ""}]', `[{name: ${'x'.repeat(513)}}]`]) {
    assert.deepEqual(tags(list), dropped('rule'), list);
  }
  assert.deepEqual(node('orders.tag-router', 'garbage'), dropped('rule'));
  assert.deepEqual(node('.tag-router', 'tags: []'), dropped('name'));
  assert.deepEqual(node('a:b:.tag-router', 'tags: []'), dropped('name'));
  assert.deepEqual(tags(`[${'{name: a},'.repeat(1001)}]`), dropped('too-long'));
});

test('a tag router with a root is for the providers of that root', () => {
  const data = Buffer.from('tags: [{name: blue, addresses: ["*"]}]');
  const reading = readRuleNode('dubbo', 'orders.tag-router', data, '/mygroup');
  assert.equal(outcome(provider({ root: '/mygroup' }), reading), '0 UP blue');
  assert.equal(outcome(provider(), reading), '0 UP');
});

test('a tag that could not be a label is not taken', () => {
  for (const name of ['x'.repeat(513), 'token=abc']) {
    assert.deepEqual(tags(`[{name: "${name}", addresses: ["*"]}]`), {
      kind: 'dropped',
      reason: 'rule',
    });
  }
});

test('who registered with a tag that the router gives to others is called by nobody', () => {
  const router = tags('[{name: gray, addresses: [192.0.2.11]}, {name: old, addresses: []}]');
  const labelled = (tag: string, words: object = {}): string =>
    outcome(provider({ labels: { 'dubbo.tag': tag }, ...words }), router);
  const elsewhere = { address: '192.0.2.12' };
  assert.equal(labelled('gray'), '0 UP gray');
  assert.equal(labelled('gray', elsewhere), '0 OUT_OF_SERVICE gray');
  assert.equal(labelled('blue', elsewhere), '0 UP blue', 'the router says nothing of blue');
  assert.equal(labelled('old', elsewhere), '0 UP old', 'nor of a tag without addresses');
  assert.equal(labelled('gray', { ...elsewhere, application: 'billing' }), '0 UP gray');
  assert.equal(outcome(provider(elsewhere), router), '0 UP');
});
