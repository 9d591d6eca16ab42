import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadConfiguration } from '../../../common/config.ts';
import { ConfigurationError } from '../../../common/errors.ts';
import { standaloneProgram } from '../../../standalone/config.ts';
import type { StandaloneValues } from '../../../standalone/config.ts';

function load(argv: readonly string[], env: Record<string, string> = {}): StandaloneValues {
  const loaded = loadConfiguration(standaloneProgram, { argv, env });
  assert.ok(loaded.kind === 'values');
  return loaded.values;
}

function problems(argv: readonly string[]): readonly string[] {
  try {
    loadConfiguration(standaloneProgram, { argv, env: {} });
  } catch (error) {
    assert.ok(error instanceof ConfigurationError);
    return error.problems;
  }
  return [];
}

test('nothing at all is a right configuration', () => {
  const values = load([]);
  assert.deepEqual([values.eureka, values.zookeeper], [[], []]);
});

test('registries of both kinds can be given any number of times', () => {
  const values = load([
    ...['--eureka', 'dc1/a=http://h1/,http://h2/', '--eureka', 'dc2/a=http://h3/'],
    ...['--zookeeper', 'dc1/dubbo=h1:2181,h2:2181', '--mcp-listen', '127.0.0.1:0'],
  ]);
  assert.deepEqual(
    [...values.eureka, ...values.zookeeper].map(({ registry, servers }) => [registry, servers]),
    [
      ['dc1/a', ['http://h1/', 'http://h2/']],
      ['dc2/a', ['http://h3/']],
      ['dc1/dubbo', ['h1:2181', 'h2:2181']],
    ],
  );
  assert.deepEqual(values.mcpListen, { host: '127.0.0.1', port: 0 });
});

test('in the environment registries are separated by spaces', () => {
  const values = load([], { TRIBUTARY_EUREKA: 'dc1/a=http://h1/,http://h2/ dc2/a=http://h3/' });
  assert.deepEqual(
    values.eureka.map(({ registry }) => registry),
    ['dc1/a', 'dc2/a'],
  );
});

test('an id stands for one registry', () => {
  assert.deepEqual(problems(['--eureka', 'dc1/a=http://h/', '--zookeeper', 'dc1/a=h:2181']), [
    '--eureka, --zookeeper: the registry id dc1/a stands twice; each needs its own',
  ]);
  assert.match(
    problems(['--eureka', 'dc1/a=http://h/', '--eureka', 'x']).join(),
    /^--eureka\[1\]: /,
  );
});

test('what belongs to two processes is not taken', () => {
  for (const flag of ['--expect', '--aggregator', '--feed-listen']) {
    assert.match(problems([`${flag}=x`]).join(), new RegExp(`^${flag}: unknown flag`));
  }
});
