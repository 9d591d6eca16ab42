import { Holds } from './guard-holds.ts';
import type { Activation, EndedHold, HeldPart, HoldEnd } from './guard-holds.ts';
import { LimitsBook } from './guard-limits.ts';
import { findMasses, scopeKey, Tallies } from './guard-tallies.ts';
import type { Tally } from './guard-tallies.ts';
import type { RegistryKind } from './registry.ts';

/**
 * The guard: a registry that suddenly loses much is not believed at once. It is used twice, by the
 * agent on what it reads and by the aggregator on the first snapshot of a new epoch.
 *
 * What it counts are *losses* of instances that are UP: removals, and demotions (from UP to another
 * status). Additions and all other changes never come here. Every loss is counted in a rolling
 * window, per registry and per service, against the number that was UP before the losses of the
 * window; so a mass expiry that arrives as a hundred small batches is still a mass removal, and
 * nothing needs to be known of the additions of the same time.
 *
 * - A loss below the thresholds is `single`: it may pass as soon as it has been confirmed.
 * - A loss that makes its registry or its service cross the threshold is held, and so are those of
 *   the same scope that still wait for their confirmation. What has passed before is not called back.
 * - A held loss ends in exactly one way: the instance is back, a second witness confirmed it, its
 *   hold time is over, or an operator released it. Nothing is ever forgotten. Each time that somebody refutes
 *   a held loss its hold time starts again.
 * - A service whose own fraction is 1 is never held, and its losses do not count for the registry.
 * - Where the source itself doubts what its registry says, removals are a mass from the minimum on, whatever the
 *   fraction, and those that leave a service without an UP instance are, whatever the minimum.
 *
 * The guard has no clock and does no I/O: `now` is an argument (milliseconds, any monotonic origin),
 * and equal calls give equal answers.
 */
export interface GuardPolicy extends GuardLimits {
  /** Length of the rolling window, milliseconds. */
  readonly windowMs: number;
  /** What holds for single services instead; default: the registry's own limits for each. */
  readonly services?: ServiceLimits;
}

/** The limits of a scope: a registry or a service. */
export interface GuardLimits {
  /** Share of the UP instances of a scope (0..1) that may be removed within the window; 1: never held. */
  readonly fraction: number;
  /** Fewer losses than this within the window are not held (in doubt: unless they are all of a service). */
  readonly minimum: number;
  /** How long a loss is held at most, milliseconds. */
  readonly holdMs: number;
}

/** The limits that a service (see `Loss.service`) has of its own, if any. */
export type ServiceLimits = (service: string) => Partial<GuardLimits> | undefined;

/**
 * Defaults. A Eureka server evicts at most 15 % of its registry a pass, one pass a minute, so its
 * window is half a minute and never sees two of them; 6 minutes outlast the 5 in which a fresh server
 * waits for registrations. ZooKeeper sessions that lose their server together expire within one
 * session timeout (40 s at most by default) of each other; a mass expiry is held for two.
 */
export const guardPolicies: Readonly<Record<RegistryKind, GuardPolicy>> = {
  eureka: { fraction: 0.15, minimum: 5, windowMs: 30_000, holdMs: 360_000 },
  zookeeper: { fraction: 0.5, minimum: 5, windowMs: 40_000, holdMs: 80_000 },
};

/** `removal`: the instance is said to be gone. `demotion`: it is said to be no longer UP. */
export type LossKind = 'removal' | 'demotion';

/** One instance, UP so far, that is to be withdrawn. */
export interface Loss {
  readonly id: string;
  /** Any text that is equal for equal service keys (`serviceKeyText`). */
  readonly service: string;
  readonly kind: LossKind;
}

/** How many instances are UP now; those whose loss is single or held still count, as they stand. */
export interface Census {
  readonly registry: number;
  service(service: string): number;
}

export interface GuardOutcome {
  /** New losses that pass once confirmed: hand them to `confirm` when they are. */
  readonly single: readonly Loss[];
  /** Losses held from now on: new ones, and earlier single ones that were not confirmed yet. */
  readonly held: readonly Loss[];
  /** Parts of which nothing was held before. */
  readonly activations: readonly Activation[];
}

interface Entry {
  readonly loss: Loss;
  readonly wantedAt: number;
  /** `due`: released or past its hold time, not taken yet. */
  state: 'single' | 'held' | 'due' | 'passed' | 'dropped';
  /** The hold time runs from here. */
  since: number;
  readonly holdMs: number;
  isInWindow: boolean;
  part: string;
  /** Of the registry and of the service; both live while the entry is in the window. */
  readonly tallies: readonly Tally[];
}

/** So long without a tick: the process slept. */
const sleptMs = 15_000;

/** See the head of this file. One guard serves one registry. */
export class Guard {
  readonly policy: GuardPolicy;
  private readonly entries = new Map<string, Entry>();
  private window: Entry[] = [];
  private readonly tallies = new Tallies();
  private readonly limits: LimitsBook;
  private readonly holds = new Holds();
  private tickedAt = Infinity;
  /** In the order in which they became due; some may have settled otherwise meanwhile. */
  private due: Entry[] = [];

