import { GrpcError, grpcCode } from './grpc-status.ts';

const headerBytes = 5;
const firstAllocationBytes = 16 * 1024;

/**
 * Cuts the bytes of a gRPC stream into messages, whatever the chunks they come in. Memory is at most
 * twice what has been received, whatever length a header announces.
 */
export class MessageReader {
  private readonly limitBytes: number;
  /** Received and not yet looked at. */
  private rest: Buffer = Buffer.alloc(0);
  /** The message that is being received, when it spans chunks. */
  private body: Buffer | undefined;
  private bodyLength = 0;
  private bodyFilled = 0;

  /** @param limitBytes the longest message that is taken */
  constructor(limitBytes: number) {
    this.limitBytes = limitBytes;
  }

  /** Takes a chunk. All whole messages must have been taken by `next` before. */
  push(chunk: Buffer): void {
    this.rest = this.rest.length === 0 ? chunk : Buffer.concat([this.rest, chunk]);
    if (this.body !== undefined) this.fill(this.body);
  }

  /**
   * The next whole message, or undefined until more has come. Throws GrpcError when the stream is
   * not what it should be; nothing may be read from it after that.
   */
  next(): Buffer | undefined {
    if (this.body !== undefined) return this.takeBody(this.body);
    if (this.rest.length < headerBytes) return undefined;
    const flag = this.rest.readUInt8(0);
    const length = this.rest.readUInt32BE(1);
    if (flag === 1) {
      throw new GrpcError(grpcCode.unimplemented, 'compressed messages are not supported');
    }
    if (flag !== 0) throw new GrpcError(grpcCode.internal, 'not a gRPC message');
    if (length > this.limitBytes) {
      throw new GrpcError(
        grpcCode.resourceExhausted,
        `message of ${length} bytes, the limit is ${this.limitBytes}`,
      );
    }
    const end = headerBytes + length;
    if (this.rest.length >= end) {
      const message = this.rest.subarray(headerBytes, end);
      this.rest = this.rest.subarray(end);
      return message;
    }
    this.rest = this.rest.subarray(headerBytes);
    this.body = Buffer.allocUnsafe(Math.min(length, firstAllocationBytes));
    this.bodyLength = length;
    this.bodyFilled = 0;
    this.fill(this.body);
    return undefined;
  }

  /** Whether a message has begun and is not whole. */
  hasPartial(): boolean {
    return this.body !== undefined || this.rest.length > 0;
  }

  private fill(body: Buffer): void {
    const count = Math.min(this.rest.length, this.bodyLength - this.bodyFilled);
    const filled = this.bodyFilled + count;
    let target = body;
    if (filled > body.length) {
      target = Buffer.allocUnsafe(Math.min(this.bodyLength, Math.max(filled, 2 * body.length)));
      body.copy(target, 0, 0, this.bodyFilled);
      this.body = target;
    }
    this.rest.copy(target, this.bodyFilled, 0, count);
    this.rest = this.rest.subarray(count);
    this.bodyFilled = filled;
  }

  private takeBody(body: Buffer): Buffer | undefined {
    if (this.bodyFilled < this.bodyLength) return undefined;
    this.body = undefined;
    return body.subarray(0, this.bodyLength);
  }
}
