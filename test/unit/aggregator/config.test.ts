import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { aggregatorProgram, feedAddress } from '../../../aggregator/config.ts';
import type { AggregatorValues } from '../../../aggregator/config.ts';
import { loadConfiguration, printConfiguration } from '../../../common/config.ts';
import { ConfigurationError } from '../../../common/errors.ts';
import { Certificates } from '../../support/certificates.ts';

const folder = mkdtempSync(join(tmpdir(), 'tributary-aggregator-config-'));
const certificates = new Certificates();
after(() => {
  rmSync(folder, { recursive: true });
  certificates.remove();
});

const expect = ['--expect', 'dc1/orders,dc1/dubbo'];

function load(argv: readonly string[], env: Record<string, string> = {}): AggregatorValues {
  const loaded = loadConfiguration(aggregatorProgram, { argv, env });
  assert.ok(loaded.kind === 'values');
  return loaded.values;
}

function problems(argv: readonly string[], env: Record<string, string> = {}): readonly string[] {
  try {
    loadConfiguration(aggregatorProgram, { argv, env });
  } catch (error) {
    assert.ok(error instanceof ConfigurationError);
    return error.problems;
  }
  return [];
}

function write(content: string, name: string): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

test('an aggregator needs no more than what it is to expect', () => {
  const values = load(expect);
  assert.deepEqual(values.expect, ['dc1/orders', 'dc1/dubbo']);
  assert.deepEqual(values.mcpListen, { host: '0.0.0.0', port: 9902 });
  assert.deepEqual(values.metricsListen, { host: '0.0.0.0', port: 9904 });
  assert.deepEqual(values.adminListen, { host: '127.0.0.1', port: 9905 });
  assert.equal(values.domain, 'tributary.internal');
  assert.equal(values.namespace, 'tributary');
  assert.equal(values.stateDir, undefined);
  assert.equal(values.mcpShare, 0.3);
  assert.equal(values.mcpMinInterval, 150);
});

test('without --expect it says what to write', () => {
  const text =
    '--expect: which registries are served? Write --expect <datacenter>/<name>[,...], like --expect dc1/orders,dc1/dubbo';
  assert.deepEqual(problems([]), [text]);
  assert.deepEqual(problems([], { TRIBUTARY_EXPECT: '' }), [text]);
});

test('the feed listens on loopback until TLS, tokens or the operator say otherwise', () => {
  const token = write('secret\n', 'token');
  const { certFile, keyFile } = certificates.issue(certificates.authority());
  const local = { host: '127.0.0.1', port: 9903 };
  const open = { host: '0.0.0.0', port: 9903 };
  assert.deepEqual(feedAddress(load(expect)), local);
  assert.deepEqual(feedAddress(load([...expect, '--insecure-feed'])), open);
  assert.deepEqual(feedAddress(load([...expect, '--feed-token-file', token])), open);
  assert.deepEqual(
    feedAddress(load([...expect, '--feed-cert', certFile, '--feed-key', keyFile])),
    open,
  );
  const clients = write(
    `feed_clients: [{ token_file: ${token}, registries: [dc1/*] }]\n`,
    'clients.yaml',
  );
  assert.deepEqual(feedAddress(load([...expect, '--config', clients])), open);
  const given = [...expect, '--feed-listen', '127.0.0.1:1', '--feed-token-file', token];
  assert.deepEqual(feedAddress(load(given)), { host: '127.0.0.1', port: 1 });
});

test('an open feed that anybody could write to is refused, and the flag for it named', () => {
  const open = [...expect, '--feed-listen', '0.0.0.0:9903'];
  const found = problems(open);
  assert.equal(found.length, 1);
  assert.match(
    found[0] ?? '',
    /^--feed-listen: everybody who reaches 0\.0\.0\.0 .*--insecure-feed$/,
  );
  assert.match(
    problems(expect, { TRIBUTARY_FEED_LISTEN: '[::]:1' }).join(),
    /^TRIBUTARY_FEED_LISTEN: /,
  );
  assert.deepEqual(problems([...open, '--insecure-feed']), []);
  assert.deepEqual(problems([...expect, '--feed-listen', '[::1]:9903']), []);
});

