import type { Logger } from 'pino';
import { TransientError, messageOf } from '../../../common/errors.ts';
import { sleep } from '../../../common/sleep.ts';
import { AccessFiles } from './access.ts';
import type { Credentials } from './access.ts';
import { Backoff } from './backoff.ts';
import type { BackoffOptions } from './backoff.ts';
import { OneShotWatcher } from './one-shot-watcher.ts';
import { normalizeChroot } from './paths.ts';
import { PersistentWatcher } from './persistent-watcher.ts';
import { ServerList, keyOf } from './servers.ts';
import type { Candidate } from './servers.ts';
import type {
  TreeAnswer,
  TreeEvent,
  TreeInterest,
  TreeQuestion,
  TreeWatcher,
  ZooKeeperTarget,
} from './tree.ts';
import { timingFor } from './watch-life.ts';
import type { LifeContext, LifeEnd, Timing, WatchLife } from './watch-life.ts';
import { ZxidFloor } from './zxid-floor.ts';

/** Which of the two drivers follows a server. */
export type DriverKind = 'persistent' | 'one-shot';

/**
 * What an operator should see of a driver. Implemented by the agent's metrics, which may leave
 * out what they do not count.
 */
export interface TreeReport {
  /** The first snapshot of a new connection has been delivered. `server` as configured. */
  connected(server: string, driver: DriverKind): void;
  /** A connection, or an attempt at one, is over. `cause` is from a small closed set. */
  disconnected?(server: string, cause: string): void;
  /** A snapshot was delivered: how many wanted nodes, and how long reading them took. */
  resynced?(nodes: number, elapsedMs: number): void;
  /** A server has answered with a code that no released server is known to use. */
  unknownError?(code: number): void;
  /** Something has changed in a directory of which no event came: all is read again. */
  unseenChange?(): void;
}

/** What tests change. */
export interface DriverTuning {
  readonly timing: Timing;
  readonly backoff: BackoffOptions;
  /** How long a server is remembered not to know addWatch. */
  readonly oldServerMemoryMs: number;
  /** See ZxidFloor. */
  readonly zxidToleranceMs: number;
}

/** The tuning for a session timeout. */
export function tuningFor(sessionTimeoutMs: number): DriverTuning {
  return {
    timing: timingFor(sessionTimeoutMs),
    backoff: { minMs: 50, maxMs: 10_000, random: Math.random },
    oldServerMemoryMs: 60 * 60_000,
    zxidToleranceMs: Math.max(120_000, 4 * sessionTimeoutMs),
  };
}

/**
 * The driver for an ensemble of any version since 3.4. Throws ConfigurationError for servers that
 * cannot be understood; does not connect.
 */
export function createTreeWatcher(
  target: ZooKeeperTarget,
  report: TreeReport,
  log: Logger,
): TreeWatcher {
  return new TreeDriver(target, report, log, tuningFor(target.sessionTimeoutMs));
}

/**
 * Follows an ensemble through one life (watch-life.ts) after the other: chooses the server, chooses
 * the driver, waits between attempts. One connection at a time. After each life the view is `lost`;
 * every life begins with a whole new snapshot, so that nothing is ever concluded from a session that
 * broke. Delays grow with each attempt and start over only when a resync has completed.
 *
 * Whether a server knows addWatch is found out by using it: an old server refuses and closes the
 * connection, so this costs one connection; the answer is remembered for that address, and
 * forgotten after a while, since servers are upgraded in place.
 */
export class TreeDriver implements TreeWatcher {
  private readonly target: ZooKeeperTarget;
  private readonly report: TreeReport;
  private readonly log: Logger;
  private readonly tuning: DriverTuning;
  private readonly servers: ServerList;
  private readonly access: AccessFiles;
  private readonly backoff: Backoff;
  private readonly floor: ZxidFloor;
  /** When an address was found to be too old for addWatch. */
  private readonly oldServers = new Map<string, number>();
  private life: WatchLife | undefined;
  private hasSnapshot = false;
  /** Why servers could not be followed since one was: said once each, however often they are tried. */
  private readonly told = new Set<string>();
  /** Whether a server is followed although it is behind, and has not said anything yet. */
  private isFollowingBehind = false;

  constructor(target: ZooKeeperTarget, report: TreeReport, log: Logger, tuning: DriverTuning) {
    this.target = target;
    this.report = report;
    this.log = log;
    this.tuning = tuning;
    this.servers = new ServerList(target.servers);
    this.access = new AccessFiles(target.access, log);
    this.backoff = new Backoff(tuning.backoff);
    this.floor = new ZxidFloor(tuning.zxidToleranceMs);
  }

  async watch(
    interest: TreeInterest,
    deliver: (event: TreeEvent) => void,
    signal: AbortSignal,
  ): Promise<void> {
    while (!signal.aborted) {
      const reason = await this.attempt(interest, deliver, signal);
      if (reason === undefined) return;
      deliver({ kind: 'lost', reason });
      const delayMs = this.backoff.next();
      this.log.debug({ delayMs }, 'zookeeper: waiting before the next attempt');
      await sleep(delayMs, signal);
    }
  }

  async missing(paths: readonly string[]): Promise<ReadonlySet<string>> {
    return await this.currentLife().missing(paths);
  }

  async ask(questions: readonly TreeQuestion[]): Promise<readonly TreeAnswer[]> {
    return await this.currentLife().ask(questions);
  }

  private currentLife(): WatchLife {
    if (this.life !== undefined && this.hasSnapshot) return this.life;
    throw new TransientError('zookeeper: no usable connection');
  }

