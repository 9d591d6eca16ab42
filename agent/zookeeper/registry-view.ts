import { TransientError } from '../../common/errors.ts';
import type { Change, Instance } from '../../common/instance.ts';
import { atOnce, inTurns, Pause } from '../../common/yielding.ts';
import type { Verdicts } from '../source.ts';
import type { Doubts } from './doubt.ts';
import { Emission } from './emission.ts';
import type { EndpointTable } from './endpoints.ts';
import { HiddenPaths } from './hidden-paths.ts';
import type { Mailbox } from './mailbox.ts';
import { beginsSnapshot, saidForNext } from './client/tree.ts';
import type { TreeEvent, TreePart } from './client/tree.ts';
import { Understanding } from './understanding.ts';
import type { UnderstandingParts } from './understanding.ts';
import type { ViewNotes } from './view-notes.ts';

/** What a view of a registry is made of. */
export interface RegistryViewParts extends UnderstandingParts {
  readonly removalDelayMs: number;
  readonly doubts: Doubts;
  /** Where source events go. */
  readonly mailbox: Mailbox;
}

/**
 * From tree events to source events, for one watch. A single change is read, compared and in the
 * mailbox before the turn of the event loop in which it came is over; a burst of changes that comes
 * in one turn is one event. A snapshot is worked off in slices; what comes meanwhile waits its turn,
 * so the order of the driver is kept.
 */
export class RegistryView {
  private readonly parts: RegistryViewParts;
  private readonly understanding: Understanding;
  private readonly table: EndpointTable;
  private readonly emission: Emission;
  private readonly notes: ViewNotes;
  private readonly hidden = new HiddenPaths();
  /** Whether a snapshot is being worked off; then events wait in the backlog. */
  private isBusy = false;
  private backlog: TreeEvent[] = [];
  /** Nodes of a snapshot of which a first part has come; undefined when none is under way. */
  private partNodes: number | undefined;
  /** Whether a snapshot has been put into the mailbox. */
  private isHeard = false;
  /** Whether the tree is being read: false until the first snapshot and after a loss. */
  private isCurrent = false;
  private isFlushDue = false;
  private isClosed = false;
  /** When the oldest change that waits for the next flush was observed. */
  private observedAt = Infinity;
  private timer: NodeJS.Timeout | undefined;

  constructor(parts: RegistryViewParts) {
    this.parts = parts;
    this.emission = new Emission(parts.removalDelayMs, parts.doubts.processes);
    this.understanding = new Understanding(parts);
    this.notes = this.understanding.notes;
    this.table = this.understanding.table;
  }

  /** What the application-level registration at this path vouches for may have changed. */
  claimsChanged(path: string): void {
    if (this.isClosed) return;
    this.understanding.claim(path);
    this.flushSoon(performance.now());
  }

  /** Takes one event of the driver, in its order. Never throws: a defect ends the mailbox. */
  deliver(event: TreeEvent): void {
    if (this.isClosed) return;
    this.parts.doubts.heard(event, performance.now());
    if (this.isBusy) {
      // Behind a newer snapshot only what was said for it still counts: what cannot be read.
      if (beginsSnapshot(event)) this.backlog = saidForNext(this.backlog);
      this.backlog.push(event);
      return;
    }
    try {
      this.apply(event);
      this.applyRules();
    } catch (error) {
      this.parts.mailbox.fail(error);
    }
  }

  /** Rules that have changed count, unless a snapshot that is under way makes them count at its end. */
  private applyRules(): void {
    if (this.isBusy || !this.canFlush()) return;
    if (this.understanding.hasChangedRules) void this.workOff([]);
  }

  /** Ends all timers; events are not taken any more. */
  close(): void {
    this.isClosed = true;
    clearTimeout(this.timer);
  }

  /**
   * Which of the ids have no node, by what the tree says live: confirmed; and which are alive: refuted. Throws
   * TransientError while the tree is not being read. An id that was never known is not in the answer.
   *
   * A node that was missing in a snapshot is looked at through the tree alone: `missing` syncs, so
   * had the node come back before, it would have been reported by now.
   */
  async confirmLosses(
    ids: readonly string[],
    missing: (paths: readonly string[]) => Promise<ReadonlySet<string>>,
  ): Promise<Verdicts> {
    this.assertCurrent();
    const suspected = this.understanding.lastPaths(ids);
    if (suspected.size === 0) return { confirmed: new Set(), refuted: new Set() };
    const absent = await missing([...new Set([...suspected.values()].flat())]);
    this.assertCurrent();
    return this.understanding.verdicts(suspected, absent);
  }

  private assertCurrent(): void {
    if (!this.isCurrent || this.isBusy || this.isClosed) {
      throw new TransientError('zookeeper: the tree is not being read at the moment');
    }
  }

