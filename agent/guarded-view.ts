import { hashInstance } from '../common/digest.ts';
import type { InstanceHash } from '../common/digest.ts';
import type { Activation, EndedHold, HeldPart } from '../common/guard-holds.ts';
import type { Guard, Loss } from '../common/guard.ts';
import type { Instance, InstanceStatus } from '../common/instance.ts';
import { Wake } from '../common/wake.ts';
import { checkInstance, encodeInstance } from '../proto/instance-codec.ts';
import { RefusedLosses } from './confirmation.ts';
import type { Answer, Unconfirmed } from './confirmation.ts';
import type { Entry, Outbox } from './outbox.ts';
import type { Retention } from './retention.ts';
import type { SuspectedLoss } from './source.ts';
import { ViewCensus } from './view-census.ts';

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
 * While the source doubts what its registry says, removals are held much earlier (see Guard).
 *
 * Synchronous: each call ends in a state that is complete. `settle` belongs after a series of `upsert` and
 * `remove`, and sends what they led to; `commit` sends additions and changes before the series is complete, so
 * that losses are judged together. What passes in great numbers at once passes in slices: whoever runs
 * the view calls `passDue` in turns of its own while `hasDue`.
 */
export interface ViewReport {
  /** The guard has begun to hold removals of a registry or service. */
  guardActivated(activation: Activation): void;
  /** An instance that breaks the limits of the feed was left out. */
  dropped(reason: string, record: string): void;
}

/** So many losses are judged, or pass, in one turn of the event loop. */
const judgedMax = 1000;
const sliceMax = 500;

