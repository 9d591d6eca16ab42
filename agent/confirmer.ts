import type { Logger } from 'pino';
import { fullJitter } from '../common/backoff.ts';
import { messageOf } from '../common/errors.ts';
import { sleep } from '../common/sleep.ts';
import { Wake } from '../common/wake.ts';
import { Pause } from '../common/yielding.ts';
import type { GuardedView } from './guarded-view.ts';
import type { Source, SuspectedLoss, Verdicts } from './source.ts';

/** Losses asked about in one call: a slow registry then confirms in portions. */
const askedMax = 500;
/** Answers are taken in portions of so many: each is one batch of the feed. */
const takenMax = 500;
const singleAnswerMs = 15_000;
/** For whole registries to be read from several servers. */
const massAnswerMs = 120_000;
const retryPolicy = { baseMs: 250, maxMs: 10_000 };
const massIntervalMs = 10_000;

/**
 * Brings what the guard does not let pass by itself to its end: asks the registry about single removals at once and
 * again until it could be asked, about what is held when the hold begins and every 10 s as long as it lasts (more
 * often when the hold is short), and lets in slices pass what is due.
 */
export class Confirmer {
  private readonly source: Source;
  private readonly view: GuardedView;
  private readonly log: Logger;
  private readonly single = new Wake();
  private readonly mass = new Wake();

  constructor(source: Source, view: GuardedView, log: Logger) {
    this.source = source;
    this.view = view;
    this.log = log;
  }

  /** To be called after each `settle` and `tick` of the view. */
  poke(): void {
    if (this.view.hasUnconfirmed) this.single.poke();
    if (this.isMassWanted) this.mass.poke();
    this.tellEnded();
  }

  /** Resolves when the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([this.runSingle(signal), this.runMass(signal), this.runDue(signal)]);
  }

  private async runSingle(signal: AbortSignal): Promise<void> {
    let failures = 0;
    while (!signal.aborted) {
      if (!this.view.hasUnconfirmed) {
        await this.single.wait(signal);
        continue;
      }
      const wanted = this.view.takeUnconfirmed(askedMax);
      const verdicts = await this.ask(wanted.losses, 'single', signal);
      if (verdicts === undefined) {
        this.view.putBackUnconfirmed(wanted);
        await sleep(50 + fullJitter(retryPolicy, failures++), signal);
        continue;
      }
      failures = 0;
      const asked = wanted.losses.map(({ instance }) => instance.id);
      const { observedAt } = wanted;
      this.view.answered({ asked, verdicts, scale: 'single', observedAt }, performance.now());
    }
  }

  private async runMass(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      if (!this.isMassWanted) {
        await this.mass.wait(signal);
        continue;
      }
      const held = await this.heldLosses();
      const verdicts = await this.ask(held, 'mass', signal);
      if (verdicts !== undefined) await this.takeMass(held, verdicts);
      await sleep(Math.min(massIntervalMs, Math.max(50, this.view.holdMsMin / 4)), signal);
    }
  }

  private get isMassWanted(): boolean {
    return this.view.heldCount > 0 && !this.view.isJudging;
  }

  private async takeMass(held: readonly SuspectedLoss[], verdicts: Verdicts): Promise<void> {
    const pause = new Pause();
    this.view.testify(verdicts.testimony ?? '');
    for (let from = 0; from < held.length; from += takenMax) {
      const asked = held.slice(from, from + takenMax).map(({ instance }) => instance.id);
      const now = performance.now();
      this.view.answered({ asked, verdicts, scale: 'mass', observedAt: now }, now);
      if (pause.isDue()) await pause.turn();
    }
    this.tellEnded();
  }

  private async heldLosses(): Promise<readonly SuspectedLoss[]> {
    const pause = new Pause();
    const losses: SuspectedLoss[] = [];
    for (const { id, kind } of this.view.heldLosses()) {
      if (pause.isDue()) await pause.turn();
      const instance = this.view.instance(id);
      if (instance !== undefined) losses.push({ instance, kind });
    }
    return losses;
  }

  private async runDue(signal: AbortSignal): Promise<void> {
    const pause = new Pause();
    while (!signal.aborted) {
      if (!this.view.hasDue) {
        await this.view.due.wait(signal);
        continue;
      }
      this.view.passDue(performance.now());
      this.poke();
      await pause.turn();
    }
  }

  private tellEnded(): void {
    for (const { evidence, ends, witnesses } of this.view.takeEnded()) {
      this.log.info({ evidence, ...ends, witnesses }, 'guard: nothing of this is held any more');
    }
  }

  /** Undefined when the registry could not be asked, or has not answered in time. */
  private async ask(
    losses: readonly SuspectedLoss[],
    scale: 'single' | 'mass',
    signal: AbortSignal,
  ): Promise<Verdicts | undefined> {
    if (losses.length === 0) return { confirmed: new Set(), refuted: new Set() };
    const deadline = new AbortController();
    const either = AbortSignal.any([signal, deadline.signal]);
    try {
      const answerMs = scale === 'single' ? singleAnswerMs : massAnswerMs;
      const late = sleep(answerMs, either).then(() => undefined);
      const verdicts = await Promise.race([this.source.confirmLosses(losses, scale, either), late]);
      if (verdicts === undefined && !signal.aborted) {
        this.log.debug({ scale }, 'confirmation of losses: no answer in time');
      }
      return verdicts;
    } catch (error) {
      this.log.debug({ scale, reason: messageOf(error) }, 'confirmation of losses failed');
      return undefined;
    } finally {
      deadline.abort();
    }
  }
}
