/**
 * A minimal protobuf writer and reader for what is encoded and decoded by the hundred thousand. Both work in
 * place: no operation list, no slice a field. Everything else uses `codec` of load.ts.
 */

/** Writes one message at a time into a buffer of its own, which grows as needed. */
export class WireWriter {
  private buffer = Buffer.allocUnsafe(16 * 1024);
  private position = 0;

  /** A number of at most 32 bits, unsigned, with its tag. */
  uint32(tag: number, value: number): void {
    this.reserve(10);
    this.varint(tag);
    this.varint(value);
  }

  string(tag: number, value: string): void {
    this.reserve(value.length * 3 + 10);
    this.varint(tag);
    const start = this.position + 1;
    this.finishLength(start, start + this.write(value, start));
  }

  /** Starts a message within the message; give the answer to `close`. */
  open(tag: number): number {
    this.reserve(10);
    this.varint(tag);
    this.position += 1;
    return this.position;
  }

  close(start: number): void {
    this.reserve(5);
    this.finishLength(start, this.position);
  }

  /** What was written since the last call, as a buffer of its own. */
  finish(): Buffer {
    const bytes = Buffer.from(this.buffer.subarray(0, this.position));
    this.position = 0;
    return bytes;
  }

  private write(value: string, start: number): number {
    if (value.length > 32) return this.buffer.write(value, start, 'utf8');
    for (let index = 0; index < value.length; index++) {
      const code = value.charCodeAt(index);
      if (code > 127) return this.buffer.write(value, start, 'utf8');
      this.buffer[start + index] = code;
    }
    return value.length;
  }

  /** One byte was left for the length; a longer one moves what follows. */
  private finishLength(start: number, end: number): void {
    const length = end - start;
    const extra = length < 0x80 ? 0 : length < 0x4000 ? 1 : length < 0x200000 ? 2 : 3;
    if (extra > 0) this.buffer.copyWithin(start + extra, start, end);
    this.position = start - 1;
    this.varint(length);
    this.position = end + extra;
  }

  private varint(value: number): void {
    let rest = value;
    while (rest > 127) {
      this.buffer[this.position++] = (rest & 127) | 128;
      rest >>>= 7;
    }
    this.buffer[this.position++] = rest;
  }

  private reserve(bytes: number): void {
    if (this.position + bytes <= this.buffer.length) return;
    const grown = Buffer.allocUnsafe(Math.max(this.buffer.length * 2, this.position + bytes));
    this.buffer.copy(grown, 0, 0, this.position);
    this.buffer = grown;
  }
}

/** Reads a part of a buffer. Throws RangeError where the bytes end too early or make no sense. */
export class WireReader {
  readonly buffer: Buffer;
  position: number;
  readonly end: number;

  constructor(buffer: Buffer, start = 0, end = buffer.length) {
    this.buffer = buffer;
    this.position = start;
    this.end = end;
  }

  /** The next varint, its lower 32 bits as an unsigned number. */
  uint32(): number {
    let value = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      if (this.position >= this.end) throw new RangeError('truncated');
      const byte = this.buffer[this.position++] ?? 0;
      if (shift < 32) value |= (byte & 127) << shift;
      if (byte < 128) return value >>> 0;
    }
    throw new RangeError('varint too long');
  }

  /** Steps over a length-delimited field and returns its length: it ends at `position`. */
  skipBytes(): number {
    const length = this.uint32();
    const start = this.position;
    if (length > this.end - start) throw new RangeError('truncated');
    this.position = start + length;
    return length;
  }

  string(): string {
    const length = this.skipBytes();
    return this.buffer.toString('utf8', this.position - length, this.position);
  }

  /** Steps over a field that is not known. */
  skip(tag: number): void {
    const type = tag & 7;
    if (tag < 8) throw new RangeError('field number 0');
    if (type === 0) this.uint32();
    else if (type === 1) this.advance(8);
    else if (type === 2) this.skipBytes();
    else if (type === 5) this.advance(4);
    else throw new RangeError(`wire type ${type}`);
  }

  private advance(bytes: number): void {
    if (bytes > this.end - this.position) throw new RangeError('truncated');
    this.position += bytes;
  }
}