export class GuardedView {
  private readonly outbox: Outbox;
  private readonly guard: Guard;
  private readonly retention: Retention;
  private readonly report: ViewReport;
  private readonly census = new ViewCensus();
  private wanted = new Map<string, Loss>();
  /** Wanted losses of events that are complete: the guard judges them in slices, all before any passes. */
  private toJudge = new Map<string, Loss>();
  /** What the guard found single so far, of those that are judged now. */
  private singles: Loss[] = [];
  private observedAt = 0;
  /** Why the source doubts what the registry says, as it said last. */
  private doubt: string | undefined;
  /** Demotions that pass, but for the turn of the event loop. */
  private passing: readonly string[] = [];
  /** Poked when `hasDue` becomes true. */
  readonly due = new Wake();
  /** What a demoted instance will be when its demotion passes. */
  private readonly demoted = new Map<string, Instance>();
  /** When each removal that wants confirmation was observed. */
  private readonly unconfirmed = new Map<string, number>();
  private readonly refused = new RefusedLosses();

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
    this.toJudge.delete(id);
    this.refused.delete(id);
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
    const service = this.census.textOf(instance.service);
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
    this.demoted.delete(id);
    if (known.instance.status === 'UP')
      this.wanted.set(id, { id, service: known.service, kind: 'removal' });
    else this.withdraw(id, now);
  }

  /** Sends what has been added and changed so far; losses wait for `settle`. */
  commit(observedAt: number): void {
    this.outbox.commit(observedAt);
  }

  /**
   * Passes what was wanted through the guard and commits; of very many, all but a first slice is left to `passDue`.
   * Afterwards removals may wait for confirmation (`takeUnconfirmed`) or be held (`heldLosses`).
   *
   * @param doubt why the source doubts what the registry says (see `SourceEvent`); it is so until the next call
   */
  settle(observedAt: number, now: number, doubt?: string): void {
    // What is judged at the moment may have been wanted in doubt: it stays in doubt.
    if (doubt !== undefined || this.toJudge.size === 0) this.doubt = doubt;
    if (this.wanted.size > 0) {
      this.observedAt = observedAt;
      if (this.toJudge.size === 0) this.toJudge = this.wanted;
      else for (const [id, loss] of this.wanted) this.toJudge.set(id, loss);
      this.wanted = new Map();
    }
    if (this.toJudge.size > 0) this.judgeSlice(now);
    this.outbox.commit(observedAt);
  }

  /** Whether something waits for `passDue`. */
  get hasDue(): boolean {
    return this.toJudge.size > 0 || this.passing.length > 0 || this.guard.hasDue;
  }

  /** Judges or passes the next slice. */
  passDue(now: number): void {
    if (this.toJudge.size > 0) this.judgeSlice(now);
    else this.passSlice(now);
    this.outbox.commit(now);
  }

  get hasUnconfirmed(): boolean {
    return this.unconfirmed.size > 0;
  }

  /** Up to `limit` removals that want confirmation; they are not given out again. */
  takeUnconfirmed(limit: number): Unconfirmed {
    const losses: SuspectedLoss[] = [];
    let oldest = Infinity;
    for (const [id, observedAt] of this.unconfirmed) {
      if (losses.length >= limit) break;
      this.unconfirmed.delete(id);
      const instance = this.instance(id);
      if (instance === undefined) continue;
      losses.push({ instance, kind: 'removal' });
      oldest = Math.min(oldest, observedAt);
    }
    return { losses, observedAt: oldest };
  }

  /** The registry could not be asked about these: they want confirmation again. */
  putBackUnconfirmed({ losses, observedAt }: Unconfirmed): void {
    for (const { instance } of losses) {
      const { id } = instance;
      if (this.guard.isPending(id) && !this.guard.isHeld(id)) this.unconfirmed.set(id, observedAt);
    }
  }

  instance(id: string): Instance | undefined {
    return this.outbox.get(id)?.instance;
  }

  /**
   * The registry's answer about losses given out: the confirmed ones pass. Single ones that are not confirmed stay,
   * and are asked about again, at growing intervals, until the source says otherwise. Held ones that are refuted
   * are held for the whole time again.
   */
  answered(answer: Answer, now: number): void {
    const { asked, verdicts, scale } = answer;
    const { confirmed, refuted } = verdicts;
    this.pass(
      this.guard.confirm(
        asked.filter((id) => confirmed.has(id)),
        scale,
      ),
      now,
    );
    this.guard.refute(
      asked.filter((id) => refuted.has(id)),
      now,
    );
    if (scale === 'single') {
      for (const id of asked) if (!confirmed.has(id)) this.refuse(id, now);
    }
    this.outbox.commit(answer.observedAt);
  }

  /** What the witnesses said of all that is held. */
  testify(testimony: string): void {
    this.guard.testify(testimony);
  }

  /** What is held as a mass. */
  heldLosses(): readonly Loss[] {
    return this.guard.heldLosses();
  }

  /** What runs out by itself: hold times, empty services, intervals of asking again. */
  tick(now: number): void {
    this.guard.tick(now);
    this.passSlice(now);
    for (const id of this.retention.takeDue(now)) {
      if (this.outbox.get(id)?.instance.status === 'GONE') this.drop(id);
    }
    // What an event that is still being taken in has wanted so far is none of this.
    if (this.toJudge.size === 0) this.observedAt = now;
    for (const id of this.refused.due(now)) this.wantAgain(id);
    if (this.toJudge.size > 0) this.judgeSlice(now);
    this.outbox.commit(now);
  }

  /** An operator lets everything held pass. Returns how many. */
  release(now: number): number {
    const released = this.guard.release();
    this.passDue(now);
    return released;
  }

  /** The registry could not be read for so long: see Guard.renew. */
  renewHolds(now: number, awayMs: number): void {
    this.guard.renew(now, awayMs);
  }

  /** Whether more may be held in a moment: the guard is not through with what was wanted. */
  get isJudging(): boolean {
    return this.toJudge.size > 0;
  }

  get heldCount(): number {
    return this.guard.heldCount;
  }

  held(): readonly HeldPart[] {
    return this.guard.held();
  }

  /** The holds that have ended since the last call. */
  takeEnded(): readonly EndedHold[] {
    return this.guard.takeEnded();
  }

  /** How long something is held at least before it passes by itself, milliseconds. */
  get holdMsMin(): number {
    return this.guard.holdMsMin;
  }

  /** Services, empty ones included. */
  get serviceCount(): number {
    return this.census.serviceCount;
  }

  statusCounts(): Readonly<Partial<Record<InstanceStatus, number>>> {
    return this.census.statusCounts();
  }

  private refuse(id: string, now: number): void {
    if (!this.guard.isPending(id) || this.guard.isHeld(id)) return;
    this.guard.back(id);
    this.refused.refuse(id, now);
  }

  private judgeSlice(now: number): void {
    const losses = [...this.toJudge.values().take(judgedMax)];
    for (const { id } of losses) this.toJudge.delete(id);
    const outcome = this.guard.want(losses, this.census.up(), now, this.doubt);
    for (const { id } of outcome.held) this.unconfirmed.delete(id);
    for (const activation of outcome.activations) this.report.guardActivated(activation);
    for (const loss of outcome.single) this.singles.push(loss);
    if (this.toJudge.size > 0) this.due.poke();
    else this.letSinglesGo(now);
  }

  /** All that was wanted together is judged: what is single may go its way. */
  private letSinglesGo(now: number): void {
    const demotions: string[] = [];
    for (const { id, kind } of this.singles) {
      if (!this.guard.isPending(id) || this.guard.isHeld(id)) continue;
      if (kind === 'removal') this.unconfirmed.set(id, this.observedAt);
      else demotions.push(id);
    }
    this.singles = [];
    if (demotions.length === 0) return;
    this.passing = [...this.passing, ...demotions];
    this.passSlice(now);
  }

  private passSlice(now: number): void {
    const demotions = this.passing.slice(0, sliceMax);
    this.passing = this.passing.slice(sliceMax);
    this.pass(this.guard.confirm(demotions, 'single'), now);
    this.pass(this.guard.takeDue(sliceMax), now);
    if (this.hasDue) this.due.poke();
  }

  private wantAgain(id: string): void {
    const known = this.outbox.get(id);
    if (known?.instance.status !== 'UP' || this.wanted.has(id)) return;
    this.toJudge.set(id, { id, service: known.service, kind: 'removal' });
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
    this.refused.delete(id);
    const isLast = this.census.live(known.service) === 1;
    if (!isLast || !this.retention.keep(known.service, id, now)) {
      this.drop(id);
      return;
    }
    this.say({ ...known.instance, status: 'GONE' });
  }

  private say(instance: Instance): void {
    const bytes = encodeInstance(instance);
    this.apply(
      { ...hashInstance(bytes), instance, service: this.census.textOf(instance.service) },
      bytes,
    );
  }

  private apply(entry: Entry, bytes: Buffer): void {
    const { id, status } = entry.instance;
    const known = this.outbox.get(id);
    if (known !== undefined) this.census.count(known, -1);
    this.census.count(entry, 1);
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
    this.census.count(known, -1);
    this.outbox.remove(id);
    this.forgetIfEmpty(known.service);
  }

  private forgetIfEmpty(service: string): void {
    if (this.census.live(service) !== 0) return;
    this.census.forget(service);
    this.retention.revive(service);
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
