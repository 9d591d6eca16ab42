import { isDeepStrictEqual } from 'node:util';
import type { Change, Instance } from '../../common/instance.ts';
import type { Processes } from './processes.ts';

/**
 * What has been said to the agent, and what is to be said next. Additions and changes are said at
 * once. A removal waits: writers replace a node by deleting and creating it (a new session, a
 * configurator, a restart), and within the delay the endpoint comes back. A removal also waits while
 * the registry cannot be read: the second half of such a replacement may be what was missed.
 *
 * Pure but for its state: the time is an argument, `performance.now()` milliseconds.
 */
export class Emission {
  private readonly removalDelayMs: number;
  private readonly processes: Processes | undefined;
  private readonly said = new Map<string, Instance>();
  /** In the order in which they fall due, since all wait equally long. */
  private leaving = new Map<string, Departure>();
  private isHeld = false;

  /**
   * @param removalDelayMs how long an endpoint may be away before that is said
   * @param processes told of every endpoint
   */
  constructor(removalDelayMs: number, processes?: Processes) {
    this.removalDelayMs = removalDelayMs;
    this.processes = processes;
  }

  /** The endpoint is this now, or not there. Returns the change that is to be said now, if any. */
  update(id: string, current: Instance | undefined, now: number): Change | undefined {
    const said = this.said.get(id);
    if (current === undefined) {
      if (said !== undefined && !this.leaving.has(id)) {
        this.leaving.set(id, { dueAt: now + this.removalDelayMs, observedAt: now });
        this.processes?.leaving(said, now);
      }
      return undefined;
    }
    if (this.leaving.delete(id) && said !== undefined) this.processes?.staying(said);
    if (said === current) return undefined;
    this.said.set(id, current);
    this.processes?.said(said, current);
    return said !== undefined && isDeepStrictEqual(said, current)
      ? undefined
      : { kind: 'upsert', instance: current };
  }

  /** At most so many of the removals that have waited long enough, and when the first of these was observed. */
  takeDue(
    now: number,
    max = Infinity,
  ): { readonly changes: readonly Change[]; readonly observedAt: number } {
    const changes: Change[] = [];
    let observedAt = now;
    if (this.isHeld) return { changes, observedAt };
    for (const [id, departure] of this.leaving) {
      if (departure.dueAt > now || changes.length >= max) break;
      this.leaving.delete(id);
      const said = this.said.get(id);
      if (said !== undefined) this.processes?.gone(said);
      this.said.delete(id);
      observedAt = Math.min(observedAt, departure.observedAt);
      changes.push({ kind: 'removal', id });
    }
    return { changes, observedAt };
  }

  /** When the next removal falls due, or undefined when none waits or all are held. */
  nextDueAt(): number | undefined {
    if (this.isHeld) return undefined;
    for (const departure of this.leaving.values()) return departure.dueAt;
    return undefined;
  }

  /** Removals wait from here on, however long. */
  hold(): void {
    this.isHeld = true;
  }

  /** The registry is being read again: what still waits waits its full delay from now. */
  resume(now: number): void {
    if (!this.isHeld) return;
    this.isHeld = false;
    const dueAt = now + this.removalDelayMs;
    this.leaving = new Map(
      Array.from(this.leaving, ([id, { observedAt }]) => [id, { dueAt, observedAt }]),
    );
  }

  /** Everything that has been said and not taken back. */
  instances(): Iterable<[string, Instance]> {
    return this.said;
  }

  /** How many removals wait. */
  get leavingCount(): number {
    return this.leaving.size;
  }

  /** How many endpoints have been said and not taken back. */
  get size(): number {
    return this.said.size;
  }
}

interface Departure {
  readonly dueAt: number;
  readonly observedAt: number;
}
