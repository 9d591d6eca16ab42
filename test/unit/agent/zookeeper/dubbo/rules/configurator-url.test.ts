import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readConfiguratorLeaf } from '../../../../../../agent/zookeeper/dubbo/rules/rule.ts';
import { leaf, node, outcome, provider, rulesOf } from './providers.ts';
import type { ProviderWords } from './providers.ts';

const head = 'override://0.0.0.0/com.example.A?category=configurators&dynamic=false';

test('a leaf sets weight and traffic of the providers that it names', () => {
  const cases: readonly (readonly [string, ProviderWords, string])[] = [
    [`${head}&weight=300`, {}, '300 UP'],
    [`${head}&weight=300`, { weight: 300 }, '300 UP'],
    [`${head}&weight=0`, { weight: 150 }, '0 OUT_OF_SERVICE'],
    [`${head}&weight=50`, { weight: 0 }, '50 UP'],
    [`${head}&weight=99999999999`, {}, '2147483647 UP'],
    [`${head}&disabled=true`, { weight: 150 }, '150 OUT_OF_SERVICE'],
    [`${head}&disabled=TRUE`, {}, '0 OUT_OF_SERVICE'],
    [`${head}&disabled=false`, { isDisabled: true }, '0 UP'],
    [`${head}&disabled=&weight=1`, { isDisabled: true }, '1 OUT_OF_SERVICE'],
    [`${head}&weight=300&enabled=true&timeout=100`, {}, '300 UP'],
    // The rule itself is switched off.
    [`${head}&weight=300&enabled=false`, {}, '0 UP'],
    // Keys with a prefix stand in for those without.
    [`${head}&default.weight=300`, {}, '300 UP'],
  ];
  for (const [url, words, expected] of cases) {
    assert.equal(outcome(provider(words), leaf(url)), expected, url);
  }
});

test('host and port of a leaf say which provider it is for', () => {
  const cases: readonly (readonly [string, boolean])[] = [
    ['0.0.0.0', true],
    ['0.0.0.0:20880', true],
    ['0.0.0.0:20881', false],
    ['192.0.2.11:20880', true],
    ['192.0.2.11:20881', false],
    ['192.0.2.12:20880', false],
    ['user:secret@192.0.2.11:20880', true],
    ['example.com:20880', false],
  ];
  for (const [authority, isConcerned] of cases) {
    const reading = leaf(`override://${authority}/com.example.A?weight=7`);
    assert.equal(outcome(provider(), reading), isConcerned ? '7 UP' : '0 UP', authority);
  }
});

test('a leaf finds an IPv6 provider with brackets and without', () => {
  const one = provider({ address: 'fd00::2' });
  for (const authority of ['[fd00::2]:20880', 'fd00:0:0:0:0:0:0:2:20880', '[FD00:0::2]:20880']) {
    assert.equal(outcome(one, leaf(`override://${authority}/a?weight=7`)), '7 UP', authority);
  }
});

test('a host without a port is a consumer, and the rule is none for providers', () => {
  const consumers = { kind: 'ignored', what: 'consumer-configurator' };
  assert.deepEqual(leaf('override://192.0.2.11/com.example.A?weight=7'), consumers);
  assert.deepEqual(leaf('override://[fd00::2]/com.example.A?weight=7'), consumers);
  assert.deepEqual(leaf(`${head}&side=consumer&weight=7`), consumers);
  assert.equal(outcome(provider(), leaf(`${head}&side=provider&weight=7`)), '7 UP');
  assert.equal(outcome(provider(), leaf(`${head}&side=*&weight=7`)), '7 UP');
});

test('the service of a leaf is its directory with the group and version of its URL', () => {
  const cases: readonly (readonly [string, ProviderWords, boolean])[] = [
    ['', {}, true],
    ['', { group: 'g1' }, false],
    ['', { version: '1.0.0' }, false],
    ['', { interfaceName: 'com.example.B' }, false],
    ['&group=g1', { group: 'g1' }, true],
    ['&group=g1', {}, false],
    ['&group=g1&version=1.0.0', { group: 'g1', version: '1.0.0' }, true],
    ['&group=g1&version=1.0.0', { group: 'g1', version: '2.0.0' }, false],
    ['&group=*&version=*', { group: 'g1', version: '1.0.0' }, true],
    ['&group=*&version=*', {}, true],
    ['&group=*', { group: 'g1', version: '1.0.0' }, false],
    ['&interface=com.example.B', {}, true],
  ];
  for (const [conditions, words, isConcerned] of cases) {
    const reading = leaf(`override://0.0.0.0/ignored?weight=7${conditions}`);
    assert.equal(outcome(provider(words), reading), isConcerned ? '7 UP' : '0 UP', conditions);
  }
});

