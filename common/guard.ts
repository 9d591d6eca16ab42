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
 *   hold time is over, or an operator released it. Nothing is ever forgotten.
 *
 * The guard has no clock and does no I/O: `now` is an argument (milliseconds, any monotonic origin),
 * and equal calls give equal answers.
 */
export interface GuardPolicy {
  /** Share of the UP instances of a scope (0..1) that may be removed within the window. */
  readonly fraction: number;
  /** Fewer losses than this within the window are never held. */
  readonly minimum: number;
  /** Length of the rolling window, milliseconds. */
  readonly windowMs: number;
  /** How long a loss is held at most, milliseconds. */
  readonly holdMs: number;
}

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

/** Part of a registry that crossed the threshold: the whole registry (`service` empty) or a service. */
export interface Activation {
  readonly service: string;
  /** For the operator: how many of how many, within what time, and the limit. */
  readonly evidence: string;
}

/** A held part, for status pages. */
export interface HeldPart extends Activation {
  readonly losses: number;
  /** When the oldest of them falls due. */
  readonly dueAt: number;
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
  state: 'single' | 'held' | 'passed' | 'dropped';
  /** The hold time runs from here. */
  since: number;
  isInWindow: boolean;
  part: string;
  /** Of the registry and of the service; both live while the entry is in the window. */
  readonly tallies: readonly [Tally, Tally];
}

interface Tally {
  readonly key: string;
  wanted: number;
  passed: number;
}

/** See the head of this file. One guard serves one registry. */
export class Guard {
  readonly policy: GuardPolicy;
  private readonly entries = new Map<string, Entry>();
  private window: Entry[] = [];
  private readonly tallies = new Map<string, Tally>();
  private readonly parts = new Map<string, { evidence: string; losses: number }>();
  private heldTotal = 0;

  constructor(policy: GuardPolicy) {
    this.policy = policy;
  }

  /** How many losses are held. */
  get heldCount(): number {
    return this.heldTotal;
  }

  /** Whether the loss of this instance is single or held, that is, not settled. */
  isPending(id: string): boolean {
    const entry = this.entries.get(id);
    return entry !== undefined && (entry.state === 'single' || entry.state === 'held');
  }

  isHeld(id: string): boolean {
    return this.entries.get(id)?.state === 'held';
  }

