import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { concerns, RuleBook } from '../../../../../../agent/zookeeper/dubbo/rules/rule-book.ts';
import type { DubboRule, RuleReading } from '../../../../../../agent/zookeeper/dubbo/rules/rule.ts';
import { bookOf, leaf, node, provider, rulesOf } from './providers.ts';
import type { Provider } from './providers.ts';

const word = (...words: readonly string[]) => fc.constantFrom(...words);
const address = word('192.0.2.11', '192.0.2.12', 'fd00::2', 'host.example');

const providers: fc.Arbitrary<Provider> = fc
  .record(
    {
      interfaceName: word('com.example.A', 'com.example.B'),
      group: word('', 'g1'),
      version: word('', '1.0.0'),
      address,
      port: fc.constantFrom(20_880, 20_881),
      application: word('', 'orders', 'billing'),
      weight: fc.constantFrom(0, 1, 100, 150),
      isDisabled: fc.boolean(),
      labels: fc.constantFrom({}, { 'dubbo.tag': 'gray' }, { 'dubbo.tag': 'blue', release: '3' }),
    },
    { requiredKeys: [] },
  )
  .map(provider);

const settings = fc
  .record(
    {
      weight: fc.constantFrom(0, 1, 77, 300),
      disabled: fc.boolean(),
      priority: fc.integer({ min: -2, max: 2 }),
    },
    { requiredKeys: ['weight'] },
  )
  .map((record) => Object.entries(record));

const ruleAddress = fc.oneof(
  word('0.0.0.0', '0.0.0.0:20880', '192.0.2.11:20880', '192.0.2.12:20881', '[fd00::2]:20880'),
);

const leaves = fc
  .tuple(word('override', 'absent', 'empty'), ruleAddress, word('', 'g1', '*'), settings)
  .map(([scheme, host, group, parameters]) =>
    leaf(`${scheme}://${host}/x?version=*&group=${group}&${joined(parameters, '=', '&')}`),
  );

const documents = fc
  .tuple(
    word(
      'scope: application\nkey: orders\n',
      'key: com.example.A\n',
      'key: g1/com.example.B:1.0.0\n',
    ),
    fc.array(fc.tuple(fc.array(ruleAddress, { maxLength: 2 }), settings), { maxLength: 3 }),
  )
  .map(([head, configs]) => {
    const lines = configs.map(
      ([addresses, parameters]) =>
        `- {addresses: ${JSON.stringify(addresses)}, parameters: {${joined(parameters, ': ', ', ')}}}`,
    );
    return node(
      '.configurators',
      `${head}configs:${lines.length === 0 ? ' []' : ''}\n${lines.join('\n')}`,
    );
  });

const tagRouters = fc
  .tuple(
    word('orders', 'billing'),
    word('192.0.2.*', '0.0.0.0:20881', '*', 'fd00::/16'),
    word('blue', 'x'),
  )
  .map(([application, pattern, name]) =>
    node(`${application}.tag-router`, `tags: [{name: ${name}, addresses: ["${pattern}"]}]`),
  );

const readings: fc.Arbitrary<RuleReading> = fc.oneof(leaves, documents, tagRouters);

function joined(entries: readonly [string, unknown][], equals: string, comma: string): string {
  return entries.map(([key, value]) => `${key}${equals}${String(value)}`).join(comma);
}

function filled(entries: readonly (readonly [string, readonly DubboRule[]])[]): RuleBook {
  const book = new RuleBook();
  for (const [path, rules] of entries) book.set(path, rules);
  return book;
}

/** All that it keeps of rules, the order in which they came aside. */
function contents(book: RuleBook): object {
  return Object.fromEntries(Object.entries(book).filter(([name]) => name !== 'tagged'));
}

/** Rules of several nodes, by their paths. */
const nodes = fc
  .array(readings, { maxLength: 8 })
  .map((all) => all.map((reading, index) => [`/n${index}`, rulesOf(reading)] as const));

test('the rules make of a provider the same in whatever order they come', () => {
  fc.assert(
    fc.property(
      nodes.chain((all) =>
        fc.tuple(fc.constant(all), fc.shuffledSubarray(all, { minLength: all.length })),
      ),
      providers,
      ([inOrder, shuffled], { instance, traits }) => {
        assert.deepEqual(
          filled(shuffled).project(instance, traits),
          filled(inOrder).project(instance, traits),
        );
      },
    ),
  );
});

test('projecting a projection changes nothing', () => {
  fc.assert(
    fc.property(nodes, providers, (all, { instance, traits }) => {
      const book = filled(all);
      const once = book.project(instance, traits);
      assert.equal(book.project(once, traits), once);
      // The provider registers anew with what the rules say.
      const { weight, status } = once;
      if (weight === 0 || status !== 'UP') return;
      const written = { ...traits, weight, isDisabled: false };
      assert.deepEqual(book.project(once, written), once);
    }),
  );
});

