import type { ServerHttp2Stream } from 'node:http2';
import { constants } from 'node:http2';
import { messageOf, ProtocolError } from '../../common/errors.ts';
import { TokenBucket } from './admission.ts';
import type { Rate } from './admission.ts';
import { GrpcError, grpcCode, statusFields } from './grpc-status.ts';
import type { GrpcStatus } from './grpc-status.ts';
import type { EncodedMessage, GrpcCall, GrpcHandler, GrpcPeer } from './grpc-types.ts';
import { MessageReader } from './message-reader.ts';

/** Settings of every call. */
export interface CallOptions {
  /** The longest request that is taken. */
  readonly requestBytesMax: number;
  /** Requests above this rate wait in the connection: the client is slowed, not rejected. */
  readonly requestRate: Rate;
}

/** What a call reports. */
export interface CallEvents {
  /** A defect of the handler: the stream has been ended with INTERNAL. */
  defect(error: unknown): void;
  /** The client has broken the protocol: the stream has been ended with this status. */
  misbehaved(status: GrpcStatus): void;
}

/** Bytes handed to HTTP/2 at once; the next group follows when it has been written. */
const groupBytesMax = 1024 * 1024;
const groupSlicesMax = 1024;
/** How long an ending stream may take to send what is queued. */
const endMs = 10_000;
/** How long a client may take to close its side after it was sent the status. */
const lingerMs = 100;

interface Outgoing {
  readonly slices: readonly Buffer[];
  readonly onWritten: () => void;
}

const noop = (): void => undefined;

/** One bidirectional gRPC stream over one HTTP/2 stream. Nothing throws out of its events. */
export class Http2Call implements GrpcCall {
  readonly peer: GrpcPeer;
  private readonly stream: ServerHttp2Stream;
  private readonly events: CallEvents;
  private readonly reader: MessageReader;
  private readonly requests: TokenBucket;
  private handler: GrpcHandler | undefined;
  private readonly queue: Outgoing[] = [];
  private isWriting = false;
  private ending: GrpcStatus | undefined;
  private isEnded = false;
  private hasInputEnded = false;
  private timer: NodeJS.Timeout | undefined;

  constructor(stream: ServerHttp2Stream, peer: GrpcPeer, options: CallOptions, events: CallEvents) {
    this.stream = stream;
    this.peer = peer;
    this.events = events;
    this.reader = new MessageReader(options.requestBytesMax);
    this.requests = new TokenBucket(options.requestRate, performance.now());
  }

  /** Sends the response headers and starts reading. */
  start(handler: GrpcHandler): void {
    this.handler = handler;
    const { stream } = this;
    stream.on('error', noop);
    stream.once('close', () => this.close());
    if (isGone(stream)) return;
    stream.once('wantTrailers', () => {
      if (isGone(stream)) return;
      stream.sendTrailers(statusFields(this.ending ?? internal));
      this.closeAfter(lingerMs, constants.NGHTTP2_NO_ERROR);
    });
    stream.respond(
      {
        ':status': 200,
        'content-type': 'application/grpc',
        'grpc-accept-encoding': 'identity',
      },
      { waitForTrailers: true },
    );
    stream.on('data', (chunk: Buffer) => this.received(chunk));
    stream.once('end', () => {
      this.hasInputEnded = true;
      this.takeRequests();
    });
  }

  send(message: EncodedMessage, onWritten: () => void): void {
    if (this.ending !== undefined) return;
    const header = Buffer.allocUnsafe(5);
    header.writeUInt8(0, 0);
    header.writeUInt32BE(message.byteLength, 1);
    this.queue.push({ slices: [header, ...message.slices], onWritten });
    this.writeNext();
  }

  end(status: GrpcStatus): void {
    if (this.ending !== undefined) return;
    this.ending = status;
    this.closeAfter(endMs, constants.NGHTTP2_CANCEL);
    this.writeNext();
  }

  private received(chunk: Buffer): void {
    if (this.ending !== undefined) return;
    this.reader.push(chunk);
    this.takeRequests();
  }