test('TLS files of both listeners are looked into at once', () => {
  const garbage = write('garbage', 'garbage.pem');
  const { certFile, keyFile } = certificates.issue(certificates.authority());
  const found = problems([
    ...[...expect, '--mcp-cert', garbage, '--mcp-key', garbage],
    ...['--feed-cert', certFile, '--feed-client-ca', garbage],
  ]);
  assert.equal(found.length, 2);
  assert.match(found[0] ?? '', /^--mcp-cert: expected a certificate in PEM/);
  assert.match(found[1] ?? '', /^--feed-cert, --feed-key: a certificate needs its key/);
  assert.deepEqual(
    problems([
      ...expect,
      '--mcp-cert',
      certFile,
      '--mcp-key',
      keyFile,
      '--mcp-client-ca',
      certFile,
    ]),
    [],
  );
  assert.match(problems([...expect, '--mcp-client-ca', certFile]).join(), /^--mcp-client-ca: /);
  assert.match(problems([...expect, '--feed-client-ca', certFile]).join(), /^--feed-client-ca: /);
});

test('every part of the file is checked with its path', () => {
  const file = write(
    [
      'expect: [dc1/orders, Nowhere]',
      'priorities: { dc1/orders: first }',
      'pins: { orders.tributary.internal: 240.0.0.999 }',
      'guard: { dc1/orders: { hold: 5, fractoin: 1 } }',
      'guard_services: { orders: { fraction: 2 }, cart: { minimum: 0 } }',
      'feed_clients:',
      '  - { token_file: /nowhere, registries: [] }',
      '  - { tokens: [a], registries: [dc1/a] }',
      'mcp_allow: [10.0.0.0/40]',
      'domain: Not A Domain',
    ].join('\n'),
    'wrong.yaml',
  );
  const found = problems(['--config', file]).map((line) => line.replace(`${file}: `, ''));
  const wanted = [
    /^expect\[1\]: expected <datacenter>\/<name>/,
    /^priorities\.dc1\/orders: expected number/,
    /^pins\.orders\.tributary\.internal: expected an IPv4 address/,
    /^guard\.dc1\/orders\.hold: expected a duration/,
    /^guard\.dc1\/orders: unknown key "fractoin": did you mean fraction\?/,
    /^guard_services\.orders\.fraction: expected 0 to 1/,
    /^guard_services\.cart\.minimum: expected 1 or more/,
    /^feed_clients\[0\]\.token_file: cannot read \/nowhere/,
    /^feed_clients\[0\]\.registries: expected registry ids/,
    /^feed_clients\[1\]: unknown key "tokens": did you mean token_file\?|^feed_clients\[1\]: unknown key "tokens"/,
    /^mcp_allow\[0\]: expected an address or a range/,
    /^domain: expected a domain/,
  ];
  for (const pattern of wanted) {
    assert.ok(
      found.some((line) => pattern.test(line)),
      `${String(pattern)} is not in\n${found.join('\n')}`,
    );
  }
  assert.equal(found.length, wanted.length, found.join('\n'));
});

test('a state directory that cannot be used is told at the start', () => {
  const file = write('', 'not-a-directory');
  assert.deepEqual(problems([...expect, '--state-dir', file]), [
    `--state-dir: ${file} is not a directory`,
  ]);
  assert.deepEqual(problems([...expect, '--state-dir', join(file, 'below')]), [
    `--state-dir: cannot write to ${join(file, 'below')} (ENOTDIR)`,
  ]);
  assert.deepEqual(problems([...expect, '--state-dir', join(folder, 'made', 'later')]), []);
});

test('what is printed can be read again', () => {
  const file = write(
    [
      'expect: dc1/orders',
      'priorities: { dc1/orders: 10 }',
      'pins: { orders.tributary.internal: 240.0.0.9 }',
      'guard: { dc1/orders: { hold: 2m, fraction: 0.3 } }',
      'guard_services: { ORDERS: { hold: 90s }, com.acme.Cart: { fraction: 1 } }',
      'guard_hold: 1m',
      'mcp_allow: [10.0.0.0/8, "::1"]',
      'feed_listen: "127.0.0.1:0"',
    ].join('\n'),
    'given.yaml',
  );
  const values = load(['--config', file]);
  const printed = write(printConfiguration(aggregatorProgram, values), 'printed.yaml');
  assert.deepEqual(load(['--config', printed]), values);
});
