import { isDeepStrictEqual } from 'node:util';
import type { Instance } from '../../common/instance.ts';
import { Pause } from '../../common/yielding.ts';
import { convertRecord } from './convert.ts';
import type { ConversionOptions } from './options.ts';
import { instanceKey } from './record.ts';
import type { DecodedRecord, DropReason, EurekaAction, EurekaStatus } from './record.ts';

/**
 * Our copy of one server's registry, and the rules by which bodies change it:
 *
 * - Everything is merged, everything is counted, and what is of no use is left out last: filtering
 *   earlier loses transitions and breaks the census.
 * - A delta is the cumulative list of the last three minutes, one row per instance in its *current*
 *   state: applying it again, or over any older base within the window, gives the same registry.
 *   `DELETED` removes, whatever the status says; everything else replaces the whole record.
 * - The census (`apps__hashcode`) counts instances by status. It proves that a view is wrong, never
 *   that it is right: equal and opposite errors are invisible to it.
 */
export interface ViewEntry {
  /** As the server states it: what the census counts. */
  readonly status: EurekaStatus;
  /** Undefined for a record that was never understood. */
  readonly instance: Instance | undefined;
  /** Why the record as it stands now could not be understood. */
  readonly dropped: DropReason | undefined;
  /** Times of the server's clock, milliseconds since 1970, or 0. */
  readonly registeredAt: number;
  readonly leaseEndsAt: number;
  readonly updatedAt: number;
  readonly dirtyAt: number;
}

/** One record of a body, keyed and converted. */
export interface Row {
  readonly key: string;
  readonly action: EurekaAction | undefined;
  readonly entry: ViewEntry;
}

/** An entry to set, or to remove when undefined. */
export interface ViewChange {
  readonly key: string;
  readonly entry: ViewEntry | undefined;
}

type Counts = Map<EurekaStatus, number>;

function count(counts: Counts, status: EurekaStatus, by: number): void {
  counts.set(status, (counts.get(status) ?? 0) + by);
}

function censusOf(counts: Counts): string {
  return [...counts]
    .filter(([, number]) => number > 0)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([status, number]) => `${status}_${number}_`)
    .join('');
}

/** A registry by `APP/id`, with its census kept up to date. Mutable; no input or output. */
export class RegistryView {
  private readonly entries = new Map<string, ViewEntry>();
  private readonly counts: Counts = new Map();

  get size(): number {
    return this.entries.size;
  }

  get(key: string): ViewEntry | undefined {
    return this.entries.get(key);
  }

  keys(): IterableIterator<string> {
    return this.entries.keys();
  }

  /** In the order in which the keys were first set. */
  [Symbol.iterator](): IterableIterator<[string, ViewEntry]> {
    return this.entries.entries();
  }

  set(key: string, entry: ViewEntry): void {
    const before = this.entries.get(key);
    if (before !== undefined) count(this.counts, before.status, -1);
    count(this.counts, entry.status, 1);
    this.entries.set(key, entry);
  }

  remove(key: string): void {
    const before = this.entries.get(key);
    if (before === undefined) return;
    count(this.counts, before.status, -1);
    this.entries.delete(key);
  }

  /** `NAME_count_` for every status that occurs, names in alphabetical order; empty when empty. */
  census(): string {
    return censusOf(this.counts);
  }

  apply(changes: readonly ViewChange[]): void {
    for (const { key, entry } of changes) {
      if (entry === undefined) this.remove(key);
      else this.set(key, entry);
    }
  }
}

/**
 * Turns the records of one body into rows. Records without an id, of which there should be none,
 * are told apart by their place, so that they still count.
 */
export class RowMaker {
  private readonly options: ConversionOptions;
  private nameless = 0;
  private last: Instance | undefined;

  constructor(options: ConversionOptions) {
    this.options = options;
  }

  /** @param previous what was known of the registry before this body, by key */
  row(decoded: DecodedRecord, previous: (key: string) => ViewEntry | undefined): Row {
    if (decoded.kind === 'bad') return this.badRow(decoded.bad, previous);
    const { record } = decoded;
    const { status, action, registeredAt, leaseEndsAt, updatedAt, dirtyAt } = record;
    const instance = this.shared(convertRecord(record, this.options), previous);
    this.last = instance;
    return {
      key: instance.id,
      action,
      entry: {
        status,
        instance,
        dropped: undefined,
        registeredAt,
        leaseEndsAt,
        updatedAt,
        dirtyAt,
      },
    };
  }

  /**
   * The same content as objects that exist already: the whole instance when it is as it was, else its parts
   * from the record before, which is mostly of the same application. Keeps a large registry small.
   */
  private shared(instance: Instance, previous: (key: string) => ViewEntry | undefined): Instance {
    const known = previous(instance.id)?.instance;
    if (known !== undefined && isDeepStrictEqual(known, instance)) return known;
    const { last } = this;
    if (last === undefined) return instance;
    return {
      ...instance,
      service: sameOr(last.service, instance.service),
      ports: sameOr(last.ports, instance.ports),
      labels: sameOr(last.labels, instance.labels),
      locality: sameOr(last.locality, instance.locality),
    };
  }

