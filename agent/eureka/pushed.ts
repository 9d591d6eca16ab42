import { isDeepStrictEqual } from 'node:util';
import type { ConversionOptions } from './options.ts';
import type { PushedItem } from './push/item.ts';
import type { DecodedRecord, DropReason } from './record.ts';
import { RowMaker, withStatus } from './view.ts';
import type { RegistryView, ViewEntry } from './view.ts';

/**
 * What Eureka servers have pushed and polls do not show yet, laid over the view that is polled.
 *
 * Push gives speed, the polled registry stays the truth: a pushed record counts only
 * - while the polled one is of an older registration (the application's own time, `dirtyAt`) or missing, for
 *   as long as some server passes on the instance's heartbeats: that server knows it to live;
 * - when both are of the same registration (a status was set, metadata were put), until every cache
 *   between must have followed; after that the polled one is believed.
 *
 * A pushed *cancel* is only a hint: servers merge waiting calls, so that a batch may end in the cancel of an
 * instance that has come back. So is a status that was withdrawn, or one that a heartbeat tells otherwise than we have
 * it. Hints go out by `takeHints`, are asked about live, and come back by `answer`.
 *
 * No clock, no input or output: `now` is `performance.now()`.
 */
type Pushed =
  | {
      readonly kind: 'entry';
      readonly entry: ViewEntry;
      readonly at: number;
      /** When a server last spoke of it. */
      vouchedAt: number;
    }
  | { readonly kind: 'gone'; readonly dirtyAt: number; readonly at: number };

/** An instance that is to be asked about live, and why. */
export interface Hint {
  readonly key: string;
  readonly why: 'cancel' | 'status';
}

/** What a server said, live, of an instance: its record, or that there is none. */
export type LiveAnswer = Extract<DecodedRecord, { kind: 'record' }> | 'gone';

export interface PushedOptions {
  readonly conversion: ConversionOptions;
  /** The longest that the caches between a server's registry and our view may lag, milliseconds. */
  settleMs(): number;
  dropped(reason: DropReason, key: string): void;
}

/** Three heartbeats of the usual 30 s. */
const vouchMs = 90_000;
/** An instance is asked for, or about, at most so often. */
const askAgainMs = 10_000;
const statusAskAgainMs = 60_000;
/** Beyond it pushes are left to the polls. */
const entriesMax = 100_000;
const askedMax = 20_000;

/** See the head of this file. */
export class PushedChanges {
  private readonly options: PushedOptions;
  private readonly maker: RowMaker;
  private readonly byKey = new Map<string, Pushed>();
  private readonly touched = new Set<string>();
  private readonly hints = new Map<string, Hint['why']>();
  private readonly asked = new Map<string, number>();
  private polled: RegistryView | undefined;

  constructor(options: PushedOptions) {
    this.options = options;
    this.maker = new RowMaker(options.conversion);
  }

  /** How many instances are known by push alone, or otherwise than polls show them. */
  get size(): number {
    return this.byKey.size;
  }

  /** The entry that holds now. */
  get(key: string, now: number): ViewEntry | undefined {
    const polled = this.polled?.get(key);
    const pushed = this.byKey.get(key);
    if (pushed === undefined || !this.isBetter(pushed, polled, now)) return polled;
    return pushed.kind === 'entry' ? pushed.entry : undefined;
  }

  /** Every key that may have an entry, polled ones first; some may come twice. */
  *keys(): Iterable<string> {
    if (this.polled !== undefined) for (const [key] of this.polled) yield key;
    yield* this.byKey.keys();
  }

  /** See PushSink.isKnown. Before the first poll everything counts as known: the poll will bring it. */
  isKnown(key: string, dirtyAt: number, now: number): boolean {
    if (this.polled === undefined) return true;
    const known = this.get(key, now);
    const isCurrent = known !== undefined && !(isTold(known.dirtyAt) && known.dirtyAt < dirtyAt);
    return isCurrent || !this.mayAsk(key, now, askAgainMs);
  }

  /** Takes the items of one request, in its order. */
  take(items: readonly PushedItem[], now: number): void {
    for (const item of items) this.takeOne(item, now);
  }

  /** Whether `takeTouched` has something. */
  get isTouched(): boolean {
    return this.touched.size > 0;
  }

  /** The keys whose entry may be another since the last call. */
  takeTouched(): ReadonlySet<string> {
    const touched = new Set(this.touched);
    this.touched.clear();
    return touched;
  }

  /** The hints since the last call. */
  takeHints(): readonly Hint[] {
    const hints = Array.from(this.hints, ([key, why]) => ({ key, why }));
    this.hints.clear();
    return hints;
  }

  /** What the server that is followed said, live, of an instance that was hinted at. */
  answer(key: string, answer: LiveAnswer, now: number): void {
    const known = this.get(key, now);
    if (answer === 'gone') {
      if (known !== undefined) this.put(key, { kind: 'gone', dirtyAt: known.dirtyAt, at: now });
      return;
    }
    const { entry } = this.maker.row(answer, (other) => this.get(other, now));
    if (known !== undefined && isOlder(entry.dirtyAt, known)) return;
    this.put(key, { kind: 'entry', entry, at: now, vouchedAt: now });
  }

