import type { Logger } from 'pino';
import type { Activation } from '../common/guard-holds.ts';
import type { Guard } from '../common/guard.ts';
import type { RegistryId } from '../common/registry.ts';
import { Pause } from '../common/yielding.ts';

/** Of the parts whose removals begin or end to be held at one time so many are named in the log. */
const linesMax = 20;
/** What is due passes in slices of so many, in turns of the event loop of their own. */
const sliceMax = 500;

/** Where what a registry's guard held leaves it, and where its activations are told. */
export class GuardOutlet {
  private readonly registry: RegistryId;
  private readonly guard: Guard;
  private readonly letGo: (ids: readonly string[]) => void;
  private readonly log: Logger;
  private isDraining = false;

  /** @param letGo withdraws what is not held any more */
  constructor(
    registry: RegistryId,
    guard: Guard,
    letGo: (ids: readonly string[]) => void,
    log: Logger,
  ) {
    this.registry = registry;
    this.guard = guard;
    this.letGo = letGo;
    this.log = log;
  }

  /** Lets go of what is due: a first slice at once. The promise, if any, is that of the rest; it rejects on a defect. */
  drain(): Promise<void> | undefined {
    if (this.isDraining) return undefined;
    this.next();
    if (!this.guard.hasDue) return undefined;
    this.isDraining = true;
    return this.drainOn().finally(() => {
      this.isDraining = false;
    });
  }

  /** Logs each activation, up to some. */
  tellActivations(activations: readonly Activation[]): void {
    const { registry } = this;
    for (const { evidence } of activations.slice(0, linesMax)) {
      this.log.warn({ registry, evidence }, 'removals are held');
    }
    const others = activations.length - linesMax;
    if (others > 0) this.log.warn({ registry, others }, 'removals of others are held');
  }

  private async drainOn(): Promise<void> {
    const pause = new Pause();
    while (this.guard.hasDue) {
      await pause.turn();
      this.next();
    }
  }

  private next(): void {
    const ids = this.guard.takeDue(sliceMax).map(({ id }) => id);
    if (ids.length > 0) this.letGo(ids);
    this.tellEnded();
  }

  private tellEnded(): void {
    const { registry } = this;
    const ended = this.guard.takeEnded();
    for (const { evidence, ends } of ended.slice(0, linesMax)) {
      this.log.info({ registry, evidence, ...ends }, 'removals are held no more');
    }
    const others = ended.length - linesMax;
    if (others > 0) this.log.info({ registry, others }, 'removals of others are held no more');
  }
}