  private apply(event: TreeEvent): void {
    if (event.kind !== 'unreadable' && event.kind !== 'snapshot') this.hidden.age();
    switch (event.kind) {
      case 'part':
        if (event.nodes.size > slicedMin) void this.workOff([event]);
        else {
          this.beginPart(event);
          for (const [path, data] of event.nodes) this.table.set(path, data);
        }
        return;
      case 'snapshot':
        void this.workOff([event]);
        return;
      case 'changed':
        this.table.set(event.path, event.data);
        this.hidden.delete(event.path);
        this.flushSoon(event.observedAt);
        return;
      case 'removed':
        this.table.delete(event.path);
        this.flushSoon(event.observedAt);
        return;
      case 'confirmed':
        this.confirm(event.observedAt);
        return;
      case 'unreadable':
        this.hidden.add(event.path);
        this.notes.hidden(event.reason, this.hidden.describe());
        this.putHidden();
        return;
      case 'lost':
        this.partNodes = undefined;
        if (this.isHeard) this.flush();
        this.isCurrent = false;
        this.emission.hold();
        this.armTimer();
        this.parts.mailbox.putTrouble('lost', event.reason);
    }
  }

  /** The driver says that the view is current, also after a loss that needed no new snapshot. */
  private confirm(observedAt: number): void {
    if (!this.isHeard) {
      this.putHidden();
      return;
    }
    this.isCurrent = true;
    this.emission.resume(performance.now());
    this.armTimer();
    this.notes.unreadable(this.hidden.size);
    if (this.hiddenReason() !== undefined) this.putHidden();
    else this.parts.mailbox.putConfirmed(observedAt, this.doubt());
  }

  /** Works off a snapshot and whatever comes meanwhile, until nothing waits. */
  private async workOff(events: readonly TreeEvent[]): Promise<void> {
    const pause = new Pause();
    this.isBusy = true;
    this.backlog.push(...events);
    try {
      do {
        await this.takeBacklog(pause);
        if (this.canFlush()) await inTurns(this.flushing(0), pause);
      } while (this.hasWork());
    } catch (error) {
      this.parts.mailbox.fail(error);
    } finally {
      this.isBusy = false;
    }
  }

  private async takeBacklog(pause: Pause): Promise<void> {
    while (this.backlog.length > 0 || this.understanding.hasChangedRules) {
      const events = this.backlog;
      this.backlog = [];
      for (const event of events) {
        if (this.isClosed) return;
        if (event.kind === 'snapshot') await this.applySnapshot(event, pause);
        else if (event.kind === 'part') await this.applyPart(event, pause);
        else this.apply(event);
        if (pause.isDue()) await pause.turn();
      }
      if (this.understanding.hasChangedRules)
        await inTurns(this.understanding.markConcerned(), pause);
    }
  }

  /** What came while the last of it was said. */
  private hasWork(): boolean {
    if (this.isClosed) return false;
    if (this.backlog.length > 0 || this.understanding.hasChangedRules) return true;
    return this.canFlush() && this.table.markedCount > 0;
  }

  private canFlush(): boolean {
    return this.isHeard && this.partNodes === undefined;
  }

  private async applySnapshot(
    event: TreeEvent & { readonly kind: 'snapshot' },
    pause: Pause,
  ): Promise<void> {
    this.hidden.renew();
    if (!event.hasParts) this.beginSnapshot();
    await this.compare(event.nodes, pause);
    const nodes = (this.partNodes ?? 0) + event.nodes.size;
    this.partNodes = undefined;
    if (!this.isHeard) await this.parts.applications.settle(firstAnswersMs);
    if (this.isClosed) return;
    if (!this.isHeard && this.isRootHidden()) {
      this.putHidden();
      return;
    }
    await inTurns(this.understanding.markConcerned(), pause);
    const now = performance.now();
    this.emission.resume(now);
    for (const id of this.table.takeMarked()) {
      this.update(id, now);
      if (pause.isDue()) await pause.turn();
    }
    this.parts.doubts.resynced(now);
    if (!this.isHeard) {
      const { size } = this.emission;
      this.parts.log.info({ nodes, instances: size }, 'the registry has been read');
    }
    this.isHeard = true;
    this.isCurrent = true;
    this.observedAt = Infinity;
    const instances = await this.instances(pause);
    const unread = this.hiddenReason();
    this.parts.mailbox.putSnapshot(instances, event.observedAt, { doubt: this.doubt(), unread });
    this.putHidden();
  }

  /** Why some of what exists is not known, if so. */
  private hiddenReason(): string | undefined {
    return this.hidden.size > 0 ? this.hidden.describe() : this.parts.applications.hiddenReason;
  }

  private async instances(pause: Pause): Promise<Map<string, Instance>> {
    const instances = new Map<string, Instance>();
    for (const [id, instance] of this.emission.instances()) {
      instances.set(id, instance);
      if (pause.isDue()) await pause.turn();
    }
    return instances;
  }

