import { messageOf, ProtocolError } from '../../common/errors.ts';
import { Pause } from '../../common/yielding.ts';
import { openBody } from './body.ts';
import type { RawBody } from './body.ts';
import { describeResult } from './fetch-result.ts';
import type { EurekaClient } from './client.ts';
import type { FetchResult } from './fetch-result.ts';
import type { ConversionOptions } from './options.ts';
import { decodeApplications } from './decode.ts';
import type { BodyHead } from './decode.ts';
import {
  afterAbsence,
  afterDelta,
  afterFull,
  afterRefusedDelta,
  isVersionDecreased,
  planFetch,
  startPlan,
} from './plan.ts';
import type { DeltaVerdict, FullReason, PlanState } from './plan.ts';
import type { DropReason } from './record.ts';
import type { ServiceUrl } from './service-url.ts';
import { delayToPoll, noteAnswer, periodOf, startTick } from './tick.ts';
import type { TickState } from './tick.ts';
import {
  deltaChanges,
  isSameLife,
  memoryOf,
  overlayChanges,
  RegistryView,
  RowMaker,
} from './view.ts';
import type { Row, ViewChange, ViewEntry } from './view.ts';

export interface SessionOptions {
  readonly conversion: ConversionOptions;
  readonly fullIntervalMs: number;
  readonly bodyLimitBytes: number;
}

/** What a session tells while it reads. */
export interface SessionObserver {
  /** A record is not understood now that was, or was not there. `key` is its `APP/id`. */
  dropped(reason: DropReason, key: string): void;
  /** The server's deltas do not add up, and not for its caches alone: full reads only from now on. */
  unreliableDelta(): void;
  /** Deltas are refused by the server: full reads only from now on. */
  refusedDelta(): void;
}

export type ReadResult =
  | {
      readonly kind: 'read';
      readonly observedAt: number;
      /** The whole registry was read: anything may have changed. */
      readonly isFull: boolean;
      /** The server has lost its memory since the last read: what is missing may only be late. */
      readonly isRestarted: boolean;
    }
  | {
      readonly kind: 'failed';
      readonly reason: string;
      readonly why: 'empty-body' | 'down' | 'transient' | 'refused';
    };

type GoodResult = Extract<FetchResult, { kind: 'ok' }>;

interface LastDelta {
  readonly bodyHash: string;
  readonly head: BodyHead;
  readonly rows: readonly Row[];
  /** When it was first seen. */
  readonly at: number;
}

/** A delta older than this says nothing about a full read. */
const overlayMaxMs = 60_000;
const sliceRows = 5_000;

/**
 * One server's registry as it is read, by full and delta reads in the order that plan.ts decides.
 * One read at a time. State is never carried to another server: the next one gets a session of its own.
 */
export class ServerSession {
  readonly server: ServiceUrl;
  private readonly client: EurekaClient;
  private readonly options: SessionOptions;
  private readonly observer: SessionObserver;
  private current: RegistryView;
  private plan: PlanState = startPlan;
  private tick: TickState = startTick;
  private hasRead = false;
  /** The base URL that answered last: another one than the server's own after a redirect. */
  private servedBy: string | undefined;
  private memory = 0;
  private succeededAt: { readonly steady: number; readonly wall: number } | undefined;
  private lastDelta: LastDelta | undefined;
  /** The hash of the full body that is still all we know: undefined once a delta came on top. */
  private fullHash: string | undefined;
  private touchedKeys = new Set<string>();

  /** @param previous what another session knew, for records that have become unreadable since */
  constructor(
    server: ServiceUrl,
    client: EurekaClient,
    own: { readonly options: SessionOptions; readonly observer: SessionObserver },
    previous?: RegistryView,
  ) {
    this.server = server;
    this.client = client;
    this.options = own.options;
    this.observer = own.observer;
    this.current = previous ?? new RegistryView();
  }

  /** The registry as of the last good read. Replaced by full reads. */
  get view(): RegistryView {
    return this.current;
  }

  /** For how long the server had known its oldest registration at the last full read (see `memoryOf`). */
  get memoryMs(): number {
    return this.memory;
  }

  /** The interval of the server's cache, milliseconds, when it could be found out. */
  get cachePeriodMs(): number | undefined {
    return periodOf(this.tick);
  }

