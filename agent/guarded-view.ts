import { hashInstance } from '../common/digest.ts';
import type { InstanceHash } from '../common/digest.ts';
import type { Activation, Census, Guard, HeldPart, Loss } from '../common/guard.ts';
import { serviceKeyText } from '../common/instance.ts';
import type { Instance, InstanceStatus } from '../common/instance.ts';
import { checkInstance, encodeInstance } from '../proto/instance-codec.ts';
import type { Entry, Outbox } from './outbox.ts';
import type { Retention } from './retention.ts';

/**
 * What the agent says, derived from what its source says: additions and changes at once, removals by
 * way of the guard and of the registry's confirmation, the last instance of a service as an empty service.
 *
 * A removal of an instance that is UP is only *wanted* at first. It is applied when the registry has
 * confirmed it, when the guard's hold time is over or when an operator releases it, and it is dropped
 * when the instance is there again. Instances that are not UP are removed at once: they take no traffic.
 *
 * A demotion (from UP to DOWN, STARTING or UNKNOWN) passes at once too, unless it takes the last UP
 * instances of a registry or service of some size: then it is held, and the instance stays as it was. OUT_OF_SERVICE
 * is an operator's word at the registry and is never held.
 *
 * Synchronous: each call ends in a state that is complete. `settle` belongs after a series of `upsert` and
 * `remove`, and sends what they led to.
 */
export interface ViewReport {
  /** The guard has begun to hold removals of a registry or service. */
  guardActivated(activation: Activation): void;
  /** An instance that breaks the limits of the feed was left out. */
  dropped(reason: string, record: string): void;
}

/** Removals given out for confirmation. */
export interface Unconfirmed {
  readonly instances: readonly Instance[];
  /** When the oldest of them was observed. */
  readonly observedAt: number;
}

/** What the registry answered. */
export interface Confirmation {
  readonly asked: readonly string[];
  readonly gone: ReadonlySet<string>;
  readonly scale: 'single' | 'mass';
  readonly observedAt: number;
}

interface ServiceCount {
  /** The text under which the service is counted: entries share it. */
  readonly text: string;
  /** Instances of any status but GONE. */
  live: number;
  up: number;
}

export class GuardedView {
  private readonly outbox: Outbox;
  private readonly guard: Guard;
  private readonly retention: Retention;
  private readonly report: ViewReport;
  private readonly services = new Map<string, ServiceCount>();
  private readonly statuses = new Map<InstanceStatus, number>();
  private wanted = new Map<string, Loss>();
  /** What a demoted instance will be when its demotion passes. */
  private readonly demoted = new Map<string, Instance>();
  /** When each removal that wants confirmation was observed. */
  private readonly unconfirmed = new Map<string, number>();
  private readonly doubted = new Map<string, { attempts: number; dueAt: number }>();

  constructor(outbox: Outbox, guard: Guard, retention: Retention, report: ViewReport) {
    this.outbox = outbox;
    this.guard = guard;
    this.retention = retention;
    this.report = report;
  }

  /** The instance is as the source says. */
  upsert(instance: Instance): void {
    const { id } = instance;
    const bytes = encodeInstance(instance);
    const hashed = hashInstance(bytes);
    const known = this.outbox.get(id);
    this.wanted.delete(id);
    this.doubted.delete(id);
    this.unconfirmed.delete(id);
    this.demoted.delete(id);
    if (known !== undefined && isSame(known, hashed, bytes)) {
      this.guard.back(id);
      return;
    }
    const problem = checkInstance(instance, bytes.length);
    if (problem !== undefined) {
      this.report.dropped('limit', `instance ${id.slice(0, 200)}: ${problem}`);
      return;
    }
    const service = this.serviceText(instance);
    if (
      known?.instance.status === 'UP' &&
      known.service === service &&
      isDemotion(instance.status)
    ) {
      this.demoted.set(id, instance);
      this.wanted.set(id, { id, service, kind: 'demotion' });
      return;
    }
    if (instance.status === 'UP' || this.guard.isPending(id)) this.guard.back(id);
    this.apply({ ...hashed, instance, service }, bytes);
  }

