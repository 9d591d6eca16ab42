import type { ChangeOrigin, CollectionName, CollectionState } from '../store-types.ts';
import type { DiscoveryRequest } from './request.ts';
import { acknowledged, nextPushAt, pushed, rested } from './pace.ts';
import type { Pace, PaceOptions } from './pace.ts';
import { targetOf } from './types.ts';
import type { Target } from './types.ts';

/**
 * State-of-the-world xDS as istiod speaks it, for one stream, as a pure function: what has
 * happened goes in, what is to be done comes out. What it guarantees:
 *
 * - The first request for a type on a stream is a subscription whatever its nonce says (istiod
 *   sends the time of day), and is answered with everything, also when the client has it already.
 *   Resource names are not looked at: istiod sends none, and a subset would delete the rest.
 * - Every requested type is answered: with the collection once it is complete, empty at once where
 *   we own none of the type, and MeshConfig never.
 * - A later request counts only with the nonce of the last response: as its acknowledgement, or
 *   with an error as its refusal, which is reported and otherwise the same (what was refused is not
 *   sent again until something changes). A request with an empty nonce asks for everything anew.
 * - One response per type is under way. Until it has been acknowledged, and the pace allows,
 *   changes only accumulate; then the latest state is sent, once. A state that equals what the client
 *   was sent last is not sent.
 * - The nonce is the store's revision: the same on all streams, so that all get the same bytes.
 */
export interface StreamState {
  /** Node id of the first request, empty before. */
  readonly node: string;
  /** By type name as requested. */
  readonly subscriptions: ReadonlyMap<string, Subscription>;
}

export interface Subscription {
  readonly typeUrl: string;
  readonly target: Target;
  /** A request waits for its answer, whatever has or has not changed. */
  readonly isOwed: boolean;
  /** The last response, or undefined before the first. */
  readonly last: Sent | undefined;
  /** Progress of the last response while it is under way. */
  readonly underWay: UnderWay | undefined;
  /** What was acknowledged last, empty before. */
  readonly acknowledgedVersion: string;
  /** Milliseconds from the last response to its acknowledgement. */
  readonly acknowledgeMs: number | undefined;
  readonly pushes: number;
  readonly pace: Pace;
  /** Origins of the changes since the last response. */
  readonly waiting: readonly ChangeOrigin[];
}

/** What is remembered of a response. */
export interface Sent {
  readonly typeUrl: string;
  readonly target: Target;
  readonly nonce: string;
  readonly versionInfo: string;
}

/** A response to be sent. */
export interface Push extends Sent {
  /** What it carries; undefined = nothing, of a type that we do not own. */
  readonly state: CollectionState | undefined;
}

interface UnderWay {
  readonly sentAt: number;
  readonly writtenAt: number | undefined;
  readonly answer: Answer | undefined;
  readonly origins: readonly ChangeOrigin[];
}

interface Answer {
  readonly at: number;
  /** The client's error text when it refused. */
  readonly error: string | undefined;
}

export type Input =
  | { readonly kind: 'request'; readonly request: DiscoveryRequest }
  /** A collection has a new revision, or has become complete. */
  | {
      readonly kind: 'changed';
      readonly collection: CollectionName;
      readonly origins: readonly ChangeOrigin[];
    }
  /** The last byte of the type's response has been handed to the socket. */
  | { readonly kind: 'written'; readonly typeUrl: string }
  /** `wakeAt` has come. */
  | { readonly kind: 'tick' };

export type Action =
  | { readonly kind: 'push'; readonly push: Push }
  /** A response is with the socket; the origins are those of the changes that it brings. */
  | { readonly kind: 'written'; readonly sent: Sent; readonly origins: readonly ChangeOrigin[] }
  | {
      readonly kind: 'acknowledged';
      readonly sent: Sent;
      /** Milliseconds since it was written. */
      readonly sinceWrittenMs: number;
      readonly origins: readonly ChangeOrigin[];
    }
  | { readonly kind: 'refused'; readonly sent: Sent; readonly error: string }
  /** The client has broken a limit: end the stream. */
  | { readonly kind: 'overflow'; readonly reason: string };