  /** The view that is polled now. What it shows itself, or what has had its time, is dropped. */
  reconcile(polled: RegistryView, now: number): void {
    this.polled = polled;
    for (const [key, pushed] of this.byKey) {
      const entry = polled.get(key);
      if (!this.isBetter(pushed, entry, now)) this.forget(key);
      else if (pushed.kind === 'entry' && isSame(pushed.entry, entry)) this.byKey.delete(key);
    }
    for (const [key, at] of this.asked) {
      if (now - at <= statusAskAgainMs) break;
      this.asked.delete(key);
    }
  }

  private takeOne(item: PushedItem, now: number): void {
    const known = this.get(item.key, now);
    switch (item.kind) {
      case 'register':
        this.register(item, known, now);
        return;
      case 'heartbeat':
        this.vouch(item, known, now);
        return;
      case 'cancel':
        if (known !== undefined) this.hints.set(item.key, 'cancel');
        return;
      case 'status':
        if (known === undefined || isOlder(item.dirtyAt, known)) return;
        if (item.isWithdrawn) this.hint(item.key);
        else if (known.status !== item.status) {
          const entry = withStatus(known, item.status, this.options.conversion);
          this.put(item.key, { kind: 'entry', entry, at: now, vouchedAt: now });
        }
    }
  }

  private register(
    item: Extract<PushedItem, { kind: 'register' }>,
    known: ViewEntry | undefined,
    now: number,
  ): void {
    if (item.decoded.kind === 'bad') {
      this.options.dropped(item.decoded.bad.reason, item.key);
      return;
    }
    if (known !== undefined && isOlder(item.dirtyAt, known)) return;
    const { key, entry } = this.maker.row(item.decoded, (other) => this.get(other, now));
    this.asked.delete(key);
    this.put(key, { kind: 'entry', entry, at: now, vouchedAt: now });
  }

  private vouch(
    { key, status, dirtyAt }: Extract<PushedItem, { kind: 'heartbeat' }>,
    known: ViewEntry | undefined,
    now: number,
  ): void {
    const pushed = this.byKey.get(key);
    if (pushed?.kind === 'entry') pushed.vouchedAt = now;
    if (known === undefined || status === undefined || status === known.status) return;
    const isSameRegistration = !isTold(dirtyAt) || dirtyAt === known.dirtyAt;
    if (isSameRegistration && this.mayAsk(key, now, statusAskAgainMs)) this.hint(key);
  }

  private hint(key: string): void {
    if (!this.hints.has(key)) this.hints.set(key, 'status');
  }

  /** Whether the instance may be asked for, or about, now; if so, it counts as asked. */
  private mayAsk(key: string, now: number, againMs: number): boolean {
    const at = this.asked.get(key);
    if (at !== undefined && now - at < againMs) return false;
    if (at === undefined && this.asked.size >= askedMax) return false;
    // Taken out first, so that the map stays in the order of time.
    this.asked.delete(key);
    this.asked.set(key, now);
    return true;
  }

  private put(key: string, pushed: Pushed): void {
    if (this.byKey.size >= entriesMax && !this.byKey.has(key)) return;
    this.byKey.set(key, pushed);
    this.touched.add(key);
  }

  private forget(key: string): void {
    this.byKey.delete(key);
    this.touched.add(key);
  }

  private isBetter(pushed: Pushed, polled: ViewEntry | undefined, now: number): boolean {
    const isSettled = now - pushed.at >= this.options.settleMs();
    if (pushed.kind === 'gone') {
      return !isSettled && (polled === undefined || isOlder(polled.dirtyAt, pushed, 'or-equal'));
    }
    const isVouched = now - pushed.vouchedAt < vouchMs;
    if (polled === undefined) return isVouched;
    if (isOlder(pushed.entry.dirtyAt, polled)) return false;
    return isOlder(polled.dirtyAt, pushed.entry) ? isVouched : !isSettled;
  }
}

/** Compact records tell no times, nor do some registrants. */
function isTold(time: number): boolean {
  return time > 0;
}

/** Whether a time is of an earlier registration; one that is not told is of none. */
function isOlder(time: number, than: { readonly dirtyAt: number }, orEqual?: 'or-equal'): boolean {
  if (!isTold(time) || !isTold(than.dirtyAt)) return orEqual !== undefined;
  return orEqual === undefined ? time < than.dirtyAt : time <= than.dirtyAt;
}

function isSame(pushed: ViewEntry, polled: ViewEntry | undefined): boolean {
  return (
    polled !== undefined &&
    isDeepStrictEqual(pushed.instance, polled.instance) &&
    !isOlder(polled.dirtyAt, pushed)
  );
}
