import type { Logger } from 'pino';
import { ProtocolError } from '../common/errors.ts';
import { Guard } from '../common/guard.ts';
import type { Activation } from '../common/guard-holds.ts';
import type { GuardPolicy } from '../common/guard.ts';
import type { Change, Instance } from '../common/instance.ts';
import type { RegistryId, RegistryKind } from '../common/registry.ts';
import { Pause } from '../common/yielding.ts';
import type { AgentIdentity, Contribution, Receipt, RegistryHealth } from './contribution.ts';
import { Difference, resolve } from './difference.ts';
import type { InstanceMaps } from './difference.ts';
import { GuardOutlet } from './guard-outlet.ts';
import type { RegistryListener, SavedRegistry } from './registry-types.ts';
import type { InstanceSource } from './service-index.ts';
import {
  createSavedVoice,
  createVoice,
  doubtIn,
  isHealthy,
  isPartial,
  speakers,
  suspicionOf,
} from './voice.ts';
import type { Voice } from './voice.ts';

/** An agent that is away and superseded for so long is forgotten. */
const supersededMsMax = 600_000;
/**
 * One registry as its agents tell it.
 *
 * What holds is the union of what the healthy agents say. What a lost agent said, or one whose registry
 * is not read, counts only while no healthy one has delivered a snapshot, and never again after that,
 * until that agent is healthy again itself. Of several records of one instance the same one is
 * chosen whatever the order of arrival. Nothing an agent's end or silence does removes anything, and what
 * a switch of agents or the first snapshot of a new epoch would remove goes through the guard.
 *
 * Whatever takes time happens in slices, one after another, beside what is in force; then it comes
 * into force at once.
 */
export class RegistryCatalog implements InstanceSource {
  readonly id: RegistryId;
  readonly kind: RegistryKind;
  readonly isServed: boolean;
  /** Whether a complete snapshot has been delivered since the start, or saved state was loaded. */
  isHeard = false;
  readonly voices = new Map<string, Voice>();
  readonly guard: Guard;
  private readonly listener: RegistryListener;
  private readonly outlet: GuardOutlet;
  private readonly log: Logger;
  /** In force, in the order of precedence. */
  private inForce: InstanceMaps = [];
  /** What the guard holds: in force whatever is said. */
  private held = new Map<string, Instance>();
  private attributes = '';
  private savedAge: { readonly ms: number; readonly at: number } | undefined;
  /** What was changed beside a transition that is being prepared. */
  private touched: Set<string> | undefined;
  private queue: Promise<void> = Promise.resolve();

  constructor(
    registry: { readonly id: RegistryId; readonly kind: RegistryKind; readonly isServed: boolean },
    policy: GuardPolicy,
    listener: RegistryListener,
    log: Logger,
  ) {
    this.id = registry.id;
    this.kind = registry.kind;
    this.isServed = registry.isServed;
    this.guard = new Guard(policy);
    this.listener = listener;
    this.log = log;
    this.outlet = new GuardOutlet(this.id, this.guard, (ids) => this.letGo(ids), log);
  }

  effective(id: string): Instance | undefined {
    return this.held.get(id) ?? resolve(this.inForce, id);
  }

  /** Whether a healthy agent speaks for the registry. */
  get isLive(): boolean {
    for (const voice of this.voices.values())
      if (voice.hasSnapshot && isHealthy(voice)) return true;
    return false;
  }

  get isConnected(): boolean {
    for (const voice of this.voices.values()) if (voice.stream !== undefined) return true;
    return false;
  }

  /** Milliseconds since the registry last confirmed what is in force, if it ever did. */
  ageMs(now: number): number | undefined {
    let age = this.savedAge && this.savedAge.ms + now - this.savedAge.at;
    for (const { health, healthAt } of this.voices.values()) {
      if (health === undefined) continue;
      const other = health.registryAgeMs + now - healthAt;
      if (age === undefined || other < age) age = other;
    }
    return age;
  }

  /** Why losses by what an agent says next, after a restart of its own, would be doubted. */
  get doubt(): string | undefined {
    const inForce = [...this.voices.values()].filter((one) => this.inForce.includes(one.instances));
    return inForce.find(({ doubt }) => doubt !== '')?.doubt;
  }

  /** Resolves when everything begun so far is in force. */
  settled(): Promise<void> {
    return this.queue;
  }

  /**
   * Opens an agent's contribution; see ContributionSink. What its stream said before it was closed is
   * still taken over; once the agent has another stream, calls on this one throw ProtocolError.
   */
  open(identity: AgentIdentity): Contribution {
    const voice = this.voices.get(identity.agentId) ?? createVoice(identity);
    const stream = {};
    const isReturning = voice.hasSnapshot;
    voice.identity = identity;
    voice.stream = stream;
    voice.closeReason = '';
    this.voices.set(identity.agentId, voice);
    if (isReturning) this.reconsider();
    const isCurrent = (): boolean => voice.stream === stream;
    return {
      hasBase: voice.hasSnapshot,
      replace: async (instances, receipt) => {
        if (!isCurrent()) throw this.outdated();
        await this.replace({ voice, stream, instances }, receipt);
      },
      apply: (changes, receipt) => {
        if (!isCurrent()) throw this.outdated();
        this.apply(voice, changes, receipt);
      },
      health: (health) => {
        if (isCurrent()) this.setHealth(voice, health);
      },
      close: (reason) => {
        if (isCurrent()) this.close(voice, reason);
      },
    };
  }

