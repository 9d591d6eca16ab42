/**
 * When to read the whole registry and when only the delta: pure decisions over a small state,
 * one state for each session with a server (another server needs a new state).
 *
 * A delta covers the last three minutes and proves its completeness by a census only, so a full read
 * follows whatever could have hidden a change: the start, a gap longer than the window,
 * a restarted server, a refused delta, a census that does not match, and time.
 *
 * A mismatch is normal now and then: full and delta live in separate caches of the server, and some
 * changes of status reach one before the other, for up to 180 s + 30 s. So it asks for one full read at once, then
 * for others further and further apart, and only when it outlives the caches are deltas given up.
 */
export interface PlanState {
  readonly hasView: boolean;
  readonly isEmpty: boolean;
  /** Times are milliseconds of one monotonic clock. */
  readonly fullDueAt: number;
  readonly versionsDelta: number | undefined;
  /** A full read is wanted because the census did not match, but not before this time. */
  readonly mismatchFullAt: number | undefined;
  /** Mismatching deltas in a row, each right after a full read. */
  readonly mismatches: number;
  readonly mismatchingSince: number | undefined;
  /** Whether the last good read was a full one. */
  readonly isAfterFull: boolean;
  readonly deltasOff:
    { readonly why: 'delta-refused' | 'delta-unreliable'; readonly until: number } | undefined;
}

export type FullReason =
  | 'first'
  | 'empty'
  | 'gap'
  | 'periodic'
  | 'mismatch'
  | 'restarted'
  | 'delta-refused'
  | 'delta-unreliable';

export type FetchPlan =
  { readonly kind: 'full'; readonly reason: FullReason } | { readonly kind: 'delta' };

/** What a delta turned out to be. */
export type DeltaVerdict = 'good' | 'mismatch' | 'restarted' | 'unreliable';

export interface PlanOptions {
  /** Mean time between full reads, milliseconds; the real one is 2/3 to 4/3 of it. */
  readonly fullIntervalMs: number;
}

/** A delta window is 180 s, and the delta itself may come out of a cache of 30 s. */
const gapMs = 150_000;
const mismatchFullDelayMs = 30_000;
const mismatchFullDelayMaxMs = 120_000;
const unreliableMismatches = 3;
/** Longer than any cache of a server: 180 s + 30 s, and some. */
const unreliableAfterMs = 240_000;
/** After so many full intervals deltas are tried again, should the server have been repaired. */
const refusedRetryIntervals = 1;
const unreliableRetryIntervals = 6;

/** The state before anything was read from a server. */
export const startPlan: PlanState = {
  hasView: false,
  isEmpty: true,
  fullDueAt: 0,
  versionsDelta: undefined,
  mismatchFullAt: undefined,
  mismatches: 0,
  mismatchingSince: undefined,
  isAfterFull: false,
  deltasOff: undefined,
};

/** @param silentMs time since the last good read, on whichever clock it is longer */
export function planFetch(state: PlanState, now: number, silentMs: number): FetchPlan {
  const reason = fullReason(state, now, silentMs);
  return reason === undefined ? { kind: 'delta' } : { kind: 'full', reason };
}

function fullReason(state: PlanState, now: number, silentMs: number): FullReason | undefined {
  if (!state.hasView) return 'first';
  if (state.isEmpty) return 'empty';
  if (silentMs > gapMs) return 'gap';
  if (state.deltasOff !== undefined && now < state.deltasOff.until) return state.deltasOff.why;
  if (state.mismatchFullAt !== undefined && now >= state.mismatchFullAt) return 'mismatch';
  return now >= state.fullDueAt ? 'periodic' : undefined;
}

/** @param random uniform in [0, 1) */
export function afterFull(
  state: PlanState,
  now: number,
  read: { readonly isEmpty: boolean; readonly random: number },
  options: PlanOptions,
): PlanState {
  const isOver = state.deltasOff !== undefined && now >= state.deltasOff.until;
  return {
    ...state,
    hasView: true,
    isEmpty: read.isEmpty,
    fullDueAt: now + (options.fullIntervalMs * 2 * (1 + read.random)) / 3,
    mismatchFullAt: undefined,
    isAfterFull: true,
    deltasOff: isOver ? undefined : state.deltasOff,
  };
}

/**
 * @param read `matches`: whether our census is the one that the delta stated, or it stated none
 * @returns the verdict; upon `restarted` a full read must follow at once
 */
export function afterDelta(
  state: PlanState,
  now: number,
  read: {
    readonly versionsDelta: number | undefined;
    readonly matches: boolean;
    readonly isEmpty: boolean;
    readonly random: number;
  },
  options: PlanOptions,
): { readonly state: PlanState; readonly verdict: DeltaVerdict } {
  const { versionsDelta, isEmpty } = read;
  const before = state.versionsDelta;
  const next = { ...state, versionsDelta, isEmpty, isAfterFull: false, deltasOff: undefined };
  if (isVersionDecreased(before, versionsDelta)) {
    return { state: { ...next, ...noMismatch, hasView: false }, verdict: 'restarted' };
  }
  if (read.matches) return { state: { ...next, ...noMismatch }, verdict: 'good' };
  const mismatches = state.isAfterFull ? state.mismatches + 1 : state.mismatches;
  const since = state.mismatchingSince ?? now;
  if (mismatches >= unreliableMismatches && now - since >= unreliableAfterMs) {
    const until = now + options.fullIntervalMs * unreliableRetryIntervals;
    return {
      state: { ...next, ...noMismatch, deltasOff: { why: 'delta-unreliable', until } },
      verdict: 'unreliable',
    };
  }
  const mismatchFullAt =
    state.mismatchFullAt ?? now + mismatchDelay(state, mismatches, read.random);
  return {
    state: { ...next, mismatches, mismatchingSince: since, mismatchFullAt },
    verdict: 'mismatch',
  };
}

/** Servers count the deltas that they build: only a new process starts over. */
export function isVersionDecreased(before: number | undefined, now: number | undefined): boolean {
  return before !== undefined && now !== undefined && now < before;
}

const noMismatch = { mismatches: 0, mismatchingSince: undefined, mismatchFullAt: undefined };

/** The first mismatch after quiet waits for nothing; the others longer and longer. */
function mismatchDelay(state: PlanState, mismatches: number, random: number): number {
  if (state.mismatchingSince === undefined) return 0;
  const delay = mismatchFullDelayMs * 2 ** Math.max(0, mismatches - 1);
  return Math.min(delay, mismatchFullDelayMaxMs) * (1 + random / 4);
}

/** The server was away: it may be another process now, of whose past we know nothing. */
export function afterAbsence(state: PlanState): PlanState {
  return { ...state, hasView: false, versionsDelta: undefined };
}

/** The server answered 403 or 404 to the delta: full reads only, for a while. */
export function afterRefusedDelta(state: PlanState, now: number, options: PlanOptions): PlanState {
  const until = now + options.fullIntervalMs * refusedRetryIntervals;
  return { ...state, deltasOff: { why: 'delta-refused', until } };
}