  /** The source says that the instance is gone. Unknown ids and empty services are ignored. */
  remove(id: string, now: number): void {
    const known = this.outbox.get(id);
    if (known === undefined || known.instance.status === 'GONE') return;
    if (known.instance.status === 'UP')
      this.wanted.set(id, { id, service: known.service, kind: 'removal' });
    else this.withdraw(id, now);
  }

  /**
   * Passes what was wanted through the guard and commits. Afterwards removals may wait for
   * confirmation (`takeUnconfirmed`) or be held (`heldIds`).
   */
  settle(observedAt: number, now: number): void {
    if (this.wanted.size > 0) {
      const losses = this.wanted;
      this.wanted = new Map();
      for (const loss of losses.values()) if (loss.kind === 'removal') this.demoted.delete(loss.id);
      const outcome = this.guard.want(losses.values(), this.census(), now);
      for (const { id } of outcome.held) this.unconfirmed.delete(id);
      for (const activation of outcome.activations) this.report.guardActivated(activation);
      for (const { id, kind } of outcome.single) {
        if (kind === 'removal') this.unconfirmed.set(id, observedAt);
        else this.pass(this.guard.confirm([id], 'single'), now);
      }
    }
    this.outbox.commit(observedAt);
  }

  get hasUnconfirmed(): boolean {
    return this.unconfirmed.size > 0;
  }

  /** Up to `limit` instances whose removal wants confirmation; they are not given out again. */
  takeUnconfirmed(limit: number): Unconfirmed {
    const instances: Instance[] = [];
    let oldest = Infinity;
    for (const [id, observedAt] of this.unconfirmed) {
      if (instances.length >= limit) break;
      this.unconfirmed.delete(id);
      const instance = this.instance(id);
      if (instance === undefined) continue;
      instances.push(instance);
      oldest = Math.min(oldest, observedAt);
    }
    return { instances, observedAt: oldest };
  }

  /** The registry could not be asked about these: they want confirmation again. */
  putBackUnconfirmed({ instances, observedAt }: Unconfirmed): void {
    for (const { id } of instances) {
      if (this.guard.isPending(id) && !this.guard.isHeld(id)) this.unconfirmed.set(id, observedAt);
    }
  }

  instance(id: string): Instance | undefined {
    return this.outbox.get(id)?.instance;
  }

  /**
   * The registry's answer about instances given out: those in `gone` are withdrawn. The others it still
   * knows: they stay, and are asked about again, at growing intervals, until the source says otherwise.
   */
  confirmed(answer: Confirmation, now: number): void {
    const { asked, gone, scale } = answer;
    const isGone = (id: string): boolean => gone.has(id);
    this.pass(this.guard.confirm(asked.filter(isGone), scale), now);
    if (scale === 'single') {
      for (const id of asked) if (!isGone(id)) this.doubt(id, now);
    }
    this.outbox.commit(answer.observedAt);
  }

  /** The ids of removals held as a mass. */
  heldIds(): readonly string[] {
    return this.guard
      .heldLosses()
      .filter(({ kind }) => kind === 'removal')
      .map(({ id }) => id);
  }

  /** What runs out by itself: hold times, empty services, intervals of asking again. */
  tick(now: number): void {
    this.pass(this.guard.tick(now), now);
    for (const id of this.retention.takeDue(now)) {
      if (this.outbox.get(id)?.instance.status === 'GONE') this.drop(id);
    }
    for (const [id, doubt] of this.doubted) if (doubt.dueAt <= now) this.remove(id, now);
    this.settle(now, now);
  }

  /** An operator lets everything held pass. Returns how many. */
  release(now: number): number {
    const released = this.guard.release();
    this.pass(released, now);
    this.outbox.commit(now);
    return released.length;
  }

  /** The registry could not be read for a while: what is held is held for the whole time again. */
  renewHolds(now: number): void {
    this.guard.renew(now);
  }