  private async applyPart(event: TreePart, pause: Pause): Promise<void> {
    this.beginPart(event);
    for (const [path, data] of event.nodes) {
      this.table.set(path, data);
      if (pause.isDue()) await pause.turn();
    }
  }

  private beginPart({ isFirst, nodes }: TreePart): void {
    if (isFirst) this.beginSnapshot();
    this.partNodes = (this.partNodes ?? 0) + nodes.size;
  }

  private beginSnapshot(): void {
    this.hidden.age();
    this.table.beginSweep();
    this.partNodes = 0;
  }

  /** Brings the table to what a snapshot says; what may not be read stays as it was. */
  private async compare(nodes: ReadonlyMap<string, Buffer | null>, pause: Pause): Promise<void> {
    for (const path of this.hidden.all()) this.table.keep(path);
    for (const [path, data] of nodes) {
      this.table.set(path, data);
      if (pause.isDue()) await pause.turn();
    }
    for (const node of this.table.swept()) {
      if (node !== undefined && !this.hidden.covers(node.directory)) this.table.sweep(node);
      if (pause.isDue()) await pause.turn();
    }
  }

  /** A first reading without a whole root would say that everything below it is gone. */
  private isRootHidden(): boolean {
    return this.parts.readings.some(({ roots }) => roots.some((root) => this.hidden.covers(root)));
  }

  private flushSoon(observedAt: number): void {
    this.observedAt = Math.min(this.observedAt, observedAt);
    if (this.isFlushDue || this.isBusy || this.partNodes !== undefined) return;
    this.isFlushDue = true;
    queueMicrotask(() => {
      this.isFlushDue = false;
      this.flushAlone(0);
    });
  }

  /** A flush of its own turn. One that is due during a snapshot is done at the snapshot's end. */
  private flushAlone(dueAt: number): void {
    if (this.isBusy || !this.canFlush() || this.isClosed) return;
    try {
      const { leavingCount } = this.emission;
      if (this.table.markedCount + leavingCount > slicedMin) void this.workOff([]);
      else this.flush(dueAt);
    } catch (error) {
      this.parts.mailbox.fail(error);
    }
  }

  private flush(dueAt = 0): void {
    atOnce(this.flushing(dueAt));
  }

  /** Says what has changed, and the removals that have waited long enough; in steps, as one event. */
  private *flushing(dueAt: number): Iterable<undefined> {
    const now = Math.max(performance.now(), dueAt);
    const changes: Change[] = [];
    let { observedAt } = this;
    this.observedAt = Infinity;
    for (const id of this.table.takeMarked()) {
      const change = this.update(id, now);
      if (change !== undefined) changes.push(change);
      yield undefined;
    }
    for (;;) {
      const due = this.emission.takeDue(now, dueMax);
      if (due.changes.length === 0) break;
      for (const change of due.changes) changes.push(change);
      observedAt = Math.min(observedAt, due.observedAt);
      yield undefined;
    }
    this.armTimer();
    this.notes.tellCounts();
    if (changes.length === 0) return;
    const marks = {
      doubt: this.doubt(),
      isPartial: this.hiddenReason() !== undefined || !this.isCurrent,
    };
    this.parts.mailbox.putChanges(changes, Math.min(observedAt, now), marks);
  }

  private doubt(): string | undefined {
    return this.parts.doubts.current(performance.now());
  }

  private update(id: string, now: number): Change | undefined {
    const current = this.understanding.current(id);
    if (current !== undefined) this.table.settle(id);
    return this.emission.update(id, current, now);
  }

  private armTimer(): void {
    clearTimeout(this.timer);
    const dueAt = this.emission.nextDueAt();
    if (dueAt === undefined || this.isClosed) return;
    this.timer = setTimeout(
      () => {
        this.flushAlone(dueAt);
      },
      Math.max(0, dueAt - performance.now()),
    );
  }

  /** As long as something is hidden, whatever is said, the registry is not wholly believed. */
  private putHidden(): void {
    this.notes.unreadable(this.hidden.size);
    const hidden = this.hiddenReason();
    if (hidden === undefined || (!this.isHeard && !this.isRootHidden())) return;
    const waits = this.isHeard
      ? ''
      : ': nothing is published before it can be read (grant read permission, or leave the root out)';
    this.parts.mailbox.putTrouble('suspect', `${hidden}${waits}`, this.isHeard && this.isCurrent);
  }
}

/** More than that is worked off in slices: nodes of a part of a snapshot, endpoints that have changed. */
const slicedMin = 1_000;
/** Removals that are taken in one step. */
const dueMax = 200;
/** How long a first reading waits for what has to be asked beside it, milliseconds. */
const firstAnswersMs = 10_000;
