import { censusOf } from './model.ts';
import type { InstanceStatus, Lease, Registration } from './model.ts';
import { idOf } from './registration.ts';
import { ResponseCache } from './response-cache.ts';
import type { CacheKey, Payload } from './response-cache.ts';
import { encodeApplications } from './encode.ts';
import type { Codec, Listing } from './encode.ts';

/** How the embedded registry behaves; every default is Eureka's own. Times are milliseconds. */
export interface EurekaRegistryOptions {
  /** The clock, milliseconds since 1970. */
  readonly now?: () => number;
  /** How often the read-only response cache follows; 0 switches it off: bodies are always fresh. */
  readonly readOnlyCacheMs?: number;
  /** A cached body is built anew after so long even when nothing was registered. */
  readonly cacheExpiryMs?: number;
  /** How long a change stays in the delta. */
  readonly deltaRetentionMs?: number;
  /** How often old changes are purged from the delta. */
  readonly deltaPurgeMs?: number;
  readonly evictionIntervalMs?: number;
  /** No eviction while too few leases are renewed. Off by default, as in a small site. */
  readonly selfPreservation?: boolean;
  /** `GET apps/delta` is answered with 403. */
  readonly disableDelta?: boolean;
  /** A registry without a word from its peers is closed (403) for so long; 0: open at once. */
  readonly warmUpMs?: number;
  readonly codec?: Codec;
}

/** A write by an application, as it is passed on to the peers of a server. */
export type Replication =
  | { readonly kind: 'register'; readonly registration: Registration }
  | {
      readonly kind: 'heartbeat';
      readonly app: string;
      readonly id: string;
      readonly overridden: InstanceStatus;
    }
  | { readonly kind: 'cancel'; readonly app: string; readonly id: string }
  | {
      readonly kind: 'status';
      readonly app: string;
      readonly id: string;
      readonly status: InstanceStatus;
    }
  | {
      readonly kind: 'delete-status';
      readonly app: string;
      readonly id: string;
      readonly status: InstanceStatus;
    };

