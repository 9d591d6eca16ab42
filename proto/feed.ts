import protobuf from 'protobufjs';
import { ProtocolError } from '../common/errors.ts';
import { bytesMethod, codec } from './load.ts';

/**
 * The messages of the feed as TypeScript sees them, their encoding and the gRPC service. What they mean is
 * said at the head of tributary/feed/v1/feed.proto. Both directions pass through grpc-js as bytes:
 * so a message that cannot be decoded is answered by us, by the rules of the feed, and a batch that
 * goes to several aggregators is encoded once. The Instance codec is in instance-codec.ts.
 */

/** The highest version this software speaks. */
export const protocolVersion = 1;

/** The longest message either side sends or takes, bytes. */
export const messageBytesMax = 4 * 1024 * 1024;

/** The most bytes of instances in a chunk or a Delta (a single instance may be more). */
export const payloadBytesMax = 1024 * 1024;

/** One registry state of a heartbeat; a number unknown here (a newer agent's) reads as `suspect`. */
export type RegistryState = 'live' | 'lost' | 'suspect';

export interface Hello {
  readonly protocolVersion: number;
  readonly agentId: string;
  readonly registry: string;
  readonly kind: string;
  readonly datacenter: string;
  readonly network: string;
  readonly defaultLocality: string;
  readonly epoch: Uint8Array;
  readonly oldestSequence: number;
  readonly sequence: number;
  readonly software: string;
}

export interface SnapshotChunk {
  readonly sequence: number;
  readonly index: number;
  /** Encoded instances. */
  readonly instances: readonly Uint8Array[];
  readonly last: boolean;
  readonly digest: Uint8Array;
  readonly count: number;
  readonly ageMs: number;
}

/** One change with its instance still encoded. */
export type EncodedChange =
  | { readonly kind: 'upsert'; readonly bytes: Uint8Array }
  | { readonly kind: 'removal'; readonly id: string };

export interface Delta {
  readonly firstSequence: number;
  readonly sequence: number;
  readonly changes: readonly EncodedChange[];
  readonly ageMs: number;
}

export interface Heartbeat {
  readonly heartbeat: number;
  readonly sequence: number;
  readonly digest: Uint8Array;
  readonly state: RegistryState;
  readonly reason: string;
  readonly registryAgeMs: number;
  readonly hiddenDelayMs: number;
  readonly heldRemovals: number;
  /** Empty or absent when nothing speaks against what the registry says. */
  readonly doubt?: string;
}

export interface Welcome {
  readonly protocolVersion: number;
  readonly resume: boolean;
  readonly sequence: number;
  readonly served: boolean;
  readonly aggregator: string;
}

/** `unknown`: of a kind that a newer peer knows; it is skipped. */
export type AgentMessage =
  | { readonly kind: 'hello'; readonly hello: Hello }
  | { readonly kind: 'chunk'; readonly chunk: SnapshotChunk }
  | { readonly kind: 'delta'; readonly delta: Delta }
  | { readonly kind: 'heartbeat'; readonly heartbeat: Heartbeat }
  | { readonly kind: 'unknown' };

export type AggregatorMessage =
  | { readonly kind: 'welcome'; readonly welcome: Welcome }
  | { readonly kind: 'accepted'; readonly sequence: number }
  | { readonly kind: 'resync'; readonly reason: string }
  | { readonly kind: 'throttle'; readonly pauseMs: number }
  | { readonly kind: 'echo'; readonly heartbeat: number }
  | { readonly kind: 'unknown' };

/** `tributary.feed.v1.Feed/Stream` for grpc-js, its messages as bytes. */
export const feedStream = bytesMethod(
  'tributary/feed/v1/feed.proto',
  'tributary.feed.v1.Feed',
  'Stream',
);

interface WireDelta {
  readonly sequence: number;
  readonly firstSequence: number;
  readonly changes: readonly { readonly upsert?: Uint8Array; readonly removal?: string }[];
  readonly ageMs: number;
}

interface WireAgentMessage {
  readonly hello?: Hello;
  readonly snapshotChunk?: SnapshotChunk;
  readonly delta?: WireDelta;
  readonly heartbeat?: Omit<Heartbeat, 'state'> & { readonly state: number };
}

interface WireAggregatorMessage {
  readonly welcome?: Welcome;
  readonly accepted?: { readonly sequence: number };
  readonly resync?: { readonly reason: string };
  readonly throttle?: { readonly pauseMs: number };
  readonly echo?: { readonly heartbeat: number };
}

const agentCodec = codec<WireAgentMessage>('tributary.feed.v1.AgentMessage');
const aggregatorCodec = codec<WireAggregatorMessage>('tributary.feed.v1.AggregatorMessage');
const states: readonly RegistryState[] = ['live', 'lost', 'suspect'];

/** Encodes all of the agent's messages but Delta, for which there is `encodeDelta`. */
export function encodeAgentMessage(
  message: Exclude<AgentMessage, { readonly kind: 'delta' | 'unknown' }>,
): Buffer {
  switch (message.kind) {
    case 'hello':
      return asBuffer(agentCodec.encode({ hello: message.hello }));
    case 'chunk':
      return asBuffer(agentCodec.encode({ snapshotChunk: message.chunk }));
    case 'heartbeat': {
      const state = states.indexOf(message.heartbeat.state) + 1;
      return asBuffer(agentCodec.encode({ heartbeat: { ...message.heartbeat, state } }));
    }
  }
}

