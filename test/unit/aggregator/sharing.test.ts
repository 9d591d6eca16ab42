import assert from 'node:assert/strict';
import { test } from 'node:test';
import { shareParts } from '../../../aggregator/sharing.ts';
import { instance } from './samples.ts';

const ports = [{ protocol: 'http', number: 8080 }];

test('equal parts of instances become one object', () => {
  const one = shareParts(instance('a', { ports: [...ports], labels: { zone: 'b' } }));
  const other = shareParts(instance('b', { ports: [...ports], labels: { zone: 'b' } }));
  assert.equal(one.service, other.service);
  assert.equal(one.ports, other.ports);
  assert.equal(one.labels, other.labels);
});

test('an instance keeps what it says', () => {
  const given = instance('a', { ports, labels: { a: '1', b: '' }, locality: 'r/z', weight: 7 });
  assert.deepEqual(shareParts(given), given);
  const long = instance('b', { labels: { long: 'x'.repeat(2000) } });
  assert.deepEqual(shareParts(long), long);
});

test('equal aliases become one object, and long lists stay as they are', () => {
  const aliases = (name: string) => [{ name, ports: 'plain' as const }];
  const one = shareParts(instance('a', { aliases: aliases('vip') }));
  const other = shareParts(instance('b', { aliases: aliases('vip') }));
  assert.deepEqual(one.aliases, aliases('vip'));
  assert.equal(one.aliases, other.aliases);
  const long = instance('c', { aliases: aliases('x'.repeat(600)) });
  assert.equal(shareParts(long).aliases, long.aliases);
  assert.ok(!('aliases' in shareParts(instance('d'))));
});

test('parts that differ stay apart', () => {
  const one = shareParts(instance('a', { labels: { a: 'b' }, ports }));
  const other = shareParts(
    instance('b', { labels: { a: 'c' }, ports: [{ protocol: 'http', number: 8081 }] }),
  );
  assert.deepEqual(one.labels, { a: 'b' });
  assert.deepEqual(other.labels, { a: 'c' });
  assert.equal(other.ports[0]?.number, 8081);
});
