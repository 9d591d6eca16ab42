import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Listing } from '../../../../../agent/zookeeper/client/listing.ts';

const name = fc.string({ minLength: 1, unit: 'grapheme' }).filter((text) => !text.includes('/'));

test('a listing gives the names that it was given', () => {
  const long = name.map((text) => text + 'x'.repeat(200));
  fc.assert(
    fc.property(fc.uniqueArray(fc.oneof(name, long), { maxLength: 50 }), (names) => {
      const wellFormed = new Set(names.map((text) => text.toWellFormed()));
      assert.deepEqual(new Listing(wellFormed).names(), wellFormed);
    }),
  );
});

test('large ones and long names too', () => {
  for (const [count, length] of [
    [5_000, 500],
    [20, 500],
    [20_000, 30],
    [1, 100_000],
  ] as const) {
    const names = Array.from({ length: count }, (_, index) => `${index}-`.padEnd(length, 'name'));
    assert.deepEqual([...new Listing(names).names()], names);
  }
});
