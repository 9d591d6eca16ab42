import type { Logger } from 'pino';
import { messageOf } from '../common/errors.ts';
import type { RegistryId } from '../common/registry.ts';
import { Pause } from '../common/yielding.ts';
import type { Receipt } from './contribution.ts';
import { encodeResource } from './encode.ts';
import { mergeService } from './merge.ts';
import type { Service } from './merge.ts';
import { renderService } from './render.ts';
import type { HostState, InstanceSource, ServiceIndex } from './service-index.ts';
import type { ChangeOrigin, Resource, ResourceDraft, ResourceSetter } from './store-types.ts';
import { validate } from './validate.ts';
import type { VipAllocator } from './vip.ts';

/**
 * From changed instances to changed resources, at the cost of the change: the hosts concerned are merged,
 * rendered and set, one revision for each batch.
 *
 * A small change is published before the call returns. A large one (a snapshot) is taken over and
 * rendered in slices and then published as a whole. Small changes go on meanwhile: those on hosts that the
 * large one does not touch are published at once, the others together with it. Nothing here remembers
 * *what* changed, only which instances: what holds is asked of the catalog when an instance is taken
 * over, so the order in which changes are taken over does not matter.
 *
 * A resource that istiod would refuse is not published: the one published before stays, as it
 * would in istiod. All that registries can say is repaired or withheld before, endpoint by endpoint, so
 * this is a fault of ours, and our fault is never a withdrawal.
 */
export interface PublisherReport {
  /** Resources that were rendered; `isChanged`: with other bytes than before. */
  rendered(isChanged: boolean): void;
  /** A resource was not published. */
  invalid(reason: string): void;
  /** The virtual address of a host went to another host. */
  vipMoved(host: string): void;
}

/** Instances of one registry for which something else may hold than before. */
export interface InstanceChange {
  readonly source: InstanceSource;
  readonly ids: readonly string[];
  readonly receipt: Receipt | undefined;
  /** Something other than the instances changed: render all their hosts. */
  readonly isForced: boolean;
}

/** What the publisher works with. */
export interface PublisherParts {
  readonly index: ServiceIndex;
  readonly vips: VipAllocator;
  readonly store: ResourceSetter & {
    version(collection: 'ServiceEntry', name: string): string | undefined;
    draft(collection: 'ServiceEntry'): ResourceDraft;
  };
  readonly namespace: string;
  readonly report: PublisherReport;
  /** Called whenever everything that was changed is published. */
  readonly onSettled: () => void;
}

/** A change of more instances than this is published in slices. */
const smallIdsMax = 500;
/** And one that concerns hosts with more members than this, together. */
const smallMembersMax = 3000;

interface Batch {
  readonly changes: readonly InstanceChange[];
  /** Hosts whose publication waits for the batch. */
  readonly hosts: Set<string>;
  readonly dirty: Set<HostState>;
  readonly origins: ChangeOrigin[];
}

interface Summary {
  readonly conflicts: number;
  readonly withheld: Service['withheld'];
}

const collection = 'ServiceEntry';

/** See the head of this file. */
export class Publisher {
  private readonly parts: PublisherParts;
  private readonly log: Logger;
  private batch: Batch | undefined;
  private waiting: InstanceChange[] = [];
  private running: Promise<void> | undefined;
  private readonly summaries = new Map<string, Summary>();
  private conflictTotal = 0;
  private readonly withheldTotals = new Map<string, number>();

  constructor(parts: PublisherParts, log: Logger) {
    this.parts = parts;
    this.log = log;
  }

  /** Whether everything that was changed is published. */
  get isSettled(): boolean {
    return this.running === undefined;
  }

  /** Resolves when everything that was changed before is published. */
  async settled(): Promise<void> {
    await this.running;
  }

  /** Conflicts that were settled, over all hosts. */
  get conflicts(): number {
    return this.conflictTotal;
  }

  /** Members that are no endpoints, by why, over all hosts. */
  get withheld(): ReadonlyMap<string, number> {
    return this.withheldTotals;
  }

