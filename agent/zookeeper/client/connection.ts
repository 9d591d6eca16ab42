import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { ProtocolError, TransientError } from '../../../common/errors.ts';
import { describeErrorCode, isSessionOver } from './error-codes.ts';
import { FrameReader } from './framing.ts';
import { JuteReader } from './jute.ts';
import { keyOf } from './servers.ts';
import type { Candidate } from './servers.ts';
import {
  decodeConnectResponse,
  decodeEvent,
  decodeReplyHeader,
  encodeBare,
  encodeConnectRequest,
  encodeDigestAuth,
  opcodes,
  xids,
} from './wire.ts';

/**
 * One TCP connection with one session, from dial to end; it is never used again.
 *
 * Everything is reported synchronously from the socket's own handler, in wire order: no promise
 * stands between two replies, so that an event which follows a reply in the same segment is also
 * seen after it. Whatever goes wrong ends the connection exactly once, with a reason; nothing is
 * thrown into the socket handler.
 *
 * A dead peer is noticed by time alone: a connect timer runs from the dial to the granted session,
 * a ping leaves whenever nothing was sent for a third of the session timeout (whatever arrives
 * meanwhile), two thirds of it without a byte end the connection, and so does a request that is
 * never answered while pings are.
 */
export class Connection {
  private readonly options: ConnectionOptions;
  private readonly handlers: ConnectionHandlers;
  private readonly frames = new FrameReader();
  private readonly pending: Pending[] = [];
  private pendingHead = 0;
  private phase: 'idle' | 'dialling' | 'handshaking' | 'ready' | 'closing' | 'ended' = 'idle';
  private socket: Socket | undefined;
  private connectTimer: NodeJS.Timeout | undefined;
  private tickTimer: NodeJS.Timeout | undefined;
  private lastXid = 0;
  private lastZxid: bigint;
  private sessionTimeoutMs: number;
  private sentAt = 0;
  private receivedAt = 0;
  private progressAt = 0;
  private tickedAt = 0;

  constructor(options: ConnectionOptions, handlers: ConnectionHandlers) {
    this.options = options;
    this.handlers = handlers;
    this.lastZxid = options.lastZxid;
    this.sessionTimeoutMs = options.sessionTimeoutMs;
  }

  /** Whether requests can be sent. */
  get isReady(): boolean {
    return this.phase === 'ready';
  }

  /** The highest transaction that this server, or an earlier one, has shown us. */
  get highestZxid(): bigint {
    return this.lastZxid;
  }

  /** Dials. Called once. */
  open(): void {
    const { candidate, connectTimeoutMs } = this.options;
    this.phase = 'dialling';
    this.connectTimer = setTimeout(() => {
      this.fail('unreachable', `no session within ${connectTimeoutMs} ms`);
    }, connectTimeoutMs);
    const socket = connect({ host: candidate.address, port: candidate.port, noDelay: true });
    this.socket = socket;
    socket.on('connect', () => {
      this.onConnect();
    });
    socket.on('data', (chunk: Buffer) => {
      this.onData(chunk);
    });
    socket.on('error', (error) => {
      this.fail(this.failureKind(), error.message, error);
    });
    socket.on('close', () => {
      this.fail(this.failureKind(), 'closed by the server');
    });
  }

  /**
   * Sends a request. `onReply` is called in wire order with the error code (0 = success) and the
   * reader that stands at the body; `onEnd` instead of it, if the connection ends before.
   */
  request(
    encode: (xid: number) => Buffer,
    onReply: (error: number, body: JuteReader) => void,
    onEnd?: (error: Error) => void,
  ): void {
    if (this.phase !== 'ready') {
      onEnd?.(new TransientError(`${this.name}: no session`));
      return;
    }
    this.lastXid = this.lastXid >= 0x7fff_ffff ? 1 : this.lastXid + 1;
    const now = performance.now();
    if (this.pendingHead === this.pending.length) this.progressAt = now;
    this.pending.push({ xid: this.lastXid, onReply, onEnd });
    this.write(encode(this.lastXid));
  }

