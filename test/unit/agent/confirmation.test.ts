import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RefusedLosses } from '../../../agent/confirmation.ts';

test('a refused loss is asked about again at growing intervals, a minute apart at most', () => {
  const refused = new RefusedLosses();
  const gaps: number[] = [];
  let now = 0;
  for (let attempt = 0; attempt < 8; attempt++) {
    refused.refuse('a', now);
    const from = now;
    while ([...refused.due(now)].length === 0) now += 1000;
    gaps.push(now - from);
  }
  assert.deepStrictEqual(gaps, [2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000]);
});

test('what is deleted is not asked about, and begins anew', () => {
  const refused = new RefusedLosses();
  refused.refuse('a', 0);
  refused.refuse('b', 0);
  refused.delete('a');
  assert.deepStrictEqual([...refused.due(2000)], ['b']);
  assert.deepStrictEqual([...refused.due(2000)], ['b'], 'until it is refused again');
  refused.refuse('a', 2000);
  assert.deepStrictEqual([...refused.due(4000)], ['b', 'a']);
});
