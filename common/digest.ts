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
