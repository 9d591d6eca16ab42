import { Client, status as grpcStatus } from '@grpc/grpc-js';
import type { ClientDuplexStream, ServiceError } from '@grpc/grpc-js';
import type { Logger } from 'pino';
import { formatHostPort } from '../common/address.ts';
import type { HostPort } from '../common/address.ts';
import { fullJitter } from '../common/backoff.ts';
import { messageOf, TransientError } from '../common/errors.ts';
import { sleep } from '../common/sleep.ts';
import { feedStream, messageBytesMax } from '../proto/feed.ts';
import { loadDialCredentials } from './feed-credentials.ts';
import type { FeedAccess } from './feed-credentials.ts';
import { FeedStream } from './feed-stream.ts';
import type { Feeder, FeedStreamReport } from './feed-stream.ts';
import type { AgentObserver } from './observer.ts';

/** One aggregator address and how to reach it. */
export interface FeedClientOptions {
  readonly address: HostPort;
  /** The host as configured, for TLS. */
  readonly host: string;
  readonly access: FeedAccess;
  /** Whether another client of this agent is connected to that process of an aggregator. */
  readonly isFedElsewhere: (aggregator: string, self: FeedClient) => boolean;
}

/** What the admin page shows of one aggregator address. */
export interface FeedClientStatus {
  readonly address: string;
  /** `duplicate`: the aggregator behind this address is fed at another one already. */
  readonly state: 'connecting' | 'welcomed' | 'waiting' | 'duplicate';
  /** Why the last stream ended, or empty. */
  readonly reason: string;
  /** The last sequence that the aggregator accepted on its present stream. */
  readonly accepted: number;
  readonly served: boolean;
}

const feedClientTimes = {
  heartbeatMs: 5000,
  /** Without any message for so long the aggregator counts as dead. */
  silenceMs: 10_000,
  /** A stream that lived for so long, and on which something was accepted, resets the back-off. */
  soundMs: 10_000,
} as const;

const backoff = { baseMs: 1000, maxMs: 30_000 };
const refusedDelayMs = 5000;
const refusals: ReadonlySet<number> = new Set([
  grpcStatus.PERMISSION_DENIED,
  grpcStatus.UNAUTHENTICATED,
  grpcStatus.FAILED_PRECONDITION,
  grpcStatus.ABORTED,
  grpcStatus.INVALID_ARGUMENT,
]);

const channelOptions = {
  'grpc.max_send_message_length': messageBytesMax,
  'grpc.max_receive_message_length': messageBytesMax,
  'grpc.keepalive_time_ms': 20_000,
  'grpc.keepalive_timeout_ms': 10_000,
  // One connection a client, closed with it; no retry buffer, so that write callbacks tell the truth.
  'grpc.use_local_subchannel_pool': 1,
  'grpc.enable_retries': 0,
  'grpc.per_rpc_retry_buffer_size': 0,
  // The address was chosen here; a proxy from the environment would defeat that.
  'grpc.enable_http_proxy': 0,
  'grpc.service_config_disable_resolution': 1,
};

type Call = ClientDuplexStream<Buffer, Buffer>;

/** Feeds one aggregator address: dials, keeps a stream, and comes back with full jitter when it ends. */
export class FeedClient {
  private readonly options: FeedClientOptions;
  private readonly feeder: Feeder;
  private readonly observer: AgentObserver;
  private readonly log: Logger;
  private readonly name: string;
  private stream: FeedStream | undefined;
  private state: FeedClientStatus['state'] = 'connecting';
  private reason = '';
  private served = false;
  private aggregator = '';

  constructor(options: FeedClientOptions, feeder: Feeder, observer: AgentObserver, log: Logger) {
    this.options = options;
    this.feeder = feeder;
    this.observer = observer;
    this.name = formatHostPort(options.address);
    this.log = log.child({ aggregator: this.name });
  }

  get isConnected(): boolean {
    return this.state === 'welcomed';
  }

  /** Whether its stream leads to that process of an aggregator. */
  feeds(aggregator: string): boolean {
    return this.isConnected && this.aggregator === aggregator;
  }

  /** Sends a heartbeat now, on an open stream. */
  beat(): void {
    if (this.isConnected) this.stream?.beat();
  }

  status(): FeedClientStatus {
    return {
      address: this.name,
      state: this.state,
      reason: this.reason,
      accepted: this.stream?.accepted ?? 0,
      served: this.served,
    };
  }

