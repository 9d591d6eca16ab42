import type { DecodedRecord, EurekaStatus } from '../record.ts';

/**
 * One change as an Eureka server told it to its peers. `key` is `APP/id`; `dirtyAt` is the application's own
 * time of the registration that it is about, milliseconds since 1970, 0 when not told.
 */
export type PushedItem =
  | {
      readonly kind: 'register';
      readonly key: string;
      readonly decoded: DecodedRecord;
      readonly dirtyAt: number;
    }
  | {
      readonly kind: 'heartbeat';
      readonly key: string;
      /** Undefined when not told. */
      readonly status: EurekaStatus | undefined;
      readonly dirtyAt: number;
    }
  | { readonly kind: 'cancel'; readonly key: string }
  | {
      /** A status was set, or the one that was set is withdrawn (`isWithdrawn`; then `status` is only a guess). */
      readonly kind: 'status';
      readonly key: string;
      readonly status: EurekaStatus;
      readonly dirtyAt: number;
      readonly isWithdrawn: boolean;
    };

/** Who takes what is pushed. */
export interface PushSink {
  /**
   * Whether the instance that beats is known as of this registration. False asks its server for the
   * whole of it; the sink sees to it that no instance is asked for again and again. Synchronous and cheap:
   * thousands of heartbeats a second come here before they are answered.
   */
  isKnown(key: string, dirtyAt: number): boolean;
  /** The items of one request, in its order, after it has been answered. `receivedAt` is `performance.now()`. */
  take(items: readonly PushedItem[], receivedAt: number): void;
}

/** Where the push listener counts. */
export interface PushReport {
  /** A request was answered: `outcome` is from a small closed set, fit for a metric label. */
  pushRequest(outcome: 'taken' | 'refused' | 'unauthorized' | 'malformed' | 'busy'): void;
  /** Items came, by their action. */
  pushItems(action: 'register' | 'heartbeat' | 'cancel' | 'status' | 'other', count: number): void;
  /** A server has begun or gone on pushing; `peer` is its address. */
  pushPeer(peer: string): void;
}
