import { constants, createSecureServer, createServer } from 'node:http2';
import type { Http2SecureServer, Http2Server, IncomingHttpHeaders } from 'node:http2';
import type { ServerHttp2Session, ServerHttp2Stream, ServerOptions } from 'node:http2';
import { createServer as createTcpServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { Logger } from 'pino';
import { messageOf } from '../../common/errors.ts';
import { listenOn } from '../../common/listening.ts';
import { normalizeAddress } from './addresses.ts';
import { parseSubjectAltNames } from './auth.ts';
import { Http2Call, rejectHttp, rejectStream } from './grpc-call.ts';
import type { CallOptions } from './grpc-call.ts';
import { GrpcSession } from './grpc-session.ts';
import type { SessionOptions } from './grpc-session.ts';
import { grpcCode } from './grpc-status.ts';
import type { GrpcCode } from './grpc-status.ts';
import type {
  GrpcGate,
  GrpcMethod,
  GrpcPeer,
  PeerCertificate,
  RejectReason,
} from './grpc-types.ts';

/**
 * A gRPC server for bidirectional streams on node:http2. It exists because a state-of-the-world
 * push is many megabytes of bytes that all subscribers share: here they are written as they are,
 * where a general gRPC library copies each message once per stream. It offers no more than the
 * protocols on it need: no compression, no unary calls, no metadata.
 *
 * A plain TCP server stands in front, so that connections from addresses that are not allowed, or
 * above the limit, cost neither a TLS handshake nor an HTTP/2 session. Whatever a client does on its
 * connection ends at most this connection.
 */
export interface GrpcServerOptions extends CallOptions, SessionOptions {
  readonly host: string;
  /** 0 = any free port. */
  readonly port: number;
  readonly tls: TlsMaterial | undefined;
  readonly sessionsMax: number;
  readonly streamsMax: number;
  readonly streamsPerSessionMax: number;
  /** Jitter of the connection age, 0.1 = 10 % more or less. */
  readonly ageJitter: number;
  /** How long streams and connections may take to end when the server stops, milliseconds. */
  readonly stopMs: number;
}

/** PEM. */
export interface TlsMaterial {
  readonly cert: Buffer;
  readonly key: Buffer;
  /** Authorities of client certificates; undefined = clients are not asked for one. */
  readonly clientCa: Buffer | undefined;
  readonly requireClientCertificate: boolean;
}

/** Counts what was turned away. */
export interface GrpcServerEvents {
  rejected(reason: RejectReason): void;
}

const sweepMsMax = 1_000;
const noop = (): void => undefined;

export class GrpcServer {
  private readonly options: GrpcServerOptions;
  private readonly methods: ReadonlyMap<string, GrpcMethod>;
  private readonly gate: GrpcGate;
  private readonly events: GrpcServerEvents;
  private readonly log: Logger;
  private readonly sessions = new Map<ServerHttp2Session, GrpcSession>();
  private readonly sockets = new Set<Socket>();
  private streamCount = 0;

  constructor(
    options: GrpcServerOptions,
    methods: ReadonlyMap<string, GrpcMethod>,
    gate: GrpcGate,
    reports: { readonly events: GrpcServerEvents; readonly log: Logger },
  ) {
    this.options = options;
    this.methods = methods;
    this.gate = gate;
    this.events = reports.events;
    this.log = reports.log;
  }

  /**
   * Serves until the signal aborts, then takes no more connections, ends every stream with
   * UNAVAILABLE and resolves when all connections are closed, after `stopMs` by force. Rejects when
   * it cannot listen.
   */
  async run(
    signal: AbortSignal,
    onListening: (address: { host: string; port: number }) => void,
  ): Promise<void> {
    if (signal.aborted) return;
    const http2 = this.createHttp2();
    const front = this.createFront(http2);
    await listenOn(front, this.options, '--mcp-listen');
    const sweep = setInterval(() => this.sweep(performance.now()), sweepInterval(this.options));
    sweep.unref();
    const aborted = new Promise<void>((resolve) => {
      signal.addEventListener('abort', () => resolve(), { once: true });
      if (signal.aborted) resolve();
    });
    front.on('error', (error) => this.log.error({ err: error }, 'cannot take a connection'));
    try {
      const address = front.address();
      if (address !== null && typeof address === 'object') {
        onListening({ host: address.address, port: address.port });
      }
      await aborted;
    } finally {
      await this.stop(front);
      clearInterval(sweep);
    }
  }

  private createHttp2(): Http2Server | Http2SecureServer {
    const { tls } = this.options;
    const settings: ServerOptions = {
      settings: {
        maxConcurrentStreams: this.options.streamsPerSessionMax,
        maxHeaderListSize: 16 * 1024,
        enablePush: false,
      },
      maxHeaderListPairs: 64,
      maxOutstandingPings: 2,
      maxSessionMemory: 256,
    };
    const server =
      tls === undefined
        ? createServer(settings)
        : createSecureServer({
            ...settings,
            cert: tls.cert,
            key: tls.key,
            ...(tls.clientCa === undefined ? {} : { ca: tls.clientCa, requestCert: true }),
            rejectUnauthorized: tls.clientCa !== undefined && tls.requireClientCertificate,
            ALPNProtocols: ['h2'],
            handshakeTimeout: this.options.handshakeMs,
            minVersion: 'TLSv1.2',
          });
    server.on('session', (session: ServerHttp2Session) => this.opened(session));
    server.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) =>
      this.dispatch(stream, headers),
    );
    server.on('sessionError', (error: NodeJS.ErrnoException) => {
      if (error.code?.startsWith('ERR_HTTP2') === true) this.broken('protocol', error);
    });
    server.on('tlsClientError', (error: Error) => this.broken('handshake', error));
    server.on('unknownProtocol', (socket: Socket) => {
      this.broken('handshake', new Error('the client does not offer h2'));
      socket.destroy();
    });
    server.on('error', noop);
    return server;
  }

  private createFront(http2: Http2Server | Http2SecureServer): Server {
    const front = createTcpServer({ noDelay: true, keepAlive: true }, (socket) => {
      socket.on('error', noop);
      if (!this.gate.admitConnection(normalizeAddress(socket.remoteAddress ?? ''))) {
        this.events.rejected('address');
        this.log.debug({ peer: socket.remoteAddress }, 'connection from an address not allowed');
        socket.destroy();
        return;
      }
      this.sockets.add(socket);
      socket.once('close', () => this.sockets.delete(socket));
      http2.emit('connection', socket);
    });
    front.maxConnections = this.options.sessionsMax;
    front.on('drop', () => this.events.rejected('sessions'));
    return front;
  }

  private opened(session: ServerHttp2Session): void {
    const { ageMs, ageJitter } = this.options;
    const jittered = ageMs * (1 + ageJitter * (2 * Math.random() - 1));
    const options = { ...this.options, ageMs: jittered };
    const opened = new GrpcSession(session, peerOf(session), options, performance.now());
    this.sessions.set(session, opened);
    session.once('close', () => this.sessions.delete(session));
  }

  /** Finds the method of a stream; everything that is wrong with it is answered here. */
  private dispatch(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    const session = stream.session === undefined ? undefined : this.sessionOf(stream);
    if (session === undefined) {
      stream.on('error', noop);
      stream.close();
      return;
    }
    if (!isGrpc(headers['content-type'])) {
      this.events.rejected('protocol');
      rejectHttp(stream, 415);
      return;
    }
    if (headers[':method'] !== 'POST') {
      this.events.rejected('protocol');
      rejectHttp(stream, 405);
      return;
    }
    const encoding = headers['grpc-encoding'] ?? 'identity';
    if (encoding !== 'identity') {
      this.reject(stream, 'protocol', grpcCode.unimplemented, 'no compression is supported');
      return;
    }
    const method = this.methods.get(headers[':path'] ?? '');
    if (method === undefined) {
      this.reject(stream, 'method', grpcCode.unimplemented, 'no such method');
      return;
    }
    if (this.streamCount >= this.options.streamsMax) {
      this.reject(stream, 'streams', grpcCode.resourceExhausted, 'too many streams');
      return;
    }
    const refusal = this.gate.admitStream(session.peer);
    if (refusal !== undefined) {
      const reason = refusal.code === grpcCode.resourceExhausted ? 'rate' : 'credentials';
      this.reject(stream, reason, refusal.code, refusal.message);
      return;
    }
    this.open(stream, session, method);
  }

  private open(stream: ServerHttp2Stream, session: GrpcSession, method: GrpcMethod): void {
    const call = new Http2Call(stream, session.peer, this.options, {
      defect: (error) => this.log.error({ err: error }, 'a stream was ended by a defect'),
      misbehaved: (status) => {
        this.events.rejected('protocol');
        this.log.debug({ peer: session.peer.address, status }, 'a client broke the protocol');
      },
    });
    this.streamCount++;
    session.calls.add(call);
    stream.once('close', () => {
      this.streamCount--;
      session.calls.delete(call);
    });
    try {
      call.start(method(call));
    } catch (error) {
      this.log.error({ err: error }, 'a stream could not be opened');
      stream.on('error', noop);
      stream.close(constants.NGHTTP2_INTERNAL_ERROR);
    }
  }

  private reject(
    stream: ServerHttp2Stream,
    reason: RejectReason,
    code: GrpcCode,
    message: string,
  ): void {
    this.events.rejected(reason);
    rejectStream(stream, { code, message });
  }

  private sessionOf(stream: ServerHttp2Stream): GrpcSession | undefined {
    const { session } = stream;
    return session === undefined ? undefined : this.sessions.get(session as ServerHttp2Session);
  }

  private broken(reason: RejectReason, error: Error): void {
    this.events.rejected(reason);
    this.log.debug({ reason: messageOf(error) }, 'a connection broke');
  }

  private sweep(now: number): void {
    for (const session of [...this.sessions.values()]) {
      const end = session.tick(now);
      if (end === undefined) continue;
      if (end === 'handshake') this.events.rejected('handshake');
      this.log.debug({ peer: session.peer.address, reason: end }, 'a connection was ended');
    }
  }

  private async stop(front: Server): Promise<void> {
    const closed = new Promise<void>((resolve) => front.close(() => resolve()));
    const status = { code: grpcCode.unavailable, message: 'the server is stopping' };
    for (const session of [...this.sessions.values()]) session.drain(status, performance.now());
    const deadline = setTimeout(() => {
      for (const session of [...this.sessions.values()]) session.destroy();
      for (const socket of [...this.sockets]) socket.destroy();
    }, this.options.stopMs);
    await closed;
    clearTimeout(deadline);
  }
}

/** Some look-ins per shortest time that is watched over. */
function sweepInterval(options: SessionOptions): number {
  const shortest = Math.min(
    options.keepalive.idleMs,
    options.keepalive.timeoutMs,
    options.handshakeMs,
    options.ageMs,
    options.ageGraceMs,
  );
  return Math.max(10, Math.min(sweepMsMax, shortest / 4));
}

function isGrpc(contentType: string | undefined): boolean {
  return contentType !== undefined && /^application\/grpc(\+proto)?(;|$)/i.test(contentType);
}

function peerOf(session: ServerHttp2Session): GrpcPeer {
  const { socket } = session;
  return {
    address: normalizeAddress(socket.remoteAddress ?? ''),
    port: socket.remotePort ?? 0,
    certificate: certificateOf(socket),
  };
}

function certificateOf(socket: ServerHttp2Session['socket']): PeerCertificate | undefined {
  if (!(socket instanceof TLSSocket)) return undefined;
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) return undefined;
  return {
    isTrusted: socket.authorized,
    names: parseSubjectAltNames(certificate.subjectAltName ?? ''),
  };
}
