import type { Logger } from 'pino';
import type { ChangeOrigin, CollectionName, CollectionState } from '../store-types.ts';
import type { SubscriberView } from '../view.ts';
import { grpcCode } from './grpc-status.ts';
import type { GrpcCall, GrpcHandler } from './grpc-types.ts';
import type { McpObserver, SubscriberName } from './observer.ts';
import type { PaceOptions } from './pace.ts';
import { decodeDiscoveryRequest } from './request.ts';
import type { ResponseCache } from './response.ts';
import { newStream, step } from './state-of-the-world.ts';
import type { Action, Input, Push, Sent, Subscription } from './state-of-the-world.ts';

/** What all subscribers share. */
export interface SubscriberContext {
  readonly pace: PaceOptions;
  readonly responses: ResponseCache;
  readonly observer: McpObserver;
  readonly log: Logger;
  stateOf(collection: CollectionName): CollectionState | undefined;
  /** The stream is over. */
  left(subscriber: Subscriber): void;
}

/** No gRPC client takes a longer message. */
const responseBytesMax = 2 ** 31 - 1;
const nodeCharactersMax = 256;
const errorCharactersMax = 500;

/** One state-of-the-world stream: does what the responder says, on a call, a clock and a timer. */
export class Subscriber implements GrpcHandler {
  readonly id: number;
  private readonly call: GrpcCall;
  private readonly context: SubscriberContext;
  private readonly connectedAt = performance.now();
  private state = newStream;
  private timer: NodeJS.Timeout | undefined;
  private isClosed = false;

  constructor(id: number, call: GrpcCall, context: SubscriberContext) {
    this.id = id;
    this.call = call;
    this.context = context;
  }

  message(bytes: Buffer): void {
    const isFirst = this.state.node === '';
    this.advance({ kind: 'request', request: decodeDiscoveryRequest(bytes) });
    if (isFirst && this.state.node !== '') {
      this.context.log.info({ ...this.labels() }, 'subscriber connected');
    }
  }

  /** The collection has a new revision, or is complete now. */
  changed(collection: CollectionName, origins: readonly ChangeOrigin[]): void {
    if (!this.isClosed) this.advance({ kind: 'changed', collection, origins });
  }

  closed(): void {
    this.isClosed = true;
    clearTimeout(this.timer);
    this.context.left(this);
    if (this.state.node !== '') this.context.log.info(this.labels(), 'subscriber disconnected');
  }

  name(): SubscriberName {
    return { id: this.id, node: this.state.node.slice(0, nodeCharactersMax) };
  }

  view(): SubscriberView {
    return {
      id: this.id,
      peer: `${this.call.peer.address} ${this.call.peer.port}`,
      node: this.name().node,
      connectedMs: performance.now() - this.connectedAt,
      subscriptions: [...this.state.subscriptions.values()].map(viewOf),
    };
  }

  private advance(input: Input): void {
    const { pace } = this.context;
    const now = performance.now();
    const next = step(this.state, input, {
      now,
      pace,
      stateOf: (collection) => this.context.stateOf(collection),
    });
    this.state = next.state;
    clearTimeout(this.timer);
    for (const action of next.actions) this.act(action, now);
    if (next.wakeAt === undefined || this.isClosed) return;
    const delay = Math.max(1, Math.ceil(next.wakeAt - now));
    this.timer = setTimeout(() => this.advance({ kind: 'tick' }), delay);
  }

  private act(action: Action, now: number): void {
    const { observer } = this.context;
    switch (action.kind) {
      case 'push':
        this.push(action.push);
        return;
      case 'written':
        for (const { receivedAt } of action.origins) {
          observer.receivedToWritten(this.name(), Math.max(0, now - receivedAt));
        }
        return;
      case 'acknowledged':
        if (action.sent.target === 'empty') return;
        observer.writtenToAcknowledged(this.name(), action.sinceWrittenMs);
        for (const { registry, receivedAt, ageMs } of action.origins) {
          observer.observedToAcknowledged(registry, ageMs + Math.max(0, now - receivedAt));
        }
        return;
      case 'refused':
        observer.nacked(pushedType(action.sent));
        this.context.log.warn(
          {
            ...this.labels(),
            typeUrl: action.sent.typeUrl,
            version: action.sent.versionInfo,
            error: action.error.slice(0, errorCharactersMax),
          },
          'subscriber refused a response',
        );
        return;
      case 'overflow':
        observer.rejected('protocol');
        this.call.end({ code: grpcCode.resourceExhausted, message: action.reason });
    }
  }

  private push(push: Push): void {
    const message = this.context.responses.encode(push);
    if (message.byteLength > responseBytesMax) {
      this.context.log.error({ byteLength: message.byteLength }, 'response too long for gRPC');
      this.call.end({ code: grpcCode.resourceExhausted, message: 'response too long for gRPC' });
      return;
    }
    this.context.observer.pushed(pushedType(push), message.byteLength);
    this.call.send(message, () => {
      if (!this.isClosed) this.advance({ kind: 'written', typeUrl: push.typeUrl });
    });
  }

  private labels(): { readonly peer: string; readonly node: string } {
    return { peer: this.call.peer.address, node: this.name().node };
  }
}

function pushedType(sent: Sent): 'ServiceEntry' | 'empty' {
  return sent.target === 'ServiceEntry' ? 'ServiceEntry' : 'empty';
}

function viewOf(subscription: Subscription): SubscriberView['subscriptions'][number] {
  return {
    typeUrl: subscription.typeUrl,
    acknowledgedVersion: subscription.acknowledgedVersion,
    isInFlight: subscription.underWay !== undefined,
    acknowledgeMs: subscription.acknowledgeMs,
    pushes: subscription.pushes,
  };
}
