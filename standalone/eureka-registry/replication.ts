import type { InstanceStatus, Lease } from './model.ts';

/**
 * A write by an application, as a server passes it on to its peers. Leases come by reference, as in Eureka's
 * own queues: who sends one later sends what has become of it. `dirtyAt` is the application's own time of
 * its registration, milliseconds since 1970; a peer whose own is older lacks a registration.
 */
export type Replication =
  | { readonly kind: 'register'; readonly lease: Lease }
  | { readonly kind: 'heartbeat'; readonly lease: Lease }
  | { readonly kind: 'cancel'; readonly app: string; readonly id: string }
  | {
      readonly kind: 'status' | 'delete-status';
      readonly app: string;
      readonly id: string;
      readonly status: InstanceStatus;
      readonly dirtyAt?: number;
    };

/** A heartbeat as a peer tells it. */
export interface ReplicatedHeartbeat {
  /** The override that the peer knows; UNKNOWN = none. */
  readonly overridden: InstanceStatus;
  /** Of the registration that beats. */
  readonly dirtyAt: number;
}

/**
 * What a peer says to one replicated write: 200 done, 404 no such instance (upon a heartbeat: send its
 * registration), 409 a heartbeat of an older registration than ours, which comes along.
 */
export type ReplicationAnswer =
  { readonly status: 200 | 404 } | { readonly status: 409; readonly lease: Lease };

/** A status that was set or taken away, as it is passed on. */
export function statusReplication(
  kind: 'status' | 'delete-status',
  { id, registration }: Lease,
  status: InstanceStatus,
): Replication {
  const { app, lastDirtyTimestamp: dirtyAt } = registration;
  return { kind, app, id, status, dirtyAt };
}

/** What a peer answers when it knows the instance, and when it does not. */
export function answerOf(isFound: boolean): ReplicationAnswer {
  return { status: isFound ? 200 : 404 };
}

/** @param lease what the peer has renewed; @param dirtyAt of the registration that beats */
export function heartbeatAnswer(lease: Lease | undefined, dirtyAt: number): ReplicationAnswer {
  const ownDirtyAt = lease?.registration.lastDirtyTimestamp ?? 0;
  if (lease === undefined || dirtyAt > ownDirtyAt) return { status: 404 };
  return dirtyAt < ownDirtyAt ? { status: 409, lease } : { status: 200 };
}