/** What the responder may know besides its own state. */
export interface World {
  /** Milliseconds of a steady clock. */
  readonly now: number;
  readonly pace: PaceOptions;
  /** The latest state, or undefined while the collection is not complete. */
  stateOf(collection: CollectionName): CollectionState | undefined;
}

export interface Step {
  readonly state: StreamState;
  /** In the order in which they are to be done. */
  readonly actions: readonly Action[];
  /** When to come back with a tick, or undefined when only an event can change anything. */
  readonly wakeAt: number | undefined;
}

/** What a stream may ask for and keep waiting. */
export const streamLimits = {
  typesMax: 64,
  typeUrlCharactersMax: 256,
  /** More waiting origins than this are not counted into the lag; the oldest are kept. */
  waitingOriginsMax: 1024,
} as const;

/** Version and nonce of every answer for a type that we do not own: there will be no second. */
const emptyVersion = 'empty';

/** Of a stream that has just been opened. */
export const newStream: StreamState = { node: '', subscriptions: new Map() };

/** One step. Everything that follows from an input follows from this, in this order. */
export function step(state: StreamState, input: Input, world: World): Step {
  const actions: Action[] = [];
  const taken = take(state, input, world, actions);
  let wakeAt: number | undefined;
  const subscriptions = new Map<string, Subscription>();
  for (const [typeUrl, subscription] of taken.subscriptions) {
    const settled = settle(subscription, actions);
    const { next, dueAt } = pushIfDue(settled, world, actions);
    subscriptions.set(typeUrl, next);
    if (dueAt !== undefined) wakeAt = Math.min(wakeAt ?? dueAt, dueAt);
  }
  return { state: { ...taken, subscriptions }, actions, wakeAt };
}

/** Notes what has happened. */
function take(state: StreamState, input: Input, world: World, actions: Action[]): StreamState {
  switch (input.kind) {
    case 'request':
      return takeRequest(state, input.request, world, actions);
    case 'changed':
      return update(state, (subscription) =>
        subscription.target === input.collection
          ? { ...subscription, waiting: join(subscription.waiting, input.origins) }
          : subscription,
      );
    case 'written':
      return update(state, (subscription) =>
        subscription.typeUrl === input.typeUrl
          ? takeWritten(subscription, world, actions)
          : subscription,
      );
    case 'tick':
      return state;
  }
}

function takeRequest(
  state: StreamState,
  request: DiscoveryRequest,
  world: World,
  actions: Action[],
): StreamState {
  const { typeUrl } = request;
  const node = state.node === '' ? (request.node ?? '') : state.node;
  const known = state.subscriptions.get(typeUrl);
  if (known !== undefined) {
    const next = takeLaterRequest(known, request, world);
    return { node, subscriptions: new Map(state.subscriptions).set(typeUrl, next) };
  }
  const reason = overflow(state, typeUrl);
  if (reason !== undefined) {
    actions.push({ kind: 'overflow', reason });
    return { ...state, node };
  }
  return { node, subscriptions: new Map(state.subscriptions).set(typeUrl, subscribe(typeUrl)) };
}

function overflow(state: StreamState, typeUrl: string): string | undefined {
  if (typeUrl.length > streamLimits.typeUrlCharactersMax) return 'type_url is too long';
  if (state.subscriptions.size >= streamLimits.typesMax) return 'too many types on one stream';
  return undefined;
}

function subscribe(typeUrl: string): Subscription {
  return {
    typeUrl,
    target: targetOf(typeUrl),
    isOwed: true,
    last: undefined,
    underWay: undefined,
    acknowledgedVersion: '',
    acknowledgeMs: undefined,
    pushes: 0,
    pace: rested,
    waiting: [],
  };
}

function takeLaterRequest(
  subscription: Subscription,
  request: DiscoveryRequest,
  world: World,
): Subscription {
  if (request.responseNonce === '') return { ...subscription, isOwed: true };
  const { underWay, last } = subscription;
  if (underWay === undefined || underWay.answer !== undefined) return subscription;
  if (request.responseNonce !== last?.nonce) return subscription;
  const answer = { at: world.now, error: request.error };
  return { ...subscription, underWay: { ...underWay, answer } };
}

