import type { Logger } from 'pino';
import { messageOf } from '../common/errors.ts';
import { guardPolicies } from '../common/guard.ts';
import type { GuardPolicy } from '../common/guard.ts';
import type { InstanceStatus } from '../common/instance.ts';
import type { RegistryId, RegistryKind } from '../common/registry.ts';
import { sleep } from '../common/sleep.ts';
import { Catalog } from './catalog.ts';
import type { ContributionSink } from './contribution.ts';
import type { RegistryCatalog } from './registry-catalog.ts';
import { HostNames } from './host.ts';
import type { HostOptions } from './host.ts';
import { Publisher } from './publisher.ts';
import type { PublisherReport } from './publisher.ts';
import type { RegistryListener } from './registry-types.ts';
import { ServiceIndex } from './service-index.ts';
import { StateFile } from './state-file.ts';
import type { StateHeader } from './state-format.ts';
import { Store } from './store.ts';
import type { ResourceStore } from './store-types.ts';
import type { RegistryView, ServiceView } from './view.ts';
import { explainMembers, registryViews, serviceView } from './views.ts';
import type { MemberExplanation } from './views.ts';
import { VipAllocator } from './vip.ts';

/** What the aggregator's core must know. */
export interface PipelineOptions {
  /** The registries that are served; nothing is answered before each of them was heard. */
  readonly expected: readonly RegistryId[];
  /** The DNS domain of all hosts, lower case, at most 100 characters. */
  readonly domain: string;
  /** The namespace of all resources. */
  readonly namespace: string;
  /** Where the catalog is saved; without it nothing is. */
  readonly stateDir?: string | undefined;
  /** Least time between two saves, milliseconds; 3000 by default. */
  readonly saveIntervalMs?: number | undefined;
  /** How long agents are waited for when the saved state is behind what was served, milliseconds. */
  readonly behindMs?: number | undefined;
  /** By registry id or by kind; what is not given has the defaults of common/guard.ts. */
  readonly guardPolicies?: Readonly<Record<string, Partial<GuardPolicy>>> | undefined;
  /** Precedence of registries in conflicts: the smaller goes first, 100 by default. */
  readonly priorities?: ReadonlyMap<RegistryId, number> | undefined;
  /** Virtual addresses by host. */
  readonly pins?: ReadonlyMap<string, string> | undefined;
  /** Which hosts Dubbo's services have. */
  readonly hosts?: HostOptions | undefined;
}

/** Where the core counts what an operator should see. Implemented by the metrics. */
export interface PipelineObserver extends PublisherReport {
  /** Instances by status and number of services of a registry, after they changed. */
  registryChanged(
    registry: RegistryId,
    instances: Readonly<Partial<Record<InstanceStatus, number>>>,
    services: number,
  ): void;
  /** The registry was forgotten: its series go. */
  registryGone(registry: RegistryId): void;
  /** The guard began to hold removals of a registry or of one of its services. */
  guardActivated(registry: RegistryId): void;
  /** The catalog is on disk. */
  stateSaved(bytes: number, ms: number): void;
  /** It could not be written; it is tried again. */
  stateFailed(): void;
}

/** A save may take this share of the time at most (an interval is this many times as long as a save). */
const saveShare = 50;
const tickMs = 1000;
/** How long agents are waited for that bring a state up to date of which something newer was served. */
const behindMsDefault = 10_000;
const collection = 'ServiceEntry';

/** From contributions to resources: the aggregator without its servers. */
export class Pipeline {
  /** Resolves when saved state, if any, is in force: agents and istiods may come. */
  readonly ready: Promise<void>;
  private readonly options: PipelineOptions;
  private readonly observer: PipelineObserver;
  private readonly log: Logger;
  private readonly expected: ReadonlySet<RegistryId>;
  private readonly resources = new Store();
  private readonly catalog: Catalog;
  private readonly index: ServiceIndex;
  private readonly vips: VipAllocator;
  private readonly publisher: Publisher;
  private readonly stateFile: StateFile | undefined;
  private readonly defect = Promise.withResolvers<never>();
  private readonly loaded = Promise.withResolvers<undefined>();
  private isDirty = false;
  /** See doubts: as saved last. */
  private savedDoubts = '';
  private isCompleted = false;
  /** The saved state is behind what was served before: until then it is served only once agents have been heard. */
  private behindUntil: number | undefined;
  private lastSaveMs = 0;
  private isSaveFailing = false;
  private sortedHosts: { readonly count: number; readonly hosts: readonly string[] } | undefined;