test('a provider that no rule concerns stays the same object', () => {
  fc.assert(
    fc.property(nodes, providers, (all, { instance, traits }) => {
      const concerned = all.flatMap(([, rules]) =>
        rules.filter((rule) => concerns(rule, instance, traits)),
      );
      const projected = filled(all).project(instance, traits);
      if (concerned.length === 0) assert.equal(projected, instance);
      else if (projected !== instance) assert.notDeepEqual(projected, instance);
    }),
  );
});

test('every change of what becomes of a provider is told with a rule that concerns it', () => {
  fc.assert(
    fc.property(nodes, fc.array(readings, { minLength: 1 }), providers, (all, later, one) => {
      const { instance, traits } = one;
      const book = filled(all);
      for (const [index, reading] of later.entries()) {
        const before = book.project(instance, traits);
        const rules = rulesOf(reading);
        const path = `/n${index % 4}`;
        const changed = index % 3 === 2 ? book.delete(path) : book.set(path, rules);
        const after = book.project(instance, traits);
        const isTold = changed.some((rule) => concerns(rule, instance, traits));
        if (!isTold) assert.deepEqual(after, before);
      }
    }),
  );
});

test('of rules that are equal in rank the one at the greater path wins', () => {
  const { instance, traits } = provider();
  const [a, b] = [1, 2].map((weight) => [`/${weight}`, weightRule(weight)] as const);
  assert.ok(a !== undefined && b !== undefined);
  assert.equal(filled([a, b]).project(instance, traits).weight, 2);
  assert.equal(filled([b, a]).project(instance, traits).weight, 2);
});

test('taking a rule out leaves the book as if it had never been there', () => {
  fc.assert(
    fc.property(nodes, readings, providers, (all, reading, { instance, traits }) => {
      const book = filled(all);
      const rules = rulesOf(reading);
      assert.deepEqual(book.set('/another', rules), rules);
      assert.deepEqual(book.delete('/another'), rules);
      assert.deepEqual(contents(book), contents(filled(all)));
      for (const [path] of all) book.delete(path);
      assert.deepEqual(contents(book), contents(new RuleBook()));
      assert.equal(book.project(instance, traits), instance);
    }),
  );
});

const weightRule = (weight: number) =>
  rulesOf(leaf(`override://0.0.0.0/com.example.A?weight=${weight}`));

test('the rules that change are told, and a node that says the same again changes nothing', () => {
  const book = new RuleBook();
  assert.deepEqual(book.set('/a', weightRule(1)), weightRule(1));
  assert.deepEqual(book.set('/a', weightRule(1)), []);
  assert.deepEqual(book.set('/a', weightRule(2)), [...weightRule(1), ...weightRule(2)]);
  assert.deepEqual([...book.paths()], ['/a']);
  assert.deepEqual(book.set('/a', []), weightRule(2));
  assert.deepEqual([...book.paths()], []);
  assert.deepEqual(book.delete('/a'), []);
  assert.deepEqual(book.set('/b', []), []);
});

test('other addresses and subnets are another rule', () => {
  const book = new RuleBook();
  const tags = (pattern: string) =>
    rulesOf(node('orders.tag-router', `tags: [{name: a, addresses: ["${pattern}"]}]`));
  book.set('/a', tags('10.0.0.0/8'));
  assert.equal(book.set('/a', tags('10.0.0.0/9')).length, 2);
  assert.equal(book.set('/a', tags('10.0.0.1')).length, 2);
  assert.equal(book.set('/a', tags('10.0.0.2')).length, 2);
  assert.equal(book.set('/a', tags('10.0.0.2')).length, 0);
});

test('a status that is none of Dubbo is left alone', () => {
  const { instance, traits } = provider();
  const book = bookOf(leaf('override://0.0.0.0/com.example.A?disabled=true&weight=5'));
  const projected = book.project({ ...instance, status: 'STARTING' }, traits);
  assert.equal(projected.status, 'STARTING');
  assert.equal(projected.weight, 5);
});

test('a provider without ports is known by its address', () => {
  const { instance, traits } = provider();
  const portless = { ...instance, ports: [] };
  const rule = (host: string) =>
    bookOf(
      node(
        'com.example.A::.configurators',
        `configs: [{addresses: ["${host}"], parameters: {weight: 7}}]`,
      ),
    );
  assert.equal(rule('192.0.2.11').project(portless, traits).weight, 7);
  assert.equal(rule('192.0.2.11:20880').project(portless, traits), portless);
});

test('a rule for everything is found as well', () => {
  const { instance, traits } = provider({ application: '' });
  const book = bookOf(
    node('.configurators', 'scope: application\nkey: "*"\nconfigs: [{parameters: {weight: 7}}]'),
  );
  assert.equal(book.project(instance, traits).weight, 7);
});
