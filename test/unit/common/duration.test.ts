import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  describeDuration,
  durationSchema,
  formatDuration,
  parseDuration,
} from '../../../common/duration.ts';

test('durations are read with their unit', () => {
  const table: readonly (readonly [string, number | undefined])[] = [
    ['5s', 5000],
    ['150ms', 150],
    ['10m', 600_000],
    ['1.5s', 1500],
    ['2h', 7_200_000],
    ['1d', 86_400_000],
    ['0s', 0],
    [' 5s ', 5000],
    ['5', undefined],
    ['', undefined],
    ['-5s', undefined],
    ['5 s', undefined],
    ['5sec', undefined],
    ['1.5ms', undefined],
    ['1e3s', undefined],
    ['99999999999999999d', undefined],
  ];
  for (const [text, ms] of table) assert.equal(parseDuration(text), ms, text);
});

test('what is written is read back', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 1e12 }), (ms) => {
      assert.equal(parseDuration(formatDuration(ms)), ms);
    }),
  );
  assert.equal(formatDuration(0), '0ms');
  assert.equal(formatDuration(90_000), '90s');
  assert.equal(formatDuration(600_000), '10m');
  assert.equal(formatDuration(86_400_000), '1d');
});

test('a person reads two units at most', () => {
  const table: readonly (readonly [number, string])[] = [
    [0, '0 ms'],
    [12.4, '12 ms'],
    [999, '999 ms'],
    [999.6, '999 ms'],
    [1000, '1.0 s'],
    [9999, '9.9 s'],
    [10_000, '10 s'],
    [60_000, '1 min'],
    [252_000, '4 min 12 s'],
    [3_600_000, '1 h'],
    [3_723_000, '1 h 2 min'],
    [90_000_000, '1 d 1 h'],
  ];
  for (const [ms, text] of table) assert.equal(describeDuration(ms), text);
});

test('a duration in configuration is a text within its limits', () => {
  const schema = durationSchema(100, 60_000);
  assert.equal(schema.parse('5s'), 5000);
  for (const wrong of [5, '99ms', '61s', 'soon', null, undefined]) {
    const { error } = schema.safeParse(wrong);
    assert.equal(
      error?.issues[0]?.message,
      'expected a duration between 100ms and 1m, like 5s',
      String(wrong),
    );
  }
  const long = durationSchema(10_000, 60_000).safeParse('1s');
  assert.match(long.error?.issues[0]?.message ?? '', /like 10s$/);
});