  /**
   * Publishes a change. A small one is published on return (result undefined); of a large one the
   * promise resolves when it is.
   */
  publish(change: InstanceChange): Promise<void> | undefined {
    if (this.isSmall(change)) {
      this.publishNow(change);
      if (this.running === undefined) this.parts.onSettled();
      return undefined;
    }
    this.waiting.push(change);
    this.running ??= this.runBatches();
    return this.running.then(() => {
      if (this.running === undefined) this.parts.onSettled();
    });
  }

  private isSmall({ ids, source }: InstanceChange): boolean {
    if (ids.length > smallIdsMax) return false;
    let members = 0;
    for (const id of ids) {
      for (const host of this.parts.index.hostsOf(source, id)) {
        members += this.parts.index.hosts.get(host)?.members.size ?? 1;
      }
      if (members > smallMembersMax && ids.length > 1) return false;
    }
    return true;
  }

  private publishNow(change: InstanceChange): void {
    const { batch } = this;
    const dirty = new Set<HostState>();
    const touch = (state: HostState): void => {
      if (batch?.hosts.has(state.host) === true) batch.dirty.add(state);
      else dirty.add(state);
    };
    const isBatched = this.takeOver(change, touch);
    const origins = originsOf(change);
    if (batch !== undefined && isBatched) batch.origins.push(...origins);
    const staged = new Map<string, Resource | undefined>();
    for (const state of dirty) {
      dirty.delete(state);
      staged.set(state.host, this.render(state, touch));
    }
    this.commit(staged, origins);
  }

  /** Takes over all instances of a small change; whether any of their hosts belongs to the batch. */
  private takeOver(change: InstanceChange, touch: (state: HostState) => void): boolean {
    let isBatched = false;
    for (const id of change.ids) {
      this.take(change, id, (state) => {
        isBatched ||= this.batch?.hosts.has(state.host) === true;
        touch(state);
      });
    }
    return isBatched;
  }

  private take(change: InstanceChange, id: string, touch: (state: HostState) => void): void {
    this.parts.index.take(change.source, id, {
      isForced: change.isForced,
      touch: (state) => {
        touch(state);
        this.settleVip(state, touch);
      },
    });
  }

  /** A host has an address while it has members; others may have to move. */
  private settleVip({ host, members }: HostState, touch: (state: HostState) => void): void {
    if (members.size === 0) return;
    for (const moved of this.parts.vips.add(host)) this.touchMoved(moved, touch);
  }

  private touchMoved(host: string, touch: (state: HostState) => void): void {
    const state = this.parts.index.hosts.get(host);
    if (state === undefined) return;
    this.parts.report.vipMoved(host);
    this.log.info(
      { host, vip: this.parts.vips.address(host) },
      'the virtual address of a host moved',
    );
    touch(state);
  }

  private async runBatches(): Promise<void> {
    try {
      while (this.waiting.length > 0) {
        const changes = this.waiting;
        this.waiting = [];
        await this.runBatch({
          changes,
          hosts: new Set(),
          dirty: new Set(),
          origins: changes.flatMap(originsOf),
        });
      }
    } finally {
      this.running = undefined;
    }
  }

  private async runBatch(batch: Batch): Promise<void> {
    const pause = new Pause();
    for (const { source, ids } of batch.changes) {
      for (const id of ids) {
        for (const host of this.parts.index.hostsOf(source, id)) batch.hosts.add(host);
        if (pause.isDue()) await pause.turn();
      }
    }
    this.batch = batch;
    const touch = (state: HostState): void => {
      batch.hosts.add(state.host);
      batch.dirty.add(state);
    };
    const draft = this.parts.store.draft(collection);
    try {
      for (const change of batch.changes) {
        for (const id of change.ids) {
          this.take(change, id, touch);
          if (pause.isDue()) await pause.turn();
        }
      }
      do {
        await this.renderDirty(batch, draft, { touch, pause });
        while (draft.prepare()) if (pause.isDue()) await pause.turn();
      } while (batch.dirty.size > 0);
      draft.commit(batch.origins);
    } finally {
      draft.discard();
      this.batch = undefined;
    }
  }

