import type { UnfinishedFrame } from './framing.ts';

/** The longest time between two pings, so that the view is confirmed every few seconds. */
const confirmIntervalMs = 3_000;

/** A frame may take the time of a request, and as long as its bytes take at this pace (256 KiB/s). */
const slowestBytesPerMs = 256;

/**
 * Tells by time alone whether the peer of a session still lives; keeps no timer itself. Times are `performance.now()`
 * milliseconds.
 *
 * A ping is due every third of the session timeout, whatever else is sent and arrives meanwhile (its answer also tells
 * that every event before it has been seen);
 * two thirds of it without a byte are a dead peer, and so is a request that makes no progress while pings are
 * answered. A frame that does not end, because its length was damaged, would swallow all that comes behind it: it
 * has a time to end in.
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
  private unfinished: UnfinishedFrame | undefined;
  private unfinishedSince = 0;

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

  /** Bytes have come, at the end of which the stream stands in a frame, or between two. */
  received(now: number, unfinished: UnfinishedFrame | undefined): void {
    this.receivedAt = now;
    if (unfinished !== undefined) this.progressAt = now;
    if (unfinished === this.unfinished) return;
    this.unfinished = unfinished;
    this.unfinishedSince = now;
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
    const { bytes = 0 } = this.unfinished ?? {};
    const deadlineMs = this.requestTimeoutMs + bytes / slowestBytesPerMs;
    if (this.unfinished !== undefined && now - this.unfinishedSince > deadlineMs) {
      return `a message of ${bytes} bytes did not come to its end within ${Math.round(deadlineMs)} ms`;
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