const defaults = {
  now: Date.now,
  readOnlyCacheMs: 30_000,
  cacheExpiryMs: 180_000,
  deltaRetentionMs: 180_000,
  deltaPurgeMs: 30_000,
  evictionIntervalMs: 60_000,
  selfPreservation: false,
  disableDelta: false,
  warmUpMs: 0,
  codec: 'jackson' as Codec,
} satisfies Required<EurekaRegistryOptions>;

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
    const overridden = this.overrides.get(id) ?? 'UNKNOWN';
    const status = this.effectiveStatus(kept.status, id, isReplicated ? undefined : before);
    const lease: Lease = {
      registration: kept,
      id,
      status,
      overriddenStatus: overridden,
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
    if (!isReplicated) this.replicate({ kind: 'register', registration: kept });
  }

  /** False for an instance that must register again. */
  heartbeat(
    app: string,
    id: string,
    replicated?: { readonly overridden: InstanceStatus },
  ): boolean {
    const lease = this.find(app, id);
    if (lease === undefined) return false;
    if (replicated !== undefined && replicated.overridden !== 'UNKNOWN') {
      this.overrides.set(id, replicated.overridden);
      lease.overriddenStatus = replicated.overridden;
    }
    const status = this.effectiveStatus(lease.registration.status, id, lease);
    if (status === 'UNKNOWN') return false;
    // No entry in the delta and no fresh cache: the change stays unseen until something else happens.
    lease.status = status;
    const now = this.options.now();
    lease.lastRenewalTimestamp = now + lease.registration.durationSecs * 1000;
    if (this.options.selfPreservation) this.renewals.push({ at: now });
    if (replicated === undefined) {
      this.replicate({ kind: 'heartbeat', app, id, overridden: lease.overriddenStatus });
    }
    return true;
  }

  /** False for an unknown instance. */
  cancel(app: string, id: string, isReplicated = false): boolean {
    const lease = this.find(app, id);
    if (lease === undefined) return false;
    this.remove(lease);
    if (!isReplicated) this.replicate({ kind: 'cancel', app, id });
    return true;
  }

  /** Overrides the status; false for an unknown instance. */
  setStatus(app: string, id: string, status: InstanceStatus, isReplicated = false): boolean {
    const lease = this.find(app, id);
    if (lease === undefined) return false;
    this.overrides.set(id, status);
    lease.overriddenStatus = status;
    lease.status = status;
    this.modified(lease);
    if (!isReplicated) this.replicate({ kind: 'status', app, id, status });
    return true;
  }

  /** Takes the override away; without a status to go on with the instance is UNKNOWN. */
  deleteStatus(app: string, id: string, status: InstanceStatus, isReplicated = false): boolean {
    const lease = this.find(app, id);
    if (lease === undefined) return false;
    this.overrides.delete(id);
    lease.overriddenStatus = 'UNKNOWN';
    lease.status = status;
    lease.registration = { ...lease.registration, status };
    this.modified(lease);
    if (!isReplicated) this.replicate({ kind: 'delete-status', app, id, status });
    return true;
  }

  /** Adds metadata by registering the instance anew; false for an unknown instance. */
  setMetadata(app: string, id: string, metadata: Readonly<Record<string, string>>): boolean {
    const lease = this.find(app, id);
    if (lease === undefined) return false;
    const { registration } = lease;
    const merged = { ...registration.metadata, ...metadata };
    const now = Math.max(this.options.now(), registration.lastDirtyTimestamp);
    this.register({ ...registration, metadata: merged, lastDirtyTimestamp: now });
    return true;
  }

  /** Does what another node's application did there. */
  applyReplication(replication: Replication): boolean {
    switch (replication.kind) {
      case 'register':
        this.register(replication.registration, true);
        return true;
      case 'heartbeat':
        return this.heartbeat(replication.app, replication.id, replication);
      case 'cancel':
        return this.cancel(replication.app, replication.id, true);
      case 'status':
        return this.setStatus(replication.app, replication.id, replication.status, true);
      case 'delete-status':
        return this.deleteStatus(replication.app, replication.id, replication.status, true);
    }
  }

  /** What a peer copies when it starts. */
  registrations(): readonly Registration[] {
    return [...this.all()].map((lease) => ({
      ...lease.registration,
      overriddenStatus: lease.overriddenStatus,
    }));
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

  private replicate(replication: Replication): void {
    for (const peer of this.peers) peer(replication);
  }

  private isExpired(lease: Lease): boolean {
    // The last renewal already contains the duration: an old mistake that clients rely on.
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
    const { codec } = this.options;
    if (key.entity !== 'delta') {
      const apps = this.listing(this.all());
      const listed = key.entity === 'full' ? apps : apps.filter(({ name }) => name === key.entity);
      if (key.entity !== 'full' && listed.length === 0) return undefined;
      const hashcode = censusOf(this.all());
      return encodeApplications({ apps: listed, version: 1, hashcode }, key, codec);
    }
    this.deltaBuilds += 1;
    const rows = new Map<string, Lease>();
    for (const { lease } of this.recent) {
      rows.set(`${lease.registration.app}/${lease.id}`, lease);
    }
    const apps = this.listing(rows.values());
    const hashcode = censusOf(this.all());
    return encodeApplications({ apps, version: this.deltaBuilds, hashcode }, key, codec);
  }

  private listing(leases: Iterable<Lease>): Listing['apps'] {
    const apps = new Map<string, Lease[]>();
    for (const lease of leases) {
      const list = apps.get(lease.registration.app) ?? [];
      list.push(lease);
      apps.set(lease.registration.app, list);
    }
    return [...apps].map(([name, list]) => ({ name, leases: list }));
  }
}

/** A registry with nothing in it. */
export function createEurekaRegistry(options: EurekaRegistryOptions = {}): EurekaRegistry {
  return new EurekaRegistry(options);
}
