import { createServer as createPlainServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { Server as SecureServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Logger } from 'pino';
import { formatHostPort, isLoopback } from '../../../common/address.ts';
import type { HostPort } from '../../../common/address.ts';
import { messageOf } from '../../../common/errors.ts';
import { closeServer, listenOn } from '../../../common/listening.ts';
import { sleep } from '../../../common/sleep.ts';
import type { PushOptions } from '../options.ts';
import { PushAnswers, refusal } from './answers.ts';
import type { PushAnswer } from './answers.ts';
import type { PushedItem, PushReport, PushSink } from './item.ts';
import { PushSecurity } from './security.ts';

/** Files may be replaced while we run: they are looked at so often, milliseconds. */
const rereadMs = 10_000;
/**
 * Far more than servers need: each sends on twenty threads at most. Those beyond it are cut off, and a Netflix server that is
 * cut off while it sends loses the thread that did, until it is restarted.
 */
const connectionsMax = 1024;

/**
 * Generous with time, for the reason above; what is held meanwhile is bounded. Servers close what is idle for 30 s themselves,
 * so no request is on its way when we do.
 */
const limits = {
  maxHeaderSize: 16 * 1024,
  headersTimeout: 10_000,
  requestTimeout: 60_000,
  keepAliveTimeout: 120_000,
  connectionsCheckingInterval: 5_000,
};

/**
 * Lets Eureka servers push: for them we are one of their peers, to which they pass on what applications told
 * them. A server waits 200 ms for an answer by default, then it sends the same again; so it is answered before anything is
 * done with what came. What the answers are stands in answers.ts.
 */
export class PushListener {
  private readonly options: PushOptions;
  private readonly sink: PushSink;
  private readonly report: PushReport;
  private readonly log: Logger;
  private readonly security: PushSecurity;
  private readonly answers: PushAnswers;
  private readonly told = new Set<string>();

  constructor(options: PushOptions, sink: PushSink, report: PushReport, log: Logger) {
    this.options = options;
    this.sink = sink;
    this.report = report;
    this.log = log;
    this.security = new PushSecurity(options, log);
    this.answers = new PushAnswers(sink, log);
  }

  /**
   * Serves until the signal aborts. Rejects with ListenError when it cannot listen, with ConfigurationError when a file
   * of the options cannot be used at the start.
   */
  async run(signal: AbortSignal, onListening?: (address: HostPort) => void): Promise<void> {
    await this.security.reread();
    if (signal.aborted) return;
    const server = this.createServer(signal);
    await listenOn(server, this.options.listen, '--eureka-push-listen');
    server.on('error', (error) => this.log.error({ err: error }, 'the push listener failed'));
    const { address: host, port } = server.address() as AddressInfo;
    this.log.info({ address: formatHostPort({ host, port }) }, 'eureka push listening');
    if (!this.security.isProtected && !isLoopback(host)) {
      this.log.warn('anyone may push here: see --eureka-push-user-file, --eureka-push-client-ca');
    }
    onListening?.({ host, port });
    await this.rereadForever(server, signal);
    await closeServer(server);
  }

  private createServer(signal: AbortSignal): Server | SecureServer {
    const serve = (request: IncomingMessage, response: ServerResponse): void =>
      void this.serve(request, response, signal);
    const tls = this.security.tls;
    const server =
      tls === undefined
        ? createPlainServer(limits, serve)
        : createSecureServer({ ...limits, ...tls, handshakeTimeout: limits.headersTimeout }, serve);
    server.maxConnections = connectionsMax;
    server.on('drop', () => this.tellOnce('too many connections, some are refused'));
    server.on('tlsClientError', (error: Error) =>
      this.tellOnce('a server could not open its TLS connection', messageOf(error)),
    );
    return server;
  }

  private async rereadForever(server: Server | SecureServer, signal: AbortSignal): Promise<void> {
    let inForce = this.security.tls;
    for (;;) {
      await sleep(rereadMs, signal);
      if (signal.aborted) return;
      await this.security.reread();
      const { tls } = this.security;
      if (tls === undefined || tls === inForce || !('setSecureContext' in server)) continue;
      inForce = tls;
      try {
        server.setSecureContext(tls);
        this.log.info('eureka push: the certificate was replaced');
      } catch (error) {
        this.log.error(
          { reason: messageOf(error) },
          'eureka push: the new certificate is unusable',
        );
      }
    }
  }

  private async serve(
    request: IncomingMessage,
    response: ServerResponse,
    signal: AbortSignal,
  ): Promise<void> {
    const receivedAt = performance.now();
    const peer = (request.socket.remoteAddress ?? '').replace(/^::ffff:/, '');
    const answer = await this.answerTo(request, signal);
    if (signal.aborted) response.setHeader('connection', 'close');
    send(response, answer);
    this.count(peer, answer);
    const { items } = answer;
    if (items.length === 0) return;
    // What was written leaves at the end of this turn of the event loop, so the work waits for the next one.
    setImmediate(() => {
      if (!signal.aborted) this.handOver(items, receivedAt);
    });
  }

  private async answerTo(request: IncomingMessage, signal: AbortSignal): Promise<PushAnswer> {
    // Who is told so comes again, and finds our successor.
    if (signal.aborted) return refusal(503, 'busy');
    if (this.security.isAllowed(request.headers.authorization)) return this.answers.answer(request);
    this.tellOnce('a server shows no credentials, or wrong ones');
    return refusal(401, 'unauthorized');
  }

  private handOver(items: readonly PushedItem[], receivedAt: number): void {
    try {
      this.sink.take(items, receivedAt);
    } catch (error) {
      // The polls bring what is lost here.
      this.log.error({ err: error }, 'pushed changes could not be taken');
    }
  }

  private count(peer: string, { outcome, items, others }: PushAnswer): void {
    this.report.pushRequest(outcome);
    if (outcome !== 'taken') return;
    if (peer !== '') this.report.pushPeer(peer);
    const counts = new Map<PushedItem['kind'] | 'other', number>();
    if (others > 0) counts.set('other', others);
    for (const { kind } of items) counts.set(kind, (counts.get(kind) ?? 0) + 1);
    for (const [kind, count] of counts) this.report.pushItems(kind, count);
  }

  private tellOnce(what: string, reason?: string): void {
    if (!this.told.has(what)) this.log.warn({ reason }, `eureka push: ${what}`);
    this.told.add(what);
  }
}

/** Node reads on what is left of the request, so that its sender comes to see the answer. */
function send(response: ServerResponse, { status, body }: PushAnswer): void {
  response.writeHead(status, {
    'content-length': Buffer.byteLength(body),
    ...(body === '' ? {} : { 'content-type': 'application/json' }),
    ...(status === 401 ? { 'www-authenticate': 'Basic realm="tributary"' } : {}),
  });
  response.end(body);
}
