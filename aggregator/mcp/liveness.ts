/**
 * Whether the other end of a connection still lives. Any byte counts, not only the answer to a
 * ping: on a slow link the ping waits behind megabytes of a push, while window updates keep coming.
 */
export interface LivenessOptions {
  /** Milliseconds of silence until a ping is sent. */
  readonly idleMs: number;
  /** Milliseconds of further silence until the connection counts as dead. */
  readonly timeoutMs: number;
}

export interface Liveness {
  /** Bytes received in all, as of `heardAt`. */
  readonly heardBytes: number;
  readonly heardAt: number;
  /** When the ping that is unanswered was sent. */
  readonly pingedAt: number | undefined;
}

export type Verdict = 'alive' | 'ping' | 'dead';

/** Of a connection that has just been made. */
export function newLiveness(now: number): Liveness {
  return { heardBytes: 0, heardAt: now, pingedAt: undefined };
}

/** Looks at a connection: what to remember, and what to do. */
export function look(
  liveness: Liveness,
  receivedBytes: number,
  now: number,
  options: LivenessOptions,
): { readonly liveness: Liveness; readonly verdict: Verdict } {
  if (receivedBytes !== liveness.heardBytes) {
    return {
      liveness: { heardBytes: receivedBytes, heardAt: now, pingedAt: undefined },
      verdict: 'alive',
    };
  }
  if (liveness.pingedAt === undefined) {
    if (now - liveness.heardAt < options.idleMs) return { liveness, verdict: 'alive' };
    return { liveness: { ...liveness, pingedAt: now }, verdict: 'ping' };
  }
  return { liveness, verdict: now - liveness.pingedAt < options.timeoutMs ? 'alive' : 'dead' };
}