  /**
   * New losses. One that is pending already with the same kind is left as it is and is not in the
   * answer; with another kind it is counted anew. `census` is taken with these instances still UP.
   */
  want(losses: Iterable<Loss>, census: Census, now: number): GuardOutcome {
    this.expire(now);
    const added: Entry[] = [];
    for (const loss of losses) {
      const known = this.entries.get(loss.id);
      if (known !== undefined) {
        if (known.loss.kind === loss.kind && this.isPending(loss.id)) continue;
        this.drop(known);
      }
      added.push(this.add(loss, now));
    }
    const massParts = this.findMassParts(added, census);
    const held: Loss[] = [];
    const activations: Activation[] = [];
    if (massParts.size > 0) this.hold(massParts, held, activations);
    const single = added.filter((entry) => entry.state === 'single').map((entry) => entry.loss);
    return { single, held, activations };
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
      if (entry.state === 'single' || (entry.state === 'held' && scale === 'mass')) {
        this.pass(entry, passed);
      }
    }
    return passed;
  }

  /** Returns what passes because its hold time is over. Call it about every second. */
  tick(now: number): readonly Loss[] {
    this.expire(now);
    const passed: Loss[] = [];
    for (const entry of this.entries.values()) {
      if (entry.state === 'passed' || entry.since + this.policy.holdMs > now) continue;
      this.pass(entry, passed);
    }
    return passed;
  }

  /**
   * Everything that is held passes, by an operator's word; what was counted so far is accepted with
   * it and weighs no more on later losses.
   */
  release(): readonly Loss[] {
    const passed: Loss[] = [];
    for (const entry of this.entries.values()) {
      if (entry.state === 'held') passed.push(entry.loss);
      if (entry.state === 'held' || entry.state === 'passed') this.drop(entry);
    }
    return passed;
  }

  /** The hold times of everything pending start again: the registry could not be read meanwhile. */
  renew(now: number): void {
    for (const entry of this.entries.values()) entry.since = now;
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
      const due = entry.since + this.policy.holdMs;
      dueAt.set(entry.part, Math.min(due, dueAt.get(entry.part) ?? due));
    }
    return Array.from(this.parts, ([service, part]) => ({
      service,
      evidence: part.evidence,
      losses: part.losses,
      dueAt: dueAt.get(service) ?? 0,
    }));
  }

  private add(loss: Loss, now: number): Entry {
    const entry: Entry = {
      loss,
      wantedAt: now,
      state: 'single',
      since: now,
      isInWindow: true,
      part: '',
      tallies: [this.tallyOf('', loss.kind), this.tallyOf(loss.service, loss.kind)],
    };
    this.entries.set(loss.id, entry);
    this.window.push(entry);
    for (const tally of entry.tallies) tally.wanted += 1;
    return entry;
  }

  private findMassParts(added: readonly Entry[], census: Census): ReadonlyMap<string, string> {
    const found = new Map<string, string>();
    for (const kind of new Set(added.map((entry) => entry.loss.kind))) {
      const evidence = this.massEvidence('', kind, census.registry);
      if (evidence !== undefined) found.set(tallyKey('', kind), evidence);
    }
    const seen = new Set<string>();
    for (const { loss } of added) {
      const key = tallyKey(loss.service, loss.kind);
      if (seen.has(key)) continue;
      seen.add(key);
      const evidence = this.massEvidence(loss.service, loss.kind, census.service(loss.service));
      if (evidence !== undefined) found.set(key, evidence);
    }
    return found;
  }

  private massEvidence(service: string, kind: LossKind, upNow: number): string | undefined {
    const tally = this.tallies.get(tallyKey(service, kind));
    if (tally === undefined || tally.wanted < this.policy.minimum) return undefined;
    const upBefore = upNow + tally.passed;
    const limit =
      kind === 'demotion' ? upBefore - 1 : Math.ceil(this.policy.fraction * upBefore - 1e-9);
    if (tally.wanted <= limit) return undefined;
    const what = kind === 'demotion' ? 'no longer UP' : 'removed';
    const within = `${this.policy.windowMs / 1000} s`;
    const where = service === '' ? 'registry' : `service ${service}`;
    return `${where}: ${tally.wanted} of ${upBefore} UP instances ${what} within ${within}, limit ${limit}`;
  }

  private hold(
    massParts: ReadonlyMap<string, string>,
    held: Loss[],
    activations: Activation[],
  ): void {
    for (const entry of this.window) {
      if (entry.state !== 'single') continue;
      const [ofRegistry, ofService] = entry.tallies;
      const registryEvidence = massParts.get(ofRegistry.key);
      const evidence = registryEvidence ?? massParts.get(ofService.key);
      if (evidence === undefined) continue;
      entry.part = registryEvidence === undefined ? entry.loss.service : '';
      entry.state = 'held';
      this.heldTotal += 1;
      held.push(entry.loss);
      const part = this.parts.get(entry.part);
      if (part === undefined) {
        this.parts.set(entry.part, { evidence, losses: 1 });
        activations.push({ service: entry.part, evidence });
      } else {
        part.losses += 1;
      }
    }
  }

  private pass(entry: Entry, passed: Loss[]): void {
    this.unhold(entry);
    entry.state = 'passed';
    passed.push(entry.loss);
    if (!entry.isInWindow) this.entries.delete(entry.loss.id);
    else for (const tally of entry.tallies) tally.passed += 1;
  }

  private drop(entry: Entry): void {
    this.unhold(entry);
    this.leaveWindow(entry);
    entry.state = 'dropped';
    this.entries.delete(entry.loss.id);
  }

  private unhold(entry: Entry): void {
    if (entry.state !== 'held') return;
    this.heldTotal -= 1;
    const part = this.parts.get(entry.part);
    if (part === undefined) return;
    part.losses -= 1;
    if (part.losses === 0) this.parts.delete(entry.part);
  }

  private leaveWindow(entry: Entry): void {
    if (!entry.isInWindow) return;
    entry.isInWindow = false;
    for (const tally of entry.tallies) {
      tally.wanted -= 1;
      if (entry.state === 'passed') tally.passed -= 1;
      if (tally.wanted === 0) this.tallies.delete(tally.key);
    }
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

  private tallyOf(service: string, kind: LossKind): Tally {
    const key = tallyKey(service, kind);
    let tally = this.tallies.get(key);
    if (tally === undefined) {
      tally = { key, wanted: 0, passed: 0 };
      this.tallies.set(key, tally);
    }
    return tally;
  }
}

function tallyKey(service: string, kind: LossKind): string {
  return `${kind} ${service}`;
}
