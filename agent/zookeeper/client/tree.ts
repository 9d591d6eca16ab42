/**
 * One watched view of a ZooKeeper tree: the seam between the drivers (which know sessions, watches
 * and wire formats) and the readings (which know Dubbo and Spring Cloud).
 *
 * A driver promises:
 * - the first event is `snapshot`: every wanted node that exists, read after a sync;
 * - then `changed` and `removed` in the order in which the server did them, for every wanted node;
 *   a node created with a whole subtree is reported node by node; intermediate states may be left
 *   out (one-shot watches cannot see them), the final one never;
 * - a large snapshot comes in parts, so that nobody has to hold it as a whole: `part`s, with nodes
 *   that were found so far, then `snapshot` with the rest. A `removed` between them takes a node out of
 *   it again; nothing else is said meanwhile. A `lost` before the `snapshot` ends the attempt;
 * - after each reconnect a whole new `snapshot` (persistent watches are not replayed), never
 *   removals guessed from a lost session;
 * - `lost` whenever the view may be behind (no connection, no answer, no permission);
 * - `confirmed` at least every few seconds while the session lives and the view is current;
 * - a node that may not be read (no permission) is reported `unreadable`, never as removed.
 */

/** What a reading wants to know of one node. */
export interface Want {
  /** Report the node itself (`changed` / `removed`), with data if `data` is set. */
  readonly node: boolean;
  /** Read its data, and report it again when the data changes. */
  readonly data: boolean;
  /**
   * Look below it: `true` = all children, a list = only these children (which need not exist; no
   * listing is needed to find them), `false` = nothing below matters.
   */
  readonly children: boolean | readonly string[];
}

/** What is to be watched. `want` is pure and cheap: it is called for every event. */
export interface TreeInterest {
  /** Absolute paths (chroot not included); they need not exist. None is a prefix of another. */
  readonly roots: readonly string[];
  want(path: string): Want;
}

/** Times are `performance.now()` milliseconds. */
export type TreeEvent =
  | {
      readonly kind: 'part';
      /** Whether a new snapshot begins with it. */
      readonly isFirst: boolean;
      /** As in `snapshot`. */
      readonly nodes: ReadonlyMap<string, Buffer | null>;
    }
  | {
      readonly kind: 'snapshot';
      /** Whether parts of it have come before. */
      readonly hasParts: boolean;
      /** Wanted nodes by path that were in no part; null = no data wanted or none there. */
      readonly nodes: ReadonlyMap<string, Buffer | null>;
      readonly observedAt: number;
      /** Present when all servers that could be reached were behind what had been seen. */
      readonly isFromBehind?: true;
    }
  | {
      readonly kind: 'changed';
      readonly path: string;
      readonly data: Buffer | null;
      readonly observedAt: number;
    }
  | { readonly kind: 'removed'; readonly path: string; readonly observedAt: number }
  | { readonly kind: 'confirmed'; readonly observedAt: number }
  | { readonly kind: 'unreadable'; readonly path: string; readonly reason: string }
  | { readonly kind: 'lost'; readonly reason: string };

/** A part of a snapshot. */
export type TreePart = TreeEvent & { readonly kind: 'part' };

/** Whether a whole new snapshot begins with it: it says all that changes before it could. */
export function beginsSnapshot(event: TreeEvent): boolean {
  return event.kind === 'part' ? event.isFirst : event.kind === 'snapshot' && !event.hasParts;
}

/** Of events that wait, what was said after the last reading for the next one: which paths cannot be read. */
export function saidForNext(events: readonly TreeEvent[]): TreeEvent[] {
  const last = events.findLastIndex(({ kind }) => kind === 'part' || kind === 'snapshot');
  return events.slice(last + 1).filter(({ kind }) => kind === 'unreadable');
}

/** A driver. Constructors do not connect; `watch` does, and ends when the signal aborts. */
export interface TreeWatcher {
  /**
   * At most one iteration at a time. `deliver` is called synchronously, in wire order, from the
   * connection's own callback: no promise stands between two replies (a later event in the same
   * TCP segment must not overtake an earlier reply). Resolves when the signal has aborted and the
   * connection is closed.
   */
  watch(
    interest: TreeInterest,
    deliver: (event: TreeEvent) => void,
    signal: AbortSignal,
  ): Promise<void>;

  /**
   * `sync`, then reads: which of these paths do not exist now. Rejects with TransientError when
   * there is no usable connection.
   */
  missing(paths: readonly string[]): Promise<ReadonlySet<string>>;

  /**
   * Reads beside the view, without watches and without a sync: one answer for each question, in their
   * order. For what is too much to be followed and does not change once it is there. Rejects with
   * TransientError when there is no usable connection.
   */
  ask(questions: readonly TreeQuestion[]): Promise<readonly TreeAnswer[]>;
}

/** One read beside the view. */
export interface TreeQuestion {
  readonly kind: 'children' | 'data';
  readonly path: string;
}

/** What a read beside the view has found. */
export type TreeAnswer =
  /** Null when the node has no data. */
  | { readonly kind: 'data'; readonly data: Buffer | null }
  | { readonly kind: 'children'; readonly names: readonly string[] }
  | { readonly kind: 'missing' }
  /** No permission, or an error of this one read. */
  | { readonly kind: 'unreadable'; readonly reason: string };

/** How to reach an ensemble. */
export interface ZooKeeperTarget {
  /** `host:port` each; IPv6 in brackets. Shuffled and resolved anew at each dial. */
  readonly servers: readonly string[];
  /** Path prefix of the connect string (`/a/b`), or empty. */
  readonly chroot: string;
  readonly sessionTimeoutMs: number;
  readonly access: ZooKeeperAccess;
}

/** How the agent proves who it is, and checks who the servers are. Files are read again at each dial. */
export interface ZooKeeperAccess {
  readonly isTls: boolean;
  /** PEM of the authorities that sign the servers' certificates; the system's when absent. */
  readonly caFile: string | undefined;
  /** PEM of the client certificate and its key: both or none. */
  readonly certFile: string | undefined;
  readonly keyFile: string | undefined;
  /** The name that the servers' certificates must have; default: the host as configured. */
  readonly serverName: string | undefined;
  /** Holds `user:password` for the digest scheme. */
  readonly digestFile: string | undefined;
  /** Holds `user:password` for SASL DIGEST-MD5. */
  readonly saslFile: string | undefined;
}

/** In plain text, as nobody. */
export const plainAccess: ZooKeeperAccess = {
  isTls: false,
  caFile: undefined,
  certFile: undefined,
  keyFile: undefined,
  serverName: undefined,
  digestFile: undefined,
  saslFile: undefined,
};
