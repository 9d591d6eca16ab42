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
  /** The frame that is being received, while it is incomplete. */
  private partial: Buffer | undefined;
  private partialHave = 0;
  private partialLength = 0;

  constructor(limitBytes = frameBytesMax) {
    this.limitBytes = limitBytes;
  }

  /** Whether the stream stands in the middle of a frame. */
  get isMidFrame(): boolean {
    return this.headerHave > 0 || this.partial !== undefined;
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
        this.partial = Buffer.allocUnsafe(Math.min(length, firstAllocationBytes));
        this.partialHave = 0;
        this.partialLength = length;
      }
    }
  }

  /** Adds to the partial frame; memory grows with what has arrived, not with what was announced. */
  private fill(
    partial: Buffer,
    chunk: Buffer,
    at: number,
    onFrame: (content: Buffer) => void,
  ): number {
    const taken = Math.min(chunk.length - at, this.partialLength - this.partialHave);
    let target = partial;
    if (this.partialHave + taken > target.length) {
      const size = Math.max(target.length * 2, this.partialHave + taken);
      target = Buffer.allocUnsafe(Math.min(this.partialLength, size));
      partial.copy(target, 0, 0, this.partialHave);
      this.partial = target;
    }
    chunk.copy(target, this.partialHave, at, at + taken);
    this.partialHave += taken;
    if (this.partialHave === this.partialLength) {
      this.partial = undefined;
      onFrame(target.subarray(0, this.partialLength));
    }
    return at + taken;
  }
}
