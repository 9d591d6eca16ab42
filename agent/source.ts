import type { LossKind } from '../common/guard.ts';
import type { Change, Instance } from '../common/instance.ts';

/**
 * The source contract: what every reader of a registry promises, whatever the registry.
 *
 * A source reports what its registry *positively said*, in the order in which it was said, and
 * nothing else. It never turns a failure into a removal: an error, an empty body, an expired
 * session, a server that is still starting are `lost` or `suspect`, and the instances that were
 * reported before stay as they are. Retrying a connection and choosing a server are the source's
 * own business; comparing snapshots, guarding removals and feeding are done once for all
 * sources by the agent, outside.
 *
 * - The first event that carries instances is a `snapshot`. A later snapshot (after a reconnect,
 *   a switch of server, a reconciliation) is complete too: what is missing in it has gone,
 *   subject to the guard. What could be read before and cannot any more is in it as it was. (Only what never could be
 *   is missing, and the snapshot says so: `unread`.)
 * - `changes` are relative to everything reported before. An empty list says that the
 *   registry has just confirmed what is known: it resets the registry age and changes nothing.
 * - Ids are unique within the registry; an upsert replaces the whole instance.
 * - What a registry says may be doubtful without being wrong (it has just come back, much has gone at once). A
 *   source says so with the event (`doubt`); it still reports what was said.
 * - A record that cannot be understood is left out, counted by `SourceReport.dropped`, and
 *   costs the other records nothing.
 * - No event holds the event loop for more than 50 ms to produce, however large the registry.
 */
export interface Source {
  /**
   * Reads the registry until the signal aborts, then ends the iteration. Never throws for what
   * a registry does; a rejection is a defect and ends the agent.
   */
  watch(signal: AbortSignal): AsyncIterable<SourceEvent>;

  /**
   * Asks the registry, live and past every cache, whether these losses are true. See `Verdicts`.
   * `single`: the server that is being read may answer. `mass`: more than that one answer must speak for it:
   * other servers' words, or what else a source knows to prove more than a repetition of the same reading; a
   * source that has nothing of the kind confirms and refutes nothing, and the hold time decides.
   * Rejects with TransientError when nobody could be asked.
   */
  confirmLosses(
    losses: readonly SuspectedLoss[],
    scale: 'single' | 'mass',
    signal: AbortSignal,
  ): Promise<Verdicts>;
}

/** An instance, UP so far, that the registry does not list as UP any more. */
export interface SuspectedLoss {
  readonly instance: Instance;
  /** `removal`: it is said to be gone. `demotion`: it is said to be no longer UP. */
  readonly kind: LossKind;
}

/** What is known of suspected losses, by instance id. Of an id in neither set nothing is known. */
export interface Verdicts {
  /** A removal: positively not there. A demotion: positively not UP, or not there. */
  readonly confirmed: ReadonlySet<string>;
  /** Some server that could be reached lists it as UP. */
  readonly refuted: ReadonlySet<string>;
  /** For the operator: who was asked and what they said, no secrets. Absent when nobody else was asked. */
  readonly testimony?: string;
}

/** Times are `performance.now()` milliseconds of this process. */
export type SourceEvent =
  | {
      readonly kind: 'snapshot';
      /** Every instance of the registry, by id. The receiver owns the map. */
      readonly instances: ReadonlyMap<string, Instance>;
      readonly observedAt: number;
      /** As in `changes`. */
      readonly doubt?: string;
      /**
       * Why parts of the registry are missing in it without having gone: they could not be read. For the operator. The
       * registry is suspect in parts until the source says otherwise.
       */
      readonly unread?: string;
    }
  | {
      readonly kind: 'changes';
      readonly changes: readonly Change[];
      readonly observedAt: number;
      /** Says nothing of the rest of the registry: whether that can be read, and its age, stay as they were. */
      readonly isPartial?: boolean;
      /**
       * Why losses may be untrue at the moment although the registry says them, for the operator: "the ensemble was
       * away for 41 s". They are held by stricter limits then. Absent when nothing speaks against them.
       */
      readonly doubt?: string;
    }
  | {
      /** The registry cannot be read: what is known is going stale. Repeated at will. */
      readonly kind: 'lost';
      /** For the operator: operation, peer and cause, no secrets. */
      readonly reason: string;
    }
  | {
      /** The registry answers, but with something that must not be believed yet. */
      readonly kind: 'suspect';
      readonly reason: string;
      /** It is so with parts of the registry; all others are read, and what they say holds and runs out as ever. */
      readonly isPartial?: boolean;
    };

/** Where a source counts what an operator should see. Implemented by the agent's metrics. */
export interface SourceReport {
  /** A record was left out. `reason` is from a small closed set, fit for a metric label. */
  dropped(reason: string, record: string): void;
  /** The source has (re)connected to a server, or switched to another. */
  connected(server: string): void;
  /** How far the registry's own caches may be behind at most, milliseconds (Eureka), or 0. */
  hiddenDelay(ms: number): void;
  /** How many instances the registry still lists although they stopped renewing, and the ids of some. */
  expiredButListed(count: number, examples: readonly string[]): void;
  /** How many records of a kind are left alone on purpose; kinds from a small closed set, fit for a label. */
  ignored?(kind: string, count: number): void;
  /** How many paths the registry does not let us read. What is known of them stays. */
  unreadable?(count: number): void;
  /** How many host names in the place of addresses could not be resolved. */
  unresolvedHosts?(count: number): void;
}