function takeWritten(subscription: Subscription, world: World, actions: Action[]): Subscription {
  const { underWay, last } = subscription;
  if (underWay === undefined || last === undefined) return subscription;
  actions.push({ kind: 'written', sent: last, origins: underWay.origins });
  return { ...subscription, underWay: { ...underWay, writtenAt: world.now } };
}

/**
 * Closes the response that is both written and answered. (An answer that comes before we know that
 * everything is written waits for it: else a client that answers without reading could make us
 * queue one response after the other.)
 */
function settle(subscription: Subscription, actions: Action[]): Subscription {
  const { underWay, last } = subscription;
  if (underWay?.writtenAt === undefined || underWay.answer === undefined || last === undefined) {
    return subscription;
  }
  const { answer, origins, sentAt, writtenAt } = underWay;
  if (answer.error === undefined) {
    const sinceWrittenMs = Math.max(0, answer.at - writtenAt);
    actions.push({ kind: 'acknowledged', sent: last, sinceWrittenMs, origins });
  } else {
    actions.push({ kind: 'refused', sent: last, error: answer.error });
  }
  return {
    ...subscription,
    underWay: undefined,
    acknowledgedVersion:
      answer.error === undefined ? last.versionInfo : subscription.acknowledgedVersion,
    acknowledgeMs: answer.at - sentAt,
    pace: acknowledged(subscription.pace, answer.at),
  };
}

/** Pushes what is wanted if nothing stands against it, or says when it will be time. */
function pushIfDue(
  subscription: Subscription,
  world: World,
  actions: Action[],
): { readonly next: Subscription; readonly dueAt: number | undefined } {
  if (subscription.underWay !== undefined) return { next: subscription, dueAt: undefined };
  const push = wanted(subscription, world);
  if (push === undefined) {
    const isReverted = subscription.waiting.length > 0 && subscription.last !== undefined;
    const next = isReverted ? { ...subscription, waiting: [] } : subscription;
    return { next, dueAt: undefined };
  }
  const dueAt = push.state === undefined ? -Infinity : nextPushAt(subscription.pace, world.pace);
  if (world.now < dueAt) return { next: subscription, dueAt };
  actions.push({ kind: 'push', push });
  const { target } = push;
  const next: Subscription = {
    ...subscription,
    isOwed: false,
    last: { typeUrl: push.typeUrl, target, nonce: push.nonce, versionInfo: push.versionInfo },
    underWay: {
      sentAt: world.now,
      writtenAt: undefined,
      answer: undefined,
      origins: subscription.waiting,
    },
    pushes: subscription.pushes + 1,
    pace: pushed(subscription.pace, world.now),
    waiting: [],
  };
  return { next, dueAt: undefined };
}

/** The response that the client should have now and was not sent. */
function wanted(subscription: Subscription, world: World): Push | undefined {
  const { typeUrl, target, isOwed, last } = subscription;
  if (target === 'silent') return undefined;
  if (target === 'empty') {
    if (!isOwed) return undefined;
    return { typeUrl, target, nonce: emptyVersion, versionInfo: emptyVersion, state: undefined };
  }
  const state = world.stateOf(target);
  if (state === undefined) return undefined;
  if (!isOwed && last?.versionInfo === state.versionInfo) return undefined;
  const { versionInfo, revision } = state;
  return { typeUrl, target, nonce: String(revision), versionInfo, state };
}

function update(
  state: StreamState,
  change: (subscription: Subscription) => Subscription,
): StreamState {
  const subscriptions = new Map<string, Subscription>();
  for (const [typeUrl, subscription] of state.subscriptions) {
    subscriptions.set(typeUrl, change(subscription));
  }
  return { ...state, subscriptions };
}

function join(
  waiting: readonly ChangeOrigin[],
  origins: readonly ChangeOrigin[],
): readonly ChangeOrigin[] {
  if (origins.length === 0 || waiting.length >= streamLimits.waitingOriginsMax) return waiting;
  return [...waiting, ...origins].slice(0, streamLimits.waitingOriginsMax);
}