  /** How long to wait for the next read, `usualMs` at most: see tick.ts. */
  delayToPoll(now: number, usualMs: number): number {
    return delayToPoll(this.tick, now, usualMs);
  }

  /** The server was away: the next read is a full one. */
  expectRestart(): void {
    this.plan = afterAbsence(this.plan);
  }

  /** The keys that deltas have touched since the last call. */
  takeTouched(): ReadonlySet<string> {
    const touched = this.touchedKeys;
    this.touchedKeys = new Set();
    return touched;
  }

  /** Reads what the plan asks for. Never throws for what the server does. */
  async read(signal: AbortSignal): Promise<ReadResult> {
    const now = performance.now();
    const wall = Date.now();
    const plan = planFetch(this.plan, now, this.silentMs(now));
    const result =
      plan.kind === 'full'
        ? await this.readFull(plan.reason, signal)
        : await this.readDelta(signal);
    if (result.kind === 'read') {
      // From when it was asked for: the machine may have slept while the answer was on its way.
      this.succeededAt = { steady: now, wall };
    }
    return result;
  }

  /** The steady clock stands still while a machine sleeps, the wall clock may be set back. */
  private silentMs(now: number): number {
    if (this.succeededAt === undefined) return 0;
    const { steady, wall } = this.succeededAt;
    return Math.max(now - steady, Date.now() - wall);
  }

  private async readDelta(signal: AbortSignal): Promise<ReadResult> {
    const askedAt = performance.now();
    const result = await this.client.get(this.server, 'apps/delta', signal);
    if (result.kind === 'refused' && isDeltaRefusal(result)) {
      this.plan = afterRefusedDelta(this.plan, performance.now(), this.options);
      this.observer.refusedDelta();
      return this.readFull('delta-refused', signal);
    }
    if (result.kind !== 'ok') return toFailed('apps/delta', result);
    // Redirects lead to another server now, of whose past we know nothing.
    if (this.servedBy !== result.servedBy) return this.readFull('restarted', signal);
    // The same bytes again say nothing new, not even over a full read since: it had the chance to know.
    let delta = this.lastDelta;
    const isChanged = delta !== undefined && delta.bodyHash !== result.body.hash;
    const { receivedAt, serverTime: date } = result;
    this.tick = noteAnswer(this.tick, { askedAt, receivedAt, date, isChanged });
    if (delta?.bodyHash !== result.body.hash) {
      try {
        delta = await this.applyDelta(result);
      } catch (error) {
        if (!(error instanceof ProtocolError)) throw error;
        return this.readFull('mismatch', signal);
      }
    }
    const verdict = this.judgeDelta(delta.head);
    if (verdict === 'unreliable') this.observer.unreliableDelta();
    const isFullDue = (this.plan.mismatchFullAt ?? Infinity) <= performance.now();
    if (verdict === 'restarted' || verdict === 'unreliable' || isFullDue) {
      return this.readFull(verdict === 'restarted' ? 'restarted' : 'mismatch', signal);
    }
    return { kind: 'read', observedAt: receivedAt, isFull: false, isRestarted: false };
  }

  private judgeDelta({ versionsDelta, hashcode }: BodyHead): DeltaVerdict {
    const matches = hashcode === undefined || hashcode === this.current.census();
    const isEmpty = this.current.size === 0;
    const read = { versionsDelta, matches, isEmpty, random: Math.random() };
    const { state, verdict } = afterDelta(this.plan, performance.now(), read, this.options);
    this.plan = state;
    return verdict;
  }

  private async applyDelta({ body }: GoodResult): Promise<LastDelta> {
    const rows: Row[] = [];
    const head = await this.decode(body, (row) => rows.push(row));
    const delta = { bodyHash: body.hash, head, rows, at: performance.now() };
    this.lastDelta = delta;
    // A young server's delta is no sequel to what we hold: a full read comes first.
    if (isVersionDecreased(this.plan.versionsDelta, head.versionsDelta)) return delta;
    this.fullHash = undefined;
    await this.applyChanges(deltaChanges(rows), this.current);
    for (const { key } of rows) this.touchedKeys.add(key);
    return delta;
  }

