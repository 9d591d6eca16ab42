import type { ServerHttp2Session } from 'node:http2';
import type { Http2Call } from './grpc-call.ts';
import { grpcCode } from './grpc-status.ts';
import type { GrpcStatus } from './grpc-status.ts';
import type { GrpcPeer } from './grpc-types.ts';
import { look, newLiveness } from './liveness.ts';
import type { LivenessOptions } from './liveness.ts';

/** Settings of every connection; all milliseconds. */
export interface SessionOptions {
  /** When to ask a silent client whether it lives, and how long to wait for its answer. */
  readonly keepalive: LivenessOptions;
  /** How long a client may take from connecting to its HTTP/2 settings. */
  readonly handshakeMs: number;
  /** How long a connection may live without a stream. */
  readonly unusedMs: number;
  /** When the connection is to be closed so that clients spread over replicas; Infinity = never. */
  readonly ageMs: number;
  /** How long its streams may take to end then. */
  readonly ageGraceMs: number;
}

/** What happens to a connection that is looked at. */
export type SessionEnd = 'handshake' | 'silent' | 'unused' | 'age';

const noop = (): void => undefined;

/** One HTTP/2 connection with its calls. All that takes time is done by `tick`. */
export class GrpcSession {
  readonly peer: GrpcPeer;
  readonly calls = new Set<Http2Call>();
  private readonly session: ServerHttp2Session;
  private readonly options: SessionOptions;
  private readonly openedAt: number;
  private isReady = false;
  private liveness;
  private usedAt: number;
  private drainedAt: number | undefined;

  constructor(session: ServerHttp2Session, peer: GrpcPeer, options: SessionOptions, now: number) {
    this.session = session;
    this.peer = peer;
    this.options = options;
    this.openedAt = now;
    this.usedAt = now;
    this.liveness = newLiveness(now);
    session.on('error', noop);
    session.once('remoteSettings', () => {
      this.isReady = true;
    });
  }

  /** Looks after the connection; says why when this ended it. */
  tick(now: number): SessionEnd | undefined {
    if (this.session.destroyed) return undefined;
    if (!this.isReady && now - this.openedAt >= this.options.handshakeMs) {
      return this.cut('handshake');
    }
    if (this.drainedAt !== undefined) {
      if (now - this.drainedAt >= this.options.ageGraceMs) this.session.destroy();
      return undefined;
    }
    if (this.checkLiveness(now) === 'dead') return this.cut('silent');
    if (this.calls.size > 0) this.usedAt = now;
    if (now - this.usedAt >= this.options.unusedMs) {
      return this.finish('unused', 'the connection was not used', now);
    }
    if (now - this.openedAt >= this.options.ageMs) {
      return this.finish('age', 'the connection has reached its age, connect again', now);
    }
    return undefined;
  }

  /** Takes no new streams, ends the open ones when what they are sending is out, then closes. */
  drain(status: GrpcStatus, now: number): void {
    this.drainedAt = now;
    if (!this.session.closed) this.session.close();
    for (const call of [...this.calls]) call.end(status);
  }

  /** Ends the connection at once. */
  destroy(): void {
    if (!this.session.destroyed) this.session.destroy();
  }

  private finish(end: SessionEnd, message: string, now: number): SessionEnd {
    this.drain({ code: grpcCode.unavailable, message }, now);
    return end;
  }

  private cut(end: SessionEnd): SessionEnd {
    this.destroy();
    return end;
  }

  private checkLiveness(now: number): 'alive' | 'dead' {
    const received = this.session.socket.bytesRead;
    const { liveness, verdict } = look(this.liveness, received, now, this.options.keepalive);
    this.liveness = liveness;
    if (verdict !== 'ping') return verdict;
    this.session.ping((error) => {
      if (error === null) this.liveness = { ...this.liveness, heardAt: now, pingedAt: undefined };
    });
    return 'alive';
  }
}
