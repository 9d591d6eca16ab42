import type { Socket } from 'node:net';
import { ProtocolError, TransientError, messageOf } from '../../../common/errors.ts';
import type { Credentials } from './access.ts';
import { Breather } from './breather.ts';
import { dial, isTlsRecord } from './dial.ts';
import { describeErrorCode, errorCodes, isSessionOver } from './error-codes.ts';
import { explainClose, explainSessionOver, explainSocketError, explainTimeout } from './explain.ts';
import type { ConnectionPhase, Explanation } from './explain.ts';
import { FrameReader } from './framing.ts';
import { JuteReader } from './jute.ts';
import { Liveness } from './liveness.ts';
import { PendingRequests } from './pending-requests.ts';
import { authenticate } from './sasl.ts';
import { keyOf } from './servers.ts';
import type { Candidate } from './servers.ts';
import {
  decodeConnectResponse,
  decodeEvent,
  decodeReplyHeader,
  encodeBare,
  encodeConnectRequest,
  encodeDigestAuth,
  encodeSasl,
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
 * TCP, TLS if wanted, the session, the digest credential, SASL: only then can requests be made, so that none
 * precedes the credentials. One timer runs over all of that; afterwards liveness.ts notices a dead peer.
 */
export class Connection {
  private readonly options: ConnectionOptions;
  private readonly handlers: ConnectionHandlers;
  private readonly frames = new FrameReader();
  private readonly breather = new Breather();
  private readonly pending = new PendingRequests();
  private phase: ConnectionPhase = 'idle';
  private socket: Socket | undefined;
  private connectTimer: NodeJS.Timeout | undefined;
  private tickTimer: NodeJS.Timeout | undefined;
  private liveness: Liveness;
  private lastXid = 0;
  private lastZxid: bigint;

  constructor(options: ConnectionOptions, handlers: ConnectionHandlers) {
    this.options = options;
    this.handlers = handlers;
    this.lastZxid = options.lastZxid;
    this.liveness = this.livenessFor(options.sessionTimeoutMs);
  }

  /** The highest transaction that this server, or an earlier one, has shown us. */
  get highestZxid(): bigint {
    return this.lastZxid;
  }

  /** Dials. Called once. */
  open(): void {
    const { candidate, credentials, connectTimeoutMs } = this.options;
    this.phase = 'dialling';
    this.connectTimer = setTimeout(() => {
      this.endFor(explainTimeout(this.phase, connectTimeoutMs));
    }, connectTimeoutMs);
    const { socket, openEvent } = dial(candidate, credentials.tls);
    this.socket = socket;
    socket.on('connect', () => {
      if (this.phase === 'dialling') this.phase = 'securing';
    });
    socket.on(openEvent, () => {
      this.onOpen();
    });
    socket.on('data', (chunk: Buffer) => {
      this.onData(chunk);
    });
    socket.on('error', (error) => {
      this.endFor(explainSocketError(this.phase, error, this.options, socket));
    });
    socket.on('close', () => {
      this.endFor(explainClose(this.phase, this.options));
    });
  }

  /**
   * Sends a request. `onReply` is called in wire order with the error code (0 = success) and the
   * reader that stands at the body; `onEnd` instead of it, with a TransientError, if the connection
   * ends before.
   */
  request(
    encode: (xid: number) => Buffer,
    onReply: (error: number, body: JuteReader) => void,
    onEnd?: (error: Error) => void,
  ): void {
    if (this.phase === 'ready') this.send(encode, onReply, onEnd);
    else onEnd?.(new TransientError(`${this.name}: no session`));
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

  private send(
    encode: (xid: number) => Buffer,
    onReply: (error: number, body: JuteReader) => void,
    onEnd?: (error: Error) => void,
  ): void {
    this.lastXid = this.lastXid >= 0x7fff_ffff ? 1 : this.lastXid + 1;
    if (this.pending.isEmpty) this.liveness.progressed(performance.now());
    this.pending.add({ xid: this.lastXid, onReply, onEnd });
    this.write(encode(this.lastXid));
  }

  private onOpen(): void {
    if (this.phase !== 'dialling' && this.phase !== 'securing') return;
    this.phase = 'handshaking';
    this.write(
      encodeConnectRequest({
        lastZxidSeen: this.options.lastZxid,
        sessionTimeoutMs: this.options.sessionTimeoutMs,
      }),
    );
  }

  private onData(chunk: Buffer): void {
    const now = performance.now();
    if (this.phase === 'handshaking' && this.isTlsAnswer(chunk)) {
      this.fail('refused', 'it speaks TLS on this port, and TLS is not configured');
      return;
    }
    try {
      this.frames.push(chunk, (content) => {
        this.onFrame(content, now);
      });
      this.liveness.received(now, this.frames.unfinished);
      this.breather.worked(this.socket, now);
    } catch (error) {
      this.end(
        error instanceof ProtocolError
          ? { kind: 'protocol', error: new ProtocolError(`${this.name}: ${error.message}`) }
          : { kind: 'defect', error: error instanceof Error ? error : new Error(String(error)) },
      );
    }
  }

  private isTlsAnswer(chunk: Buffer): boolean {
    return this.options.credentials.tls === undefined && isTlsRecord(chunk);
  }

  private onFrame(content: Buffer, now: number): void {
    if (this.phase === 'handshaking') {
      this.onConnectResponse(content);
      return;
    }
    if (this.phase !== 'ready' && this.phase !== 'authenticating') return;
    const reader = new JuteReader(content);
    const { xid, zxid, error } = decodeReplyHeader(reader);
    if (xid === xids.event) {
      this.liveness.progressed(now);
      const { type, path } = decodeEvent(reader);
      this.handlers.event(type, path);
      return;
    }
    if (error === 0 && zxid > 0n && !this.isForward(zxid)) return;
    if (xid === xids.ping) {
      this.handlers.pong();
    } else if (xid === xids.auth) {
      if (error !== 0) {
        this.fail('refused', `the digest credential is not accepted: ${describeErrorCode(error)}`);
      }
    } else {
      this.liveness.progressed(now);
      this.onReply(xid, error, reader);
    }
  }

  private onConnectResponse(content: Buffer): void {
    const { sessionTimeoutMs } = decodeConnectResponse(content);
    if (sessionTimeoutMs <= 0) {
      this.fail('refused', 'the server granted no session');
      return;
    }
    this.liveness = this.livenessFor(sessionTimeoutMs);
    const { digest, sasl } = this.options.credentials;
    if (digest !== undefined) this.write(encodeDigestAuth(digest));
    if (sasl === undefined) {
      this.becomeReady(sessionTimeoutMs);
      return;
    }
    this.phase = 'authenticating';
    authenticate(
      sasl,
      (token, onReply) => {
        this.send(
          (xid) => encodeSasl(xid, token),
          (error, body) => {
            onReply(error, error === errorCodes.ok ? body.buffer() : null);
          },
        );
      },
      (refusal) => {
        if (refusal === undefined) this.becomeReady(sessionTimeoutMs);
        else this.fail('refused', refusal);
      },
    );
  }

  private becomeReady(sessionTimeoutMs: number): void {
    clearTimeout(this.connectTimer);
    this.phase = 'ready';
    this.tickTimer = setInterval(() => {
      this.tick();
    }, this.liveness.tickMs);
    this.handlers.ready(sessionTimeoutMs);
  }

  private onReply(xid: number, error: number, body: JuteReader): void {
    const pending = this.pending.first;
    if (pending?.xid !== xid) {
      throw new ProtocolError(`a reply to request ${xid}, expected ${pending?.xid ?? 'none'}`);
    }
    this.pending.take();
    if (this.phase === 'ready' && isSessionOver(error)) {
      const { kind, reason } = explainSessionOver(error, this.options);
      pending.onEnd?.(new TransientError(`${this.name}: ${reason}`));
      this.fail(kind, reason);
      return;
    }
    try {
      pending.onReply(error, body);
    } catch (failure) {
      // It waits no more, so the end of the connection would not reach it.
      pending.onEnd?.(new TransientError(`${this.name}: ${messageOf(failure)}`));
      throw failure;
    }
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

  private livenessFor(sessionTimeoutMs: number): Liveness {
    const requestTimeoutMs =
      this.options.requestTimeoutMs ?? Math.max(30_000, 2 * sessionTimeoutMs);
    return new Liveness(sessionTimeoutMs, requestTimeoutMs, performance.now());
  }

  private tick(): void {
    const { isPingDue, failure } = this.liveness.look(performance.now(), !this.pending.isEmpty);
    if (isPingDue) this.write(encodeBare(xids.ping, opcodes.ping));
    if (failure !== undefined) this.fail('lost', failure);
  }

  private write(frame: Buffer): void {
    this.socket?.write(frame);
  }

  private endFor({ kind, reason, cause, mayBeBehind }: Explanation): void {
    const error = new TransientError(`${this.name}: ${reason}`, { cause });
    this.end({ kind, error, ...(mayBeBehind === undefined ? {} : { mayBeBehind }) });
  }

  private fail(kind: ConnectionEnd['kind'], reason: string): void {
    this.endFor({ kind, reason });
  }

  private end(end: ConnectionEnd): void {
    if (this.phase === 'ended') return;
    const isExpected = this.phase === 'closing';
    this.phase = 'ended';
    this.clearTimers();
    this.socket?.destroy();
    const reason =
      end.error instanceof TransientError
        ? end.error
        : new TransientError(messageOf(end.error), { cause: end.error });
    for (const pending of this.pending.drain()) pending.onEnd?.(reason);
    this.handlers.ended(isExpected ? { kind: 'closed', error: end.error } : end);
  }

  private clearTimers(): void {
    clearTimeout(this.connectTimer);
    clearInterval(this.tickTimer);
  }
}

export interface ConnectionOptions {
  readonly candidate: Candidate;
  /** Asked for; the server may grant another. */
  readonly sessionTimeoutMs: number;
  /** From the dial to the granted session, TLS and SASL included. */
  readonly connectTimeoutMs: number;
  /** Read for this dial. */
  readonly credentials: Credentials;
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
   * a session, or TLS, a certificate or a credential was not accepted, by either side; `stale`: the
   * server is behind what we have seen;
   * `lost`: the session or the connection broke; `protocol`: the peer does not speak ZooKeeper;
   * `closed`: by us; `defect`: a handler threw.
   */
  readonly kind: 'unreachable' | 'refused' | 'stale' | 'lost' | 'protocol' | 'closed' | 'defect';
  /** Names the server; carries no secret. */
  readonly error: Error;
  /** Refused without a word: perhaps because the server is behind what we have seen. */
  readonly mayBeBehind?: boolean;
}

export interface ConnectionHandlers {
  /** The session is granted, a digest credential sent and SASL done: requests can be made. */
  ready(sessionTimeoutMs: number): void;
  /** A watch event, path as the server knows it. */
  event(type: number, path: string): void;
  /** A ping was answered: every event before it has been seen. */
  pong(): void;
  /** Called exactly once, whatever happens after `open`. */
  ended(end: ConnectionEnd): void;
}