  private async renderDirty(
    batch: Batch,
    draft: ResourceDraft,
    { touch, pause }: { readonly touch: (state: HostState) => void; readonly pause: Pause },
  ): Promise<void> {
    for (const state of batch.dirty) {
      batch.dirty.delete(state);
      const { upsert, removal } = this.outcome(state.host, this.render(state, touch));
      if (upsert !== undefined) draft.put(upsert);
      if (removal !== undefined) draft.remove(removal);
      if (pause.isDue()) await pause.turn();
    }
  }

  /**
   * The resource of a host; undefined when it has no members any more (then it is removed), or when the
   * one that is published must stay. Each host that has to be rendered after this is touched.
   */
  private render(state: HostState, touch: (state: HostState) => void): Resource | undefined {
    const { index, vips, namespace } = this.parts;
    if (state.members.size === 0) {
      index.hosts.delete(state.host);
      this.summarize(state.host, undefined);
      for (const moved of vips.remove(state.host)) this.touchMoved(moved, touch);
      return undefined;
    }
    try {
      const service = mergeService(state.host, state.members);
      this.summarize(state.host, service);
      const rendered = renderService(service, { namespace, vip: vips.address(state.host) ?? '' });
      const problem = validate(rendered);
      if (problem === undefined) return encodeResource(rendered);
      this.refuse(state.host, problem.reason, problem.detail);
    } catch (error) {
      this.refuse(state.host, 'failed', messageOf(error));
    }
    return undefined;
  }

  private refuse(host: string, reason: string, detail: string): void {
    this.parts.report.invalid(reason);
    this.log.error({ host, reason, detail }, 'a service cannot be published and stays as it was');
  }

  private commit(
    staged: ReadonlyMap<string, Resource | undefined>,
    origins: readonly ChangeOrigin[],
  ): void {
    const { store } = this.parts;
    const upserts: Resource[] = [];
    const removals: string[] = [];
    for (const [host, resource] of staged) {
      const { upsert, removal } = this.outcome(host, resource);
      if (upsert !== undefined) upserts.push(upsert);
      if (removal !== undefined) removals.push(removal);
    }
    if (upserts.length + removals.length > 0) store.set(collection, upserts, removals, origins);
  }

  /** What is to be published of a rendered host: of one that could not be rendered, nothing. */
  private outcome(
    host: string,
    resource: Resource | undefined,
  ): { readonly upsert?: Resource; readonly removal?: string } {
    const { store, index, namespace, report } = this.parts;
    const name = `${namespace}/${host}`;
    if (resource === undefined) return index.hosts.has(host) ? {} : { removal: name };
    report.rendered(store.version(collection, name) !== resource.version);
    return { upsert: resource };
  }

  private summarize(host: string, service: Service | undefined): void {
    this.addToTotals(this.summaries.get(host), -1);
    if (service === undefined || isUneventful(service)) {
      this.summaries.delete(host);
      return;
    }
    const summary = { conflicts: service.conflictCount, withheld: service.withheld };
    this.summaries.set(host, summary);
    this.addToTotals(summary, 1);
  }

  private addToTotals(summary: Summary | undefined, sign: 1 | -1): void {
    if (summary === undefined) return;
    this.conflictTotal += sign * summary.conflicts;
    for (const [reason, count] of Object.entries(summary.withheld)) {
      const total = (this.withheldTotals.get(reason) ?? 0) + sign * count;
      if (total === 0) this.withheldTotals.delete(reason);
      else this.withheldTotals.set(reason, total);
    }
  }
}

function isUneventful(service: Service): boolean {
  return service.conflictCount === 0 && Object.keys(service.withheld).length === 0;
}

function originsOf({ source, receipt }: InstanceChange): ChangeOrigin[] {
  if (receipt === undefined || !source.isServed) return [];
  const registry: RegistryId = source.id;
  return [{ registry, receivedAt: receipt.receivedAt, ageMs: receipt.ageMs }];
}
