import pRetry from 'p-retry';
import { TransientError } from '../../common/errors.ts';
import { fullJitter } from '../../common/backoff.ts';
import { sleep } from '../../common/sleep.ts';
import type { EurekaClient } from './client.ts';
import { candidates, failed, relisted, startFailover, succeeded } from './failover.ts';
import type { Failover } from './failover.ts';
import type { EurekaOptions } from './options.ts';
import type { ServerList } from './server-list.ts';
import type { ServiceUrl } from './service-url.ts';
import { ServerSession } from './session.ts';
import type { ReadResult, SessionObserver } from './session.ts';

/** The servers that one poll asks at most before it is given up. */
const serversPerPoll = 3;
/** A server that is returned to of our own accord knows at least this share of what is known already, */
const returnSizeShareMin = 0.85;
/** and somebody for so long, milliseconds: it may have just been started. */
const returnMemoryMinMs = 90_000;
/** A poll that failed for a passing reason is repeated soon, so often. */
const quickRetries = 2;
const quickRetry = { baseMs: 300, maxMs: 1_000 };

type FailureKind = Extract<ReadResult, { kind: 'failed' }>['why'];

export type PollResult =
  | {
      readonly kind: 'read';
      readonly read: Extract<ReadResult, { kind: 'read' }>;
      /** The session that was read, followed from now on. */
      readonly session: ServerSession;
    }
  | {
      readonly kind: 'failed';
      /** Every server that was asked, with what came of it. */
      readonly reason: string;
      readonly why: FailureKind;
    };

export interface PollerObserver extends SessionObserver {
  /** The server that is followed is not there: it may come back with nothing in its memory. */
  serverDown(): void;
}

/** The servers of a cluster as they are now. */
export type PolledServers = Pick<
  ServerList,
  'servers' | 'preferredUrls' | 'problem' | 'keepFresh' | 'reconsider'
>;

/** A failed poll on its way through the retries. */
class PollFailure extends TransientError {
  readonly why: FailureKind;

  constructor(reason: string, why: FailureKind) {
    super(reason);
    this.why = why;
  }
}

/**
 * Follows one server of a cluster for as long as it answers, else the next one. One poll at a time. The list of servers
 * may change meanwhile: a server that is no longer listed is not polled any more.
 */
export class Poller {
  private readonly client: EurekaClient;
  private readonly options: EurekaOptions;
  private readonly list: PolledServers;
  private readonly observer: PollerObserver;
  private servers: readonly ServiceUrl[];
  private failover: Failover;
  private current: ServerSession | undefined;

  constructor(
    client: EurekaClient,
    options: EurekaOptions,
    list: PolledServers,
    observer: PollerObserver,
  ) {
    this.client = client;
    this.options = options;
    this.list = list;
    this.observer = observer;
    this.servers = list.servers;
    this.failover = startFailover(urlsOf(list.servers), list.preferredUrls);
  }

  /** The session that was read last with success. */
  get session(): ServerSession | undefined {
    return this.current;
  }

  /** The servers beside the one that is followed. */
  get others(): readonly ServiceUrl[] {
    const followed = this.current?.server.url;
    return this.list.servers.filter(({ url }) => url !== followed);
  }

  /** One poll, repeated quickly with full jitter for what may pass. Never throws for what servers do. */
  async poll(signal: AbortSignal): Promise<PollResult> {
    await this.list.keepFresh(signal);
    const attempt = async (): Promise<PollResult> => {
      const result = await this.pollOnce(signal);
      if (result.kind === 'read') return result;
      await this.list.reconsider(signal);
      throw new PollFailure(result.reason, result.why);
    };
    try {
      return await pRetry(attempt, {
        retries: quickRetries,
        // The delay is ours: p-retry's own jitter lies between once and twice the step.
        minTimeout: 0,
        maxRetryTime: this.options.requestTimeoutMs,
        shouldRetry: ({ error }) =>
          error instanceof PollFailure && error.why !== 'refused' && !signal.aborted,
        onFailedAttempt: ({ attemptNumber, retriesLeft, error }) =>
          retriesLeft > 0 && error instanceof PollFailure && error.why !== 'refused'
            ? sleep(fullJitter(quickRetry, attemptNumber - 1), signal)
            : undefined,
      });
    } catch (error) {
      if (!(error instanceof PollFailure)) throw error;
      return { kind: 'failed', reason: error.message, why: error.why };
    }
  }

  /** One full read of a server beside the one that is followed; undefined when it cannot be read. */
  async readOnce(server: ServiceUrl, signal: AbortSignal): Promise<ServerSession | undefined> {
    const session = this.newSession(server);
    return (await session.read(signal)).kind === 'read' ? session : undefined;
  }

  /** From now on this session is polled first. */
  follow(session: ServerSession): void {
    const { url } = session.server;
    this.failover = succeeded(this.failover, url, performance.now(), Math.random());
    this.current = session;
  }

  private async pollOnce(signal: AbortSignal): Promise<PollResult> {
    this.adoptList();
    const reasons: string[] = [];
    let why: FailureKind = this.servers.length === 0 ? 'transient' : 'refused';
    const followed = this.current?.server.url;
    const asked = candidates(this.failover, performance.now()).slice(0, serversPerPoll);
    for (const [index, url] of asked.entries()) {
      const server = this.servers.find((one) => one.url === url);
      if (server === undefined || isAborted(signal)) continue;
      const session =
        url === followed && this.current !== undefined ? this.current : this.newSession(server);
      const read = await session.read(signal);
      const isReturn = followed !== undefined && asked.indexOf(followed) > index;
      if (read.kind === 'read') {
        if (isReturn && !this.isWorthReturning(session)) continue;
        this.follow(session);
        return { kind: 'read', read, session };
      }
      if (isAborted(signal)) continue;
      this.noteFailure(session, read.why);
      reasons.push(`${url}: ${read.reason}`);
      why = worse(why, read.why);
    }
    const { problem } = this.list;
    if (problem !== undefined) reasons.push(problem);
    return { kind: 'failed', reason: reasons.join('; ') || 'no server to ask', why };
  }

  private adoptList(): void {
    const { servers, preferredUrls } = this.list;
    if (servers === this.servers) return;
    this.servers = servers;
    const list = { servers: urlsOf(servers), preferred: preferredUrls };
    this.failover = relisted(this.failover, list, performance.now(), Math.random());
  }

  /** Leaving a server that is well must not lose anything. */
  private isWorthReturning(session: ServerSession): boolean {
    const size = this.current?.view.size ?? 0;
    const isYoung = session.memoryMs < returnMemoryMinMs;
    return !isYoung && session.view.size >= size * returnSizeShareMin;
  }

  private noteFailure(session: ServerSession, why: FailureKind): void {
    this.failover = failed(this.failover, session.server.url, performance.now());
    if (why !== 'down' || session !== this.current) return;
    session.expectRestart();
    this.observer.serverDown();
  }

  private newSession(server: ServiceUrl): ServerSession {
    const own = { options: this.options, observer: this.observer };
    return new ServerSession(server, this.client, own, this.current?.view);
  }
}

function urlsOf(servers: readonly ServiceUrl[]): readonly string[] {
  return servers.map(({ url }) => url);
}

/** Of several servers' failures: an empty answer says most, a refusal least. */
function worse(one: FailureKind, other: FailureKind): FailureKind {
  if (one === 'empty-body' || other === 'refused') return one;
  return other;
}

function isAborted(signal: AbortSignal): boolean {
  return signal.aborted;
}