  /** Puts saved state in force, unless an agent was faster. */
  async load(saved: SavedRegistry, now: number): Promise<void> {
    if (saved.ageMs !== undefined) this.savedAge = { ms: saved.ageMs, at: now };
    await this.exclusively(async () => {
      if (this.isHeard) return;
      this.voices.set('', createSavedVoice(saved));
      await this.transit({ isGuarded: false, receipt: undefined });
    });
  }

  /** Withdraws everything, by an operator's word. No agent may be connected at the call. */
  async forget(): Promise<void> {
    for (const voice of this.voices.values()) voice.stream = {};
    this.voices.clear();
    this.savedAge = undefined;
    await this.exclusively(async () => {
      const held = [...this.held.keys()];
      this.held.clear();
      this.guard.release();
      this.guard.takeDue(Infinity);
      await this.transit({ isGuarded: false, receipt: undefined });
      this.isHeard = this.inForce.length > 0;
      await this.publish(held, undefined, true);
    });
  }

  /** Lets what the guard holds pass, in slices from now on; returns how many. */
  release(): number {
    const released = this.guard.release();
    this.background(this.outlet.drain());
    return released;
  }

  /** Ends what is due; to be called about every second. */
  tick(now: number): void {
    if (this.guard.heldCount > 0 && !this.isLive) this.guard.renew(now);
    this.guard.tick(now);
    this.background(this.outlet.drain());
    for (const [agentId, voice] of this.voices) {
      const isAway = voice.stream === undefined && voice.isSuperseded;
      if (isAway && now - voice.closedAt > supersededMsMax) this.voices.delete(agentId);
    }
  }

  private letGo(ids: readonly string[]): void {
    const changed = ids.filter((id) => this.held.delete(id));
    if (changed.length > 0) this.announce(changed, undefined);
  }

  private announce(ids: readonly string[], receipt: Receipt | undefined): void {
    this.background(this.listener.changed({ source: this, ids, receipt, isForced: false }));
  }

  private background(work: Promise<void> | undefined): void {
    work?.catch((error: unknown) => this.listener.failed(error));
  }

  private apply(voice: Voice, changes: readonly Change[], receipt: Receipt): void {
    if (!voice.hasSnapshot) {
      throw new ProtocolError(`${this.id}: changes of an agent whose snapshot is not known`);
    }
    const ids = changes.map((change) => {
      if (change.kind === 'removal') voice.instances.delete(change.id);
      else voice.instances.set(change.instance.id, change.instance);
      return change.kind === 'removal' ? change.id : change.instance.id;
    });
    const isInForce = this.inForce.includes(voice.instances);
    for (const id of ids) {
      this.touched?.add(id);
      if (isInForce && this.held.delete(id)) this.guard.back(id);
    }
    if (isInForce && ids.length > 0) this.announce(ids, receipt);
  }

  private setHealth(voice: Voice, health: RegistryHealth): void {
    const before = voice.health?.state;
    voice.health = health;
    voice.healthAt = performance.now();
    if (voice.snapshotEpoch === voice.identity.epoch) {
      voice.doubt = doubtIn(voice.identity, health);
    }
    if (before === health.state) return;
    if (before !== undefined || health.state !== 'live') {
      const { agentId } = voice.identity;
      const { state, reason } = health;
      this.log.info({ registry: this.id, agent: agentId, state, reason }, 'registry state');
    }
    this.reconsider();
  }

  private close(voice: Voice, reason: string): void {
    voice.stream = undefined;
    voice.closedAt = performance.now();
    voice.closeReason = reason;
    if (voice.hasSnapshot) this.reconsider();
    else this.voices.delete(voice.identity.agentId);
  }

  /** Another choice of speakers may be due. */
  private reconsider(): void {
    this.background(this.exclusively(() => this.transit({ isGuarded: true, receipt: undefined })));
  }

  private outdated(): ProtocolError {
    return new ProtocolError(`${this.id}: the agent has another stream`);
  }

  private replace(
    said: {
      readonly voice: Voice;
      readonly stream: object;
      readonly instances: ReadonlyMap<string, Instance>;
    },
    receipt: Receipt,
  ): Promise<void> {
    const { voice, stream } = said;
    const instances =
      said.instances instanceof Map
        ? (said.instances as Map<string, Instance>)
        : new Map(said.instances);
    return this.exclusively(async () => {
      if (voice.stream !== undefined && voice.stream !== stream) throw this.outdated();
      this.voices.set(voice.identity.agentId, voice);
      const isFirst = voice.snapshotEpoch !== voice.identity.epoch;
      await this.transit({ isGuarded: isFirst, receipt, next: { voice, stream, instances } });
    });
  }

