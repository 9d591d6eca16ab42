import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ServerList, keyOf, parseServer } from '../../../../../agent/zookeeper/client/servers.ts';
import { ConfigurationError, TransientError } from '../../../../../common/errors.ts';

void test('servers are host and port, IPv6 in brackets', () => {
  assert.deepEqual(parseServer('zk1:2182'), { host: 'zk1', port: 2182 });
  assert.deepEqual(parseServer('zk1'), { host: 'zk1', port: 2181 });
  assert.deepEqual(parseServer('[::1]:2182'), { host: '::1', port: 2182 });
  assert.deepEqual(parseServer('[fd00::2]'), { host: 'fd00::2', port: 2181 });
  assert.deepEqual(parseServer('::1'), { host: '::1', port: 2181 });
  for (const bad of ['', 'a:b', 'a:0', 'a:70000', '[zk1]:2181', 'a b:1', '[::1', 'a:1:2']) {
    assert.throws(() => parseServer(bad), ConfigurationError, bad);
  }
  assert.throws(() => new ServerList([]), ConfigurationError);
});

void test('each address has its turn before one comes again, and names are resolved at each dial', async () => {
  const addresses: Record<string, readonly string[]> = {
    a: ['10.0.0.1', '10.0.0.2'],
    b: ['fd00::1'],
  };
  let asked = 0;
  const list = new ServerList(['a:1', 'b:2', '10.0.0.9:3'], {
    resolve: (host) => {
      asked += 1;
      return Promise.resolve(addresses[host] ?? []);
    },
    resolveTimeoutMs: 1_000,
    random: Math.random,
  });
  const expected = ['10.0.0.1:1', '10.0.0.2:1', '10.0.0.9:3', '[fd00::1]:2'];
  for (let round = 0; round < 3; round += 1) {
    const seen: string[] = [];
    while (seen.length < expected.length) seen.push(keyOf(await list.next()));
    assert.deepEqual(seen.sort(), expected);
  }
  assert.equal(asked, 2 * 3 * expected.length);
  addresses['b'] = ['fd00::7'];
  const later = new Set<string>();
  for (let turn = 0; turn < expected.length; turn += 1) later.add(keyOf(await list.next()));
  assert.ok(later.has('[fd00::7]:2'));
});

void test('a name that cannot be resolved costs the others nothing', async () => {
  const list = new ServerList(['gone:1', 'hangs:1', '10.0.0.9:3'], {
    resolve: (host) =>
      host === 'gone' ? Promise.reject(new Error('ENOTFOUND')) : new Promise(() => undefined),
    resolveTimeoutMs: 20,
    random: () => 0,
  });
  assert.equal(keyOf(await list.next()), '10.0.0.9:3');
});

void test('without any address there is a transient error', async () => {
  const options = {
    resolve: () => Promise.reject(new Error('ENOTFOUND')),
    resolveTimeoutMs: 20,
    random: () => 0,
  };
  await assert.rejects(new ServerList(['gone:1'], options).next(), TransientError);
});

void test('the system resolver is used by default', async () => {
  const { port } = await new ServerList(['localhost:1234']).next();
  assert.equal(port, 1234);
});
