import type { Resource } from './store-types.ts';

/**
 * Resources sorted by name, in segments like the leaves of a B-tree: a change touches one segment, and
 * only that one is copied when its bytes are asked for again. A buffer that was handed out is never
 * written to; resources are kept as views of their segment's buffer, so nothing is held twice.
 * Copies share their segments until either side changes one.
 */
const bytesWanted = 256 * 1024;
const bytesMax = 2 * bytesWanted;
const bytesMin = bytesWanted / 4;

interface Entry {
  readonly name: string;
  readonly version: string;
  field: Buffer;
}

interface Segment {
  /** Whose it is alone; anybody else copies it first. */
  owner: Segments | undefined;
  entries: Entry[];
  byteLength: number;
  buffer: Buffer | undefined;
}

/** See the head of this file. */
export class Segments {
  private readonly segments: Segment[] = [];
  private bytes = 0;
  private entryCount = 0;

  /** A copy at the cost of its number of segments. */
  copy(): Segments {
    const copy = new Segments();
    for (const segment of this.segments) {
      segment.owner = undefined;
      copy.segments.push(segment);
    }
    copy.bytes = this.bytes;
    copy.entryCount = this.entryCount;
    return copy;
  }

  get byteLength(): number {
    return this.bytes;
  }

  get count(): number {
    return this.entryCount;
  }

  version(name: string): string | undefined {
    const segment = this.segments[this.segmentOf(name)];
    const entry = segment?.entries[positionOf(segment.entries, name)];
    return entry?.name === name ? entry.version : undefined;
  }

  /** Returns the version there was before, if any; when it is the same, nothing is done. */
  put(resource: Resource): string | undefined {
    const index = this.segmentOf(resource.name);
    const segment = this.segments[index];
    const entry: Entry = { ...resource };
    if (segment === undefined) {
      this.segments.push({ owner: this, entries: [entry], byteLength: 0, buffer: undefined });
      this.grow(0, entry.field.length, 1);
      return undefined;
    }
    const position = positionOf(segment.entries, entry.name);
    const before = segment.entries[position];
    if (before?.name !== entry.name) {
      this.own(index, segment).entries.splice(position, 0, entry);
      this.grow(index, entry.field.length, 1);
      return undefined;
    }
    if (before.version === entry.version) return before.version;
    this.own(index, segment).entries[position] = entry;
    this.grow(index, entry.field.length - before.field.length, 0);
    return before.version;
  }

  /** Returns the version of what was removed, or undefined when there is no such resource. */
  remove(name: string): string | undefined {
    const index = this.segmentOf(name);
    const segment = this.segments[index];
    if (segment === undefined) return undefined;
    const position = positionOf(segment.entries, name);
    const entry = segment.entries[position];
    if (entry?.name !== name) return undefined;
    this.own(index, segment).entries.splice(position, 1);
    this.grow(index, -entry.field.length, -1);
    return entry.version;
  }

  /** All bytes, in order. */
  buffers(): readonly Buffer[] {
    return this.segments.map((segment) => {
      segment.buffer ??= assemble(segment);
      return segment.buffer;
    });
  }

  /** Makes the bytes of a segment that has none yet; false when all have theirs. */
  assembleOne(): boolean {
    const segment = this.segments.find(({ buffer }) => buffer === undefined);
    if (segment === undefined) return false;
    segment.buffer = assemble(segment);
    return true;
  }

  /** The segment at this place, which nobody else has. */
  private own(index: number, segment: Segment): Segment {
    if (segment.owner === this) return segment;
    const copy = {
      ...segment,
      owner: this,
      entries: segment.entries.map((entry) => ({ ...entry })),
    };
    this.segments[index] = copy;
    return copy;
  }

  /** The segment that has the name, or would have it. */
  private segmentOf(name: string): number {
    let low = 0;
    let high = this.segments.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      const first = this.segments[middle]?.entries[0];
      if (first !== undefined && first.name <= name) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  private grow(index: number, bytes: number, count: number): void {
    this.bytes += bytes;
    this.entryCount += count;
    const segment = this.segments[index];
    if (segment === undefined) return;
    segment.byteLength += bytes;
    segment.buffer = undefined;
    if (segment.byteLength > bytesMax) this.split(index, segment);
    else if (segment.byteLength < bytesMin) this.join(index, segment);
  }

  private split(index: number, segment: Segment): void {
    let bytes = 0;
    let cut = 0;
    while (cut < segment.entries.length - 1 && bytes < segment.byteLength / 2) {
      bytes += segment.entries[cut]?.field.length ?? 0;
      cut += 1;
    }
    if (cut === 0) return;
    const entries = segment.entries.splice(cut);
    const byteLength = segment.byteLength - bytes;
    const rest: Segment = { owner: this, entries, byteLength, buffer: undefined };
    segment.byteLength = bytes;
    this.segments.splice(index + 1, 0, rest);
  }

  private join(index: number, segment: Segment): void {
    if (segment.entries.length === 0) {
      this.segments.splice(index, 1);
      return;
    }
    const left = this.segments[index - 1];
    const right = this.segments[index + 1];
    if (right !== undefined && right.byteLength <= bytesWanted) this.fuse(index, segment, right);
    else if (left !== undefined && left.byteLength <= bytesWanted) {
      this.fuse(index - 1, left, segment);
    }
  }

  private fuse(index: number, left: Segment, right: Segment): void {
    const fused: Segment = {
      owner: this,
      entries: [...this.own(index, left).entries, ...this.own(index + 1, right).entries],
      byteLength: left.byteLength + right.byteLength,
      buffer: undefined,
    };
    this.segments.splice(index, 2, fused);
  }
}

function assemble(segment: Segment): Buffer {
  const buffer = Buffer.allocUnsafeSlow(segment.byteLength);
  let offset = 0;
  for (const entry of segment.entries) {
    const end = offset + entry.field.length;
    buffer.set(entry.field, offset);
    entry.field = buffer.subarray(offset, end);
    offset = end;
  }
  return buffer;
}

/** The first position whose name is not below `name`. */
function positionOf(entries: readonly Entry[], name: string): number {
  let low = 0;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const entry = entries[middle];
    if (entry !== undefined && entry.name < name) low = middle + 1;
    else high = middle;
  }
  return low;
}
