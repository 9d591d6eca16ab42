import type { Change, Instance } from '../common/instance.ts';
import type { RegistryId, RegistryKind } from '../common/registry.ts';

/**
 * The seam between the feed server (which knows streams, sequences and digests) and the catalog
 * (which knows what a registry consists of, who may speak for it and what must be held back).
 * A *contribution* is what one agent says about one registry.
 */

/** Who speaks, from its Hello. */
export interface AgentIdentity {
  readonly registry: RegistryId;
  readonly kind: RegistryKind;
  readonly agentId: string;
  /** 32 hexadecimal digits. */
  readonly epoch: string;
  /** Istio network of all endpoints of the registry, or empty. */
  readonly network: string;
  /** Locality of instances that have none, or empty. */
  readonly defaultLocality: string;
  readonly software: string;
}

/** When something was observed, on one clock: `receivedAt` is `performance.now()` here. */
export interface Receipt {
  readonly receivedAt: number;
  /** Milliseconds from observation at the agent to sending, on the agent's clock. */
  readonly ageMs: number;
}

/** What a heartbeat says of the registry. */
export interface RegistryHealth {
  readonly state: 'live' | 'lost' | 'suspect';
  readonly reason: string;
  /** Since the registry last confirmed its data, at the time of the heartbeat. */
  readonly registryAgeMs: number;
  readonly hiddenDelayMs: number;
  /** Removals held by the agent's own guard. */
  readonly heldRemovals: number;
  /** Why what the registry says is doubted; absent when nothing speaks against it. */
  readonly doubt?: string;
}

/**
 * One agent's contribution, open while its stream lives. Calls come in the order of the stream;
 * `replace` must have resolved before the next call.
 */
export interface Contribution {
  /**
   * Whether what this agent said before is still held, so that changes can be told relative to it;
   * if not, the agent must start over with a snapshot.
   */
  readonly hasBase: boolean;
  /**
   * Everything that this agent says, replacing what it said before, atomically. The receiver owns
   * the map. A first snapshot of a new epoch goes through the guard.
   */
  replace(instances: ReadonlyMap<string, Instance>, receipt: Receipt): Promise<void>;
  /** Changes relative to everything said before. */
  apply(changes: readonly Change[], receipt: Receipt): void;
  /** The agent's latest word on its registry's health, and the feed's round trip if known. */
  health(health: RegistryHealth): void;
  /** The stream has ended: the instances stay, marked as of a lost agent. Idempotent. */
  close(reason: string): void;
}

/** Implemented by the catalog. */
export interface ContributionSink {
  /** Whether the registry is served, or only shown. */
  isServed(registry: RegistryId): boolean;
  /**
   * Opens the contribution of an agent; an open one of the same (registry, agentId) is closed
   * first. What an earlier life or stream of the agent said stays until it is replaced or changed.
   */
  open(agent: AgentIdentity): Contribution;
}