  /** A record that was good before keeps its last good content, with the status it has now. */
  private badRow(
    bad: Extract<DecodedRecord, { kind: 'bad' }>['bad'],
    previous: (key: string) => ViewEntry | undefined,
  ): Row {
    const { status, action, reason } = bad;
    const key = instanceKey(bad.app, bad.id === '' ? `?${this.nameless++}` : bad.id);
    const entry: ViewEntry = {
      status,
      instance: previous(key)?.instance,
      dropped: reason,
      registeredAt: 0,
      leaseEndsAt: 0,
      updatedAt: 0,
      dirtyAt: 0,
    };
    return { key, action, entry: withStatus(entry, status, this.options) };
  }
}

/** The entry with another status, all else as it was. */
export function withStatus(
  entry: ViewEntry,
  status: EurekaStatus,
  { upStatuses }: ConversionOptions,
): ViewEntry {
  const { instance } = entry;
  if (instance === undefined) return { ...entry, status };
  const isUp = upStatuses.includes(status);
  return { ...entry, status, instance: { ...instance, status: isUp ? 'UP' : status } };
}

function sameOr<T>(known: T, value: T): T {
  return isDeepStrictEqual(known, value) ? known : value;
}

/** What a delta says, as changes. */
export function deltaChanges(rows: readonly Row[]): readonly ViewChange[] {
  return rows.map(({ key, action, entry }) => ({
    key,
    entry: action === 'DELETED' ? undefined : entry,
  }));
}

/**
 * What a delta read a moment ago still says beside a full read that followed it. A server keeps both
 * in caches of their own, so the full one may be the older: believing it alone would take back what the
 * delta had just brought. Of two records of an instance the one that the server updated later wins,
 * the full one when the times say nothing. An instance that only the delta has stays: should it have
 * been cancelled between the two, the next delta says so.
 */
export function overlayChanges(full: RegistryView, rows: readonly Row[]): readonly ViewChange[] {
  const changes: ViewChange[] = [];
  for (const { key, action, entry } of rows) {
    const inFull = full.get(key);
    const isDeleted = action === 'DELETED';
    if (inFull === undefined) {
      if (!isDeleted) changes.push({ key, entry });
    } else if (isNewer(entry, inFull)) changes.push({ key, entry: isDeleted ? undefined : entry });
  }
  return changes;
}

function isNewer(one: ViewEntry, other: ViewEntry): boolean {
  if (one.updatedAt !== other.updatedAt) return one.updatedAt > other.updatedAt;
  return one.dirtyAt > other.dirtyAt;
}

/**
 * Whether two views can be of one life of a server: some instance kept its registration time. A
 * restarted server registers everybody anew, so nobody does; nor in an emptied registry.
 *
 * @param recent the rows of the delta that has just been applied: they may be of the new life already
 */
export function isSameLife(
  before: RegistryView,
  after: RegistryView,
  recent: readonly Row[] = [],
): boolean {
  const recentKeys = new Set(recent.map(({ key }) => key));
  for (const [key, { registeredAt }] of after) {
    if (registeredAt === 0 || recentKeys.has(key)) continue;
    if (before.get(key)?.registeredAt === registeredAt) return true;
  }
  return false;
}

/**
 * For how long a server has known somebody, by its own clock, milliseconds: the age of its oldest registration. Little
 * after a restart, since even what it copies from its peers is registered anew. Infinity when it gives no times.
 */
export function memoryOf(view: RegistryView, serverTime: number): number {
  let oldest = Infinity;
  let hasTimes = view.size === 0;
  for (const [, { registeredAt }] of view) {
    if (registeredAt === 0) continue;
    hasTimes = true;
    oldest = Math.min(oldest, registeredAt);
  }
  if (!hasTimes) return Infinity;
  return oldest === Infinity ? 0 : Math.max(0, serverTime - oldest);
}

/** Instances that stopped renewing longer ago than the lease and the caches explain, some by name. */
export async function findExpired(
  view: RegistryView,
  wallClockMs: number,
): Promise<{ readonly count: number; readonly examples: readonly string[] }> {
  const examples: string[] = [];
  const pause = new Pause();
  let count = 0;
  for (const [key, { leaseEndsAt }] of view) {
    if (pause.isDue()) await pause.turn();
    if (leaseEndsAt === 0 || wallClockMs <= leaseEndsAt + cacheSlackMs) continue;
    count += 1;
    if (examples.length < examplesMax) examples.push(key);
  }
  return { count, examples };
}

const examplesMax = 10;

/** Renewals do not refresh the servers' caches: times in bodies are up to 180 s + 30 s old. */
const cacheSlackMs = 210_000;
