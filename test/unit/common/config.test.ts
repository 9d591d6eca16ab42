import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { z } from 'zod';
import { configurationReference, helpText } from '../../../common/cli.ts';
import { loadConfiguration, printConfiguration } from '../../../common/config.ts';
import type { Program } from '../../../common/config.ts';
import { ConfigurationError } from '../../../common/errors.ts';
import {
  choice,
  duration,
  file,
  list,
  listen,
  number,
  option,
  registrySchema,
  structure,
  text,
  textOr,
  textSchema,
  toggle,
  writableDirectorySchema,
} from '../../../common/option.ts';
import type { Options, Values } from '../../../common/option.ts';

const folder = mkdtempSync(join(tmpdir(), 'tributary-config-'));
after(() => rmSync(folder, { recursive: true }));

const group = 'Test';
const options = {
  pollInterval: duration({ group, description: 'pace' }, 5000, [100, 60_000]),
  listenOn: listen({ group, description: 'address' }, { host: '127.0.0.1', port: 9000 }),
  isOpen: toggle({ group, description: 'open' }),
  share: number({ group, description: 'part', unit: 'fraction', isWhole: false }, 0.3, [0, 1]),
  size: number({ group, description: 'size', unit: 'instances', isWhole: true }, 10, [1, 100]),
  names: list({ group, description: 'names' }, textSchema),
  places: option<readonly string[]>({
    shape: 'lists',
    schema: z.array(z.string()),
    fallback: [],
    group,
    description: 'places, with commas in them',
  }),
  level: choice({ group, description: 'level' }, ['low', 'high'], 'low'),
  title: text({ group, description: 'title | name' }, textSchema),
  note: textOr({ group, description: 'note' }, 'none', z.string()),
  secretFile: file({ group, description: 'secret' }),
  folder: text({ group, description: 'folder' }, writableDirectorySchema),
  rows: option<Readonly<Record<string, { priority?: number | undefined }>>>({
    shape: 'structure',
    schema: z.record(registrySchema, structure({ priority: z.int().optional() })),
    fallback: {},
    group,
    description: 'rows by registry',
  }),
};
type TestValues = Values<typeof options>;

const program: Program<typeof options> = {
  name: 'test-program',
  summary: 'A program for tests.',
  examples: ['test-program --share 1'],
  options,
  check: ({ values, isValid, nameOf }) =>
    isValid('share', 'size') && values.share === 1 && values.size === 1
      ? [`${nameOf('share')}, ${nameOf('size')}: not both 1`]
      : [],
};

function load(argv: readonly string[] = [], env: Record<string, string> = {}): TestValues {
  const loaded = loadConfiguration(program, { argv, env });
  assert.equal(loaded.kind, 'values');
  return loaded.values;
}

function problems<O extends Options>(
  of: Program<O>,
  argv: readonly string[],
  env: Record<string, string> = {},
): readonly string[] {
  try {
    loadConfiguration(of, { argv, env });
  } catch (error) {
    assert.ok(error instanceof ConfigurationError);
    return error.problems;
  }
  return [];
}

function write(content: string, name = 'config.yaml'): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

test('without anything given the defaults hold', () => {
  assert.deepEqual(load(), {
    pollInterval: 5000,
    listenOn: { host: '127.0.0.1', port: 9000 },
    isOpen: false,
    share: 0.3,
    size: 10,
    names: [],
    places: [],
    level: 'low',
    title: undefined,
    note: 'none',
    secretFile: undefined,
    folder: undefined,
    rows: {},
  });
});

test('flags go before the environment, the environment before the file, the file before the default', () => {
  const path = write('size: 1\nshare: 0.1\nlevel: high\nnames: [a, b]\n');
  const env = { TRIBUTARY_SIZE: '2', TRIBUTARY_SHARE: '0.2', TRIBUTARY_CONFIG: path };
  const values = load(['--size', '3', '--names=c'], env);
  assert.equal(values.size, 3);
  assert.equal(values.share, 0.2);
  assert.equal(values.level, 'high');
  assert.equal(values.pollInterval, 5000);
  assert.deepEqual(values.names, ['c'], 'a list replaces the list of a lower layer');
});

