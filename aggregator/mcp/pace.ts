/**
 * How often a subscriber is pushed to. istiod pushes to its proxies only after 100 ms without a
 * new event (10 s at most while events keep coming), so pushing to it faster makes the mesh
 * slower. The first change after quiet goes at once; after that pushes are at least
 * `max(minIntervalMs, T / share)` apart, T being the time from a push to its acknowledgement.
 * That nothing is pushed while a response is unacknowledged is the responder's rule, not ours.
 */
export interface PaceOptions {
  /** Least milliseconds from push to push. */
  readonly minIntervalMs: number;
  /**
   * Most milliseconds from push to push, whatever T says: an istiod acknowledges its first response
   * only when it has booted, and that must not hold up what follows.
   */
  readonly maxIntervalMs: number;
  /** The part of a subscriber's time that may be taken, above 0 and at most 1. */
  readonly share: number;
}

/** What is remembered of the pushes to one subscriber. */
export interface Pace {
  readonly pushedAt: number | undefined;
  /** Milliseconds from push to acknowledgement, the last few, oldest first. */
  readonly acknowledgeMs: readonly number[];
}

/** T is the (lower) median of this many pushes: one outlier, either way, changes nothing. */
const samples = 3;

/** Of a subscriber that nothing was pushed to. */
export const rested: Pace = { pushedAt: undefined, acknowledgeMs: [] };

/** After a push at `now`, milliseconds of any steady clock. */
export function pushed(pace: Pace, now: number): Pace {
  return { ...pace, pushedAt: now };
}

/** After the acknowledgement of the last push at `now`. */
export function acknowledged(pace: Pace, now: number): Pace {
  if (pace.pushedAt === undefined) return pace;
  const elapsed = Math.max(0, now - pace.pushedAt);
  return { ...pace, acknowledgeMs: [...pace.acknowledgeMs, elapsed].slice(-samples) };
}

/** The earliest time of the next push; long ago when nothing has been pushed yet. */
export function nextPushAt(pace: Pace, options: PaceOptions): number {
  if (pace.pushedAt === undefined) return -Infinity;
  const sorted = [...pace.acknowledgeMs].sort((a, b) => a - b);
  const typical = sorted[Math.floor((sorted.length - 1) / 2)] ?? 0;
  const interval = Math.max(options.minIntervalMs, typical / options.share);
  return pace.pushedAt + Math.min(interval, options.maxIntervalMs);
}
