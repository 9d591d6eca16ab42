import { randomBytes } from 'node:crypto';
import { Digest } from '../common/digest.ts';
import type { InstanceHash } from '../common/digest.ts';
import type { Instance } from '../common/instance.ts';
import { encodeChanges, payloadBytesMax } from '../proto/feed.ts';
import type { EncodedChange } from '../proto/feed.ts';
import { encodeInstance } from '../proto/instance-codec.ts';

/**
 * The outbox: what the agent says about its registry, its digest, and a bounded log of the (encoded)
 * batches of changes that led here. Instances are the source's own objects and are encoded when they are
 * sent: encoding is deterministic, so what was hashed for the digest is what will be sent. All aggregators are fed from it, each at its own position; none of them
 * can make it grow: whoever falls behind the log gets a snapshot instead.
 *
 * Changes are made with `put` and `remove` and become a batch with `commit`, which must follow in the
 * same turn of the event loop: only committed states are ever sent. Before `open` nothing has a
 * sequence: the first reading of the registry is filled in over many turns, and appears as a whole.
 */

/** One instance as it is said. Its hash is that of its encoding. Immutable. */
export interface Entry extends InstanceHash {
  readonly instance: Instance;
  /** `serviceKeyText` of its service; one text for all instances of the service. */
  readonly service: string;
}

/** All instances as of a sequence. Immutable. */
export interface Snapshot {
  readonly sequence: number;
  readonly digest: Buffer;
  readonly size: number;
  /** The instance at a place below `size`, encoded anew by each call. */
  encoded(place: number): Buffer;
}

/** Neighbouring batches, to be sent as one Delta. */
export interface Batches {
  readonly firstSequence: number;
  readonly sequence: number;
  /** Each as `encodeChanges` made it. */
  readonly changes: readonly Buffer[];
  readonly bytes: number;
  /** Observation of the oldest change, `performance.now()`. */
  readonly observedAt: number;
  /** Of the whole set as of `sequence`. */
  readonly digest: Buffer;
}

export interface OutboxLimits {
  readonly batchesMax: number;
  readonly bytesMax: number;
}

interface LoggedBatch {
  readonly changes: Buffer;
  readonly observedAt: number;
  readonly digest: Buffer;
}

const dropped: LoggedBatch = { changes: Buffer.alloc(0), observedAt: 0, digest: Buffer.alloc(0) };
const defaultLimits: OutboxLimits = { batchesMax: 10_000, bytesMax: 16 * 1024 * 1024 };

export class Outbox {
  /** One life of this process's view of the registry. */
  readonly epoch: Buffer = randomBytes(16);
  private readonly limits: OutboxLimits;
  private readonly entries = new Map<string, Entry>();
  private readonly digest = new Digest();
  private lastSequence = 0;
  private log: LoggedBatch[] = [];
  /** Index in `log` of the oldest batch that is still there. */
  private logStart = 0;
  private logBytes = 0;
  /** The digest as of the sequence before the oldest batch. */
  private baseDigest: Buffer = Buffer.alloc(0);
  private pending: EncodedChange[] = [];
  private cachedSnapshot: Snapshot | undefined;
  private readonly listeners = new Set<() => void>();

  constructor(limits: Partial<OutboxLimits> = {}) {
    this.limits = { ...defaultLimits, ...limits };
  }

  /** The last committed sequence; 0 = the registry has not been read yet. */
  get sequence(): number {
    return this.lastSequence;
  }

  /** The lowest sequence that can be replayed; `sequence + 1` when none can. */
  get oldestSequence(): number {
    return this.lastSequence + 1 - (this.log.length - this.logStart);
  }

  get size(): number {
    return this.entries.size;
  }

  get(id: string): Entry | undefined {
    return this.entries.get(id);
  }

  /** The ids of all instances. The iteration survives changes made meanwhile. */
  ids(): IterableIterator<string> {
    return this.entries.keys();
  }

  /** @param bytes the encoding of the instance, where it is at hand */
  put(entry: Entry, bytes: Buffer = encodeInstance(entry.instance)): void {
    const { id } = entry.instance;
    const known = this.entries.get(id);
    if (known !== undefined) this.digest.remove(known);
    this.digest.add(entry);
    this.entries.set(id, entry);
    if (this.lastSequence > 0) this.pending.push({ kind: 'upsert', bytes });
  }

  /** Unknown ids are ignored. */
  remove(id: string): void {
    const known = this.entries.get(id);
    if (known === undefined) return;
    this.digest.remove(known);
    this.entries.delete(id);
    if (this.lastSequence > 0) this.pending.push({ kind: 'removal', id });
  }

  /** The first reading is complete: it is sequence 1. */
  open(): void {
    if (this.lastSequence > 0) return;
    this.lastSequence = 1;
    this.baseDigest = this.digest.bytes();
    this.notify();
  }

