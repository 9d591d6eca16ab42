import { ProtocolError } from '../../../common/errors.ts';

/** The longest reply that is accepted, bytes. Servers bound requests, not replies. */
const frameBytesMax = 64 * 1024 * 1024;

const firstAllocationBytes = 64 * 1024;

/**
 * Cuts a byte stream into frames (32-bit length, then the content), however the stream was cut
 * into chunks. Belongs to one connection and dies with it: half a frame never survives a reconnect.
 */
export class FrameReader {
  private readonly limitBytes: number;
  private readonly header = Buffer.alloc(4);
  private headerHave = 0;
  private partial: PartialFrame | undefined;

  constructor(limitBytes = frameBytesMax) {
    this.limitBytes = limitBytes;
  }

  /** The frame in the middle of which the stream stands, the same object as long as it is the same frame. */
  get unfinished(): UnfinishedFrame | undefined {
    return this.headerHave > 0 ? halfHeader : this.partial;
  }

  /**
   * Calls `onFrame` with the content of each frame that this chunk completes. The content may
   * be a view of the chunk. Throws ProtocolError for an impossible length.
   */
  push(chunk: Buffer, onFrame: (content: Buffer) => void): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.partial !== undefined) {
        at = this.fill(this.partial, chunk, at, onFrame);
        continue;
      }
      const taken = chunk.copy(this.header, this.headerHave, at, at + 4 - this.headerHave);
      this.headerHave += taken;
      at += taken;
      if (this.headerHave < 4) return;
      this.headerHave = 0;
      const length = this.header.readInt32BE(0);
      if (length < 0 || length > this.limitBytes) {
        throw new ProtocolError(
          `zookeeper: a frame of ${length} bytes (limit ${this.limitBytes}): not a ZooKeeper server, or a reply beyond our limit`,
        );
      }
      if (chunk.length - at >= length) {
        onFrame(chunk.subarray(at, at + length));
        at += length;
      } else {
        const content = Buffer.allocUnsafe(Math.min(length, firstAllocationBytes));
        this.partial = { bytes: length, have: 0, content };
      }
    }
  }

  /** Adds to the partial frame; memory grows with what has arrived, not with what was announced. */
  private fill(
    partial: PartialFrame,
    chunk: Buffer,
    at: number,
    onFrame: (content: Buffer) => void,
  ): number {
    const { bytes, have, content } = partial;
    const taken = Math.min(chunk.length - at, bytes - have);
    if (have + taken > content.length) {
      const size = Math.max(content.length * 2, have + taken);
      partial.content = Buffer.allocUnsafe(Math.min(bytes, size));
      content.copy(partial.content, 0, 0, have);
    }
    chunk.copy(partial.content, have, at, at + taken);
    partial.have += taken;
    if (partial.have === bytes) {
      this.partial = undefined;
      onFrame(partial.content.subarray(0, bytes));
    }
    return at + taken;
  }
}

/** A frame that has begun to come. */
export interface UnfinishedFrame {
  /** What it announces to hold. */
  readonly bytes: number;
}

interface PartialFrame extends UnfinishedFrame {
  /** Grows up to what was announced. */
  content: Buffer;
  /** So much of it has come. */
  have: number;
}

const halfHeader: UnfinishedFrame = { bytes: 0 };