test('further conditions of a leaf must hold', () => {
  const cases: readonly (readonly [string, ProviderWords, boolean])[] = [
    ['&application=orders', {}, true],
    ['&application=*', {}, true],
    ['&application=', {}, true],
    ['&application=billing', {}, false],
    ['&~application=orders', {}, true],
    ['&~release=2.7.23', { labels: { release: '2.7.23' } }, true],
    ['&~release=2.7.23', { labels: { release: '3.3.6' } }, false],
    ['&~release=2.7.23', {}, false],
    ['&~release=*', {}, true],
    ['&~group=g1&group=*', { group: 'g1' }, true],
    ['&~version=1&version=*', {}, false],
    ['&~weight=50', { weight: 50 }, true],
    ['&~weight=50', {}, false],
    ['&~side=provider', {}, true],
    ['&~interface=com.example.A', {}, true],
    ['&~application=orders', { application: '' }, false],
    ['&~toString=x', {}, false],
  ];
  for (const [conditions, words, isConcerned] of cases) {
    const said = outcome(provider(words), leaf(`${head}&weight=7${conditions}`));
    assert.equal(said.startsWith('7 '), isConcerned, conditions);
  }
});

test('the address comes before the priority, and the larger priority wins', () => {
  const all = leaf(`${head}&weight=1&priority=9`);
  const low = leaf('override://192.0.2.11:20880/a?weight=2&priority=-1');
  const high = leaf('override://192.0.2.11:20880/a?weight=3&priority=1');
  assert.equal(outcome(provider(), all, low), '2 UP');
  assert.equal(outcome(provider(), low, all), '2 UP');
  assert.equal(outcome(provider(), high, all, low), '3 UP');
  assert.equal(outcome(provider(), all, leaf(`${head}&weight=4&priority=x`)), '1 UP');
  // Each setting is overridden for itself.
  assert.equal(outcome(provider(), all, leaf(`${head}&disabled=true`)), '1 OUT_OF_SERVICE');
});

test('an absent rule fills in what nobody said', () => {
  const absent = leaf('absent://0.0.0.0/a?category=configurators&weight=20&disabled=true');
  assert.equal(outcome(provider(), absent), '20 OUT_OF_SERVICE');
  assert.equal(outcome(provider({ weight: 5 }), absent), '5 OUT_OF_SERVICE');
  const earlier = leaf(`${head}&weight=9&disabled=false&priority=-1`);
  assert.equal(outcome(provider(), earlier, absent), '9 UP');
  assert.equal(outcome(provider({ isDisabled: true }), absent), '20 OUT_OF_SERVICE');
  const enabling = leaf('absent://0.0.0.0/a?disabled=false');
  assert.equal(outcome(provider({ isDisabled: true }), enabling), '0 OUT_OF_SERVICE');
});

test('an empty rule makes void all leaves of its service', () => {
  const empty = leaf('empty://0.0.0.0/a?category=configurators&group=g1');
  const group = { group: 'g1' };
  const rule = leaf(`${head}&weight=7&group=*`);
  assert.equal(outcome(provider(group), rule, empty), '0 UP');
  assert.equal(outcome(provider(), rule, empty), '7 UP');
  const document = node(
    'orders.configurators',
    'scope: application\nkey: orders\nconfigs: [{parameters: {weight: 8}}]',
  );
  assert.equal(outcome(provider(group), rule, empty, document), '8 UP');
});

test('what a leaf does not set of traffic is counted, what makes no sense is dropped', () => {
  const dropped = (reason: string) => ({ kind: 'dropped', reason });
  const cases: readonly (readonly [string, unknown])[] = [
    [`${head}&timeout=100`, { kind: 'ignored', what: 'unknown-parameters' }],
    [head, { kind: 'ignored', what: 'unknown-parameters' }],
    [`${head}&enabled=true&timeout=1`, { kind: 'ignored', what: 'unknown-parameters' }],
    [`${head}&weight=5.5`, dropped('rule')],
    [`${head}&weight=many`, dropped('rule')],
    ['route://0.0.0.0/a?category=routers&rule=x', { kind: 'ignored', what: 'route-leaf' }],
    ['override://0.0.0.0/a?category=routers&weight=1', { kind: 'ignored', what: 'route-leaf' }],
    [`${head}&enabled=false&weight=-5`, { kind: 'rules', rules: [] }],
    ['not a rule', dropped('name')],
    ['', dropped('name')],
  ];
  for (const [url, expected] of cases) assert.deepEqual(leaf(url), expected, url);
  assert.deepEqual(readConfiguratorLeaf('a', '%zz'), dropped('name'));
  assert.deepEqual(readConfiguratorLeaf('a', 'x'.repeat(65_537)), dropped('too-long'));
});

test('an unusable weight does not void the rest of the rule', () => {
  assert.equal(outcome(provider(), leaf(`${head}&weight=many&disabled=true`)), '0 OUT_OF_SERVICE');
});

test('a leaf with a root concerns the providers of that root alone', () => {
  const read = (root: string) =>
    readConfiguratorLeaf('com.example.A', encodeURIComponent(`${head}&weight=7`), root);
  const inGroup = provider({ root: '/my/group' });
  assert.equal(outcome(inGroup, read('/my/group')), '7 UP');
  for (const root of ['/my', '/my/group2', '/', '/dubbo']) {
    assert.equal(outcome(inGroup, read(root)), '0 UP', root);
  }
  assert.equal(outcome(provider({ root: '' }), read('/my')), '7 UP');
});

test('no credentials of a leaf are kept', () => {
  const rules = rulesOf(leaf('override://user:hunter2@192.0.2.11:20880/a?weight=7&token=hunter3'));
  assert.ok(!JSON.stringify(rules).includes('hunter'));
});
