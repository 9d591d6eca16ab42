import type { SuspectedLoss } from '../source.ts';

/**
 * When one server has nobody beside it that could be asked, its own later reads may confirm what it seems to
 * have lost.
 *
 * ```
 * held ── missing in a full read ──> missed once ── again, `intervalMs` later ──> ... ── the `count`th time ──> sure
 *   ^                                    │
 *   └──── the read has it again ─────────┘
 * ```
 *
 * Reads within an interval count as one, and an instance starts anew when a read has it again or when it is not
 * asked about any more. Everything starts anew when a read does not count: the server could not be read, is young,
 * or has nothing at all, so that what it does not know proves nothing.
 *
 * No clock and no input or output: `now` is in milliseconds of any steady origin.
 */
export interface LaterReadsPolicy {
  /** So many reads must miss an instance. */
  readonly count: number;
  /** The time between two reads that count. */
  readonly intervalMs: number;
}

/** Three reads over a minute: twice the interval of the servers' own caches, and of their clients' heartbeats. */
export const laterReadsPolicy: LaterReadsPolicy = { count: 3, intervalMs: 30_000 };

/** See the head of this file. */
export class LaterReads {
  private readonly policy: LaterReadsPolicy;
  private missed = new Map<string, number>();
  private readAt = -Infinity;

  constructor(policy: LaterReadsPolicy) {
    this.policy = policy;
  }

  /** Whether a read would count now. */
  isDue(now: number): boolean {
    return now - this.readAt >= this.policy.intervalMs;
  }

  /** A read that counts: it agrees with `agreed`, of all that are asked about now. */
  note(agreed: readonly SuspectedLoss[], now: number): void {
    if (!this.isDue(now)) return;
    this.readAt = now;
    const before = this.missed;
    this.missed = new Map();
    for (const { instance } of agreed) {
      this.missed.set(instance.id, (before.get(instance.id) ?? 0) + 1);
    }
  }

  /** Those that enough reads have missed. */
  sure(losses: readonly SuspectedLoss[]): readonly SuspectedLoss[] {
    const { count } = this.policy;
    return losses.filter(({ instance }) => (this.missed.get(instance.id) ?? 0) >= count);
  }

  /** Begins anew. */
  reset(): void {
    this.missed = new Map();
    this.readAt = -Infinity;
  }
}
