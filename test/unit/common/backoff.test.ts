import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fullJitter } from '../../../common/backoff.ts';

test('the bound doubles with each attempt up to the maximum', () => {
  const policy = { baseMs: 100, maxMs: 1000 };
  const bounds = [0, 1, 2, 3, 4, 1000].map((attempt) => fullJitter(policy, attempt, () => 1));
  assert.deepStrictEqual(bounds, [100, 200, 400, 800, 1000, 1000]);
  assert.equal(
    fullJitter(policy, 3, () => 0),
    0,
  );
  assert.equal(
    fullJitter(policy, 3, () => 0.5),
    400,
  );
});
