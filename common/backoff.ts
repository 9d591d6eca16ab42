/** Delays between attempts: exponential growth with full jitter, so that peers do not return in step. */
export interface BackoffPolicy {
  /** Bound of the first delay, milliseconds; it doubles with each attempt. */
  readonly baseMs: number;
  /** Bound that is never exceeded, milliseconds. */
  readonly maxMs: number;
}

/**
 * The delay before attempt number `attempt` (0 = the first retry): evenly drawn between zero and the
 * bound. `random` gives numbers in [0, 1).
 */
export function fullJitter(
  policy: BackoffPolicy,
  attempt: number,
  random: () => number = Math.random,
): number {
  return random() * Math.min(policy.maxMs, policy.baseMs * 2 ** Math.min(attempt, 30));
}