  /** Throws ConfigurationError when a pinned address is none or stands twice. */
  constructor(options: PipelineOptions, observer: PipelineObserver, log: Logger) {
    this.options = options;
    this.observer = observer;
    this.log = log;
    this.ready = this.loaded.promise;
    this.expected = new Set(options.expected);
    const names = new HostNames(options.domain, options.hosts);
    this.index = new ServiceIndex(names, options.priorities ?? new Map());
    this.vips = new VipAllocator(options.pins ?? new Map());
    this.stateFile = options.stateDir === undefined ? undefined : new StateFile(options.stateDir);
    this.publisher = new Publisher(
      {
        index: this.index,
        vips: this.vips,
        store: this.resources,
        namespace: options.namespace,
        report: observer,
        onSettled: () => this.completeIfHeard(),
      },
      log,
    );
    this.catalog = new Catalog(
      {
        expected: this.expected,
        guardPolicy: (registry, kind) => this.guardPolicy(registry, kind),
      },
      this.listener(),
      log,
    );
    this.defect.promise.catch(() => undefined);
  }

  /** Where the feed delivers. */
  get sink(): ContributionSink {
    return this.catalog;
  }

  /** What the protocols serve. */
  get store(): ResourceStore {
    return this.resources;
  }

  /** Whether ServiceEntries are served. */
  isComplete(): boolean {
    return this.isCompleted;
  }

  registries(): readonly RegistryView[] {
    return registryViews(this.catalog, this.expected, (id) => this.index.registry(id));
  }

  /** Sorted by host; `filter` is a substring of the host, empty = all. */
  services(filter: string, limit: number): readonly ServiceView[] {
    const found: ServiceView[] = [];
    for (const host of this.hosts()) {
      if (found.length >= limit) break;
      const view = host.includes(filter) ? this.service(host) : undefined;
      if (view !== undefined) found.push(view);
    }
    return found;
  }

  serviceCount(): number {
    return this.index.hosts.size;
  }

  /** Conflicts that precedence settled, and members that are no endpoints, by why, over all hosts. */
  totals(): { readonly conflicts: number; readonly withheld: ReadonlyMap<string, number> } {
    return { conflicts: this.publisher.conflicts, withheld: this.publisher.withheld };
  }

  /** Why each instance of a host is served or not, or undefined when there is no such host. */
  explain(
    host: string,
  ): { readonly service: ServiceView; readonly members: readonly MemberExplanation[] } | undefined {
    const state = this.index.hosts.get(host);
    const service = this.service(host);
    return state && service && { service, members: explainMembers(state) };
  }

  /**
   * Retires a registry: everything it said is withdrawn, and nobody waits for it until an agent feeds it again.
   * `fed`: refused, an agent is connected. `unknown`: neither heard of nor expected.
   */
  async forget(registry: RegistryId): Promise<'forgotten' | 'fed' | 'unknown'> {
    const outcome = await this.catalog.forget(registry);
    if (outcome !== 'forgotten') return outcome;
    this.stateFile?.markBehind();
    this.isDirty = true;
    if (!this.catalog.registries.has(registry)) {
      this.index.dropRegistry(registry);
      this.observer.registryGone(registry);
    }
    this.completeIfHeard();
    return outcome;
  }

  /** Lets held removals of a registry pass now: how many, or undefined if there is no such one. */
  release(registry: RegistryId): number | undefined {
    const released = this.catalog.release(registry);
    if (released !== undefined) this.log.warn({ registry, released }, 'held removals released');
    return released;
  }

  /**
   * Loads saved state, then saves and keeps time until the signal aborts; at the end the latest
   * state is on disk. Rejects on a defect.
   */
  async run(signal: AbortSignal): Promise<void> {
    await this.load();
    this.loaded.resolve(undefined);
    const timer = setInterval(() => {
      this.catalog.tick(performance.now());
      this.completeIfHeard();
    }, tickMs);
    timer.unref();
    try {
      await Promise.race([this.saveRepeatedly(signal), this.defect.promise]);
    } finally {
      clearInterval(timer);
    }
    if ([...this.catalog.registries.values()].some(({ isHeard }) => isHeard)) await this.save();
  }

  private listener(): RegistryListener {
    return {
      changed: (change) => {
        this.isDirty = true;
        this.stateFile?.markBehind();
        const published = this.publisher.publish(change);
        if (published === undefined) {
          this.changed(change.source.id);
          return undefined;
        }
        return published.then(() => this.changed(change.source.id));
      },
      census: (registry) => this.index.registry(registry),
      attributes: (registry, network, defaultLocality) =>
        this.index.registry(registry).setAttributes(network, defaultLocality),
      guardActivated: (registry) => this.observer.guardActivated(registry),
      failed: (error) => this.defect.reject(error),
    };
  }

  private changed(registry: RegistryId): void {
    this.isDirty = true;
    const index = this.index.registry(registry);
    this.observer.registryChanged(registry, index.counts(), index.serviceCount);
  }

