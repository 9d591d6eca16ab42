import type { ConnectionEnd, ConnectionOptions } from './connection.ts';
import type { Candidate } from './servers.ts';
import type { Credentials } from './access.ts';
import type { TreeAnswer, TreeEvent, TreeInterest, TreeQuestion, ZooKeeperTarget } from './tree.ts';

/**
 * One life of a view: one connection to one server, from the dial to its end. Both drivers are
 * lives; the supervisor (driver.ts) starts one after the other and never two at a time.
 */
export interface WatchLife {
  /**
   * Delivers a snapshot and what follows it, and resolves with why it is over, everything
   * closed. It never delivers `lost`: the supervisor does. Rejects on a defect.
   */
  run(signal: AbortSignal): Promise<LifeEnd>;
  /** See TreeWatcher.missing. */
  missing(paths: readonly string[]): Promise<ReadonlySet<string>>;
  /** See TreeWatcher.ask. */
  ask(questions: readonly TreeQuestion[]): Promise<readonly TreeAnswer[]>;
}

/** So many found nodes of a large tree are handed on before the rest is read. */
export const partNodesMin = 200;
/** So many of the paths that could not be read are tried again at a time. */
export const recheckedPathsMax = 100;

/** The first so many entries, which become the last: all have their turn. */
export function nextInTurn<T>(map: Map<string, T>, max: number): readonly [string, T][] {
  const next = [...map].slice(0, max);
  for (const [key, value] of next) {
    map.delete(key);
    map.set(key, value);
  }
  return next;
}

/** Why a life is over. */
export type LifeEnd =
  | { readonly kind: 'stopped' }
  /** The server does not know addWatch: it is older than 3.6. */
  | { readonly kind: 'unsupported' }
  | {
      readonly kind: 'over';
      readonly cause: ConnectionEnd['kind'];
      readonly error: Error;
      /** See ConnectionEnd. */
      readonly mayBeBehind?: boolean;
    };

/** What a life is given. */
export interface LifeContext {
  readonly candidate: Candidate;
  readonly target: ZooKeeperTarget;
  /** Read for this dial. */
  readonly credentials: Credentials;
  /** Normalized (paths.ts). */
  readonly chroot: string;
  readonly interest: TreeInterest;
  /** May throw: that is a defect, and ends the life. */
  readonly deliver: (event: TreeEvent) => void;
  readonly report: LifeReport;
  readonly timing: Timing;
  /** A server behind this transaction is refused. */
  readonly lastZxid: bigint;
}

/** What a life tells its supervisor beside events. */
interface LifeReport {
  /** A snapshot has been delivered. */
  resynced(nodes: number, elapsedMs: number): void;
  /** The server has answered with a code that is in no list of ours. */
  unknownError(code: number): void;
  /** Something in this directory has changed, and no event told it. */
  unseenChange(directory: string): void;
  /** The highest transaction seen on a connection. */
  zxidSeen(zxid: bigint): void;
}

/** The delays of a life, milliseconds. */
export interface Timing {
  /** From the dial to the granted session. */
  readonly connectTimeoutMs: number;
  /** A request without an answer while pings are answered. */
  readonly requestTimeoutMs: number;
  /** How long a closing connection may take. */
  readonly closeTimeoutMs: number;
  /** How often unreadable paths are tried again (a change of permissions raises no event). */
  readonly recheckIntervalMs: number;
  /**
   * How often some of the directories are looked at (directory-audit.ts), but each no more often than
   * `recheckIntervalMs`.
   */
  readonly auditIntervalMs: number;
}

/** The defaults for a session timeout. */
export function timingFor(sessionTimeoutMs: number): Timing {
  return {
    connectTimeoutMs: Math.min(5_000, Math.max(1_000, sessionTimeoutMs / 2)),
    requestTimeoutMs: Math.max(30_000, 2 * sessionTimeoutMs),
    closeTimeoutMs: 1_000,
    recheckIntervalMs: 30_000,
    auditIntervalMs: 1_000,
  };
}

/** How a life dials its own connections. */
export function connectionOptions(context: LifeContext): ConnectionOptions {
  const { candidate, target, credentials, timing, lastZxid } = context;
  return {
    candidate,
    sessionTimeoutMs: target.sessionTimeoutMs,
    connectTimeoutMs: timing.connectTimeoutMs,
    requestTimeoutMs: timing.requestTimeoutMs,
    closeTimeoutMs: timing.closeTimeoutMs,
    credentials,
    lastZxid,
  };
}