  private async readFull(reason: FullReason, signal: AbortSignal): Promise<ReadResult> {
    const result = await this.client.get(this.server, 'apps', signal);
    if (result.kind !== 'ok') return toFailed('apps', result);
    const { receivedAt: observedAt, serverTime, servedBy } = result;
    const isElsewhere = this.servedBy !== undefined && this.servedBy !== servedBy;
    if (isElsewhere) {
      this.plan = afterAbsence(this.plan);
      this.lastDelta = undefined;
    }
    this.servedBy = servedBy;
    if (this.fullHash === result.body.hash) {
      this.plan = this.planAfterFull();
      return { kind: 'read', observedAt, isFull: false, isRestarted: false };
    }
    const before = this.current;
    const full = new RegistryView();
    try {
      await this.decode(result.body, ({ key, entry }) => {
        this.reportDrop(key, entry, before);
        full.set(key, entry);
      });
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      return { kind: 'failed', reason: `GET apps: ${messageOf(error)}`, why: 'transient' };
    }
    const isRestarted =
      this.hasRead &&
      (isElsewhere || reason === 'restarted' || isLossOfMemory(before, full, this.lastDelta?.rows));
    this.hasRead = true;
    this.memory = memoryOf(full, serverTime);
    if (!isRestarted) await this.overlay(full);
    this.current = full;
    this.fullHash = result.body.hash;
    this.plan = this.planAfterFull();
    return { kind: 'read', observedAt, isFull: true, isRestarted };
  }

  private planAfterFull(): PlanState {
    const read = { isEmpty: this.current.size === 0, random: Math.random() };
    return afterFull(this.plan, performance.now(), read, this.options);
  }

  /** See `overlayChanges`: a full body that is older than the delta before it takes nothing back. */
  private async overlay(full: RegistryView): Promise<void> {
    const { lastDelta } = this;
    if (lastDelta === undefined || performance.now() - lastDelta.at > overlayMaxMs) return;
    await this.applyChanges(overlayChanges(full, lastDelta.rows), full);
  }

  private async applyChanges(changes: readonly ViewChange[], view: RegistryView): Promise<void> {
    const pause = new Pause();
    for (let from = 0; from < changes.length; from += sliceRows) {
      const slice = changes.slice(from, from + sliceRows);
      for (const { key, entry } of slice) {
        if (entry !== undefined) this.reportDrop(key, entry, this.current);
      }
      view.apply(slice);
      if (pause.isDue()) await pause.turn();
    }
  }

  private reportDrop(key: string, entry: ViewEntry, before: RegistryView): void {
    if (entry.dropped === undefined || before.get(key)?.dropped === entry.dropped) return;
    this.observer.dropped(entry.dropped, key);
  }

  private async decode(body: RawBody, onRow: (row: Row) => void): Promise<BodyHead> {
    const maker = new RowMaker(this.options.conversion);
    const previous = (key: string): ViewEntry | undefined => this.current.get(key);
    return decodeApplications(openBody(body, this.options.bodyLimitBytes), (decoded) =>
      onRow(maker.row(decoded, previous)),
    );
  }
}

function isDeltaRefusal({ refusal }: Extract<FetchResult, { kind: 'refused' }>): boolean {
  return refusal === 'forbidden' || refusal === 'not-found';
}

/** Instances are missing, and nobody is left whom the server has known for longer than our last read. */
function isLossOfMemory(
  before: RegistryView,
  after: RegistryView,
  recent: readonly Row[] | undefined,
): boolean {
  if (isSameLife(before, after, recent)) return false;
  for (const [key] of before) if (after.get(key) === undefined) return true;
  return false;
}

function toFailed(path: string, result: Exclude<FetchResult, { kind: 'ok' }>): ReadResult {
  const reason = `GET ${path}: ${describeResult(result)}`;
  if (result.kind === 'failed') {
    const why = result.failure === 'not-listening' ? 'down' : 'transient';
    return { kind: 'failed', reason, why };
  }
  if (result.refusal === 'empty-body') return { kind: 'failed', reason, why: 'empty-body' };
  // A proxy in front of a server that is away answers like this too.
  return { kind: 'failed', reason, why: result.refusal === 'unavailable' ? 'down' : 'refused' };
}
