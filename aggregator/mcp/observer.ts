import type { RegistryId } from '../../common/registry.ts';
import type { RejectReason } from './grpc-types.ts';

/** A subscriber as metrics may name it. */
export interface SubscriberName {
  /** Unique in this process. */
  readonly id: number;
  /** Node id of its first request, shortened; empty before. Not unique: an istiod that reconnects
   * comes back under the same. */
  readonly node: string;
}

/** What kind of type a push was of: types that we do not own are one, else labels were unbounded. */
export type PushedType = 'ServiceEntry' | 'empty';

/** Where the MCP server counts. Implemented by the aggregator's metrics; must not throw. */
export interface McpObserver {
  /** How many streams are open now. */
  subscribers(count: number): void;
  /** The subscriber has gone: whatever series bear its name may go. */
  subscriberGone(subscriber: SubscriberName): void;
  /** A response is on its way. */
  pushed(type: PushedType, byteLength: number): void;
  /** From the arrival of a change in this process until the socket had all of the push with it. */
  receivedToWritten(subscriber: SubscriberName, ms: number): void;
  /** From then until the subscriber's acknowledgement. */
  writtenToAcknowledged(subscriber: SubscriberName, ms: number): void;
  /** From the observation of a change at the agent to a subscriber's acknowledgement. */
  observedToAcknowledged(registry: RegistryId, ms: number): void;
  /** A subscriber has refused a response. */
  nacked(type: PushedType): void;
  rejected(reason: RejectReason): void;
}
