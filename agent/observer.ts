import type { InstanceStatus } from '../common/instance.ts';

/** Where the agent's core counts what an operator should see. Implemented by the agent's metrics. */
export interface AgentObserver {
  /** From the observation of a change to the writing of its Delta, by aggregator address, seconds. */
  observedToSent(aggregator: string, seconds: number): void;
  /** From a heartbeat to its echo, seconds. */
  roundTrip(aggregator: string, seconds: number): void;
  /** A Delta (`batches` of the outbox in it) or a snapshot chunk (0 batches) was written. */
  sent(aggregator: string, batches: number, bytes: number): void;
  /** A stream was opened and welcomed; `isResumed` says that no snapshot is needed. */
  connected(aggregator: string, isResumed: boolean): void;
  /** A stream, or the attempt to open one, has ended. */
  disconnected(aggregator: string): void;
  /** The aggregator's name no longer resolves to this address: its series can go. */
  forgotten(aggregator: string): void;
  /** The guard has begun to hold removals: of the whole registry, or of one service. */
  guardActivated(scope: 'registry' | 'service'): void;
  /** An instance that breaks the feed's limits was left out. `reason` is fit for a label. */
  dropped(reason: string, record: string): void;
  /** The present figures; about once a second, and once more at each change of state. */
  census(census: AgentCensus): void;
}

/** Gauges of one registry. */
export interface AgentCensus {
  readonly state: 'waiting' | 'live' | 'lost' | 'suspect';
  readonly instances: Readonly<Partial<Record<InstanceStatus, number>>>;
  /** Services, empty ones included. */
  readonly services: number;
  /** Removals that the guard holds. */
  readonly heldRemovals: number;
  /** Since the registry last confirmed what is known, seconds; undefined before the first time. */
  readonly registryAgeSeconds: number | undefined;
}
