import { hash } from 'node:crypto';

/**
 * An order-free digest of a set of encoded instances, the feed's proof that agent and aggregator
 * hold the same (see the head of proto/tributary/feed/v1/feed.proto): the first 8 bytes of the
 * SHA-256 of each instance's encoded bytes, taken as two big-endian 32-bit numbers, are added
 * lane by lane modulo 2^32.
 */
export interface InstanceHash {
  /** Bytes 0..3, as a signed 32-bit integer. */
  readonly a: number;
  /** Bytes 4..7, as a signed 32-bit integer. */
  readonly b: number;
}

/** The two lanes of one encoded instance. */
export function hashInstance(encoded: Uint8Array): InstanceHash {
  const bytes = hash('sha256', encoded, 'buffer');
  return { a: bytes.readInt32BE(0), b: bytes.readInt32BE(4) };
}

/** A running digest. Mutable; equal sets give equal bytes whatever the order of calls. */
export class Digest {
  private a = 0;
  private b = 0;

  add(hashed: InstanceHash): void {
    this.a = (this.a + hashed.a) | 0;
    this.b = (this.b + hashed.b) | 0;
  }

  remove(hashed: InstanceHash): void {
    this.a = (this.a - hashed.a) | 0;
    this.b = (this.b - hashed.b) | 0;
  }

  /** 8 bytes, as they stand in the feed. */
  bytes(): Buffer {
    const bytes = Buffer.alloc(8);
    bytes.writeInt32BE(this.a, 0);
    bytes.writeInt32BE(this.b, 4);
    return bytes;
  }
}

/**
 * The ids of a set of instances with their hashes, and the digest of the set: what a reader of a
 * feed needs to check it, without the instances. 8 bytes and one map entry an instance.
 */
export class DigestedSet {
  private readonly slots = new Map<string, number>();
  private lanes = new Int32Array(64);
  private readonly freeSlots: number[] = [];
  private readonly digest = new Digest();

  get size(): number {
    return this.slots.size;
  }

  has(id: string): boolean {
    return this.slots.has(id);
  }

  /** The digest of the whole set, 8 bytes. */
  bytes(): Buffer {
    return this.digest.bytes();
  }

  /** Adds the instance, or replaces the one of the same id. */
  put(id: string, hashed: InstanceHash): void {
    const known = this.slots.get(id);
    if (known !== undefined) this.digest.remove(this.read(known));
    const slot = known ?? this.freeSlots.pop() ?? this.slots.size;
    if (known === undefined) this.slots.set(id, slot);
    if (slot * 2 >= this.lanes.length) this.grow();
    this.lanes[slot * 2] = hashed.a;
    this.lanes[slot * 2 + 1] = hashed.b;
    this.digest.add(hashed);
  }

  /** Unknown ids are ignored. */
  delete(id: string): void {
    const slot = this.slots.get(id);
    if (slot === undefined) return;
    this.digest.remove(this.read(slot));
    this.slots.delete(id);
    this.freeSlots.push(slot);
  }

  private read(slot: number): InstanceHash {
    return { a: this.lanes[slot * 2] ?? 0, b: this.lanes[slot * 2 + 1] ?? 0 };
  }

  private grow(): void {
    const grown = new Int32Array(this.lanes.length * 2);
    grown.set(this.lanes);
    this.lanes = grown;
  }
}