  private exclusively(work: () => Promise<void>): Promise<void> {
    const result = this.queue.then(work);
    this.queue = result.catch(() => undefined);
    return result;
  }

  /** Puts in force what the voices say, of which one may have said something new. */
  private async transit(step: {
    readonly isGuarded: boolean;
    readonly receipt: Receipt | undefined;
    readonly next?: {
      readonly voice: Voice;
      readonly stream: object;
      readonly instances: Map<string, Instance>;
    };
  }): Promise<void> {
    const { next, receipt } = step;
    const speaking = speakers(this.voices.values(), next?.voice);
    const target = speaking.map((voice) =>
      voice === next?.voice ? next.instances : voice.instances,
    );
    const touched = new Set<string>();
    this.touched = touched;
    const pause = new Pause();
    const difference = new Difference({ before: this.inForce, after: target }, this.held);
    await difference.compute(step.isGuarded, pause);
    const suspicion = suspicionOf(speaking);
    const beliefs = { census: this.listener.census(this.id), doubt: this.doubt, suspicion };
    await difference.guard(this.guard, beliefs, pause);
    this.touched = undefined;
    if (next !== undefined) {
      if (next.voice.stream !== undefined && next.voice.stream !== next.stream) {
        for (const id of difference.losses.keys()) if (!this.held.has(id)) this.guard.back(id);
        this.reconsider();
        throw this.outdated();
      }
      next.voice.instances = next.instances;
      next.voice.hasSnapshot = true;
      if (next.voice.snapshotEpoch !== next.voice.identity.epoch) next.voice.doubt = '';
      next.voice.snapshotEpoch = next.voice.identity.epoch;
    }
    const isFirst = !this.isHeard;
    this.enforce(target, difference, touched);
    this.activated(difference.activations);
    await this.tellGuard(difference.returned, pause);
    const ids = touched.size === 0 ? difference.changed : [...difference.changed, ...touched];
    await this.publish(ids, receipt, isFirst);
  }

  private enforce(
    target: InstanceMaps,
    difference: Difference,
    touched: ReadonlySet<string>,
  ): void {
    this.inForce = target;
    for (const id of difference.returned) this.held.delete(id);
    if (this.held.size === 0) this.held = difference.held;
    else for (const [id, instance] of difference.held) this.held.set(id, instance);
    for (const id of touched) {
      if (this.held.delete(id)) this.guard.back(id);
    }
    if (target.length > 0) this.isHeard = true;
    this.supersede();
  }

  /** These are no losses any more. What is held by now is left alone. */
  private async tellGuard(returned: readonly string[], pause: Pause): Promise<void> {
    for (const id of returned) {
      if (!this.held.has(id)) this.guard.back(id);
      if (pause.isDue()) await pause.turn();
    }
  }

  private supersede(): void {
    const { isLive } = this;
    const isSpokenFor = isLive || this.voices.values().some(isPartial);
    for (const [agentId, voice] of this.voices) {
      const isOut = isLive || (isSpokenFor && voice.stream === undefined);
      if (isHealthy(voice) || (!isLive && isPartial(voice))) voice.isSuperseded = false;
      else if (voice.hasSnapshot && isOut) voice.isSuperseded = true;
      if (agentId === '' && isSpokenFor) this.voices.delete(agentId);
    }
  }

  private activated(activations: readonly Activation[]): void {
    for (const activation of activations) this.listener.guardActivated(this.id, activation);
    this.outlet.tellActivations(activations);
  }

  private async publish(
    ids: readonly string[],
    receipt: Receipt | undefined,
    isFirst: boolean,
  ): Promise<void> {
    const isForced = this.takeAttributes();
    if (ids.length === 0 && !isForced && !isFirst) return;
    const all = isForced ? await this.allIds(ids) : ids;
    await this.listener.changed({ source: this, ids: all, receipt, isForced });
  }

  /** Whether network or default locality are others than before. */
  private takeAttributes(): boolean {
    const [speaker] = speakers(this.voices.values());
    if (speaker === undefined) return false;
    const { network, defaultLocality } = speaker.identity;
    const attributes = JSON.stringify([network, defaultLocality]);
    if (attributes === this.attributes) return false;
    const isOther = this.attributes !== '';
    this.attributes = attributes;
    this.listener.attributes(this.id, network, defaultLocality);
    return isOther;
  }

  private async allIds(changed: readonly string[]): Promise<readonly string[]> {
    const ids = new Set(changed);
    const pause = new Pause();
    for (const map of [this.held, ...this.inForce]) {
      for (const id of map.keys()) {
        ids.add(id);
        if (pause.isDue()) await pause.turn();
      }
    }
    return [...ids];
  }
}
