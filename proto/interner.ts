/**
 * Shares what is decoded again and again from equal bytes: a direct-mapped cache, so it is bounded by
 * its number of slots, never needs clearing, and bytes chosen to collide only lose the sharing.
 */
export class Interner<T> {
  private readonly decode: (bytes: Buffer, start: number, end: number) => T;
  private readonly bytesMax: number;
  private readonly slots: ({ readonly key: Uint8Array; readonly value: T } | undefined)[];

  /**
   * @param decode makes the value from the bytes between start and end; it must not keep them
   * @param slotBits how many values are shared at most: 2 to this power
   * @param bytesMax inputs longer than this are not shared
   */
  constructor(
    decode: (bytes: Buffer, start: number, end: number) => T,
    slotBits: number,
    bytesMax: number,
  ) {
    this.decode = decode;
    this.bytesMax = bytesMax;
    this.slots = new Array<undefined>(2 ** slotBits).fill(undefined);
  }

  /** The value of `bytes` from `start` up to, not including, `end`. */
  get(bytes: Buffer, start: number, end: number): T {
    if (end - start > this.bytesMax) return this.decode(bytes, start, end);
    let hash = 0x811c9dc5;
    for (let index = start; index < end; index++) {
      hash = Math.imul(hash ^ (bytes[index] ?? 0), 0x01000193);
    }
    const slot = (hash ^ (hash >>> 15)) & (this.slots.length - 1);
    const found = this.slots[slot];
    if (found !== undefined && isEqual(found.key, bytes, start, end)) return found.value;
    const value = this.decode(bytes, start, end);
    this.slots[slot] = { key: Buffer.from(bytes.subarray(start, end)), value };
    return value;
  }
}

function isEqual(key: Uint8Array, bytes: Buffer, start: number, end: number): boolean {
  if (key.length !== end - start) return false;
  for (let index = 0; index < key.length; index++) {
    if (key[index] !== bytes[start + index]) return false;
  }
  return true;
}
