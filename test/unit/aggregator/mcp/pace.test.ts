import assert from 'node:assert/strict';
import { test } from 'node:test';
import { acknowledged, nextPushAt, pushed, rested } from '../../../../aggregator/mcp/pace.ts';
import type { Pace } from '../../../../aggregator/mcp/pace.ts';

const options = { minIntervalMs: 150, maxIntervalMs: 10_000, share: 0.3 };

/** After pushes that took so long each, the last of them at 0. */
function afterPushes(...acknowledgeMs: number[]): Pace {
  return { pushedAt: 0, acknowledgeMs };
}

test('the first push waits for nothing', () => {
  assert.equal(nextPushAt(rested, options), -Infinity);
});

test('a push that is not acknowledged yet asks for the least interval', () => {
  assert.equal(nextPushAt(pushed(rested, 1000), options), 1150);
});

test('an acknowledgement without a push changes nothing', () => {
  assert.equal(acknowledged(rested, 5), rested);
});

test('an acknowledgement counts from its push', () => {
  const pace = acknowledged(pushed(rested, 1000), 1300);
  assert.deepEqual(pace, { pushedAt: 1000, acknowledgeMs: [300] });
  assert.equal(nextPushAt(pace, options), 2000);
});

test('three acknowledgements are remembered', () => {
  const pace = acknowledged(pushed(afterPushes(1, 2, 3), 10), 14);
  assert.deepEqual(pace.acknowledgeMs, [2, 3, 4]);
});

test('a clock that goes back counts as no time', () => {
  assert.deepEqual(acknowledged(pushed(rested, 10), 9).acknowledgeMs, [0]);
});

for (const [name, pace, interval] of [
  ['a quick subscriber is pushed to at the least interval', afterPushes(10, 12, 9), 150],
  ['a slow one gives only its share', afterPushes(600, 600, 600), 2000],
  ['one slow push changes nothing', afterPushes(30, 60_000, 30), 150],
  ['one quick push changes nothing', afterPushes(600, 1, 600), 2000],
  ['of two the quicker counts', afterPushes(60_000, 300), 1000],
  ['the wait has a limit', afterPushes(60_000), 10_000],
] as const) {
  test(name, () => assert.ok(Math.abs(nextPushAt(pace, options) - interval) < 1e-6));
}
