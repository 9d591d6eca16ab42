import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { createDubboReading } from '../../../../../../agent/zookeeper/dubbo/dubbo.ts';
import {
  isRuleName,
  readConfiguratorLeaf,
  readRuleNode,
} from '../../../../../../agent/zookeeper/dubbo/rules/rule.ts';
import type { RuleReading } from '../../../../../../agent/zookeeper/dubbo/rules/rule.ts';
import { RuleBook } from '../../../../../../agent/zookeeper/dubbo/rules/rule-book.ts';
import { Sharing } from '../../../../../../agent/zookeeper/sharing.ts';
import type { Instance } from '../../../../../../common/instance.ts';
import { node, rulesOf } from './providers.ts';
import { anyText } from '../../../../../support/any-text.ts';

interface Node {
  readonly path: string;
  readonly data: string | null;
}

function fixture(name: string): readonly Node[] {
  const url = new URL(`../../../../../fixtures/zookeeper/${name}.jsonl`, import.meta.url);
  const lines = readFileSync(url, 'utf8').trim().split('\n');
  return lines.map((line) => JSON.parse(line) as Node);
}

/** What a node of a fixture says, if it can be a rule. */
function readNode({ path, data }: Node): RuleReading | undefined {
  const [, root = '', second = '', third = '', name = ''] = path.split('/');
  if (name === '') return undefined;
  if (second === 'config') {
    if (!isRuleName(name)) return undefined;
    return readRuleNode(third, name, data === null ? null : Buffer.from(data), `/${root}`);
  }
  return third === 'configurators' ? readConfiguratorLeaf(second, name, `/${root}`) : undefined;
}

/** The providers of a fixture as its rules leave them, by interface. */
function project(nodes: readonly Node[]): { before: Instance; after: Instance }[] {
  const book = new RuleBook();
  const labelKeys = ['application', 'dubbo.tag'];
  const reading = createDubboReading(
    { roots: ['/dubbo'], hiddenInterfaces: [], labelKeys, metadataLabelKeys: [], zones: {} },
    new Sharing(),
  );
  for (const one of nodes) {
    const said = readNode(one);
    if (said !== undefined) book.set(one.path, rulesOf(said));
  }
  return nodes
    .filter(({ path }) => /\/providers\/./.test(path))
    .map(({ path }) => {
      const said = reading.read(path, null);
      assert.ok(said.kind === 'endpoint' && said.traits !== undefined);
      const after = book.project(said.instance, said.traits);
      return { before: said.instance, after };
    });
}

function shown({ service, weight, status, labels }: Instance): string {
  return `${service.name} ${weight} ${status} ${labels['dubbo.tag'] ?? '-'}`;
}

test('the rules of a Dubbo 2.7 estate, of which its leaves show the URLs only', () => {
  const projected = project(fixture('dubbo-2.7.23-configured'));
  assert.deepEqual(
    projected.map(({ before }) => shown(before)),
    ['com.example.DemoService 300 UP gray', 'com.example.OtherService 0 UP -'],
  );
  assert.deepEqual(
    projected.map(({ after }) => shown(after)),
    ['com.example.DemoService 300 UP blue', 'com.example.OtherService 77 UP blue'],
  );
});

test('the rules of a Dubbo 3.3 estate, which its leaves show, change the tag only', () => {
  const projected = project(fixture('dubbo-3.3.6-configured'));
  assert.deepEqual(
    projected.map(({ before }) => shown(before)),
    ['com.example.DemoService 300 UP gray', 'com.example.OtherService 77 UP -'],
  );
  assert.deepEqual(
    projected.map(({ after }) => shown(after)),
    ['com.example.DemoService 300 UP blue', 'com.example.OtherService 77 UP blue'],
  );
});

test('without rules the providers of an estate stay as they are', () => {
  for (const { before, after } of project(fixture('dubbo-3.3.6-all'))) assert.equal(after, before);
});

test('rules are known by their names', () => {
  const rules = [
    'com.example.A::.configurators',
    'orders.configurators',
    'orders.tag-router',
    'orders.condition-router',
    'orders.script-router',
    'orders.affinity-router',
    'orders.MESHAPPRULE',
    'orders.migration',
  ];
  for (const name of rules) assert.ok(isRuleName(name), name);
  for (const name of ['dubbo.properties', 'configurators', 'orders', '', 'a.tag-router.bak']) {
    assert.ok(!isRuleName(name), name);
  }
});

