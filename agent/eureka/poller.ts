import pRetry from 'p-retry';
import { TransientError } from '../../common/errors.ts';
import { fullJitter } from '../../common/backoff.ts';
import { sleep } from '../../common/sleep.ts';
import type { EurekaClient } from './client.ts';
import { candidates, failed, startFailover, succeeded } from './failover.ts';
import type { Failover } from './failover.ts';
import type { EurekaOptions } from './options.ts';
import type { ServiceUrl } from './service-url.ts';
import { ServerSession } from './session.ts';
import type { ReadResult, SessionObserver } from './session.ts';

/** The servers that one poll asks at most before it is given up. */
const serversPerPoll = 3;
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

/** A failed poll on its way through the retries. */
class PollFailure extends TransientError {
  readonly why: FailureKind;

  constructor(reason: string, why: FailureKind) {
    super(reason);
    this.why = why;
  }
}

/** Follows one server of a cluster for as long as it answers, else the next one. One poll at a time. */
export class Poller {
  private readonly client: EurekaClient;
  private readonly options: EurekaOptions;
  private readonly servers: ReadonlyMap<string, ServiceUrl>;
  private readonly observer: PollerObserver;
  private failover: Failover;
  private current: ServerSession | undefined;

  constructor(
    client: EurekaClient,
    options: EurekaOptions,
    servers: readonly ServiceUrl[],
    observer: PollerObserver,
  ) {
    this.client = client;
    this.options = options;
    this.servers = new Map(servers.map((server) => [server.url, server]));
    this.observer = observer;
    this.failover = startFailover([...this.servers.keys()]);
  }

  /** The session that was read last with success. */
  get session(): ServerSession | undefined {
    return this.current;
  }

  /** The servers beside the one that is followed. */
  get others(): readonly ServiceUrl[] {
    const followed = this.current?.server.url;
    return [...this.servers.values()].filter(({ url }) => url !== followed);
  }

  /** One poll, repeated quickly with full jitter for what may pass. Never throws for what servers do. */
  async poll(signal: AbortSignal): Promise<PollResult> {
    const attempt = async (): Promise<PollResult> => {
      const result = await this.pollOnce(signal);
      if (result.kind === 'failed') throw new PollFailure(result.reason, result.why);
      return result;
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
    this.failover = succeeded(this.failover, session.server.url);
    this.current = session;
  }

  private async pollOnce(signal: AbortSignal): Promise<PollResult> {
    const reasons: string[] = [];
    let why: FailureKind = 'refused';
    for (const url of candidates(this.failover, performance.now()).slice(0, serversPerPoll)) {
      const server = this.servers.get(url);
      if (server === undefined || signal.aborted) continue;
      const isFollowed = this.current?.server.url === url;
      const session =
        isFollowed && this.current !== undefined ? this.current : this.newSession(server);
      const read = await session.read(signal);
      if (read.kind === 'read') {
        this.follow(session);
        return { kind: 'read', read, session };
      }
      this.failover = failed(this.failover, url, performance.now());
      if (read.why === 'down' && isFollowed) {
        session.expectRestart();
        this.observer.serverDown();
      }
      reasons.push(`${url}: ${read.reason}`);
      why = worse(why, read.why);
    }
    return { kind: 'failed', reason: reasons.join('; '), why };
  }

  private newSession(server: ServiceUrl): ServerSession {
    const own = { options: this.options, observer: this.observer };
    return new ServerSession(server, this.client, own, this.current?.view);
  }
}

/** Of several servers' failures: an empty answer says most, a refusal least. */
function worse(one: FailureKind, other: FailureKind): FailureKind {
  if (one === 'empty-body' || other === 'refused') return one;
  return other;
}
