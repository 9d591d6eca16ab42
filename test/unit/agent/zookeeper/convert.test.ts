import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  escapeIdPart,
  isIdInBounds,
  normalizeAddress,
  pickLabels,
  usableLabelKeys,
  weightOf,
} from '../../../../agent/zookeeper/convert.ts';

test('addresses are normalized, and what nobody could dial is none', () => {
  const cases: readonly (readonly [string, string | undefined])[] = [
    ['192.0.2.1', '192.0.2.1'],
    ['fd00:0:0:0:0:0:0:2', 'fd00::2'],
    ['[FD00::2]', 'fd00::2'],
    ['::ffff:192.0.2.1', '::ffff:192.0.2.1'],
    ['Orders-1.Internal', 'orders-1.internal'],
    ['my_host', 'my_host'],
    ['host.', 'host.'],
    ['', undefined],
    ['0.0.0.0', undefined],
    ['::', undefined],
    ['0:0:0:0:0:0:0:0', undefined],
    ['fe80::1%eth0', undefined],
    ['1:2:3', undefined],
    ['a b', undefined],
    ['-host', undefined],
    ['höst', undefined],
    ['a/b', undefined],
    ['null', undefined],
    ['1.2.3', undefined],
    ['x'.repeat(254), undefined],
  ];
  for (const [text, expected] of cases) assert.equal(normalizeAddress(text), expected, text);
});

test('ids are bounded by their bytes', () => {
  assert.equal(isIdInBounds('x'.repeat(1024)), true);
  assert.equal(isIdInBounds('x'.repeat(1025)), false);
  assert.equal(isIdInBounds('中'.repeat(342)), false);
  assert.equal(isIdInBounds('中'.repeat(341)), true);
});

test('what separates the parts of an id is escaped within them', () => {
  assert.equal(escapeIdPart('a:b/c%d.e$f'), 'a%3Ab%2Fc%25d.e$f');
});

test('label keys are sorted, each once, without secrets', () => {
  assert.deepEqual(usableLabelKeys(['b', 'a', 'b', 'token', '']), ['a', 'b']);
});

test('labels without a value, or with one that is too long or a secret, are left out', () => {
  const values = new Map([
    ['a', '1'],
    ['b', ''],
    ['c', 'x'.repeat(600)],
    ['d', 'https://user:pass@host/'],
  ]);
  assert.deepEqual(
    pickLabels(['a', 'b', 'c', 'd', 'e'], (key) => values.get(key)),
    [['a', '1']],
  );
});

test('weights are integers above zero or nothing', () => {
  const cases: readonly (readonly [string | undefined, number])[] = [
    [undefined, 0],
    ['', 0],
    ['12', 12],
    [' 12 ', 12],
    ['-1', 0],
    ['1e3', 0],
    ['4294967296', 0x7fff_ffff],
  ];
  for (const [text, weight] of cases) assert.equal(weightOf(text), weight, text);
});
