import assert from 'node:assert/strict';
import { test } from 'node:test';
import { canonicalAddress, isHostName } from '../../../common/endpoint-address.ts';

test('an address has one spelling', () => {
  for (const [text, address] of [
    ['10.0.0.1', '10.0.0.1'],
    ['FD00:0:0:0::A', 'fd00::a'],
    ['::ffff:10.1.2.3', '10.1.2.3'],
    ['::FFFF:0a01:0203', '10.1.2.3'],
    ['::1', '::1'],
  ] as const) {
    assert.deepEqual(canonicalAddress(text), { address });
  }
});

test('no packet can be sent to some addresses, and other texts are none', () => {
  for (const text of ['0.0.0.0', '0.1.2.3', '224.0.0.1', '255.255.255.255', '::', 'ff02::1']) {
    assert.deepEqual(canonicalAddress(text), { fault: 'unusable-address' }, text);
  }
  for (const text of ['fe80::1%eth0', '::ffff:0.0.0.0']) {
    assert.deepEqual(canonicalAddress(text), { fault: 'unusable-address' }, text);
  }
  for (const text of ['', 'null', 'host', '10.0.0.1:80', '[::1]', '010.0.0.1', ' 10.0.0.1']) {
    assert.deepEqual(canonicalAddress(text), { fault: 'not-an-ip' }, text);
  }
});

test('host names are told from what only looks like one', () => {
  for (const text of ['localhost', 'web-1', 'web_1.example.com', 'A.b.', 'x.1a', '10.com', 'a']) {
    assert.ok(isHostName(text), text);
  }
  for (const text of [
    '',
    '.',
    'null',
    'UNKNOWN',
    '10.0.0.1',
    '10.1',
    '1',
    '0x7f000001',
    'a.0x1',
    'a..b',
    '-a',
    'a-',
    'a b',
    'host:80',
    'user@host',
    '::1',
    `${'a'.repeat(64)}.b`,
    `${'a.'.repeat(127)}ab`,
  ]) {
    assert.ok(!isHostName(text), text);
  }
});
