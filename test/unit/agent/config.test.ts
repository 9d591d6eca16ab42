import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { agentProgram } from '../../../agent/config.ts';
import type { AgentValues } from '../../../agent/config.ts';
import { loadConfiguration, printConfiguration } from '../../../common/config.ts';
import { ConfigurationError } from '../../../common/errors.ts';
import { Certificates } from '../../support/certificates.ts';

const folder = mkdtempSync(join(tmpdir(), 'tributary-agent-config-'));
const certificates = new Certificates();
after(() => {
  rmSync(folder, { recursive: true });
  certificates.remove();
});

const eureka = ['--eureka', 'dc1/orders=http://h:8761/eureka/'];
const aggregator = ['--aggregator', 'h:9903'];

function load(argv: readonly string[], env: Record<string, string> = {}): AgentValues {
  const loaded = loadConfiguration(agentProgram, { argv, env });
  assert.ok(loaded.kind === 'values');
  return loaded.values;
}

function problems(argv: readonly string[], env: Record<string, string> = {}): readonly string[] {
  try {
    loadConfiguration(agentProgram, { argv, env });
  } catch (error) {
    assert.ok(error instanceof ConfigurationError);
    return error.problems;
  }
  return [];
}

test('an agent needs no more than its registry and the aggregator', () => {
  const values = load([...eureka, ...aggregator]);
  assert.deepEqual(values.eureka, {
    registry: 'dc1/orders',
    servers: ['http://h:8761/eureka/'],
  });
  assert.deepEqual(values.aggregator, [{ host: 'h', port: 9903 }]);
  assert.equal(values.eurekaPollInterval, 5000);
  assert.deepEqual(values.metricsListen, { host: '0.0.0.0', port: 9906 });
  assert.deepEqual(values.adminListen, { host: '127.0.0.1', port: 9907 });
  assert.equal(values.agentId, hostname());
  assert.equal(values.logLevel, 'info');
  assert.equal(values.emptyServiceTime, 600_000);
  assert.deepEqual(values.dubboRoots, ['/dubbo']);
  assert.deepEqual(values.serviceRoots, ['/services']);
});

test('everything can come from the environment', () => {
  const values = load([], {
    TRIBUTARY_ZOOKEEPER: 'dc1/dubbo=h1:2181,h2:2181/chroot',
    TRIBUTARY_AGGREGATOR: 'a:1,[::1]:2',
    TRIBUTARY_AGENT_ID: 'agent-1',
    TRIBUTARY_ADMIN_LISTEN: '127.0.0.1:0',
  });
  assert.deepEqual(values.zookeeper, {
    registry: 'dc1/dubbo',
    servers: ['h1:2181', 'h2:2181'],
    chroot: '/chroot',
  });
  assert.deepEqual(values.aggregator, [
    { host: 'a', port: 1 },
    { host: '::1', port: 2 },
  ]);
  assert.equal(values.agentId, 'agent-1');
});

test('an agent reads one registry, not none and not two', () => {
  assert.deepEqual(problems(aggregator), [
    '--eureka or --zookeeper: one is required, like --eureka dc1/orders=http://eureka:8761/eureka/',
  ]);
  assert.deepEqual(
    problems([...eureka, ...aggregator], { TRIBUTARY_ZOOKEEPER: 'dc1/dubbo=h:2181' }),
    [
      '--eureka, TRIBUTARY_ZOOKEEPER: an agent reads one registry; start another agent for the other',
    ],
  );
  assert.deepEqual(problems([...eureka, ...eureka, ...aggregator]), [
    '--eureka: given more than once',
  ]);
});

test('without an aggregator it says what to write', () => {
  assert.deepEqual(problems(eureka), [
    '--aggregator: where is the aggregator? Write --aggregator HOST:9903',
  ]);
  assert.match(
    problems([...eureka, '--aggregator', 'h']).join(),
    /^--aggregator\[0\]: expected host:port/,
  );
});

test('a token travels without TLS only on this machine or when that was allowed', () => {
  const token = join(folder, 'token');
  writeFileSync(token, 'secret');
  const withToken = [...eureka, '--feed-token-file', token];
  assert.match(problems([...withToken, ...aggregator]).join(), /^--feed-token-file: .*plain text/);
  assert.deepEqual(problems([...withToken, '--aggregator', '127.0.0.1:9903']), []);
  assert.deepEqual(problems([...withToken, ...aggregator, '--insecure-feed']), []);
  assert.deepEqual(problems([...withToken, ...aggregator, '--feed-tls']), []);
});

test('certificates, keys and authorities are looked into', () => {
  const authority = certificates.authority();
  const own = certificates.issue(authority);
  const other = certificates.issue(authority);
  const garbage = join(folder, 'garbage.pem');
  writeFileSync(garbage, 'garbage');
  const base = [...eureka, ...aggregator];
  const tls = (cert: string, key: string, ca: string): readonly string[] =>
    problems([...base, '--feed-cert', cert, '--feed-key', key, '--feed-ca', ca]);
  assert.deepEqual(tls(own.certFile, own.keyFile, authority.certFile), []);
  assert.match(
    tls(own.certFile, other.keyFile, authority.certFile).join(),
    /^--feed-key: not the key/,
  );
  const both = tls(garbage, garbage, garbage);
  assert.equal(both.length, 2);
  assert.match(both.join('\n'), /^--feed-cert: expected a certificate in PEM/m);
  assert.match(both.join('\n'), /^--feed-ca: expected a certificate in PEM/m);
  assert.deepEqual(problems([...base, '--feed-key', own.keyFile]), [
    '--feed-cert, --feed-key: a certificate needs its key, and a key its certificate',
  ]);
});

test('what is printed has no passwords and can be read again', () => {
  const values = load(['--eureka', 'dc1/orders=https://u:hunter2@h/e', '--aggregator', '[::1]:1']);
  const printed = printConfiguration(agentProgram, values);
  assert.doesNotMatch(printed, /hunter2/);
  assert.match(printed, /^eureka: dc1\/orders=https:\/\/\*\*\*@h\/e$/m);
  const path = join(folder, 'printed.yaml');
  writeFileSync(path, printed.replace('***@', ''));
  assert.deepEqual(load(['--config', path]), {
    ...values,
    eureka: { registry: 'dc1/orders', servers: ['https://h/e'] },
  });
});

test('services may have guard limits of their own', () => {
  const file = join(folder, 'guards.yaml');
  writeFileSync(
    file,
    'guard_services: { orders: { hold: 90s, minimum: 9 }, batch: { fraction: 1 } }',
  );
  const { guardServices } = load([...eureka, ...aggregator, '--config', file]);
  assert.deepEqual(guardServices, {
    orders: { hold: 90_000, minimum: 9 },
    batch: { fraction: 1 },
  });
});
