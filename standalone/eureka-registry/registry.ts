import { buildBody } from './bodies.ts';
import { noteStatus } from './model.ts';
import type { InstanceStatus, Lease, Registration } from './model.ts';
import { idOf } from './registration.ts';
import { ResponseCache } from './response-cache.ts';
import type { CacheKey, Payload } from './response-cache.ts';
import { defaults } from './options.ts';
import type { EurekaRegistryOptions } from './options.ts';
import { answerOf, heartbeatAnswer, statusReplication } from './replication.ts';
import type { Replication, ReplicatedHeartbeat, ReplicationAnswer } from './replication.ts';

export type { EurekaRegistryOptions } from './options.ts';

/** One eviction pass removes at most this share of the registry. */
const evictionShareMax = 0.15;
const renewalShareMin = 0.85;

/**
 * A registry that behaves like a Netflix Eureka server: leases, overrides, a delta queue that refers to
 * leases (one row per instance, in its current state), response caches, slow eviction. In
 * memory, one node; no input or output.
 */
export class EurekaRegistry {
  readonly options: Required<EurekaRegistryOptions>;
  private readonly leases = new Map<string, Map<string, Lease>>();
  /** By instance id alone, as Eureka keeps them: equal ids of two applications share one. */
  private readonly overrides = new Map<string, InstanceStatus>();
  private recent: { readonly lease: Lease; readonly at: number }[] = [];
  private readonly cache: ResponseCache;
  private readonly openAt: number;
  private deltaBuilds = 0;
  private renewals: { readonly at: number }[] = [];
  private readonly peers = new Set<(replication: Replication) => void>();
  private readonly regions = new Map<string, EurekaRegistry>();

  constructor(options: EurekaRegistryOptions = {}) {
    this.options = { ...defaults, ...options };
    this.openAt = this.options.now() + this.options.warmUpMs;
    this.cache = new ResponseCache({
      now: this.options.now,
      expiryMs: this.options.cacheExpiryMs,
      isReadOnlyOn: this.options.readOnlyCacheMs > 0,
      build: (key) => this.build(key),
    });
  }

  /** Called with every write by an application; returns what ends it. */
  onReplicate(listener: (replication: Replication) => void): () => void {
    this.peers.add(listener);
    return () => this.peers.delete(listener);
  }

  /** Whether lists are served; the gate of a server that knows nobody yet. */
  get isOpen(): boolean {
    return this.options.now() >= this.openAt;
  }

  get size(): number {
    return [...this.leases.values()].reduce((sum, app) => sum + app.size, 0);
  }

  /** The cached body of a list; undefined when there is no such application. */
  payload(key: CacheKey): Payload | undefined {
    return this.cache.get(key);
  }

  /** The live lease, past every cache; undefined also for one that has expired. */
  lease(app: string, id: string): Lease | undefined {
    const lease = this.find(app, id);
    return lease !== undefined && this.isEvictionOn() && this.isExpired(lease) ? undefined : lease;
  }

  /** The first lease of this id in any application. */
  leaseById(id: string): Lease | undefined {
    for (const app of this.leases.keys()) {
      const lease = this.lease(app, id);
      if (lease !== undefined) return lease;
    }
    return undefined;
  }

  register(registration: Registration, isReplicated = false): void {
    const id = idOf(registration);
    const { app } = registration;
    const now = this.options.now();
    const before = this.find(app, id);
    const known = before?.registration;
    // An older registration of a known instance renews its lease and changes nothing else.
    const kept =
      known !== undefined && known.lastDirtyTimestamp > registration.lastDirtyTimestamp
        ? known
        : registration;
    if (kept.overriddenStatus !== 'UNKNOWN' && !this.overrides.has(id)) {
      this.overrides.set(id, kept.overriddenStatus);
    }
    const overriddenStatus = this.overrides.get(id) ?? kept.overriddenStatus;
    const status = this.effectiveStatus(kept.status, id, isReplicated ? undefined : before);
    const lease: Lease = {
      registration: { ...kept, status, overriddenStatus },
      id,
      status,
      overriddenStatus,
      actionType: 'ADDED',
      lastUpdatedTimestamp: now,
      registrationTimestamp: now,
      serviceUpTimestamp: before?.serviceUpTimestamp || (status === 'UP' ? now : 0),
      evictionTimestamp: 0,
      lastRenewalTimestamp: now,
    };
    const leases = this.leases.get(app) ?? new Map<string, Lease>();
    this.leases.set(app, leases.set(id, lease));
    this.changed(lease);
    if (!isReplicated) this.replicate({ kind: 'register', lease });
  }

