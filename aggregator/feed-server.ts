import { randomUUID } from 'node:crypto';
import { Server, ServerCredentials, status } from '@grpc/grpc-js';
import type { ServerDuplexStream } from '@grpc/grpc-js';
import type { Logger } from 'pino';
import { formatHostPort } from '../common/address.ts';
import { ListenError } from '../common/listening.ts';
import type { RegistryId } from '../common/registry.ts';
import { sleep } from '../common/sleep.ts';
import { untilAborted } from '../common/until-aborted.ts';
import { feedStream, messageBytesMax } from '../proto/feed.ts';
import type { Hello } from '../proto/feed.ts';
import type { AgentIdentity, ContributionSink } from './contribution.ts';
import { FeedAccessControl } from './feed-access.ts';
import type { FeedClientAccess } from './feed-access.ts';
import { ReloadingCredentials } from './feed-credentials.ts';
import type { FeedTls } from './feed-credentials.ts';
import { FeedIntake } from './feed-intake.ts';
import type { Admission, FeedHost } from './feed-intake.ts';
import { FeedEnd, FeedSession } from './feed-session.ts';
import type { Position, ResyncCause } from './feed-session.ts';

/** Where the feed counts what an operator should see. Implemented by the aggregator's metrics. */
export interface FeedObserver {
  connected(registry: RegistryId, agentId: string): void;
  disconnected(registry: RegistryId, agentId: string): void;
  /** A stream ended before it was welcomed; `code` is the name of its gRPC status. */
  refused(code: string): void;
  /** A snapshot was complete, or a Delta has come, with so many instances or changes. */
  received(registry: RegistryId, what: 'snapshot' | 'delta', count: number): void;
  resync(registry: RegistryId, cause: ResyncCause): void;
  throttled(): void;
  /** An instance that the catalog cannot use; `problem` is for a log. */
  leftOut(registry: RegistryId, problem: string): void;
}

export interface FeedServerOptions {
  readonly host: string;
  /** 0 = any free one. */
  readonly port: number;
  readonly tls?: FeedTls;
  /** Who may feed what. None: everyone (with a certificate, if TLS has client authorities). */
  readonly clients: readonly FeedClientAccess[];
  /** Streams at one time; default 1000. */
  readonly streamsMax?: number;
  /** Instances of one agent; default 2,000,000. */
  readonly instancesMax?: number;
  /** Name of this process; default random. */
  readonly aggregator?: string;
}

const defaultStreamsMax = 1000;
const defaultInstancesMax = 2_000_000;
/** Agents whose position is remembered for resuming. */
const positionsMax = 10_000;
const drainMs = 2000;

const serverOptions = {
  'grpc.max_receive_message_length': messageBytesMax,
  'grpc.max_send_message_length': messageBytesMax,
  'grpc.max_concurrent_streams': 100,
  'grpc.keepalive_time_ms': 20_000,
  'grpc.keepalive_timeout_ms': 10_000,
};

/**
 * The gRPC server of the feed. Every stream has its own intake; what is shared is who may come in, which
 * stream speaks for an agent (the newest), and where each agent stood, so that it can resume.
 */
export class FeedServer implements FeedHost {
  readonly observer: FeedObserver;
  waitingBytes = 0;
  private readonly options: FeedServerOptions;
  private readonly sink: ContributionSink;
  private readonly log: Logger;
  private readonly access: FeedAccessControl;
  private readonly aggregator: string;
  private readonly intakes = new Set<FeedIntake>();
  private readonly speakers = new Map<string, FeedIntake>();
  private readonly peers = new WeakMap<FeedIntake, ServerDuplexStream<Buffer, Buffer>>();
  private readonly positions = new Map<string, Position>();
  private isStopping = false;

  constructor(
    options: FeedServerOptions,
    sink: ContributionSink,
    observer: FeedObserver,
    log: Logger,
  ) {
    this.options = options;
    this.sink = sink;
    this.observer = observer;
    this.log = log;
    this.aggregator = options.aggregator ?? randomUUID();
    const requiresCertificate = options.tls?.clientCaFile !== undefined;
    this.access = new FeedAccessControl(options.clients, requiresCertificate, log);
  }