  /** One server, tried and followed to the end. Returns why it ended; undefined when stopped. */
  private async attempt(
    interest: TreeInterest,
    deliver: (event: TreeEvent) => void,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    let candidate: Candidate | undefined;
    let credentials: Credentials | undefined;
    try {
      credentials = await unlessAborted(this.access.read(), signal);
      candidate = await unlessAborted(this.servers.next(), signal);
    } catch (error) {
      if (!(error instanceof TransientError)) throw error;
      const what = credentials === undefined ? 'access files' : 'servers';
      const reason = `zookeeper: ${what} cannot be used: ${messageOf(error)}`;
      this.log[this.isToldFirst(reason) ? 'warn' : 'debug'](
        { reason },
        'zookeeper cannot be dialled',
      );
      return reason;
    }
    if (candidate === undefined || credentials === undefined) return undefined;
    const context: LifeContext = {
      ...this.contextFor(candidate, interest, deliver),
      credentials,
    };
    let end = await this.live(context, this.driverFor(candidate), signal);
    if (end.kind === 'unsupported' && this.needsModernServer) {
      end = { kind: 'over', cause: 'refused', error: tooOld(candidate) };
    } else if (end.kind === 'unsupported') {
      this.oldServers.set(keyOf(candidate), performance.now());
      const { server } = candidate;
      this.log.info({ server }, 'zookeeper server is older than 3.6: using one-shot watches');
      end = await this.live(context, 'one-shot', signal);
    }
    return this.judge(candidate, end);
  }

  /** The driver for old servers speaks neither TLS nor SASL, and plain text is no substitute. */
  private get needsModernServer(): boolean {
    const { isTls, saslFile } = this.target.access;
    return isTls || saslFile !== undefined;
  }

  private async live(
    context: LifeContext,
    driver: DriverKind,
    signal: AbortSignal,
  ): Promise<LifeEnd> {
    const { server } = context.candidate;
    const observed: LifeContext = {
      ...context,
      deliver: (event) => {
        const isFromBehind = event.kind === 'snapshot' && this.isFollowingBehind;
        if (isFromBehind) this.isFollowingBehind = false;
        context.deliver(isFromBehind ? { ...event, isFromBehind } : event);
      },
      report: {
        ...context.report,
        resynced: (nodes, elapsedMs) => {
          this.backoff.reset();
          if (!this.hasSnapshot) {
            this.hasSnapshot = true;
            this.told.clear();
            this.report.connected(server, driver);
            this.log.info({ server, driver, nodes }, 'zookeeper connected');
          }
          this.report.resynced?.(nodes, elapsedMs);
        },
      },
    };
    this.life =
      driver === 'persistent' ? new PersistentWatcher(observed) : new OneShotWatcher(observed);
    try {
      return await this.life.run(signal);
    } finally {
      this.life = undefined;
      this.hasSnapshot = false;
    }
  }

  private contextFor(
    candidate: Candidate,
    interest: TreeInterest,
    deliver: (event: TreeEvent) => void,
  ): Omit<LifeContext, 'credentials'> {
    return {
      candidate,
      target: this.target,
      chroot: normalizeChroot(this.target.chroot),
      interest,
      deliver,
      timing: this.tuning.timing,
      lastZxid: this.floor.value,
      report: {
        resynced: () => undefined,
        unknownError: (code) => {
          this.report.unknownError?.(code);
        },
        unseenChange: (directory) => {
          this.report.unseenChange?.();
          const what = 'nodes that may not be read have come or gone: reading all again';
          const level = this.isToldFirst(what) ? 'warn' : 'debug';
          this.log[level]({ server: candidate.server, directory }, `zookeeper: ${what}`);
        },
        zxidSeen: (zxid) => {
          this.floor.seen(zxid);
        },
      },
    };
  }

  private driverFor(candidate: Candidate): DriverKind {
    const foundOldAt = this.oldServers.get(keyOf(candidate));
    if (foundOldAt === undefined) return 'persistent';
    if (performance.now() - foundOldAt < this.tuning.oldServerMemoryMs) return 'one-shot';
    this.oldServers.delete(keyOf(candidate));
    return 'persistent';
  }

  private isToldFirst(reason: string): boolean {
    if (this.told.has(reason)) return false;
    if (this.told.size >= toldMax) this.told.clear();
    this.told.add(reason);
    return true;
  }

  private judge(candidate: Candidate, end: LifeEnd): string | undefined {
    const { server } = candidate;
    switch (end.kind) {
      case 'stopped':
        return undefined;
      case 'unsupported':
        return `zookeeper ${server}: answers neither driver`;
      case 'over': {
        const reason = messageOf(end.error);
        this.report.disconnected?.(server, end.cause);
        const level = this.isToldFirst(reason) ? 'warn' : 'debug';
        this.log[level]({ server, cause: end.cause, reason }, 'zookeeper lost');
        const isBehind = end.cause === 'stale' || end.mayBeBehind === true;
        if (isBehind && this.floor.refused(performance.now())) {
          this.isFollowingBehind = true;
          this.log.warn('zookeeper: all servers are behind what was seen: following them anyway');
        }
        return reason;
      }
    }
  }
}

const toldMax = 100;

function tooOld(candidate: Candidate): TransientError {
  const { server } = candidate;
  return new TransientError(
    `zookeeper ${server}: the server is older than 3.6 (it does not know addWatch): TLS and SASL need ZooKeeper 3.6 or later`,
  );
}

/** Undefined when the signal aborts first; what comes of the promise then is of no interest. */
async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  const aborted = Promise.withResolvers<undefined>();
  const onAbort = (): void => aborted.resolve(undefined);
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  try {
    promise.catch(() => undefined);
    return await Promise.race([promise, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