/** The changes of one batch, encoded once for every Delta that will carry them. */
export function encodeChanges(changes: readonly EncodedChange[]): Buffer {
  const writer = protobuf.Writer.create();
  for (const change of changes) {
    writer.uint32((2 << 3) | 2).fork();
    if (change.kind === 'upsert') writer.uint32((1 << 3) | 2).bytes(change.bytes);
    else writer.uint32((2 << 3) | 2).string(change.id);
    writer.ldelim();
  }
  return asBuffer(writer.finish());
}

/** An AgentMessage with a Delta, its batches given as `encodeChanges` made them. */
export function encodeDelta(
  delta: Pick<Delta, 'firstSequence' | 'sequence' | 'ageMs'>,
  batches: readonly Buffer[],
): Buffer {
  const writer = protobuf.Writer.create();
  writer.uint32((1 << 3) | 0).uint64(delta.sequence);
  writer.uint32((3 << 3) | 1).double(delta.ageMs);
  writer.uint32((4 << 3) | 0).uint64(delta.firstSequence);
  const fields = writer.finish();
  const length = batches.reduce((sum, batch) => sum + batch.length, fields.length);
  const head = protobuf.Writer.create()
    .uint32((3 << 3) | 2)
    .uint32(length)
    .finish();
  return Buffer.concat([head, fields, ...batches]);
}

/** Decodes and checks what can be checked in one message. Throws ProtocolError, naming the field. */
export function decodeAgentMessage(bytes: Uint8Array): AgentMessage {
  const wire = decodeWire(agentCodec, bytes);
  if (wire.delta !== undefined) return { kind: 'delta', delta: toDelta(wire.delta) };
  if (wire.heartbeat !== undefined) {
    const { state, ...rest } = wire.heartbeat;
    checkNumbers('heartbeat', rest.heartbeat, rest.sequence, rest.registryAgeMs);
    checkNumbers('heartbeat', rest.hiddenDelayMs, rest.heldRemovals);
    return { kind: 'heartbeat', heartbeat: { ...rest, state: states[state - 1] ?? 'suspect' } };
  }
  if (wire.snapshotChunk !== undefined) {
    const chunk = wire.snapshotChunk;
    checkNumbers('snapshot_chunk', chunk.sequence, chunk.count, chunk.ageMs);
    return { kind: 'chunk', chunk };
  }
  if (wire.hello !== undefined) {
    checkNumbers('hello', wire.hello.sequence, wire.hello.oldestSequence);
    return { kind: 'hello', hello: wire.hello };
  }
  return { kind: 'unknown' };
}

export function encodeAggregatorMessage(
  message: Exclude<AggregatorMessage, { readonly kind: 'unknown' }>,
): Buffer {
  switch (message.kind) {
    case 'welcome':
      return asBuffer(aggregatorCodec.encode({ welcome: message.welcome }));
    case 'accepted':
      return asBuffer(aggregatorCodec.encode({ accepted: { sequence: message.sequence } }));
    case 'resync':
      return asBuffer(aggregatorCodec.encode({ resync: { reason: message.reason } }));
    case 'throttle':
      return asBuffer(aggregatorCodec.encode({ throttle: { pauseMs: message.pauseMs } }));
    case 'echo':
      return asBuffer(aggregatorCodec.encode({ echo: { heartbeat: message.heartbeat } }));
  }
}

/** Throws ProtocolError on bytes that are no AggregatorMessage. */
export function decodeAggregatorMessage(bytes: Uint8Array): AggregatorMessage {
  const wire = decodeWire(aggregatorCodec, bytes);
  if (wire.accepted !== undefined) return { kind: 'accepted', sequence: wire.accepted.sequence };
  if (wire.echo !== undefined) return { kind: 'echo', heartbeat: wire.echo.heartbeat };
  if (wire.welcome !== undefined) return { kind: 'welcome', welcome: wire.welcome };
  if (wire.resync !== undefined) return { kind: 'resync', reason: wire.resync.reason };
  if (wire.throttle !== undefined) return { kind: 'throttle', pauseMs: wire.throttle.pauseMs };
  return { kind: 'unknown' };
}

function toDelta(wire: WireDelta): Delta {
  checkNumbers('delta', wire.sequence, wire.firstSequence, wire.ageMs);
  const changes: EncodedChange[] = [];
  for (const { upsert, removal } of wire.changes) {
    if (upsert !== undefined) changes.push({ kind: 'upsert', bytes: upsert });
    else if (removal !== undefined) changes.push({ kind: 'removal', id: removal });
  }
  const firstSequence = wire.firstSequence === 0 ? wire.sequence : wire.firstSequence;
  return { firstSequence, sequence: wire.sequence, changes, ageMs: wire.ageMs };
}

function checkNumbers(what: string, ...numbers: readonly number[]): void {
  for (const number of numbers) {
    if (!Number.isFinite(number) || number < 0 || number > Number.MAX_SAFE_INTEGER) {
      throw new ProtocolError(`${what}: a number is negative, not finite or above 2^53`);
    }
  }
}

function decodeWire<T>(wireCodec: { decode(bytes: Uint8Array): T }, bytes: Uint8Array): T {
  try {
    return wireCodec.decode(bytes);
  } catch (error) {
    throw new ProtocolError('a message cannot be decoded', { cause: error });
  }
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes)
    ? bytes
    : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