  /**
   * Serves until the signal aborts, then ends all streams with UNAVAILABLE. Rejects with ListenError
   * when it cannot listen, with the cause when the TLS files cannot be used.
   */
  async run(
    signal: AbortSignal,
    onListening: (address: { readonly host: string; readonly port: number }) => void,
  ): Promise<void> {
    const server = new Server(serverOptions);
    server.addService(
      { stream: { ...feedStream, originalName: 'Stream' } },
      { stream: (call: ServerDuplexStream<Buffer, Buffer>) => this.accept(call) },
    );
    const { tls, host } = this.options;
    const reloading =
      tls === undefined ? undefined : await ReloadingCredentials.load(tls, this.log);
    const port = await this.bind(server, reloading ?? ServerCredentials.createInsecure());
    onListening({ host, port });
    await (reloading?.watch(signal) ?? untilAborted(signal));
    this.isStopping = true;
    const ended = Array.from(this.intakes, (intake) => {
      intake.end(new FeedEnd(status.UNAVAILABLE, 'the aggregator is stopping'));
      return intake.done;
    });
    await Promise.all(ended);
    await shutDown(server);
  }

  /**
   * Forgets where an agent stood (all agents of the registry without `agentId`): its next stream
   * starts over. To be called when the catalog has discarded what it said. An open stream is ended.
   */
  forget(registry: RegistryId, agentId?: string): void {
    for (const key of [...this.positions.keys(), ...this.speakers.keys()]) {
      const isMeant =
        agentId === undefined ? key.startsWith(`${registry} `) : key === keyOf(registry, agentId);
      if (!isMeant) continue;
      this.speakers.get(key)?.end(new FeedEnd(status.UNAVAILABLE, 'start over'));
      this.positions.delete(key);
    }
  }

  async admit(hello: Hello, identity: AgentIdentity, intake: FeedIntake): Promise<Admission> {
    const { registry, agentId } = identity;
    await this.checkAccess(registry, intake);
    const key = keyOf(registry, agentId);
    const older = this.speakers.get(key);
    this.speakers.set(key, intake);
    if (older !== undefined) {
      older.end(new FeedEnd(status.ABORTED, 'a newer stream of the same agent has come'));
      await older.done;
    }
    if (this.speakers.get(key) !== intake) {
      throw new FeedEnd(status.ABORTED, 'a newer stream of the same agent has come');
    }
    const contribution = this.sink.open(identity);
    if (!contribution.hasBase) this.positions.delete(key);
    const session = new FeedSession(hello, this.positions.get(key), {
      instancesMax: this.options.instancesMax ?? defaultInstancesMax,
      served: this.sink.isServed(registry),
      aggregator: this.aggregator,
    });
    return { session, contribution, keep: (position) => this.keep(key, position) };
  }

  private keep(key: string, position: Position | undefined): void {
    this.positions.delete(key);
    if (position === undefined) return;
    this.positions.set(key, position);
    if (this.positions.size <= positionsMax) return;
    for (const oldest of this.positions.keys()) {
      if (this.speakers.has(oldest)) continue;
      this.positions.delete(oldest);
      return;
    }
  }

  private async checkAccess(registry: RegistryId, intake: FeedIntake): Promise<void> {
    const call = this.peers.get(intake);
    const [header = ''] = call?.metadata.get('authorization') ?? [];
    const certificate = call?.getAuthContext().sslPeerCertificate;
    const peer = {
      authorization: String(header),
      alternativeNames: certificate === undefined ? undefined : (certificate.subjectaltname ?? ''),
    };
    await this.access.check(peer, registry);
  }

  private accept(call: ServerDuplexStream<Buffer, Buffer>): void {
    const intake = new FeedIntake(call, this, this.log);
    this.peers.set(intake, call);
    if (this.isStopping) {
      intake.end(new FeedEnd(status.UNAVAILABLE, 'the aggregator is stopping'));
      return;
    }
    if (this.intakes.size >= (this.options.streamsMax ?? defaultStreamsMax)) {
      intake.end(new FeedEnd(status.RESOURCE_EXHAUSTED, 'too many streams'));
      return;
    }
    this.intakes.add(intake);
    void intake.done.then(() => {
      this.intakes.delete(intake);
      for (const [key, speaker] of this.speakers) if (speaker === intake) this.speakers.delete(key);
    });
  }

  private bind(server: Server, credentials: ServerCredentials): Promise<number> {
    const { host, port } = this.options;
    return new Promise((resolve, reject) => {
      server.bindAsync(formatHostPort({ host, port }), credentials, (error, bound) => {
        if (error === null) resolve(bound);
        else reject(new ListenError('--feed-listen', { host, port }, error));
      });
    });
  }
}

function keyOf(registry: RegistryId, agentId: string): string {
  return `${registry} ${agentId}`;
}

async function shutDown(server: Server): Promise<void> {
  const deadline = new AbortController();
  const drained = new Promise<void>((resolve) => {
    server.tryShutdown(() => {
      deadline.abort();
      resolve();
    });
  });
  await Promise.race([drained, sleep(drainMs, deadline.signal)]);
  server.forceShutdown();
}
