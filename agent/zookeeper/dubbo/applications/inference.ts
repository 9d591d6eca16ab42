import { Wake } from '../../../../common/wake.ts';
import { Pause } from '../../../../common/yielding.ts';
import { noServices } from './claims.ts';
import type { Resolution } from './claims.ts';
import type { Exploration } from './exploration.ts';
import { isPassing, retryDelayMs } from './metadata-reading.ts';
import type { ProcessLeaves } from './process-leaves.ts';
import { portsOf } from './record.ts';
import type { Registration } from './registration.ts';

/** What inference is done with. */
export interface InferenceParts {
  readonly leaves: ProcessLeaves;
  readonly exploration: Exploration;
  readonly times: InferenceTimes;
  readonly observer: InferenceObserver;
  /** Whether more registrations may be about to enter: an exploration that waits a little serves them as well. */
  readonly isGathering: () => boolean;
}

/** Milliseconds. */
export interface InferenceTimes {
  /** How long it must have lasted that a registration has leaves, or none. */
  readonly graceMs: number;
  /** At most one exploration in so long. */
  readonly exploreMinMs: number;
  /** After so long what was inferred is looked at again. */
  readonly exploreAgainMs: number;
}

/** Who is told what comes of it. */
export interface InferenceObserver {
  /** What is known of this registration's services may have changed. */
  changed(registration: Registration): void;
  /** It has no leaves: nobody else vouches for its services. */
  alone(registration: Registration): void;
  /** It has leaves, or is not asked about any more. */
  notAlone(registration: Registration): void;
  /** An exploration is about to be repeated: its metadata may have come meanwhile. */
  again(registration: Registration): void;
  explored(reads: number, ms: number): void;
  /** Something is done. */
  progress(): void;
  disconnected(error: Error): void;
}

/** An exploration that nobody waits for makes a pause after each request. Milliseconds. */
const paceMs = 20;
const backoff = { baseMs: 250, maxMs: 30_000 };
/** On the average repeated explorations make one read in so long, however large the tree. Milliseconds. */
const msPerRead = 2;
/** How long an exploration is put off for those that are about to enter, at a time and in all. Milliseconds. */
const gatheringMs = 5;
const gatheringMaxMs = 2000;

/**
 * Registrations whose metadata nobody can read: those that have leaves of the interface-level registry beside them
 * need nothing; for the others their services are inferred, by explorations that are rare and shared.
 */
export class Inference {
  private readonly parts: InferenceParts;
  private readonly wake = new Wake();
  private readonly open = new Set<Registration>();
  /** Those of which it must be found out whether they have leaves. */
  private readonly undecided = new Set<Registration>();
  /** Those that have none. */
  private readonly aloneOnes = new Set<Registration>();
  private nextStartAt = 0;
  private repeatAt = Infinity;
  private failures = 0;
  /** Since when an exploration has been due that is put off. */
  private gatheringSince: number | undefined;
  /** Whether what was found out is being worked off. */
  private isBusy = false;
  /** Whether something has come since the last look. */
  private hasNews = false;

  constructor(parts: InferenceParts) {
    this.parts = parts;
  }

  /** Its metadata cannot be read. What is known of its services is `resolutionOf` from here on. */
  enter(registration: Registration): void {
    if (this.open.has(registration)) return;
    this.open.add(registration);
    this.undecided.add(registration);
    this.notify();
  }

  /** It is known otherwise, or gone. */
  exit(registration: Registration): void {
    if (!this.open.delete(registration)) return;
    this.undecided.delete(registration);
    if (this.aloneOnes.delete(registration)) this.parts.observer.notAlone(registration);
  }

  /** Its first leaf has come, or its last one gone. */
  leavesChanged(registration: Registration): void {
    if (!this.open.has(registration)) return;
    this.undecided.add(registration);
    this.notify();
  }

  /** Some process has lost its last leaf: what it said is to be forgotten after a while. */
  leavesGone(): void {
    this.notify();
  }

  /** Looks at everything now, without waiting whether it lasts. */
  hurry(): void {
    this.parts.leaves.settle(performance.now());
    this.notify();
  }

  /** Whether something is yet to be found out for the first time. */
  get isPending(): boolean {
    if (this.undecided.size > 0 || this.isBusy) return true;
    for (const registration of this.aloneOnes) if (this.isUnexplored(registration)) return true;
    return false;
  }