test('each shape can be written in each layer', () => {
  const file1 = write(
    'poll_interval: 150ms\nlisten_on: "[::1]:80"\nis_open: true\nnames: a, b\nplaces: [x, "y,z"]\n' +
      'rows: { dc1/orders: { priority: 3 } }\ntitle:\n',
  );
  const fromFile = load(['--config', file1]);
  assert.equal(fromFile.pollInterval, 150);
  assert.deepEqual(fromFile.listenOn, { host: '::1', port: 80 });
  assert.equal(fromFile.isOpen, true);
  assert.deepEqual(fromFile.names, ['a', 'b']);
  assert.deepEqual(fromFile.places, ['x', 'y,z']);
  assert.deepEqual(fromFile.rows, { 'dc1/orders': { priority: 3 } });
  assert.equal(fromFile.title, undefined, 'a key without a value is not given');

  const fromEnv = load([], {
    TRIBUTARY_POLL_INTERVAL: '1m',
    TRIBUTARY_IS_OPEN: 'true',
    TRIBUTARY_NAMES: 'a,b',
    TRIBUTARY_PLACES: 'x y,z',
    TRIBUTARY_TITLE: '',
  });
  assert.equal(fromEnv.pollInterval, 60_000);
  assert.equal(fromEnv.isOpen, true);
  assert.deepEqual(fromEnv.names, ['a', 'b']);
  assert.deepEqual(fromEnv.places, ['x', 'y,z']);
  assert.equal(fromEnv.title, undefined, 'an empty variable is not given');

  const fromFlags = load([
    ...['--poll-interval=2s', '--is-open', '--names', 'a', '--names', 'b,c'],
    ...['--places', 'x', '--places', 'y,z', '--title', 'T', '--folder', join(folder, 'a/b')],
  ]);
  assert.equal(fromFlags.pollInterval, 2000);
  assert.equal(fromFlags.isOpen, true);
  assert.deepEqual(fromFlags.names, ['a', 'b', 'c']);
  assert.deepEqual(fromFlags.places, ['x', 'y,z']);
  assert.equal(fromFlags.title, 'T');
  assert.equal(load(['--is-open=false'], { TRIBUTARY_IS_OPEN: 'true' }).isOpen, false);
});

test('every problem of all layers is reported at once, each under its name', () => {
  const path = write(
    [
      'poll_intervall: 5s',
      'poll_interval: 5',
      'size: 1.5',
      'names: [a, ""]',
      'rows:',
      '  dc1/orders: { priorty: 1 }',
      '  dc1/dubbo: { priority: high }',
      '  Nowhere: {}',
    ].join('\n'),
  );
  const env = { TRIBUTARY_SHARE: '2', TRIBUTARY_LEVEL: 'loud' };
  const argv = [
    ...['--config', path, '--listen-on', 'nowhere', '--secret-file', join(folder, 'missing')],
    ...['--sise', '3', '--is-open=perhaps', '--title', '--note', 'a', '--note', 'b', 'stray'],
    ...['--folder', path],
  ];
  assert.deepEqual(problems(program, argv, env), [
    '--sise: unknown flag: did you mean --size?',
    '--title: needs a value',
    '"a": unexpected argument',
    '"stray": unexpected argument',
    `${path}: poll_intervall: unknown key: did you mean poll_interval?`,
    `${path}: poll_interval: expected a duration between 100ms and 1m, like 5s`,
    '--listen-on: expected host:port (an IPv6 host in brackets), like 127.0.0.1:9000 or [::1]:9000',
    '--is-open: expected true or false',
    'TRIBUTARY_SHARE: expected a number between 0 and 1',
    `${path}: size: expected a whole number between 1 and 100`,
    `${path}: names[1]: expected a text that is not empty`,
    'TRIBUTARY_LEVEL: expected one of low, high',
    `--secret-file: cannot read ${join(folder, 'missing')} (ENOENT)`,
    `--folder: ${path} is not a directory`,
    `${path}: rows.dc1/orders: unknown key "priorty": did you mean priority?`,
    `${path}: rows.dc1/dubbo.priority: expected number, received string`,
    `${path}: rows.Nowhere: expected <datacenter>/<name>, each of lower-case letters, digits and dashes`,
  ]);
});

test('a flag that cannot be repeated is an error the second time, and so is an argument without a flag', () => {
  assert.deepEqual(problems(program, ['--note', 'a', '--note=b']), [
    '--note: given more than once',
  ]);
  assert.deepEqual(problems(program, ['size']), [
    '"size": unexpected argument: did you mean --size?',
  ]);
});

test('checks over several options run only on options that are right themselves', () => {
  assert.deepEqual(problems(program, ['--share', '1'], { TRIBUTARY_SIZE: '1' }), [
    '--share, TRIBUTARY_SIZE: not both 1',
  ]);
  assert.deepEqual(problems(program, ['--share', '1', '--size', '0']), [
    '--size: expected a whole number between 1 and 100',
  ]);
});

