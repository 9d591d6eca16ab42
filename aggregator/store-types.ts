import type { RegistryId } from '../common/registry.ts';

/**
 * The seam between what produces resources (merge, render) and the protocols that serve them.
 * The store knows no protocol, the protocols know no catalog. Whoever sets resources uses
 * `ResourceSetter`, whoever serves them `ResourceStore`.
 */

/** The collections that exist. Every other type is answered empty. */
export type CollectionName = 'ServiceEntry';

/** One resource, encoded once. */
export interface Resource {
  /** `namespace/name`. */
  readonly name: string;
  /** Content hash: equal content, equal version, on every replica and after every restart. */
  readonly version: string;
  /**
   * One complete `resources` field of a DiscoveryResponse (tag, length, Any): responses are made by
   * concatenation. Never modified after it has been handed over.
   */
  readonly field: Buffer;
}

/** Where a change came from, for the lag from observation to acknowledgement. */
export interface ChangeOrigin {
  readonly registry: RegistryId;
  /** `performance.now()` when the delta arrived here. */
  readonly receivedAt: number;
  /** Milliseconds from observation to sending, on the agent's clock. */
  readonly ageMs: number;
}

/** A collection as of a revision. Immutable: segments stay valid while somebody holds them. */
export interface CollectionState {
  /** Grows with every change of this process's store; never reused. */
  readonly revision: number;
  /** A pure function of the set of (name, version): equal on every replica. */
  readonly versionInfo: string;
  /** All `resources` fields, sorted by name, in buffers of about 256 KiB to 1 MiB. */
  readonly segments: readonly Buffer[];
  /** Sum of the segments' lengths. */
  readonly byteLength: number;
  readonly count: number;
}

/**
 * A batch that is put together over several turns of the event loop while the collection is served, and set,
 * as it was before. What is set meanwhile must be of other resources; it is kept by both.
 */
export interface ResourceDraft {
  put(resource: Resource): void;
  /** An unknown name is ignored. */
  remove(name: string): void;
  /** Makes some of the bytes that are to be served; false when all are made. */
  prepare(): boolean;
  /** Puts all of it in force as one revision, at once, and notifies, if it changes anything. */
  commit(origins: readonly ChangeOrigin[]): void;
  /** Drops what was not committed. */
  discard(): void;
}

export interface ResourceSetter {
  /**
   * Applies a batch as one revision and notifies. A batch that changes nothing (equal versions,
   * unknown removals) makes no revision and notifies nobody.
   */
  set(
    collection: CollectionName,
    upserts: readonly Resource[],
    removals: readonly string[],
    origins: readonly ChangeOrigin[],
  ): void;
  /** The collection's data is complete: from now on it may be served. Irrevocable. */
  complete(collection: CollectionName): void;
}

/** Called after a revision has come into being, with the origins of its changes. */
export type StoreListener = (origins: readonly ChangeOrigin[]) => void;

export interface ResourceStore {
  /** The latest state, or undefined while the collection is not complete: then nobody is answered. */
  state(collection: CollectionName): CollectionState | undefined;
  /** Calls the listener after each revision and when the collection becomes complete. */
  subscribe(collection: CollectionName, listener: StoreListener): () => void;
}