  /** Ends the session on the server and the connection; resolves when the socket is closed. */
  async close(): Promise<void> {
    const socket = this.socket;
    if (socket === undefined || this.phase === 'ended') return;
    const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
    if (this.phase !== 'ready') {
      if (this.phase !== 'closing') this.fail('closed', 'closed');
      await closed;
      return;
    }
    this.phase = 'closing';
    this.clearTimers();
    socket.end(encodeBare(++this.lastXid, opcodes.closeSession));
    const deadline = setTimeout(() => socket.destroy(), this.options.closeTimeoutMs ?? 1_000);
    await closed;
    clearTimeout(deadline);
  }

  private get name(): string {
    const { candidate } = this.options;
    const key = keyOf(candidate);
    return `zookeeper ${candidate.server === key ? key : `${candidate.server} (${key})`}`;
  }

  private failureKind(): ConnectionEnd['kind'] {
    switch (this.phase) {
      case 'idle':
      case 'dialling':
        return 'unreachable';
      case 'handshaking':
        return 'refused';
      case 'ready':
        return 'lost';
      case 'closing':
      case 'ended':
        return 'closed';
    }
  }

  private onConnect(): void {
    if (this.phase !== 'dialling') return;
    this.phase = 'handshaking';
    this.write(
      encodeConnectRequest({
        lastZxidSeen: this.options.lastZxid,
        sessionTimeoutMs: this.options.sessionTimeoutMs,
      }),
    );
  }

  private onData(chunk: Buffer): void {
    this.receivedAt = performance.now();
    try {
      this.frames.push(chunk, (content) => {
        this.onFrame(content);
      });
      if (this.frames.isMidFrame) this.progressAt = this.receivedAt;
    } catch (error) {
      const kind = error instanceof ProtocolError ? 'protocol' : 'defect';
      this.end({ kind, error: error instanceof Error ? error : new Error(String(error)) });
    }
  }

  private onFrame(content: Buffer): void {
    if (this.phase === 'handshaking') {
      this.onConnectResponse(content);
      return;
    }
    if (this.phase !== 'ready') return;
    const reader = new JuteReader(content);
    const { xid, zxid, error } = decodeReplyHeader(reader);
    if (xid === xids.event) {
      this.progressAt = this.receivedAt;
      const { type, path } = decodeEvent(reader);
      this.handlers.event(type, path);
      return;
    }
    if (error === 0 && zxid > 0n && !this.isForward(zxid)) return;
    if (xid === xids.ping) {
      this.handlers.pong();
    } else if (xid === xids.auth) {
      if (error !== 0) this.fail('refused', `digest credential: ${describeErrorCode(error)}`);
    } else {
      this.onReply(xid, error, reader);
    }
  }

  private onConnectResponse(content: Buffer): void {
    const { sessionTimeoutMs } = decodeConnectResponse(content);
    if (sessionTimeoutMs <= 0) {
      this.fail('refused', 'the server granted no session');
      return;
    }
    clearTimeout(this.connectTimer);
    this.sessionTimeoutMs = sessionTimeoutMs;
    this.phase = 'ready';
    if (this.options.digest !== undefined) this.write(encodeDigestAuth(this.options.digest));
    this.tickedAt = performance.now();
    this.tickTimer = setInterval(() => {
      this.tick();
    }, this.tickMs);
    this.handlers.ready(sessionTimeoutMs);
  }

  private onReply(xid: number, error: number, body: JuteReader): void {
    const pending = this.takePending();
    if (pending?.xid !== xid) {
      throw new ProtocolError(
        `${this.name}: a reply to request ${xid}, expected ${pending?.xid ?? 'none'}`,
      );
    }
    this.progressAt = this.receivedAt;
    if (isSessionOver(error)) {
      const reason = new TransientError(`${this.name}: ${describeErrorCode(error)}`);
      pending.onEnd?.(reason);
      this.end({ kind: 'lost', error: reason });
      return;
    }
    pending.onReply(error, body);
  }

  /** First in, first out, without moving the rest each time. */
  private takePending(): Pending | undefined {
    const taken = this.pending[this.pendingHead];
    if (taken === undefined) return undefined;
    this.pendingHead += 1;
    if (this.pendingHead === this.pending.length || this.pendingHead > 1_024) {
      this.pending.splice(0, this.pendingHead);
      this.pendingHead = 0;
    }
    return taken;
  }

