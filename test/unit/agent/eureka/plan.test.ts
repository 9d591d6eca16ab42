import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  afterAbsence,
  afterDelta,
  afterFull,
  afterRefusedDelta,
  planFetch,
  startPlan,
} from '../../../../agent/eureka/plan.ts';
import type { DeltaVerdict, PlanState } from '../../../../agent/eureka/plan.ts';

const options = { fullIntervalMs: 450_000 };
const full = (state: PlanState, now: number, isEmpty = false): PlanState =>
  afterFull(state, now, { isEmpty, random: 0.5 }, options);
const started = full(startPlan, 0);

function delta(
  state: PlanState,
  now: number,
  read: { versionsDelta?: number; matches?: boolean } = {},
): { state: PlanState; verdict: DeltaVerdict } {
  const { versionsDelta = 1, matches = true } = read;
  return afterDelta(state, now, { versionsDelta, matches, isEmpty: false, random: 0 }, options);
}

function reason(state: PlanState, now: number, silentMs = 5_000): string {
  const plan = planFetch(state, now, silentMs);
  return plan.kind === 'full' ? plan.reason : 'delta';
}

test('the first read is a full one, then deltas follow', () => {
  assert.equal(reason(startPlan, 0), 'first');
  assert.equal(reason(started, 5_000), 'delta');
});

test('an empty registry, a gap and time ask for a full read', () => {
  assert.equal(reason(full(startPlan, 0, true), 5_000), 'empty');
  assert.equal(reason(started, 150_000, 150_000), 'delta');
  assert.equal(reason(started, 150_001, 150_001), 'gap');
  assert.equal(reason(started, 449_999), 'delta');
  assert.equal(reason(started, 450_000), 'periodic');
});

test('full reads are five to ten minutes apart', () => {
  const at = (random: number): number =>
    afterFull(startPlan, 0, { isEmpty: false, random }, options).fullDueAt;
  assert.equal(at(0), 300_000);
  assert.ok(at(0.999) < 600_000);
});

test('a version that decreases is a restart; one that is missing says nothing', () => {
  const nine = delta(started, 1, { versionsDelta: 9 });
  assert.equal(nine.verdict, 'good');
  assert.equal(delta(nine.state, 2, { versionsDelta: 9 }).verdict, 'good');
  const restarted = delta(nine.state, 2, { versionsDelta: 8 });
  assert.equal(restarted.verdict, 'restarted');
  assert.equal(reason(restarted.state, 7), 'first');
  const missing = { versionsDelta: undefined, matches: true, isEmpty: false, random: 0 };
  assert.equal(afterDelta(nine.state, 2, missing, options).verdict, 'good');
});

test('the first mismatch asks for a full read at once, the next ones further apart', () => {
  const first = delta(started, 1_000, { matches: false });
  assert.equal(first.verdict, 'mismatch');
  assert.equal(first.state.mismatches, 1);
  assert.equal(reason(first.state, 1_000), 'mismatch');
  const second = delta(full(first.state, 1_000), 6_000, { matches: false });
  assert.equal(second.state.mismatches, 2);
  assert.equal(reason(second.state, 65_999), 'delta');
  assert.equal(reason(second.state, 66_000), 'mismatch');
  const meanwhile = delta(second.state, 11_000, { matches: false });
  assert.equal(meanwhile.state.mismatches, 2);
  assert.equal(meanwhile.state.mismatchFullAt, second.state.mismatchFullAt);
  const healed = delta(meanwhile.state, 16_000);
  assert.equal(healed.verdict, 'good');
  assert.equal(healed.state.mismatchFullAt, undefined);
  assert.equal(healed.state.mismatches, 0);
});

test('deltas that mismatch for longer than any cache lives are given up, and tried again later', () => {
  let state = started;
  let now = 0;
  let verdict: DeltaVerdict = 'good';
  let fulls = 0;
  while (verdict !== 'unreliable' && now < 1_000_000) {
    now += 5_000;
    ({ state, verdict } = delta(state, now, { matches: false }));
    if (verdict === 'unreliable' || (state.mismatchFullAt ?? Infinity) <= now) {
      state = full(state, now);
      fulls += 1;
    }
  }
  assert.equal(verdict, 'unreliable');
  assert.ok(now >= 240_000 && now < 400_000, String(now));
  assert.ok(fulls <= 6, String(fulls));
  assert.equal(reason(state, now + 5_000), 'delta-unreliable');
  const later = full(state, now + 450_000 * 6);
  assert.equal(later.deltasOff, undefined);
  assert.equal(reason(later, now + 450_000 * 6 + 5_000), 'delta');
});

test('a server that was away is read in full', () => {
  const away = afterAbsence(delta(started, 1, { versionsDelta: 9 }).state);
  assert.equal(reason(away, 2), 'first');
  assert.equal(delta(full(away, 3), 4, { versionsDelta: 1 }).verdict, 'good');
});

test('a refused delta leads to full reads for a while', () => {
  const state = full(afterRefusedDelta(started, 1_000, options), 1_000);
  assert.equal(reason(state, 6_000), 'delta-refused');
  assert.equal(reason(state, 450_999), 'delta-refused');
  assert.equal(reason(full(state, 450_999), 451_000), 'delta');
});