  /** Feeds until the signal aborts. Never rejects for what a network or an aggregator does. */
  async run(signal: AbortSignal): Promise<void> {
    let failures = 0;
    const isStopped = (): boolean => signal.aborted;
    while (!isStopped()) {
      const startedAt = performance.now();
      this.state = 'connecting';
      let wasSound = false;
      let isRefused = false;
      try {
        await this.feedOnce(signal);
      } catch (error) {
        wasSound =
          (this.stream?.accepted ?? 0) > 0 &&
          performance.now() - startedAt > feedClientTimes.soundMs;
        isRefused = isRefusal(error);
        this.noteEnd(error, failures);
      }
      this.stream = undefined;
      if (isStopped()) return;
      this.state = 'waiting';
      this.observer.disconnected(this.name);
      if (wasSound) failures = 0;
      await sleep((isRefused ? refusedDelayMs : 0) + fullJitter(backoff, failures++), signal);
      while (!isStopped() && this.isDuplicate()) {
        this.state = 'duplicate';
        await sleep(refusedDelayMs, signal);
      }
    }
  }

  private isDuplicate(): boolean {
    return this.aggregator !== '' && this.options.isFedElsewhere(this.aggregator, this);
  }

  private noteEnd(error: unknown, failures: number): void {
    const reason = describe(error);
    const isNews = this.isConnected || reason !== this.reason;
    this.reason = reason;
    const level = isNews || failures === 5 ? 'warn' : 'debug';
    this.log[level]({ reason }, 'feed: the stream to the aggregator has ended');
  }

  private async feedOnce(signal: AbortSignal): Promise<void> {
    const dial = await loadDialCredentials(this.options.access, this.options.host);
    if (signal.aborted) return;
    const client = new Client(grpcTarget(this.options.address), dial.channel, {
      ...channelOptions,
      ...dial.options,
    });
    try {
      const { path, requestSerialize, responseDeserialize } = feedStream;
      const call = client.makeBidiStreamRequest(
        path,
        requestSerialize,
        responseDeserialize,
        dial.metadata,
      );
      await this.drive(call, signal);
    } finally {
      client.close();
    }
  }

  /** Resolves when the signal aborts, rejects with why the stream ended else. */
  private drive(call: Call, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      let heardAt = performance.now();
      const stream = new FeedStream(
        this.feeder,
        { write: (message, flushed) => void call.write(message, flushed) },
        this.streamReport(),
      );
      this.stream = stream;
      const finish = (end: () => void): void => {
        clearInterval(heartbeats);
        clearInterval(watch);
        signal.removeEventListener('abort', abort);
        stream.stop();
        call.cancel();
        end();
      };
      const abort = (): void => finish(resolve);
      const fail = (error: unknown): void => finish(() => reject(asError(error)));
      const heartbeats = setInterval(() => stream.beat(), feedClientTimes.heartbeatMs);
      const watch = setInterval(() => {
        if (performance.now() - heardAt < feedClientTimes.silenceMs) return;
        fail(new TransientError(`no answer for ${feedClientTimes.silenceMs / 1000} s`));
      }, 1000);
      signal.addEventListener('abort', abort, { once: true });
      call.on('data', (bytes: Buffer) => {
        heardAt = performance.now();
        try {
          stream.receive(bytes);
        } catch (error) {
          fail(error);
        }
      });
      call.on('error', fail);
      call.on('end', () => fail(new TransientError('ended by the aggregator')));
      stream.start();
    });
  }

  private streamReport(): FeedStreamReport {
    return {
      welcomed: ({ resume, served, aggregator }) => {
        this.aggregator = aggregator;
        this.state = 'welcomed';
        this.reason = '';
        this.served = served;
        this.observer.connected(this.name, resume);
        this.log.info({ isResumed: resume, isServed: served }, 'feed: welcomed by the aggregator');
      },
      observedToSent: (seconds) => this.observer.observedToSent(this.name, seconds),
      roundTrip: (seconds) => this.observer.roundTrip(this.name, seconds),
      sent: (batches, bytes) => this.observer.sent(this.name, batches, bytes),
      resync: (reason) => this.log.warn({ reason }, 'feed: the aggregator wants a snapshot'),
    };
  }
}

function grpcTarget({ host, port }: HostPort): string {
  return host.includes(':') ? `ipv6:[${host}]:${port}` : `ipv4:${host}:${port}`;
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && 'code' in error && 'details' in error;
}

function isRefusal(error: unknown): boolean {
  return isServiceError(error) && refusals.has(error.code);
}

function describe(error: unknown): string {
  if (!isServiceError(error)) return messageOf(error);
  return `${grpcStatus[error.code]}: ${error.details}`;
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
