import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseTxtEntries, zoneOf } from '../../../../agent/eureka/txt-record.ts';

test('hosts stand in strings of one record, in records, or in one string', () => {
  const hosts = ['a.example.com', 'b.example.com', 'c.example.com'];
  assert.deepEqual(parseTxtEntries([hosts]).hosts, hosts);
  assert.deepEqual(parseTxtEntries(hosts.map((host) => [host])).hosts, hosts);
  assert.deepEqual(parseTxtEntries([[hosts.join(' ')]]).hosts, hosts);
  assert.deepEqual(parseTxtEntries([[hosts.join(', ')]]).hosts, hosts);
  assert.deepEqual(parseTxtEntries([]), { hosts: [], unusable: [] });
});

test('a string that is as long as it may be goes on in the next one', () => {
  const text = Array.from({ length: 30 }, (_, index) => `host-${index}.example.com`).join(' ');
  const pieces = text.match(/.{1,255}/g) ?? [];
  assert.equal(pieces[0]?.length, 255);
  assert.equal(parseTxtEntries([pieces]).hosts.join(' '), text);
});

test('names are taken small, once, and without their final dot; addresses are hosts too', () => {
  const strings = [['A.Example.COM.', 'a.example.com', '10.0.0.1', '2001:db8::1', 'local_host']];
  assert.deepEqual(parseTxtEntries(strings).hosts, [
    'a.example.com',
    '10.0.0.1',
    '2001:db8::1',
    'local_host',
  ]);
});

test('what is no host is left out and shown without secrets', () => {
  const wrong = ['a/b', 'a:80', 'a..b', '-a', 'a?b', '1.2', '0x7f', 'a'.repeat(64), 'h\u00f6st'];
  const { hosts, unusable } = parseTxtEntries([[...wrong, 'http://u:hidden@h/']]);
  assert.deepEqual(hosts, []);
  assert.equal(unusable.length, wrong.length + 1);
  assert.deepEqual(unusable.slice(0, 3), ['a/b', 'a:80', 'a..b']);
  assert.deepEqual(unusable.slice(-2), ['h?st', '***@h/']);
});

test('a record without end is read in part', () => {
  const many = Array.from({ length: 1000 }, (_, index) => [`h${index}`]);
  assert.equal(parseTxtEntries(many).hosts.length, 256);
});

test('a zone is named by the first label', () => {
  assert.equal(zoneOf('us-east-1c.example.com'), 'us-east-1c');
  assert.equal(zoneOf('zone'), 'zone');
});