test('what is not projected is counted by kind, whatever its data', () => {
  const kinds = [
    ['dubbo', 'com.example.A::.condition-router', 'condition-router'],
    ['dubbo', 'orders.script-router', 'script-router'],
    ['dubbo', 'orders.affinity-router', 'affinity-router'],
    ['dubbo', 'orders.MESHAPPRULE', 'mesh-rule'],
    ['dubbo', 'orders.migration', 'migration'],
    ['DUBBO_SERVICEDISCOVERY_MIGRATION', 'orders.migration', 'migration'],
    ['MIGRATION', 'orders.configurators', 'migration'],
  ] as const;
  for (const [group, name, what] of kinds) {
    const expected = { kind: 'ignored', what };
    assert.deepEqual(readRuleNode(group, name, Buffer.from('{[')), expected, name);
    assert.deepEqual(readRuleNode(group, name, null), expected, name);
  }
  const other = readRuleNode('dubbo', 'dubbo.properties', null);
  assert.deepEqual(other, { kind: 'dropped', reason: 'name' });
});

test('documents that would cost too much are dropped', () => {
  const bomb = [
    'a: &a [x, x]',
    ...['b', 'c', 'd', 'e', 'f'].map((name, index) => {
      const before = String.fromCharCode('a'.charCodeAt(0) + index);
      return `${name}: &${name} [${Array.from({ length: 9 }, () => `*${before}`).join()}]`;
    }),
    'tags: *f',
  ].join('\n');
  const anchors = Array.from({ length: 1001 }, (_, index) => `- &a${index} 1`).join('\n');
  const cases: readonly (readonly [string, string])[] = [
    [bomb, 'rule'],
    ['&a [*a]', 'rule'],
    [anchors, 'rule'],
    ['['.repeat(60_000), 'rule'],
    ['{a: '.repeat(15_000), 'rule'],
    ['\t- a: 1', 'rule'],
    ['a: *nobody', 'rule'],
    ['!!js/function x', 'rule'],
    [`#${'x'.repeat(262_144)}`, 'too-long'],
  ];
  for (const name of ['orders.configurators', 'orders.tag-router']) {
    for (const [data, reason] of cases) {
      assert.deepEqual(node(name, data), { kind: 'dropped', reason }, data.slice(0, 20));
    }
  }
});

test('looking at a bad document leaves the depth of stack traces as it was', () => {
  const before = Error.stackTraceLimit;
  try {
    Error.stackTraceLimit = 7;
    node('orders.tag-router', '['.repeat(50));
    assert.equal(Error.stackTraceLimit, 7);
  } finally {
    Error.stackTraceLimit = before;
  }
});

test('a document may be written as Dubbo writes and reads it', () => {
  const body = 'tags: [{name: blue, addresses: ["*"]}]';
  const documents = [
    `---\n${body}\n...`,
    `%YAML 1.2\n---\n${body}`,
    `\uFEFF${body}`,
    `enabled: false\nenabled: yes\n${body}`,
    '{"tags": [{"name": "blue", "addresses": ["*"]}]}',
    'base: &base {name: blue}\ntags:\n- <<: *base\n  addresses: ["*"]',
  ];
  for (const document of documents) {
    assert.equal(rulesOf(node('orders.tag-router', document)).length, 1, document);
  }
});

const yaml = fc.oneof(
  anyText(),
  fc.json(),
  fc
    .array(
      fc.constantFrom(
        'configs:',
        'tags:',
        'key: a',
        'scope: application',
        '- ',
        '  ',
        '\n',
        'parameters: {weight: 1}',
        'match: {',
        'param: [{key: a, value: {regex: ".*"}}]',
        'address: {cird: 1.2.3.4/8}',
        'name: x',
        'addresses: [1.2.3.4]',
        '[',
        ']',
        '}',
        '&a',
        '*a',
        '"override://0.0.0.0:1/a?weight=1"',
        ',',
        '\t',
        'enabled: ',
        'null',
      ),
    )
    .map((parts) => parts.join('')),
);

test('no data and no name makes a reading throw', () => {
  const names = fc.oneof(
    fc.constantFrom('a.configurators', 'a:b:c.configurators', 'a.tag-router', '.tag-router'),
    anyText().map((base) => `${base}.configurators`),
  );
  fc.assert(
    fc.property(names, yaml, fc.uint8Array(), (name, text, bytes) => {
      for (const data of [Buffer.from(text), Buffer.from(bytes)]) {
        assert.ok(['rules', 'ignored', 'dropped'].includes(readRuleNode('dubbo', name, data).kind));
      }
    }),
    { numRuns: 500 },
  );
  const urls = fc.oneof(
    anyText(),
    fc.string().map((text) => `override://0.0.0.0/a?${text}&weight=1`),
    fc.string().map((text) => `absent://${text}?weight=1`),
  );
  fc.assert(
    fc.property(urls, fc.boolean(), (url, isEncoded) => {
      const name = isEncoded ? encodeURIComponent(url.toWellFormed()) : url;
      const { kind } = readConfiguratorLeaf('com.example.A', name);
      assert.ok(['rules', 'ignored', 'dropped'].includes(kind));
    }),
    { numRuns: 500 },
  );
});
