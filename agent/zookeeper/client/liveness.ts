/** The longest time between two pings, so that the view is confirmed every few seconds. */
const confirmIntervalMs = 3_000;

/**
 * Tells by time alone whether the peer of a session still lives; keeps no timer itself. Times are `performance.now()`
 * milliseconds.
 *
 * A ping is due every third of the session timeout, whatever else is sent and arrives meanwhile (its answer also tells
 * that every event before it has been seen);
 * two thirds of it without a byte are a dead peer, and so is a request that makes no progress while pings are
 * answered.
 */
export class Liveness {
  /** How often to look. */
  readonly tickMs: number;
  private readonly sessionTimeoutMs: number;
  private readonly requestTimeoutMs: number;
  private readonly pingMs: number;
  private pingedAt: number;
  private receivedAt: number;
  private progressAt: number;
  private tickedAt: number;

  constructor(sessionTimeoutMs: number, requestTimeoutMs: number, now: number) {
    this.sessionTimeoutMs = sessionTimeoutMs;
    this.requestTimeoutMs = requestTimeoutMs;
    this.pingMs = Math.min(sessionTimeoutMs / 3, confirmIntervalMs);
    this.tickMs = Math.max(5, Math.floor(this.pingMs / 4));
    this.pingedAt = now;
    this.receivedAt = now;
    this.progressAt = now;
    this.tickedAt = now;
  }

  /** Bytes have come. */
  received(now: number): void {
    this.receivedAt = now;
  }

  /** The first of the waiting requests has come closer to its answer. */
  progressed(now: number): void {
    this.progressAt = now;
  }

  /** Looks. `isWaiting`: a request is without an answer. A ping that is due is taken to be sent. */
  look(now: number, isWaiting: boolean): Look {
    const isLate = now - this.tickedAt > 2 * this.tickMs;
    this.tickedAt = now;
    const isPingDue = now - this.pingedAt >= this.pingMs - this.tickMs;
    if (isPingDue) this.pingedAt = now;
    // After a stall of our own, what has arrived is still unread: judge at the next look.
    const failure = isLate ? undefined : this.judge(now, isWaiting);
    return { isPingDue, failure };
  }

  private judge(now: number, isWaiting: boolean): string | undefined {
    const silentMs = now - this.receivedAt;
    if (silentMs > (this.sessionTimeoutMs * 2) / 3) {
      return `nothing received for ${Math.round(silentMs)} ms`;
    }
    if (isWaiting && now - this.progressAt > this.requestTimeoutMs) {
      return `a request was not answered within ${this.requestTimeoutMs} ms`;
    }
    return undefined;
  }
}

/** What a look has found. */
export interface Look {
  readonly isPingDue: boolean;
  /** Why the peer is given up. */
  readonly failure: string | undefined;
}