  private takeRequests(): void {
    while (this.ending === undefined) {
      const waitMs = this.requests.waitMs(performance.now());
      if (waitMs > 0 && this.reader.hasPartial()) {
        this.slowDown(waitMs);
        return;
      }
      if (!this.takeRequest()) break;
    }
    if (!this.hasInputEnded || this.ending !== undefined) return;
    if (this.reader.hasPartial()) this.fail(grpcCode.internal, 'the last message is incomplete');
    else this.end({ code: grpcCode.ok, message: '' });
  }

  /** Takes one request, if a whole one has come. Whatever goes wrong ends the stream. */
  private takeRequest(): boolean {
    try {
      const message = this.reader.next();
      if (message === undefined) return false;
      this.requests.take(performance.now());
      this.handler?.message(message);
      return true;
    } catch (error) {
      if (error instanceof GrpcError) {
        this.fail(error.status.code, error.status.message);
      } else if (error instanceof ProtocolError) {
        this.fail(grpcCode.invalidArgument, messageOf(error));
      } else {
        this.end(internal);
        this.events.defect(error);
      }
      return false;
    }
  }

  private fail(code: GrpcStatus['code'], message: string): void {
    this.end({ code, message });
    this.events.misbehaved({ code, message });
  }

  private slowDown(waitMs: number): void {
    this.stream.pause();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.stream.resume();
      this.takeRequests();
    }, waitMs);
  }

  /** Starts the next message, or ends the stream when it is time. */
  private writeNext(): void {
    if (this.isWriting || this.isEnded || isGone(this.stream)) return;
    const next = this.queue.shift();
    if (next !== undefined) {
      this.isWriting = true;
      this.writeGroup(next, 0);
      return;
    }
    if (this.ending === undefined) return;
    this.isEnded = true;
    this.stream.end();
    this.stream.resume();
  }

  private closeAfter(ms: number, code: number): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.stream.close(code), ms);
    this.timer.unref();
  }

  /** Hands over the slices from `start` on, up to the size of a group. */
  private writeGroup(message: Outgoing, start: number): void {
    const { slices } = message;
    let end = start;
    let bytes = 0;
    this.stream.cork();
    while (end < slices.length && end - start < groupSlicesMax && bytes < groupBytesMax) {
      const slice = slices[end];
      end++;
      const isLast = end === slices.length || end - start === groupSlicesMax;
      bytes += slice?.length ?? 0;
      const isLastOfGroup = isLast || bytes >= groupBytesMax;
      this.stream.write(slice, isLastOfGroup ? (error) => this.wrote(message, end, error) : noop);
    }
    this.stream.uncork();
  }

  private wrote(message: Outgoing, end: number, error: Error | null | undefined): void {
    if (error != null || isGone(this.stream)) return;
    if (end < message.slices.length) {
      this.writeGroup(message, end);
      return;
    }
    this.isWriting = false;
    message.onWritten();
    this.writeNext();
  }

  private close(): void {
    clearTimeout(this.timer);
    this.ending ??= internal;
    this.queue.length = 0;
    try {
      this.handler?.closed();
    } catch (error) {
      this.events.defect(error);
    }
    this.handler = undefined;
  }
}

function isGone(stream: ServerHttp2Stream): boolean {
  return stream.destroyed || stream.closed;
}

const internal: GrpcStatus = { code: grpcCode.internal, message: 'internal error' };

/** Rejects a stream with nothing but its status: no handler, no buffers. */
export function rejectStream(stream: ServerHttp2Stream, status: GrpcStatus): void {
  answerOnly(stream, {
    ':status': 200,
    'content-type': 'application/grpc',
    ...statusFields(status),
  });
}

/** Answers what is not gRPC at all with an HTTP status. */
export function rejectHttp(stream: ServerHttp2Stream, httpStatus: number): void {
  answerOnly(stream, { ':status': httpStatus });
}

function answerOnly(stream: ServerHttp2Stream, fields: Record<string, string | number>): void {
  stream.on('error', noop);
  if (isGone(stream)) return;
  stream.respond(fields, { endStream: true });
  stream.resume();
  const timer = setTimeout(() => stream.close(constants.NGHTTP2_NO_ERROR), lingerMs);
  timer.unref();
  stream.once('close', () => clearTimeout(timer));
}
