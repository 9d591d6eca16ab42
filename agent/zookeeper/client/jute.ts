import { ProtocolError } from '../../../common/errors.ts';

/**
 * The primitives of ZooKeeper's serialization (Jute): big-endian integers, one-byte booleans,
 * strings, byte arrays and vectors with a 32-bit length, where -1 stands for null.
 */

/** Reads one frame from front to back. Every reading past its end throws ProtocolError. */
export class JuteReader {
  private readonly bytes: Buffer;
  private at = 0;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  /** Bytes not yet read. */
  get remaining(): number {
    return this.bytes.length - this.at;
  }

  int(): number {
    return this.bytes.readInt32BE(this.take(4));
  }

  long(): bigint {
    return this.bytes.readBigInt64BE(this.take(8));
  }

  bool(): boolean {
    return this.bytes.readUInt8(this.take(1)) !== 0;
  }

  /** A copy (the frame may be large and is not kept alive by it), or null. */
  buffer(): Buffer | null {
    const length = this.int();
    if (length === -1) return null;
    const start = this.take(length);
    return Buffer.from(this.bytes.subarray(start, start + length));
  }

  /** UTF-8 text; null reads as the empty text. */
  text(): string {
    const length = this.int();
    if (length === -1) return '';
    const start = this.take(length);
    return this.bytes.toString('utf8', start, start + length);
  }

  texts(): string[] {
    const count = this.int();
    if (count === -1) return [];
    if (count < 0 || count * 4 > this.remaining) {
      throw new ProtocolError(`zookeeper: a vector of ${count} in ${this.remaining} bytes`);
    }
    const texts: string[] = [];
    for (let index = 0; index < count; index += 1) texts.push(this.text());
    return texts;
  }

  skip(length: number): void {
    this.take(length);
  }

  /** Moves on by `length` bytes and returns where they start. */
  private take(length: number): number {
    if (length < 0 || length > this.remaining) {
      throw new ProtocolError(
        `zookeeper: a field of ${length} bytes where ${this.remaining} are left`,
      );
    }
    const start = this.at;
    this.at += length;
    return start;
  }
}

/** Builds one frame, its length in front. */
export class JuteWriter {
  private bytes = Buffer.allocUnsafe(256);
  private at = 4;

  int(value: number): this {
    const start = this.grow(4);
    this.bytes.writeInt32BE(value, start);
    return this;
  }

  long(value: bigint): this {
    const start = this.grow(8);
    this.bytes.writeBigInt64BE(value, start);
    return this;
  }

  bool(value: boolean): this {
    const start = this.grow(1);
    this.bytes.writeUInt8(value ? 1 : 0, start);
    return this;
  }

  buffer(value: Uint8Array | null): this {
    if (value === null) return this.int(-1);
    this.int(value.length);
    const start = this.grow(value.length);
    this.bytes.set(value, start);
    return this;
  }

  text(value: string): this {
    const length = Buffer.byteLength(value);
    this.int(length);
    const start = this.grow(length);
    this.bytes.write(value, start, 'utf8');
    return this;
  }

  texts(values: readonly string[]): this {
    this.int(values.length);
    for (const value of values) this.text(value);
    return this;
  }

  /** The frame as it goes on the wire. The writer is not used after it. */
  frame(): Buffer {
    this.bytes.writeInt32BE(this.at - 4, 0);
    return this.bytes.subarray(0, this.at);
  }

  /** Makes room for `length` more bytes and returns where they start. */
  private grow(length: number): number {
    const start = this.at;
    if (start + length > this.bytes.length) {
      const larger = Buffer.allocUnsafe(Math.max(this.bytes.length * 2, start + length));
      this.bytes.copy(larger, 0, 0, start);
      this.bytes = larger;
    }
    this.at += length;
    return start;
  }
}
