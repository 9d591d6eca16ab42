import type { Logger } from 'pino';
import { fullJitter } from '../common/backoff.ts';
import { messageOf } from '../common/errors.ts';
import type { Instance } from '../common/instance.ts';
import { sleep } from '../common/sleep.ts';
import { Pause } from '../common/yielding.ts';
import type { GuardedView } from './guarded-view.ts';
import type { Source } from './source.ts';

/** Instances asked about in one call: a slow registry then confirms in portions. */
const askedMax = 500;
const answerTimeoutMs = 15_000;
const retryPolicy = { baseMs: 250, maxMs: 10_000 };
const massIntervalMs = 10_000;

/**
 * Asks the registry to confirm removals: single ones at once and again until it could be asked, those held as
 * a mass when the hold begins and every 10 s as long as it lasts (for another witness's word).
 */
export class Confirmer {
  private readonly source: Source;
  private readonly view: GuardedView;
  private readonly log: Logger;
  private wakeSingle: () => void = () => undefined;
  private wakeMass: () => void = () => undefined;

  constructor(source: Source, view: GuardedView, log: Logger) {
    this.source = source;
    this.view = view;
    this.log = log;
  }

  /** To be called after each `settle` of the view. */
  poke(): void {
    if (this.view.hasUnconfirmed) this.wakeSingle();
    if (this.view.heldCount > 0) this.wakeMass();
  }

  /** Resolves when the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([this.runSingle(signal), this.runMass(signal)]);
  }

  private async runSingle(signal: AbortSignal): Promise<void> {
    let failures = 0;
    while (!signal.aborted) {
      if (!this.view.hasUnconfirmed) {
        await wait((wake) => (this.wakeSingle = wake), signal);
        continue;
      }
      const wanted = this.view.takeUnconfirmed(askedMax);
      const gone = await this.ask(wanted.instances, 'single', signal);
      if (gone === undefined) {
        this.view.putBackUnconfirmed(wanted);
        await sleep(50 + fullJitter(retryPolicy, failures++), signal);
        continue;
      }
      failures = 0;
      const asked = wanted.instances.map(({ id }) => id);
      const answer = { asked, gone, scale: 'single', observedAt: wanted.observedAt } as const;
      this.view.confirmed(answer, performance.now());
    }
  }

  private async runMass(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      if (this.view.heldCount === 0) {
        await wait((wake) => (this.wakeMass = wake), signal);
        continue;
      }
      const held = await this.heldInstances();
      const gone = await this.ask(held, 'mass', signal);
      if (gone !== undefined && gone.size > 0) {
        const asked = held.map(({ id }) => id);
        const now = performance.now();
        this.view.confirmed({ asked, gone, scale: 'mass', observedAt: now }, now);
        this.log.info({ asked: asked.length, gone: gone.size }, 'held removals confirmed');
      }
      await sleep(massIntervalMs, signal);
    }
  }

  private async heldInstances(): Promise<readonly Instance[]> {
    const pause = new Pause();
    const instances: Instance[] = [];
    for (const id of this.view.heldIds()) {
      if (pause.isDue()) await pause.turn();
      const instance = this.view.instance(id);
      if (instance !== undefined) instances.push(instance);
    }
    return instances;
  }

  /** Undefined when the registry could not be asked, or has not answered in time. */
  private async ask(
    instances: readonly Instance[],
    scale: 'single' | 'mass',
    signal: AbortSignal,
  ): Promise<ReadonlySet<string> | undefined> {
    if (instances.length === 0) return new Set();
    const deadline = new AbortController();
    const either = AbortSignal.any([signal, deadline.signal]);
    try {
      const late = sleep(answerTimeoutMs, either).then(() => undefined);
      const gone = await Promise.race([this.source.confirmGone(instances, scale, either), late]);
      if (gone === undefined && !signal.aborted) {
        this.log.debug({ scale }, 'confirmation of removals: no answer in time');
      }
      return gone;
    } catch (error) {
      this.log.debug({ scale, reason: messageOf(error) }, 'confirmation of removals failed');
      return undefined;
    } finally {
      deadline.abort();
    }
  }
}

/** Resolves when the handed-out function is called, or when the signal aborts. */
function wait(expose: (wake: () => void) => void, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const finish = (): void => {
      signal.removeEventListener('abort', finish);
      resolve();
    };
    if (signal.aborted) finish();
    else signal.addEventListener('abort', finish, { once: true });
    expose(finish);
  });
}