  constructor(policy: GuardPolicy) {
    this.policy = policy;
    this.limits = new LimitsBook(policy);
  }

  /** How many losses are held. */
  get heldCount(): number {
    return this.holds.count;
  }

  /** How long a loss is held at least before it passes by itself, milliseconds; of what is held now. */
  get holdMsMin(): number {
    let least = this.policy.holdMs;
    for (const { state, holdMs } of this.entries.values()) {
      if (state === 'held') least = Math.min(least, holdMs);
    }
    return least;
  }

  /** Whether the loss of this instance is single, held or due, that is, not settled. */
  isPending(id: string): boolean {
    const state = this.entries.get(id)?.state;
    return state !== undefined && state !== 'passed' && state !== 'dropped';
  }

  isHeld(id: string): boolean {
    return this.entries.get(id)?.state === 'held';
  }

  /**
   * New losses. One that is pending already with the same kind is left as it is and is not in the
   * answer; with another kind it is counted anew, and in doubt a single one is. `census` is taken with these
   * instances still UP.
   *
   * @param doubt why the registry is doubted at the moment, for the operator; undefined when it is not
   */
  want(losses: Iterable<Loss>, census: Census, now: number, doubt?: string): GuardOutcome {
    this.expire(now);
    const added: Entry[] = [];
    for (const loss of losses) {
      const known = this.entries.get(loss.id);
      if (known !== undefined) {
        const isJudged = doubt === undefined || known.state !== 'single';
        if (isJudged && known.loss.kind === loss.kind && this.isPending(loss.id)) continue;
        this.drop(known);
      }
      added.push(this.add(loss, now));
    }
    const { tallies, limits } = this;
    const { windowMs } = this.policy;
    const massParts = findMasses(
      added.map(({ loss }) => loss),
      { tallies, windowMs, limitsOf: (service) => limits.of(service), census, doubt },
    );
    const held: Loss[] = [];
    const activations: Activation[] = [];
    if (massParts.size > 0) {
      const candidates = doubt === undefined ? this.window : this.entries.values();
      this.hold(candidates, massParts, { held, activations });
    }
    const single = added.filter((entry) => entry.state === 'single').map((entry) => entry.loss);
    return { single, held, activations };
  }

  /**
   * New losses of which not one is to be believed: all are held, whatever their number, but those of services that
   * never are.
   * @param evidence why, for the operator
   */
  suspect(losses: Iterable<Loss>, now: number, evidence: string): GuardOutcome {
    this.expire(now);
    const outcome = { single: [] as Loss[], held: [] as Loss[], activations: [] as Activation[] };
    for (const loss of losses) {
      this.back(loss.id);
      const entry = this.add(loss, now);
      if (entry.tallies.length === 0) outcome.single.push(loss);
      else this.holdOne(entry, '', evidence, outcome);
    }
    return outcome;
  }

  /** The instance is there again, or its loss is no longer wanted. Unknown ids are ignored. */
  back(id: string): void {
    const entry = this.entries.get(id);
    if (entry !== undefined) this.drop(entry);
  }

  /**
   * These are confirmed. A held loss takes a `mass` witness; a `single` one is not enough for it.
   * Returns what passes; the caller withdraws it.
   */
  confirm(ids: Iterable<string>, scale: 'single' | 'mass'): readonly Loss[] {
    const passed: Loss[] = [];
    for (const id of ids) {
      const entry = this.entries.get(id);
      if (entry === undefined) continue;
      const isEnough = entry.state === 'held' ? scale === 'mass' : this.isPending(id);
      if (!isEnough) continue;
      this.unhold(entry, 'confirmed');
      this.pass(entry, passed);
    }
    return passed;
  }

  /** Somebody lists these as UP: as far as they are held, their hold times start again. */
  refute(ids: Iterable<string>, now: number): void {
    for (const id of ids) {
      const entry = this.entries.get(id);
      if (entry?.state === 'held') entry.since = now;
    }
  }

  /** What the witnesses say of all that is held, for the operator; forgotten when nothing is held. */
  testify(testimony: string): void {
    this.holds.testify(testimony);
  }

  /**
   * Whatever has been held, or has waited, for its whole hold time is due. Call it about every second: a longer time
   * between two calls, in which the process slept, is no hold time, since nobody could have said otherwise in it.
   */
  tick(now: number): void {
    this.expire(now);
    const sinceTick = now - this.tickedAt;
    this.tickedAt = now;
    if (sinceTick > sleptMs) for (const entry of this.entries.values()) entry.since += sinceTick;
    for (const entry of this.entries.values()) {
      const isWaiting = entry.state === 'single' || entry.state === 'held';
      if (isWaiting && entry.since + entry.holdMs <= now) this.makeDue(entry, 'time');
    }
  }