  get heldCount(): number {
    return this.guard.heldCount;
  }

  held(): readonly HeldPart[] {
    return this.guard.held();
  }

  /** Services, empty ones included. */
  get serviceCount(): number {
    return this.services.size;
  }

  statusCounts(): Readonly<Partial<Record<InstanceStatus, number>>> {
    return Object.fromEntries(this.statuses);
  }

  private census(): Census {
    return {
      registry: this.statuses.get('UP') ?? 0,
      service: (service) => this.services.get(service)?.up ?? 0,
    };
  }

  private doubt(id: string, now: number): void {
    if (!this.guard.isPending(id) || this.guard.isHeld(id)) return;
    this.guard.back(id);
    const attempts = (this.doubted.get(id)?.attempts ?? 0) + 1;
    this.doubted.set(id, { attempts, dueAt: now + Math.min(60_000, 1000 * 2 ** attempts) });
  }

  private pass(losses: readonly Loss[], now: number): void {
    for (const { id, kind } of losses) {
      const demoted = this.demoted.get(id);
      this.demoted.delete(id);
      this.unconfirmed.delete(id);
      if (kind === 'removal') this.withdraw(id, now);
      else if (demoted !== undefined) this.say(demoted);
    }
  }

  /** Removes an instance; the last one of its service stays as an empty service. */
  private withdraw(id: string, now: number): void {
    const known = this.outbox.get(id);
    if (known === undefined) return;
    this.doubted.delete(id);
    const isLast = this.services.get(known.service)?.live === 1;
    if (!isLast || !this.retention.keep(known.service, id, now)) {
      this.drop(id);
      return;
    }
    this.say({ ...known.instance, status: 'GONE' });
  }

  private say(instance: Instance): void {
    const bytes = encodeInstance(instance);
    this.apply({ ...hashInstance(bytes), instance, service: this.serviceText(instance) }, bytes);
  }

  private apply(entry: Entry, bytes: Buffer): void {
    const { id, status } = entry.instance;
    const known = this.outbox.get(id);
    if (known !== undefined) this.count(known, -1);
    this.count(entry, 1);
    this.outbox.put(entry, bytes);
    if (known !== undefined && known.service !== entry.service) this.forgetIfEmpty(known.service);
    if (status === 'GONE') return;
    const standIn = this.retention.revive(entry.service);
    if (standIn === undefined || standIn === id) return;
    if (this.outbox.get(standIn)?.instance.status === 'GONE') this.drop(standIn);
  }

  private drop(id: string): void {
    const known = this.outbox.get(id);
    if (known === undefined) return;
    this.count(known, -1);
    this.outbox.remove(id);
    this.forgetIfEmpty(known.service);
  }

  private forgetIfEmpty(service: string): void {
    if (this.services.get(service)?.live !== 0) return;
    this.services.delete(service);
    this.retention.revive(service);
  }

  /** The text of the instance's service, the one that other entries of the service have. */
  private serviceText({ service }: Instance): string {
    const text = serviceKeyText(service);
    return this.services.get(text)?.text ?? text;
  }

  private count({ instance, service: text }: Entry, by: 1 | -1): void {
    const { status } = instance;
    const number = (this.statuses.get(status) ?? 0) + by;
    if (number === 0) this.statuses.delete(status);
    else this.statuses.set(status, number);
    let service = this.services.get(text);
    if (service === undefined) {
      service = { text, live: 0, up: 0 };
      this.services.set(text, service);
    }
    if (status !== 'GONE') service.live += by;
    if (status === 'UP') service.up += by;
  }
}

/** Whether it is said already: equal hashes alone are no proof where a hash can be aimed at. */
function isSame(known: Entry, hashed: InstanceHash, bytes: Buffer): boolean {
  const isAlike = known.a === hashed.a && known.b === hashed.b;
  return isAlike && encodeInstance(known.instance).equals(bytes);
}

function isDemotion(status: InstanceStatus): boolean {
  return status === 'DOWN' || status === 'STARTING' || status === 'UNKNOWN';
}