  /** False for an instance that must register again. */
  heartbeat(
    app: string,
    id: string,
    replicated?: Pick<ReplicatedHeartbeat, 'overridden'>,
  ): boolean {
    const lease = this.find(app, id);
    if (lease === undefined) return false;
    if (replicated !== undefined && replicated.overridden !== 'UNKNOWN') {
      this.overrides.set(id, replicated.overridden);
      noteStatus(lease, lease.status, replicated.overridden);
    }
    const status = this.effectiveStatus(lease.status, id, lease);
    if (status === 'UNKNOWN') return false;
    // No entry in the delta and no fresh cache: the change stays unseen until something else happens.
    noteStatus(lease, status, lease.overriddenStatus);
    this.renew(lease);
    if (this.options.selfPreservation) this.renewals.push({ at: this.options.now() });
    if (replicated === undefined) this.replicate({ kind: 'heartbeat', lease });
    return true;
  }

  /** Whether the registration that is known is older than the application's own of this time. */
  isOlder(app: string, id: string, dirtyAt: number): boolean {
    const lease = this.find(app, id);
    return lease === undefined || lease.registration.lastDirtyTimestamp < dirtyAt;
  }

  /** False for an unknown instance. */
  cancel(app: string, id: string, isReplicated = false): boolean {
    const lease = this.find(app, id);
    if (lease === undefined) return false;
    this.remove(lease);
    if (!isReplicated) this.replicate({ kind: 'cancel', app: lease.registration.app, id });
    return true;
  }

  /** Overrides the status; false for an unknown instance. A status that it has already overrides nothing. */
  setStatus(
    app: string,
    id: string,
    status: InstanceStatus,
    replicated?: { readonly dirtyAt?: number },
  ): boolean {
    const lease = this.find(app, id);
    if (lease === undefined) return false;
    this.renew(lease);
    if (lease.status !== status) {
      this.overrides.set(id, status);
      noteStatus(lease, status, status, replicated?.dirtyAt);
      this.modified(lease);
    }
    if (replicated === undefined) this.replicate(statusReplication('status', lease, status));
    return true;
  }

  /** Takes the override away; without a status to go on with the instance is UNKNOWN. */
  deleteStatus(
    app: string,
    id: string,
    status: InstanceStatus,
    replicated?: { readonly dirtyAt?: number },
  ): boolean {
    const lease = this.find(app, id);
    if (lease === undefined) return false;
    this.renew(lease);
    if (this.overrides.delete(id)) {
      noteStatus(lease, status, 'UNKNOWN', replicated?.dirtyAt);
      this.modified(lease);
    }
    if (replicated === undefined) this.replicate(statusReplication('delete-status', lease, status));
    return true;
  }

  /** Adds metadata by registering the instance anew, as of the same time; false for an unknown instance. */
  setMetadata(app: string, id: string, metadata: Readonly<Record<string, string>>): boolean {
    const lease = this.find(app, id);
    if (lease === undefined) return false;
    const { registration } = lease;
    this.register({ ...registration, metadata: { ...registration.metadata, ...metadata } });
    return true;
  }

  /** Does what another node's application did there. */
  applyReplication(replication: Replication): ReplicationAnswer {
    switch (replication.kind) {
      case 'register':
        this.register(replication.lease.registration, true);
        return { status: 200 };
      case 'heartbeat':
        return this.applyHeartbeat(replication.lease.registration.app, replication.lease.id, {
          overridden: replication.lease.overriddenStatus,
          dirtyAt: replication.lease.registration.lastDirtyTimestamp,
        });
      case 'cancel':
        return answerOf(this.cancel(replication.app, replication.id, true));
      case 'status':
        return answerOf(
          this.setStatus(replication.app, replication.id, replication.status, replication),
        );
      case 'delete-status':
        return answerOf(
          this.deleteStatus(replication.app, replication.id, replication.status, replication),
        );
    }
  }

  /** A heartbeat that a peer passes on. */
  applyHeartbeat(app: string, id: string, told: ReplicatedHeartbeat): ReplicationAnswer {
    const isRenewed = this.heartbeat(app, id, told);
    return heartbeatAnswer(isRenewed ? this.find(app, id) : undefined, told.dirtyAt);
  }

  /** The other regions' registries are read by now; they go by lower-case names. */
  setRegion(name: string, registry: EurekaRegistry): void {
    this.regions.set(name, registry);
    this.cache.invalidate();
  }

