import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { delayToPoll, noteAnswer, periodOf, startTick } from '../../../../agent/eureka/tick.ts';
import type { TickState } from '../../../../agent/eureka/tick.ts';

/** A server whose cache follows every `periodMs` (0: at once), polled every 5 s, its clock off by `offsetMs`. */
function poll(options: {
  readonly periodMs: number;
  readonly offsetMs: number;
  /** When something is registered, on our clock. */
  readonly changesAt: readonly number[];
  readonly untilMs: number;
  readonly start?: TickState;
}): TickState {
  const { periodMs, offsetMs, changesAt, untilMs } = options;
  const visibleAt = changesAt.map((at) =>
    periodMs === 0 ? at : Math.ceil((at + offsetMs) / periodMs) * periodMs - offsetMs,
  );
  let state = options.start ?? startTick;
  let last = -1;
  for (let at = 1; at < untilMs; at += 5_000) {
    const visible = visibleAt.filter((time) => time <= at + 10).length;
    state = noteAnswer(state, {
      askedAt: at,
      receivedAt: at + 20,
      date: Math.floor((at + 10 + offsetMs) / 1000) * 1000,
      isChanged: last !== -1 && visible !== last,
    });
    last = visible;
  }
  return state;
}

const minutes = (count: number): readonly number[] =>
  Array.from({ length: count }, (_, i) => i * 67_000 + 12_345);

test('the rhythm of a cache is found from a few changes, and polls come right after it', () => {
  const offsetMs = 1_700_000_012_345;
  const state = poll({ periodMs: 30_000, offsetMs, changesAt: minutes(12), untilMs: 900_000 });
  assert.equal(periodOf(state), 30_000);
  const delay = delayToPoll(state, 900_000, 30_000);
  const wall = 900_000 + delay + offsetMs;
  const sinceBeat = wall % 30_000;
  assert.ok(sinceBeat >= 900 && sinceBeat < 3_000, `${sinceBeat} ms after a beat`);
});

test('a server without a cache has no rhythm, and polls keep their interval', () => {
  const state = poll({
    periodMs: 0,
    offsetMs: 1_700_000_000_123,
    changesAt: minutes(12),
    untilMs: 900_000,
  });
  assert.equal(periodOf(state), undefined);
  assert.equal(delayToPoll(state, 900_000, 5_000), 5_000);
});

test('one change off the beat refutes a rhythm, and it can come back much later', () => {
  const offsetMs = 1_700_000_000_000;
  const found = poll({ periodMs: 30_000, offsetMs, changesAt: minutes(12), untilMs: 900_000 });
  const refuted = noteAnswer(found, {
    askedAt: 1_010_000,
    receivedAt: 1_010_010,
    date: undefined,
    isChanged: false,
  });
  const off = noteAnswer(refuted, {
    askedAt: 1_011_000,
    receivedAt: 1_011_010,
    date: undefined,
    isChanged: true,
  });
  assert.equal(periodOf(off), undefined);
  const again = poll({
    periodMs: 30_000,
    offsetMs,
    changesAt: minutes(60),
    untilMs: 4_200_000,
    start: off,
  });
  assert.equal(periodOf(again), 30_000);
});

test('the wait is never negative and never longer than the usual one', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 100_000 }),
      fc.integer({ min: 100, max: 60_000 }),
      fc.constantFrom(0, 10_000, 30_000, 60_000),
      (extra, usualMs, periodMs) => {
        const state = poll({
          periodMs,
          offsetMs: 1_700_000_005_000,
          changesAt: minutes(9),
          untilMs: 700_000,
        });
        const delay = delayToPoll(state, 700_000 + extra, usualMs);
        assert.ok(delay >= 0 && delay <= usualMs);
      },
    ),
    { numRuns: 60 },
  );
});

test('a clock that jumps is found out anew', () => {
  const before = poll({
    periodMs: 30_000,
    offsetMs: 1_700_000_000_000,
    changesAt: minutes(9),
    untilMs: 700_000,
  });
  const jumped = noteAnswer(before, {
    askedAt: 705_000,
    receivedAt: 705_020,
    date: 1_600_000_000_000,
    isChanged: false,
  });
  assert.ok(jumped.offsetMin <= jumped.offsetMax);
  assert.ok(Math.abs(jumped.offsetMin - (1_600_000_000_000 - 705_000)) < 2_000);
});