  /** What is known of the services of one that has entered; undefined: nothing new. */
  resolutionOf({ record, shownAt, resolution }: Registration): Resolution | undefined {
    const { leaves, exploration } = this.parts;
    const ports = portsOf(record);
    const hasLeaves = leaves.has(ports, shownAt, performance.now());
    if (hasLeaves === true) return noServices;
    const inferred = exploration.explored(record.application)?.resolution;
    if (hasLeaves === false) return inferred;
    // A process that comes back goes on with what others of its application have shown.
    const isNew = resolution === undefined && !leaves.hasAny(ports);
    return isNew ? inferred : undefined;
  }

  /** Infers until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.hasNews = false;
      this.isBusy = true;
      const decidableAt = await this.decide();
      const exploreAt = this.exploreAt();
      const isDue = exploreAt <= performance.now();
      if (isDue) await this.explore(signal);
      this.isBusy = false;
      this.parts.observer.progress();
      if (isDue || this.isNewsWaiting()) continue;
      const waitMs = Math.min(decidableAt, exploreAt) - performance.now();
      await this.wake.wait(signal, waitMs === Infinity ? undefined : Math.max(1, waitMs));
    }
  }

  private isNewsWaiting(): boolean {
    return this.hasNews;
  }

  private notify(): void {
    this.hasNews = true;
    this.wake.poke();
  }

  /** Finds out who has leaves. Returns when more can be said. */
  private async decide(): Promise<number> {
    const { leaves, times, observer } = this.parts;
    const pause = new Pause();
    let decidableAt = Infinity;
    for (const registration of this.undecided) {
      const { record, shownAt } = registration;
      const now = performance.now();
      const hasLeaves = leaves.has(portsOf(record), shownAt, now);
      if (hasLeaves === undefined) {
        decidableAt = Math.min(decidableAt, now + times.graceMs / 4);
        continue;
      }
      this.undecided.delete(registration);
      if (hasLeaves && this.aloneOnes.delete(registration)) observer.notAlone(registration);
      if (!hasLeaves && !this.aloneOnes.has(registration)) {
        this.aloneOnes.add(registration);
        observer.alone(registration);
      }
      observer.changed(registration);
      if (pause.isDue()) await pause.turn();
    }
    return Math.min(decidableAt, leaves.prune(performance.now()));
  }

  /** When to explore next: soon for who has shown something new, else after a while. */
  private exploreAt(): number {
    for (const registration of this.aloneOnes) {
      if (!this.isUnexplored(registration)) continue;
      const now = performance.now();
      this.gatheringSince ??= now;
      const isGathering = now - this.gatheringSince < gatheringMaxMs && this.parts.isGathering();
      return isGathering ? Math.max(this.nextStartAt, now + gatheringMs) : this.nextStartAt;
    }
    return this.aloneOnes.size === 0 ? Infinity : this.repeatAt;
  }

  private isUnexplored({ record, shownAt }: Registration): boolean {
    const explored = this.parts.exploration.explored(record.application);
    return explored === undefined || explored.startedAt < shownAt;
  }

  private async explore(signal: AbortSignal): Promise<void> {
    const { exploration, observer, times } = this.parts;
    const startedAt = performance.now();
    this.gatheringSince = undefined;
    const isRepeated = startedAt >= this.repeatAt;
    const applications = new Map<string, number>();
    let isUrgent = false;
    for (const registration of this.aloneOnes) {
      const { record, shownAt } = registration;
      const latest = applications.get(record.application) ?? 0;
      applications.set(record.application, Math.max(latest, shownAt));
      isUrgent ||= this.isUnexplored(registration);
      if (isRepeated) observer.again(registration);
    }
    try {
      const options = { paceMs: isUrgent ? 0 : paceMs, signal };
      const reads = await exploration.explore(applications, options);
      const now = performance.now();
      this.failures = 0;
      this.nextStartAt = startedAt + times.exploreMinMs;
      this.repeatAt = now + Math.max(times.exploreAgainMs, msPerRead * reads);
      observer.explored(reads, now - startedAt);
    } catch (error) {
      if (!isPassing(error)) throw error;
      if (signal.aborted) return;
      observer.disconnected(error);
      this.nextStartAt = performance.now() + retryDelayMs(backoff, this.failures);
      if (isRepeated) this.repeatAt = this.nextStartAt;
      this.failures += 1;
      return;
    }
    const pause = new Pause();
    for (const registration of this.aloneOnes) {
      observer.changed(registration);
      if (pause.isDue()) await pause.turn();
    }
  }
}
