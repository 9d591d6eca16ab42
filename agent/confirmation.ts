import type { SuspectedLoss, Verdicts } from './source.ts';

/** Losses given out for confirmation. */
export interface Unconfirmed {
  readonly losses: readonly SuspectedLoss[];
  /** When the oldest of them was observed. */
  readonly observedAt: number;
}

/** What the registry answered. */
export interface Answer {
  readonly asked: readonly string[];
  readonly verdicts: Verdicts;
  readonly scale: 'single' | 'mass';
  readonly observedAt: number;
}

/**
 * Single losses that the registry did not confirm when it was asked: it is asked again, at growing intervals, for as
 * long as its source keeps to the loss.
 *
 * Pure but for its state: the time is an argument, milliseconds of any monotonic origin.
 */
export class RefusedLosses {
  private readonly byId = new Map<string, { attempts: number; dueAt: number }>();

  /** One more answer that confirmed nothing. */
  refuse(id: string, now: number): void {
    const attempts = (this.byId.get(id)?.attempts ?? 0) + 1;
    this.byId.set(id, { attempts, dueAt: now + Math.min(intervalMaxMs, 1000 * 2 ** attempts) });
  }

  /** The instance is there, or gone for good. */
  delete(id: string): void {
    this.byId.delete(id);
  }

  /** Those to ask about again; the same ones at each call until they are refused once more or deleted. */
  *due(now: number): Generator<string> {
    for (const [id, { dueAt }] of this.byId) if (dueAt <= now) yield id;
  }
}

const intervalMaxMs = 60_000;