  /**
   * Everything that is held is due, by an operator's word. What was counted so far is accepted with it and weighs no
   * more on later losses. Returns how many were held.
   */
  release(): number {
    const released = this.heldCount;
    for (const entry of this.entries.values()) {
      if (entry.state === 'passed') this.drop(entry);
      if (entry.state !== 'held') continue;
      this.makeDue(entry, 'released');
      this.leaveWindow(entry);
    }
    return released;
  }

  /** Returns what is due and passes now, `limit` losses at most; the caller withdraws them. */
  takeDue(limit: number): readonly Loss[] {
    const passed: Loss[] = [];
    let taken = 0;
    for (const entry of this.due) {
      if (passed.length >= limit) break;
      taken += 1;
      if (entry.state === 'due') this.pass(entry, passed);
    }
    this.due = this.due.slice(taken);
    return passed;
  }

  /** Whether `takeDue` has something. */
  get hasDue(): boolean {
    return this.due.length > 0;
  }

  /** The holds that have ended since the last call. */
  takeEnded(): readonly EndedHold[] {
    return this.holds.takeEnded();
  }

  /** The registry could not be read for so long: everything pending waits that much longer, at most its whole time. */
  renew(now: number, awayMs = Infinity): void {
    for (const entry of this.entries.values()) entry.since = Math.min(now, entry.since + awayMs);
  }

  /** Every loss that is held. */
  heldLosses(): readonly Loss[] {
    const held: Loss[] = [];
    for (const entry of this.entries.values()) if (entry.state === 'held') held.push(entry.loss);
    return held;
  }

  /** What is held, by part, with the evidence that activated the guard. */
  held(): readonly HeldPart[] {
    const dueAt = new Map<string, number>();
    for (const entry of this.entries.values()) {
      if (entry.state !== 'held') continue;
      const due = entry.since + entry.holdMs;
      dueAt.set(entry.part, Math.min(due, dueAt.get(entry.part) ?? due));
    }
    return this.holds.held(dueAt);
  }

  private add(loss: Loss, now: number): Entry {
    const { fraction, holdMs } = this.limits.of(loss.service);
    const isCounted = fraction < 1;
    const entry: Entry = {
      loss,
      wantedAt: now,
      state: 'single',
      since: now,
      holdMs,
      isInWindow: isCounted,
      part: '',
      tallies: isCounted
        ? [this.tallies.enter('', loss.kind), this.tallies.enter(loss.service, loss.kind)]
        : [],
    };
    this.entries.set(loss.id, entry);
    if (isCounted) this.window.push(entry);
    return entry;
  }

  private hold(
    candidates: Iterable<Entry>,
    massParts: ReadonlyMap<string, string>,
    { held, activations }: { readonly held: Loss[]; readonly activations: Activation[] },
  ): void {
    for (const entry of candidates) {
      if (entry.state !== 'single' || entry.tallies.length === 0) continue;
      const { kind, service } = entry.loss;
      const registryEvidence = massParts.get(scopeKey('', kind));
      const evidence = registryEvidence ?? massParts.get(scopeKey(service, kind));
      if (evidence === undefined) continue;
      const part = registryEvidence === undefined ? entry.loss.service : '';
      this.holdOne(entry, part, evidence, { held, activations });
    }
  }

  private holdOne(
    entry: Entry,
    part: string,
    evidence: string,
    { held, activations }: { readonly held: Loss[]; readonly activations: Activation[] },
  ): void {
    entry.part = part;
    entry.state = 'held';
    held.push(entry.loss);
    if (this.holds.add(part, evidence)) activations.push({ service: part, evidence });
  }

  private makeDue(entry: Entry, how: HoldEnd): void {
    this.unhold(entry, how);
    entry.state = 'due';
    this.due.push(entry);
  }

  private pass(entry: Entry, passed: Loss[]): void {
    entry.state = 'passed';
    passed.push(entry.loss);
    if (!entry.isInWindow) this.entries.delete(entry.loss.id);
    else for (const tally of entry.tallies) tally.passed += 1;
  }

  private drop(entry: Entry): void {
    this.unhold(entry, 'back');
    this.leaveWindow(entry);
    entry.state = 'dropped';
    this.entries.delete(entry.loss.id);
  }

  private unhold(entry: Entry, how: HoldEnd): void {
    if (entry.state === 'held') this.holds.end(entry.part, how);
  }

  private leaveWindow(entry: Entry): void {
    if (!entry.isInWindow) return;
    entry.isInWindow = false;
    for (const tally of entry.tallies) this.tallies.leave(tally, entry.state === 'passed');
  }

  private expire(now: number): void {
    const from = now - this.policy.windowMs;
    let kept = 0;
    for (const entry of this.window) {
      if (entry.isInWindow && entry.wantedAt > from) break;
      kept += 1;
      if (!entry.isInWindow) continue;
      this.leaveWindow(entry);
      if (entry.state === 'passed') this.entries.delete(entry.loss.id);
    }
    if (kept > 0) this.window = this.window.slice(kept);
  }
}