  private isForward(zxid: bigint): boolean {
    if (zxid < this.lastZxid) {
      const [seen, now] = [this.lastZxid.toString(16), zxid.toString(16)];
      this.fail('stale', `the server is at transaction 0x${now}, 0x${seen} was seen before`);
      return false;
    }
    this.lastZxid = zxid;
    return true;
  }

  private get pingMs(): number {
    return Math.min(this.sessionTimeoutMs / 3, confirmIntervalMs);
  }

  private get tickMs(): number {
    return Math.max(5, Math.floor(this.pingMs / 4));
  }

  private tick(): void {
    const now = performance.now();
    const isLate = now - this.tickedAt > 2 * this.tickMs;
    this.tickedAt = now;
    if (now - this.sentAt >= this.pingMs - this.tickMs) {
      this.write(encodeBare(xids.ping, opcodes.ping));
    }
    // After a stall of our own, what has arrived is still unread: judge at the next tick.
    if (isLate) return;
    const silentMs = now - this.receivedAt;
    if (silentMs > (this.sessionTimeoutMs * 2) / 3) {
      this.fail('lost', `nothing received for ${Math.round(silentMs)} ms`);
    } else if (
      this.pending.length > this.pendingHead &&
      now - this.progressAt > this.requestTimeoutMs
    ) {
      this.fail('lost', `a request was not answered within ${this.requestTimeoutMs} ms`);
    }
  }

  private get requestTimeoutMs(): number {
    return this.options.requestTimeoutMs ?? Math.max(30_000, 2 * this.sessionTimeoutMs);
  }

  private write(frame: Buffer): void {
    this.sentAt = performance.now();
    this.socket?.write(frame);
  }

  private fail(kind: ConnectionEnd['kind'], reason: string, cause?: Error): void {
    this.end({ kind, error: new TransientError(`${this.name}: ${reason}`, { cause }) });
  }

  private end(end: ConnectionEnd): void {
    if (this.phase === 'ended') return;
    const isExpected = this.phase === 'closing';
    this.phase = 'ended';
    this.clearTimers();
    this.socket?.destroy();
    for (const pending of this.pending.splice(0).slice(this.pendingHead)) {
      pending.onEnd?.(end.error);
    }
    this.pendingHead = 0;
    this.handlers.ended(isExpected ? { kind: 'closed', error: end.error } : end);
  }

  private clearTimers(): void {
    clearTimeout(this.connectTimer);
    clearInterval(this.tickTimer);
  }
}

/** The longest time between two pings, so that the view is confirmed every few seconds. */
const confirmIntervalMs = 3_000;

interface Pending {
  readonly xid: number;
  readonly onReply: (error: number, body: JuteReader) => void;
  readonly onEnd: ((error: Error) => void) | undefined;
}

export interface ConnectionOptions {
  readonly candidate: Candidate;
  /** Asked for; the server may grant another. */
  readonly sessionTimeoutMs: number;
  /** From the dial to the granted session. */
  readonly connectTimeoutMs: number;
  /** `user:password`, a secret. */
  readonly digest: string | undefined;
  /** A server behind this transaction is refused. 0 accepts any. */
  readonly lastZxid: bigint;
  /** How long a request may wait while nothing but pings is answered. */
  readonly requestTimeoutMs?: number;
  /** How long the server has to close its side after a closeSession. */
  readonly closeTimeoutMs?: number;
}

/** Why a connection ended. */
export interface ConnectionEnd {
  /**
   * `unreachable`: no TCP connection, or no session in time; `refused`: closed instead of granting
   * a session, or the credential was refused; `stale`: the server is behind what we have seen;
   * `lost`: the session or the connection broke; `protocol`: the peer does not speak ZooKeeper;
   * `closed`: by us; `defect`: a handler threw.
   */
  readonly kind: 'unreachable' | 'refused' | 'stale' | 'lost' | 'protocol' | 'closed' | 'defect';
  /** Names the server; carries no secret. */
  readonly error: Error;
}

export interface ConnectionHandlers {
  /** The session is granted (and the credential sent): requests can be made. */
  ready(sessionTimeoutMs: number): void;
  /** A watch event, path as the server knows it. */
  event(type: number, path: string): void;
  /** A ping was answered: every event before it has been seen. */
  pong(): void;
  /** Called exactly once, whatever happens after `open`. */
  ended(end: ConnectionEnd): void;
}