  private completeIfHeard(): void {
    if (this.isCompleted || !this.catalog.isComplete || !this.publisher.isSettled) return;
    if (this.behindUntil !== undefined) {
      if (performance.now() < this.behindUntil && !this.catalog.isHeardByAgents) return;
      this.behindUntil = undefined;
      this.isDirty = true;
    }
    this.isCompleted = true;
    this.log.info({ services: this.index.hosts.size }, 'every expected registry has been heard');
    this.resources.complete(collection);
  }

  private guardPolicy(registry: RegistryId, kind: RegistryKind): GuardPolicy {
    const given = this.options.guardPolicies ?? {};
    return { ...guardPolicies[kind], ...given[kind], ...given[registry] };
  }

  private hosts(): readonly string[] {
    const { hosts } = this.index;
    const known = this.sortedHosts;
    if (known?.count === hosts.size && known.hosts.every((host) => hosts.has(host))) {
      return known.hosts;
    }
    this.sortedHosts = { count: hosts.size, hosts: [...hosts.keys()].sort() };
    return this.sortedHosts.hosts;
  }

  private service(host: string): ServiceView | undefined {
    const state = this.index.hosts.get(host);
    if (state === undefined || state.members.size === 0) return undefined;
    return serviceView(state, {
      vip: this.vips.address(host) ?? '',
      version: this.resources.version(collection, `${this.options.namespace}/${host}`) ?? '',
    });
  }

  private async load(): Promise<void> {
    if (this.stateFile === undefined) return;
    try {
      const state = await this.stateFile.load(Date.now());
      if (state.kind === 'corrupt') {
        const { reason, movedTo } = state;
        this.log.error({ reason, movedTo }, 'the saved state is damaged and is not used');
      }
      if (state.kind !== 'loaded') return;
      if (state.isBehind)
        this.behindUntil = performance.now() + (this.options.behindMs ?? behindMsDefault);
      for (const id of state.retired) this.catalog.retire(id);
      const now = performance.now();
      for (const registry of state.registries) await this.catalog.load(registry, now);
      const registries = state.registries.map(({ id }) => id);
      const savedAt = new Date(state.savedAt).toISOString();
      const { isBehind } = state;
      this.log.info(
        { registries, savedAt, isBehind, services: this.serviceCount() },
        isBehind
          ? 'saved state loaded: something newer was served, so agents are waited for'
          : 'saved state loaded',
      );
      this.isDirty = false;
    } catch (error) {
      this.log.error({ error: messageOf(error) }, 'the saved state cannot be read');
    }
  }

  private async saveRepeatedly(signal: AbortSignal): Promise<void> {
    const { saveIntervalMs = 3000 } = this.options;
    while (!signal.aborted) {
      await sleep(Math.max(saveIntervalMs, saveShare * this.lastSaveMs), signal);
      if (this.isDirty || this.doubts() !== this.savedDoubts) await this.save();
    }
  }

  /** Whether nothing newer is served than what was saved, nor was before this process began. */
  private get isEven(): boolean {
    return !this.isDirty && this.behindUntil === undefined;
  }

  private async save(): Promise<void> {
    if (this.stateFile === undefined) return;
    await this.publisher.settled();
    this.isDirty = false;
    this.savedDoubts = this.doubts();
    const startedAt = performance.now();
    try {
      const bytes = await this.stateFile.save(this.stateHeader(), (id) =>
        this.index.registry(id).instances(),
      );
      this.lastSaveMs = performance.now() - startedAt;
      this.observer.stateSaved(bytes, this.lastSaveMs);
      if (this.isEven) this.stateFile.markEven();
      if (this.isSaveFailing) this.log.info('the state is saved again');
      this.isSaveFailing = false;
    } catch (error) {
      this.isDirty = true;
      this.observer.stateFailed();
      const level = this.isSaveFailing ? 'debug' : 'error';
      this.log[level]({ error: messageOf(error) }, 'the state cannot be saved');
      this.isSaveFailing = true;
    }
  }

  /** What is doubted, to be saved when it changes although nothing is published. */
  private doubts(): string {
    const registries = [...this.catalog.registries.values()];
    return registries.map((one) => (doubtAfterRestart(one) === undefined ? '' : one.id)).join();
  }

  private stateHeader(): StateHeader {
    const now = performance.now();
    const registries = [...this.catalog.registries.values()]
      .filter((registry) => registry.isHeard)
      .map((registry) => ({
        id: registry.id,
        kind: registry.kind,
        ...this.index.registry(registry.id).place(),
        ageMs: registry.ageMs(now),
        doubt: doubtAfterRestart(registry),
      }));
    return { savedAt: Date.now(), retired: [...this.catalog.retired], registries };
  }
}

/** What is held here is forgotten by a restart, as what agents hold is by theirs. */
function doubtAfterRestart({ kind, guard, doubt }: RegistryCatalog): string | undefined {
  const isHolding = kind === 'zookeeper' && guard.heldCount > 0;
  return isHolding
    ? `${guard.heldCount} removals were held before the aggregator restarted`
    : doubt;
}