test('a required option that is missing says what to write', () => {
  const required: Program<Options> = {
    ...program,
    options: { ...options, names: { ...options.names, requiredText: 'write --names A' } },
    check: () => [],
  };
  assert.deepEqual(problems(required, []), ['--names: write --names A']);
  assert.deepEqual(problems(required, ['--names', 'a']), []);
});

test('a file that is no YAML, or no mapping, or not there, is reported with its place', () => {
  const broken = write('size: 1\nsize: 2\n', 'broken.yaml');
  assert.deepEqual(problems(program, ['--config', broken]), [
    `${broken}: line 2, column 1: Map keys must be unique`,
  ]);
  const listed = write('- a\n', 'list.yaml');
  assert.deepEqual(problems(program, ['--config', listed]), [
    `${listed}: expected keys and values`,
  ]);
  const missing = join(folder, 'missing.yaml');
  assert.deepEqual(problems(program, ['--config', missing]), [
    `${missing}: cannot be read: ENOENT`,
  ]);
  assert.equal(load(['--config', write('# nothing\n', 'empty.yaml')]).size, 10);
});

test('unknown variables are warnings, and what Kubernetes injects is not even that', () => {
  const loaded = loadConfiguration(program, {
    argv: [],
    env: {
      TRIBUTARY_SIZ: '3',
      TRIBUTARY_MCP_PORT_9902_TCP_ADDR: '10.0.0.1',
      TRIBUTARY_MCP_SERVICE_HOST: '10.0.0.1',
      TRIBUTARY_MCP_SERVICE_PORT_GRPC: '9902',
      TRIBUTARY_MCP_PORT: 'tcp://10.0.0.1:9902',
      OTHER: 'x',
    },
  });
  assert.ok(loaded.kind === 'values');
  assert.deepEqual(loaded.warnings, [
    'TRIBUTARY_SIZ: unknown, ignored: did you mean TRIBUTARY_SIZE?',
  ]);
});

test('secrets in URLs do not come back in problems', () => {
  const found = problems(program, ['x=http://user:hunter2@host/']);
  assert.equal(found.length, 1);
  assert.doesNotMatch(found.join(), /hunter2/);
});

test('help, version and print-config are words of their own', () => {
  assert.equal(loadConfiguration(program, { argv: ['-h'], env: {} }).kind, 'help');
  assert.equal(loadConfiguration(program, { argv: ['--help', '--x'], env: {} }).kind, 'help');
  assert.equal(loadConfiguration(program, { argv: ['--version'], env: {} }).kind, 'version');
  const printed = loadConfiguration(program, { argv: ['--print-config'], env: {} });
  assert.equal(printed.kind === 'values' && printed.isPrintOnly, true);
});

test('the printed configuration is a file that gives the same configuration', () => {
  const values = load([
    ...['--poll-interval', '50s', '--listen-on', '[::1]:1', '--is-open', '--names', 'a,b'],
    ...['--places', 'x,y', '--title', 'T: #1', '--share', '0.5'],
  ]);
  const path = write(printConfiguration(program, values), 'printed.yaml');
  assert.deepEqual(load(['--config', path]), values);
});

test('help tells each flag with its default, unit, environment name and description', () => {
  const help = helpText(program);
  for (const wanted of [
    'Usage: test-program',
    '--poll-interval DURATION\n        pace\n        (default 5s; TRIBUTARY_POLL_INTERVAL)',
    '--size NUMBER\n        size\n        (default 10 instances; TRIBUTARY_SIZE)',
    '--is-open\n        open\n        (default false; TRIBUTARY_IS_OPEN)',
    'rows:  (in the file only)\n        rows by registry',
    '--level low|high',
    '--config FILE',
  ]) {
    assert.ok(help.includes(wanted), `${wanted}\nis not in\n${help}`);
  }
  for (const line of help.split('\n')) assert.ok(line.length <= 100, line);
});

test('the reference has a row for each option', () => {
  const reference = configurationReference([program]);
  assert.ok(reference.includes('## test-program'));
  assert.ok(reference.includes('| `--size NUMBER` | `10` instances | size |'));
  assert.ok(reference.includes('| `rows:` (file only) |  | rows by registry |'));
  assert.ok(reference.includes('title \\| name'));
  const rows = reference.split('\n').filter((line) => line.startsWith('| `'));
  assert.equal(rows.length, Object.keys(options).length);
});
