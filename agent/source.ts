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
 *   subject to the guard.
 * - `changes` are relative to everything reported before. An empty list says that the
 *   registry has just confirmed what is known: it resets the registry age and changes nothing.
 * - Ids are unique within the registry; an upsert replaces the whole instance.
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
   * Asks the registry, live and past every cache, which of these instances are gone.
   * Returns the ids that it positively denies; an id that it still knows, or that it could not be
   * asked about, is not in the answer.
   * `single`: the server that is being read may answer. `mass`: only another server's word (or
   * whatever else proves more than a repetition of the same reading) counts; a source that has no
   * such second witness answers with an empty set, and the hold time decides.
   * Rejects with TransientError when nobody could be asked.
   */
  confirmGone(
    instances: readonly Instance[],
    scale: 'single' | 'mass',
    signal: AbortSignal,
  ): Promise<ReadonlySet<string>>;
}

/** Times are `performance.now()` milliseconds of this process. */
export type SourceEvent =
  | {
      readonly kind: 'snapshot';
      /** Every instance of the registry, by id. The receiver owns the map. */
      readonly instances: ReadonlyMap<string, Instance>;
      readonly observedAt: number;
    }
  | {
      readonly kind: 'changes';
      readonly changes: readonly Change[];
      readonly observedAt: number;
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
    };

/** Where a source counts what an operator should see. Implemented by the agent's metrics. */
export interface SourceReport {
  /** A record was left out. `reason` is from a small closed set, fit for a metric label. */
  dropped(reason: string, record: string): void;
  /** The source has (re)connected to a server, or switched to another. */
  connected(server: string): void;
  /** How far the registry's own caches may be behind at most, milliseconds (Eureka), or 0. */
  hiddenDelay(ms: number): void;
  /** How many instances the registry still lists although they stopped renewing. */
  expiredButListed(count: number): void;
}
