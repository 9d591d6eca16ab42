import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  formatHostPort,
  hostPortSchema,
  isLoopback,
  parseHostPort,
} from '../../../common/address.ts';

test('addresses are read with an IPv6 host in brackets', () => {
  const table: readonly (readonly [string, ReturnType<typeof parseHostPort>])[] = [
    ['127.0.0.1:80', { host: '127.0.0.1', port: 80 }],
    ['[::1]:80', { host: '::1', port: 80 }],
    ['[fe80::1]:0', { host: 'fe80::1', port: 0 }],
    ['aggregator-feed.tributary.svc:9903', { host: 'aggregator-feed.tributary.svc', port: 9903 }],
    ['my_host:1', { host: 'my_host', port: 1 }],
    [' h:1 ', { host: 'h', port: 1 }],
    ['h', undefined],
    ['h:', undefined],
    [':80', undefined],
    ['::1:80', undefined],
    ['[::1]', undefined],
    ['[127.0.0.1]:80', undefined],
    ['[nonsense]:80', undefined],
    ['h:65536', undefined],
    ['h:80:80', undefined],
    ['1.2.3:80', undefined],
    ['256.0.0.1:80', undefined],
    ['http://h:80', undefined],
    ['-h:80', undefined],
    ['a..b:80', undefined],
  ];
  for (const [text, parsed] of table) assert.deepEqual(parseHostPort(text), parsed, text);
});

test('a port that is left out is the default one, if there is one', () => {
  assert.deepEqual(parseHostPort('h', 2181), { host: 'h', port: 2181 });
  assert.deepEqual(parseHostPort('[::1]', 2181), { host: '::1', port: 2181 });
  assert.deepEqual(parseHostPort('h:1', 2181), { host: 'h', port: 1 });
});

test('what is written is read back', () => {
  for (const text of ['127.0.0.1:80', '[::1]:80', 'h:0']) {
    assert.equal(formatHostPort(hostPortSchema.parse(text)), text);
  }
  assert.equal(hostPortSchema.safeParse(80).success, false);
});

test('loopback is what nobody outside reaches', () => {
  for (const host of ['localhost', '::1', '127.0.0.1', '127.1.2.3', '::ffff:127.0.0.1']) {
    assert.equal(isLoopback(host), true, host);
  }
  for (const host of ['0.0.0.0', '::', '10.0.0.1', '128.0.0.1', 'localhost.example']) {
    assert.equal(isLoopback(host), false, host);
  }
});