  /** Whether every one of these regions that this server knows has been read once. */
  hasRead(regions: readonly string[]): boolean {
    const { remoteRegions } = this.options;
    return regions.every((name) => !remoteRegions.includes(name) || this.regions.has(name));
  }

  /** What a peer copies when it starts. */
  registrations(): readonly Registration[] {
    return [...this.all()].map((lease) => lease.registration);
  }

  /** Lets the read-only cache catch up. */
  tick(): void {
    this.cache.tick();
  }

  /** Forgets changes that are older than the retention. The caches are not touched. */
  purge(): void {
    const since = this.options.now() - this.options.deltaRetentionMs;
    this.recent = this.recent.filter(({ at }) => at >= since);
  }

  /** Empties the delta, as if its retention had passed. */
  forgetChanges(): void {
    this.recent = [];
    this.cache.invalidate();
  }

  /** One eviction pass; returns how many leases it ended. */
  evict(): number {
    if (!this.isEvictionOn()) return 0;
    const expired = [...this.all()].filter((lease) => this.isExpired(lease));
    const limit = Math.max(1, this.size - Math.floor(this.size * (1 - evictionShareMax)));
    for (const lease of expired.slice(0, limit)) this.remove(lease);
    return Math.min(expired.length, limit);
  }

  private find(app: string, id: string): Lease | undefined {
    return this.leases.get(app.toUpperCase())?.get(id);
  }

  private *all(): Iterable<Lease> {
    for (const leases of this.leases.values()) yield* leases.values();
  }

  /** DOWN and STARTING are believed; an override beats UP; then what the lease had stays. */
  private effectiveStatus(
    status: InstanceStatus,
    id: string,
    before: Lease | undefined,
  ): InstanceStatus {
    if (status !== 'UP' && status !== 'OUT_OF_SERVICE') return status;
    const overridden = this.overrides.get(id);
    if (overridden !== undefined) return overridden;
    const had = before?.status;
    return had === 'UP' || had === 'OUT_OF_SERVICE' ? had : status;
  }

  private remove(lease: Lease): void {
    const { app } = lease.registration;
    const leases = this.leases.get(app);
    leases?.delete(lease.id);
    if (leases?.size === 0) this.leases.delete(app);
    this.overrides.delete(lease.id);
    lease.actionType = 'DELETED';
    lease.evictionTimestamp = this.options.now();
    lease.lastUpdatedTimestamp = lease.evictionTimestamp;
    this.changed(lease);
  }

  private modified(lease: Lease): void {
    lease.actionType = 'MODIFIED';
    lease.lastUpdatedTimestamp = this.options.now();
    this.changed(lease);
  }

  private changed(lease: Lease): void {
    this.recent.push({ lease, at: this.options.now() });
    this.cache.invalidate();
  }

  /** A lease's last renewal already contains its duration: an old mistake that clients rely on. */
  private renew(lease: Lease): void {
    lease.lastRenewalTimestamp = this.options.now() + lease.registration.durationSecs * 1000;
  }

  private replicate(replication: Replication): void {
    for (const peer of this.peers) peer(replication);
  }

  private isExpired(lease: Lease): boolean {
    const { lastRenewalTimestamp, registration } = lease;
    return this.options.now() > lastRenewalTimestamp + registration.durationSecs * 1000;
  }

  private isEvictionOn(): boolean {
    if (!this.options.selfPreservation) return true;
    const since = this.options.now() - 60_000;
    this.renewals = this.renewals.filter(({ at }) => at >= since);
    return this.renewals.length > this.size * 2 * renewalShareMin;
  }

  private build(key: CacheKey): string | undefined {
    const registries = [this, ...this.regionsOf(key)];
    return buildBody(key, {
      codec: this.options.codec,
      everybody: registries.flatMap((registry) => [...registry.all()]),
      recent: registries.flatMap((registry) => [...registry.recentRows()]),
      nextDeltaBuild: () => (this.deltaBuilds += 1),
    });
  }

  private regionsOf({ regions = [] }: CacheKey): readonly EurekaRegistry[] {
    return regions
      .map((name) => this.regions.get(name))
      .filter((registry) => registry !== undefined);
  }

  private recentRows(): Iterable<Lease> {
    const rows = new Map<string, Lease>();
    for (const { lease } of this.recent) {
      rows.set(`${lease.registration.app}/${lease.id}`, lease);
    }
    return rows.values();
  }
}

/** A registry with nothing in it. */
export function createEurekaRegistry(options: EurekaRegistryOptions = {}): EurekaRegistry {
  return new EurekaRegistry(options);
}
