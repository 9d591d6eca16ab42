import type { InstanceStatus } from '../common/instance.ts';
import type { RegistryId, RegistryKind } from '../common/registry.ts';

/** What the status page, the admin API and the metrics may see of the aggregator, read-only. */
export interface AggregatorView {
  /** Whether ServiceEntries are served (every expected registry heard, or saved state loaded). */
  isComplete(): boolean;
  registries(): readonly RegistryView[];
  /** Sorted by host. `filter` is a substring of the host, empty = all. */
  services(filter: string, limit: number): readonly ServiceView[];
  serviceCount(): number;
  subscribers(): readonly SubscriberView[];
}

export interface AgentView {
  readonly agentId: string;
  readonly software: string;
  readonly isConnected: boolean;
  readonly state: 'live' | 'lost' | 'suspect';
  /** Why it is not live, or why its stream ended. */
  readonly reason: string;
  readonly instances: number;
  readonly heldRemovals: number;
}

/** The latest lags of a registry, from observation to acknowledgement, milliseconds. */
export interface LagView {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly samples: number;
}

export interface RegistryView {
  readonly id: RegistryId;
  readonly kind: RegistryKind;
  readonly isExpected: boolean;
  /** Whether it has delivered a complete snapshot since the start, or stands in the saved state. */
  readonly isHeard: boolean;
  /** `live`: a healthy agent speaks for it; `stale`: last good data; `waiting`: nothing yet. */
  readonly state: 'live' | 'stale' | 'waiting';
  readonly agents: readonly AgentView[];
  readonly instances: Readonly<Partial<Record<InstanceStatus, number>>>;
  readonly services: number;
  /** Milliseconds since the registry last confirmed its data, or undefined before the first time. */
  readonly ageMs: number | undefined;
  readonly hiddenDelayMs: number;
  /** Undefined while no change of it has been acknowledged by a subscriber. */
  readonly lag?: LagView | undefined;
  /** Removals that the aggregator's own guard holds, and why. */
  readonly heldRemovals: number;
  readonly guardReason: string;
}

export interface EndpointView {
  readonly address: string;
  readonly port: number;
  readonly locality: string;
  readonly weight: number;
  readonly network: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Every instance that vouches for the endpoint. */
  readonly provenance: readonly { readonly registry: RegistryId; readonly instance: string }[];
}

export interface ServiceView {
  readonly host: string;
  readonly vip: string;
  readonly portName: string;
  readonly port: number;
  readonly protocol: string;
  readonly version: string;
  readonly endpoints: readonly EndpointView[];
  /** Instances that are known but take no traffic, by why. */
  readonly withheld: Readonly<Record<string, number>>;
  /** Conflicts settled by precedence, one line each. */
  readonly conflicts: readonly string[];
}

export interface SubscriptionView {
  readonly typeUrl: string;
  /** What was acknowledged last, empty before. */
  readonly acknowledgedVersion: string;
  readonly isInFlight: boolean;
  /** Milliseconds from the last push to its acknowledgement. */
  readonly acknowledgeMs: number | undefined;
  readonly pushes: number;
}

export interface SubscriberView {
  readonly id: number;
  readonly peer: string;
  /** Node id of its first request. */
  readonly node: string;
  readonly connectedMs: number;
  readonly subscriptions: readonly SubscriptionView[];
}
