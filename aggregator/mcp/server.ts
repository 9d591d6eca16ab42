import { readFile } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';
import type { Logger } from 'pino';
import { ConfigurationError, messageOf } from '../../common/errors.ts';
import { Pause } from '../../common/yielding.ts';
import type { ChangeOrigin, ResourceStore } from '../store-types.ts';
import type { SubscriberView } from '../view.ts';
import { StreamAdmission } from './admission.ts';
import type { Rate, StreamRates } from './admission.ts';
import { isAddressRange } from './addresses.ts';
import { AuthChecker } from './auth.ts';
import { GrpcServer } from './grpc-http2.ts';
import type { TlsMaterial } from './grpc-http2.ts';
import { grpcCode } from './grpc-status.ts';
import type { GrpcCall, GrpcGate, GrpcMethod, GrpcPeer } from './grpc-types.ts';
import type { McpObserver } from './observer.ts';
import type { PaceOptions } from './pace.ts';
import { ResponseCache } from './response.ts';
import { Subscriber } from './subscriber.ts';
import type { SubscriberContext } from './subscriber.ts';
import { streamAggregatedResources } from './types.ts';

/** Settings of the MCP server. `mcpDefaults` has a value for all but host, port, TLS. */
export interface McpOptions {
  readonly host: string;
  /** 0 = any free port. */
  readonly port: number;
  /** Undefined = plaintext, what istiod speaks by default. */
  readonly tls: McpTls | undefined;
  /** Addresses and address ranges that may connect; empty = every address. */
  readonly allow: readonly string[];
  readonly pace: PaceOptions;
  /** New streams. Above a rate they are rejected with RESOURCE_EXHAUSTED. */
  readonly streamRates: StreamRates;
  /** Requests of one stream. Above the rate they wait. */
  readonly requestRate: Rate;
  readonly connectionsMax: number;
  readonly streamsMax: number;
  readonly streamsPerConnectionMax: number;
  /**
   * Connections are closed at this age, 10 % more or less, so that subscribers spread over
   * replicas; Infinity = never. Milliseconds.
   */
  readonly maxConnectionAgeMs: number;
  /** How long their streams may take to end then, milliseconds. */
  readonly maxConnectionAgeGraceMs: number;
  /** Silence after which a client is asked whether it lives, milliseconds. */
  readonly keepaliveMs: number;
  /** How long it may take to answer, milliseconds. */
  readonly keepaliveTimeoutMs: number;
  /** From connecting to the end of the handshakes, milliseconds. */
  readonly handshakeTimeoutMs: number;
  /** How long a connection may live without a stream, milliseconds. */
  readonly unusedTimeoutMs: number;
  /** How long streams may take to end at stop, milliseconds. */
  readonly stopMs: number;
}

export interface McpTls {
  /** PEM files, read when the server starts. */
  readonly certFile: string;
  readonly keyFile: string;
  /** Authorities of client certificates; undefined = clients are not asked for one. */
  readonly clientCaFile: string | undefined;
  readonly requireClientCertificate: boolean;
  /** Subject alternative names that a client certificate must have one of; empty = any. */
  readonly allowedNames: readonly string[];
}

export const mcpDefaults = {
  allow: [],
  pace: { minIntervalMs: 150, maxIntervalMs: 10_000, share: 0.3 },
  streamRates: { perPeer: { perSecond: 20, burst: 200 }, total: { perSecond: 100, burst: 500 } },
  requestRate: { perSecond: 100, burst: 200 },
  connectionsMax: 1_000,
  streamsMax: 1_000,
  streamsPerConnectionMax: 100,
  maxConnectionAgeMs: 30 * 60_000,
  maxConnectionAgeGraceMs: 10_000,
  keepaliveMs: 30_000,
  keepaliveTimeoutMs: 20_000,
  handshakeTimeoutMs: 10_000,
  unusedTimeoutMs: 5 * 60_000,
  stopMs: 5_000,
} as const satisfies Partial<McpOptions>;

const requestBytesMax = 1024 * 1024;

/**
 * Serves the resource store to istiods. All subscribers share the bytes of a response; a slow one
 * holds back nobody but itself.
 */
export class McpServer {
  private readonly options: McpOptions;
  private readonly store: ResourceStore;
  private readonly observer: McpObserver;
  private readonly log: Logger;
  private readonly open = new Set<Subscriber>();
  private readonly context: SubscriberContext;
  private subscriberId = 0;
  private news: ChangeOrigin[] | undefined;
  private isTelling = false;