  /**
   * Makes a batch of the changes since the last one, if there are any, and tells the listeners.
   * A batch too large for one message becomes several.
   */
  commit(observedAt: number): void {
    if (this.pending.length === 0) return;
    const changes = this.pending;
    this.pending = [];
    this.cachedSnapshot = undefined;
    const digest = this.digest.bytes();
    const parts = cutChanges(changes, payloadBytesMax / 2);
    for (const [index, part] of parts.entries()) {
      // Only the last part has the digest of the set; nobody compares the others (they are empty).
      const partDigest = index === parts.length - 1 ? digest : Buffer.alloc(0);
      this.append({ changes: encodeChanges(part), observedAt, digest: partDigest });
    }
    this.notify();
  }

  /**
   * What comes after a sequence, as much as fits into one Delta: `upToDate` if nothing does, `overrun` if
   * the log does not reach back so far (then only a snapshot helps).
   */
  batchesAfter(sequence: number): Batches | 'upToDate' | 'overrun' {
    if (sequence >= this.lastSequence) return 'upToDate';
    if (sequence + 1 < this.oldestSequence) return 'overrun';
    let index = this.indexOf(sequence + 1);
    const first = this.log[index];
    if (first === undefined) return 'overrun';
    const changes = [first.changes];
    let bytes = first.changes.length;
    let last = first;
    for (index += 1; index < this.log.length; index++) {
      const next = this.log[index];
      if (next === undefined || bytes + next.changes.length > payloadBytesMax) break;
      changes.push(next.changes);
      bytes += next.changes.length;
      last = next;
    }
    return {
      firstSequence: sequence + 1,
      sequence: sequence + changes.length,
      changes,
      bytes,
      observedAt: first.observedAt,
      digest: last.digest,
    };
  }

  /** The digest of the set as of a sequence, or empty when it is not known any more. */
  digestAt(sequence: number): Buffer {
    if (sequence === this.oldestSequence - 1) return this.baseDigest;
    return this.log[this.indexOf(sequence)]?.digest ?? Buffer.alloc(0);
  }

  /** Everything as of the last commit. Undefined before `open`. */
  snapshot(): Snapshot | undefined {
    if (this.lastSequence === 0) return undefined;
    this.cachedSnapshot ??= new EntrySnapshot(this.lastSequence, this.digest.bytes(), [
      ...this.entries.values(),
    ]);
    return this.cachedSnapshot;
  }

  /** The listener is called, synchronously, after each commit. Returns how to end that. */
  subscribe(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => {
      this.listeners.delete(listener);
    };
  }

  private append(batch: LoggedBatch): void {
    this.lastSequence += 1;
    this.log.push(batch);
    this.logBytes += batch.changes.length;
    while (
      this.log.length - this.logStart > this.limits.batchesMax ||
      this.logBytes > this.limits.bytesMax
    ) {
      this.dropOldest();
    }
  }

  private dropOldest(): void {
    const oldest = this.log[this.logStart];
    if (oldest === undefined) return;
    this.logBytes -= oldest.changes.length;
    this.baseDigest = oldest.digest;
    // Its bytes go at once, its place with many others.
    this.log[this.logStart] = dropped;
    this.logStart += 1;
    if (this.logStart < 1024 && this.logStart < this.log.length) return;
    this.log = this.log.slice(this.logStart);
    this.logStart = 0;
  }

  private indexOf(sequence: number): number {
    return this.logStart + sequence - this.oldestSequence;
  }

  private notify(): void {
    for (const listener of this.listeners) listener();
  }
}

class EntrySnapshot implements Snapshot {
  readonly sequence: number;
  readonly digest: Buffer;
  private readonly entries: readonly Entry[];

  constructor(sequence: number, digest: Buffer, entries: readonly Entry[]) {
    this.sequence = sequence;
    this.digest = digest;
    this.entries = entries;
  }

  get size(): number {
    return this.entries.length;
  }

  encoded(place: number): Buffer {
    const entry = this.entries[place];
    if (entry === undefined) throw new RangeError(`a snapshot of ${this.size} has no ${place}`);
    return encodeInstance(entry.instance);
  }
}

/** Cuts a list of changes into parts of at most so many bytes, each of one change at least. */
function cutChanges(
  changes: readonly EncodedChange[],
  bytesMax: number,
): readonly (readonly EncodedChange[])[] {
  const parts: EncodedChange[][] = [];
  let part: EncodedChange[] = [];
  let bytes = 0;
  for (const change of changes) {
    const size = 16 + (change.kind === 'upsert' ? change.bytes.length : change.id.length * 3);
    if (part.length > 0 && bytes + size > bytesMax) {
      parts.push(part);
      part = [];
      bytes = 0;
    }
    part.push(change);
    bytes += size;
  }
  parts.push(part);
  return parts;
}