  constructor(options: McpOptions, store: ResourceStore, observer: McpObserver, log: Logger) {
    this.options = options;
    this.store = store;
    this.observer = observer;
    this.log = log;
    this.context = {
      pace: options.pace,
      responses: new ResponseCache(),
      observer,
      log,
      stateOf: (collection) => store.state(collection),
      left: (subscriber) => this.unsubscribe(subscriber),
    };
  }

  /**
   * Serves until the signal aborts, then ends all streams with UNAVAILABLE and resolves when
   * everything is closed. Rejects with ConfigurationError when a TLS file or an address
   * range cannot be used, and when it cannot listen.
   */
  async run(
    signal: AbortSignal,
    onListening: (address: { host: string; port: number }) => void,
  ): Promise<void> {
    const { options, observer, log } = this;
    const tls = options.tls === undefined ? undefined : await readTls(options.tls);
    const methods = new Map<string, GrpcMethod>([
      [streamAggregatedResources, (call) => this.subscribe(call)],
    ]);
    const server = new GrpcServer(
      {
        ...options,
        tls,
        requestBytesMax,
        sessionsMax: options.connectionsMax,
        streamsPerSessionMax: options.streamsPerConnectionMax,
        keepalive: { idleMs: options.keepaliveMs, timeoutMs: options.keepaliveTimeoutMs },
        handshakeMs: options.handshakeTimeoutMs,
        unusedMs: options.unusedTimeoutMs,
        ageMs: options.maxConnectionAgeMs,
        ageGraceMs: options.maxConnectionAgeGraceMs,
        ageJitter: 0.1,
      },
      methods,
      gateOf(options),
      { events: observer, log },
    );
    const unsubscribe = this.store.subscribe('ServiceEntry', (origins) => this.changed(origins));
    try {
      await server.run(signal, onListening);
    } finally {
      unsubscribe();
    }
  }

  /** Every open stream, oldest first. */
  subscribers(): SubscriberView[] {
    return [...this.open].map((subscriber) => subscriber.view());
  }

  private subscribe(call: GrpcCall): Subscriber {
    this.subscriberId++;
    const subscriber = new Subscriber(this.subscriberId, call, this.context);
    this.open.add(subscriber);
    this.observer.subscribers(this.open.size);
    return subscriber;
  }

  private unsubscribe(subscriber: Subscriber): void {
    this.open.delete(subscriber);
    this.observer.subscribers(this.open.size);
    this.observer.subscriberGone(subscriber.name());
  }

  private changed(origins: readonly ChangeOrigin[]): void {
    this.news ??= [];
    this.news.push(...origins);
    if (!this.isTelling) void this.tell();
  }

  /**
   * Tells every subscriber, the first ones at once. With many of them it gives the event loop back
   * in between; what changes meanwhile is told in another round.
   */
  private async tell(): Promise<void> {
    this.isTelling = true;
    const pause = new Pause();
    for (let origins = this.news; origins !== undefined; origins = this.news) {
      this.news = undefined;
      for (const subscriber of [...this.open]) {
        subscriber.changed('ServiceEntry', origins);
        if (pause.isDue()) await pause.turn();
      }
    }
    this.isTelling = false;
  }
}

function gateOf(options: McpOptions): GrpcGate {
  const bad = options.allow.filter((range) => !isAddressRange(range));
  if (bad.length > 0) {
    throw new ConfigurationError(bad.map((range) => `mcp.allow: not an address range: ${range}`));
  }
  const auth = new AuthChecker({
    allow: options.allow,
    requireClientCertificate: options.tls?.requireClientCertificate ?? false,
    allowedNames: options.tls?.allowedNames ?? [],
  });
  const admission = new StreamAdmission(options.streamRates, performance.now());
  return {
    admitConnection: (address) => auth.isAddressAllowed(address),
    admitStream: (peer: GrpcPeer) => {
      if (!admission.admit(peer.address, performance.now())) {
        return { code: grpcCode.resourceExhausted, message: 'too many new streams' };
      }
      return auth.checkStream(peer);
    },
  };
}

async function readTls(tls: McpTls): Promise<TlsMaterial> {
  const [cert, key, clientCa] = await Promise.all([
    readPem('certFile', tls.certFile),
    readPem('keyFile', tls.keyFile),
    tls.clientCaFile === undefined ? undefined : readPem('clientCaFile', tls.clientCaFile),
  ]);
  try {
    createSecureContext({ cert, key, ...(clientCa === undefined ? {} : { ca: clientCa }) });
  } catch (error) {
    throw new ConfigurationError([`mcp.tls: ${messageOf(error)}`]);
  }
  return { cert, key, clientCa, requireClientCertificate: tls.requireClientCertificate };
}

async function readPem(option: string, file: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (error) {
    throw new ConfigurationError([`mcp.tls.${option}: ${messageOf(error)}`]);
  }
}
