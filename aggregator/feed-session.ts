import { status } from '@grpc/grpc-js';
import { DigestedSet } from '../common/digest.ts';
import type { InstanceHash } from '../common/digest.ts';
import { ProtocolError } from '../common/errors.ts';
import type { Change, Instance } from '../common/instance.ts';
import { isRegistryId } from '../common/registry.ts';
import type { RegistryKind } from '../common/registry.ts';
import { protocolVersion } from '../proto/feed.ts';
import type { AggregatorMessage, Heartbeat, Hello, SnapshotChunk } from '../proto/feed.ts';
import type { AgentIdentity, RegistryHealth } from './contribution.ts';

/**
 * The aggregator's side of one feed stream as a state machine, by the rules at the head of
 * feed.proto: messages in, actions out, to be carried out in their order and each before the next
 * message. It knows no transport, no clock and no catalog.
 */

/** Why a stream is ended: a gRPC status and a text that names the rule. */
export class FeedEnd extends Error {
  override readonly name = 'FeedEnd';
  readonly code: status;

  constructor(code: status, message: string) {
    super(message);
    this.code = code;
  }
}

/** Where the aggregator stands with an agent: kept beyond its stream, so that the next one resumes. */
export interface Position {
  /** 32 hexadecimal digits. */
  readonly epoch: string;
  /** Everything up to here is in the catalog. */
  sequence: number;
  /** What the agent's set consists of, as of `sequence`. */
  readonly set: DigestedSet;
}

/** An instance off the wire; without `instance` it is one that the catalog cannot use. */
export interface DecodedInstance {
  readonly id: string;
  readonly hash: InstanceHash;
  readonly instance: Instance | undefined;
}

export type DecodedChange =
  | { readonly kind: 'upsert'; readonly upsert: DecodedInstance }
  | { readonly kind: 'removal'; readonly id: string };

export type SessionInput =
  | {
      readonly kind: 'chunk';
      readonly chunk: Omit<SnapshotChunk, 'instances'>;
      readonly instances: readonly DecodedInstance[];
    }
  | {
      readonly kind: 'delta';
      readonly firstSequence: number;
      readonly sequence: number;
      readonly ageMs: number;
      readonly changes: readonly DecodedChange[];
    }
  | { readonly kind: 'heartbeat'; readonly heartbeat: Heartbeat };

/** Why a snapshot is asked for; fit for a metric label. */
export type ResyncCause = 'gap' | 'digest' | 'snapshot';

export type SessionAction =
  | {
      readonly kind: 'replace';
      readonly instances: ReadonlyMap<string, Instance>;
      readonly ageMs: number;
      /** Takes the place of the agent's position once the catalog has been replaced. */
      readonly position: Position;
    }
  | { readonly kind: 'apply'; readonly changes: readonly Change[]; readonly ageMs: number }
  | { readonly kind: 'health'; readonly health: RegistryHealth }
  | { readonly kind: 'send'; readonly message: OutgoingMessage }
  | { readonly kind: 'resync'; readonly cause: ResyncCause; readonly reason: string };

export type OutgoingMessage = Exclude<AggregatorMessage, { readonly kind: 'unknown' }>;

type State =
  /** Told to start over: Deltas are ignored until a chunk with index 0 comes. */
  | { readonly kind: 'waiting' }
  | {
      readonly kind: 'staging';
      readonly sequence: number;
      nextIndex: number;
      readonly instances: Map<string, Instance>;
      readonly set: DigestedSet;
    }
  | { readonly kind: 'live'; readonly position: Position };

/** Checks a Hello and says who speaks. Throws FeedEnd. */
export function identify(hello: Hello): AgentIdentity {
  if (hello.protocolVersion < 1) {
    const text = `protocol_version ${hello.protocolVersion} is not supported, ${protocolVersion} is`;
    throw new FeedEnd(status.FAILED_PRECONDITION, text);
  }
  const { registry, kind, agentId, epoch } = hello;
  if (!isRegistryId(registry)) throw invalid('hello.registry: expected <datacenter>/<name>');
  if (!isKind(kind)) throw invalid('hello.kind: expected eureka or zookeeper');
  if (!/^[\x21-\x7e]{1,253}$/.test(agentId)) {
    throw invalid('hello.agent_id: expected 1..253 visible ASCII characters');
  }
  if (epoch.length !== 16) throw invalid('hello.epoch: expected 16 bytes');
  if (hello.oldestSequence > hello.sequence + 1) throw invalid('hello.oldest_sequence: too high');
  return {
    registry,
    kind,
    agentId,
    epoch: Buffer.from(epoch).toString('hex'),
    network: limited('hello.network', hello.network),
    defaultLocality: limited('hello.default_locality', hello.defaultLocality),
    software: limited('hello.software', hello.software),
  };
}

/** What one session may hold, and what its Welcome says. */
export interface SessionOptions {
  readonly instancesMax: number;
  readonly served: boolean;
  readonly aggregator: string;
}

/** See the head of this file. */
export class FeedSession {
  private readonly epoch: string;
  private readonly options: SessionOptions;
  private readonly welcome: OutgoingMessage;
  private state: State;

  /** @param position where the agent stood on its last stream, if that is known */
  constructor(hello: Hello, position: Position | undefined, options: SessionOptions) {
    this.epoch = Buffer.from(hello.epoch).toString('hex');
    this.options = options;
    const canResume =
      position?.epoch === this.epoch &&
      position.sequence + 1 >= hello.oldestSequence &&
      position.sequence <= hello.sequence;
    this.state = canResume ? { kind: 'live', position } : { kind: 'waiting' };
    this.welcome = {
      kind: 'welcome',
      welcome: {
        protocolVersion: Math.min(protocolVersion, hello.protocolVersion),
        resume: canResume,
        sequence: canResume ? position.sequence : 0,
        served: options.served,
        aggregator: options.aggregator,
      },
    };
  }

  /** The first actions of the stream. */
  greet(): readonly SessionAction[] {
    return [{ kind: 'send', message: this.welcome }];
  }

  /** Takes in a message. Throws FeedEnd when it breaks a rule. */
  receive(input: SessionInput): readonly SessionAction[] {
    switch (input.kind) {
      case 'chunk':
        return this.takeChunk(input.chunk, input.instances);
      case 'delta':
        return this.takeDelta(input);
      case 'heartbeat':
        return this.takeHeartbeat(input.heartbeat);
    }
  }

  private takeChunk(
    chunk: Omit<SnapshotChunk, 'instances'>,
    instances: readonly DecodedInstance[],
  ): readonly SessionAction[] {
    if (chunk.sequence < 1) throw invalid('snapshot_chunk.sequence: expected 1 or higher');
    if (chunk.index === 0) this.state = newStaging(chunk.sequence);
    const staging = this.state;
    if (staging.kind !== 'staging') {
      throw invalid(`snapshot_chunk.index: ${chunk.index} without the ones before`);
    }
    if (chunk.index !== staging.nextIndex || chunk.sequence !== staging.sequence) {
      const wanted = `chunk ${staging.nextIndex} of snapshot ${staging.sequence}`;
      throw invalid(`snapshot_chunk: expected ${wanted}, or index 0`);
    }
    staging.nextIndex += 1;
    for (const { id, hash, instance } of instances) {
      const before = staging.set.size;
      staging.set.put(id, hash);
      if (staging.set.size === before) {
        throw invalid('snapshot_chunk.instances: an id comes twice');
      }
      if (instance !== undefined) staging.instances.set(id, instance);
    }
    this.checkSize(staging.set);
    if (!chunk.last) return [];
    if (chunk.count !== staging.set.size) {
      return this.resync('snapshot', `count ${chunk.count}, but ${staging.set.size} have come`);
    }
    if (!staging.set.bytes().equals(chunk.digest)) {
      return this.resync('snapshot', 'the digest of the snapshot differs');
    }
    const { sequence, set } = staging;
    const position = { epoch: this.epoch, sequence, set };
    this.state = { kind: 'live', position };
    return [
      { kind: 'replace', instances: staging.instances, ageMs: chunk.ageMs, position },
      { kind: 'send', message: { kind: 'accepted', sequence } },
    ];
  }

  private takeDelta(delta: Extract<SessionInput, { kind: 'delta' }>): readonly SessionAction[] {
    const { firstSequence, sequence, changes, ageMs } = delta;
    if (firstSequence < 1 || firstSequence > sequence) {
      throw invalid('delta.first_sequence: expected 1..sequence');
    }
    if (this.state.kind === 'staging') throw invalid('delta: between the chunks of a snapshot');
    if (this.state.kind === 'waiting') return [];
    const { position } = this.state;
    if (sequence > position.sequence) {
      if (firstSequence > position.sequence + 1) {
        const text = `expected ${position.sequence + 1}, but ${firstSequence} has come`;
        return this.resync('gap', text);
      }
      position.sequence = sequence;
      const applied = applyChanges(position.set, changes);
      this.checkSize(position.set);
      const accepted = { kind: 'send', message: { kind: 'accepted', sequence } } as const;
      return [{ kind: 'apply', changes: applied, ageMs }, accepted];
    }
    return [{ kind: 'send', message: { kind: 'accepted', sequence: position.sequence } }];
  }

  private takeHeartbeat(heartbeat: Heartbeat): readonly SessionAction[] {
    const {
      state,
      reason,
      registryAgeMs,
      hiddenDelayMs,
      heldRemovals,
      digest,
      doubt = '',
    } = heartbeat;
    const health: RegistryHealth = {
      ...{ state, registryAgeMs, hiddenDelayMs, heldRemovals },
      reason: reason.slice(0, 1000),
      ...(doubt === '' ? {} : { doubt: doubt.slice(0, 1000) }),
    };
    const actions: SessionAction[] = [{ kind: 'health', health }];
    if (this.state.kind !== 'live' || digest.length === 0) return actions;
    const { position } = this.state;
    if (heartbeat.sequence !== position.sequence) return actions;
    if (position.set.bytes().equals(digest)) return actions;
    return [...actions, ...this.resync('digest', `the digest at ${position.sequence} differs`)];
  }

  private resync(cause: ResyncCause, reason: string): readonly SessionAction[] {
    this.state = { kind: 'waiting' };
    return [
      { kind: 'resync', cause, reason },
      { kind: 'send', message: { kind: 'resync', reason } },
    ];
  }

  private checkSize(set: DigestedSet): void {
    if (set.size <= this.options.instancesMax) return;
    const text = `more than ${this.options.instancesMax} instances in one registry`;
    throw new FeedEnd(status.RESOURCE_EXHAUSTED, text);
  }
}

function applyChanges(set: DigestedSet, changes: readonly DecodedChange[]): readonly Change[] {
  const applied: Change[] = [];
  for (const change of changes) {
    if (change.kind === 'removal') {
      if (!set.has(change.id)) continue;
      set.delete(change.id);
      applied.push(change);
      continue;
    }
    const { id, hash, instance } = change.upsert;
    set.put(id, hash);
    if (instance !== undefined) applied.push({ kind: 'upsert', instance });
  }
  return applied;
}

function newStaging(sequence: number): State {
  return {
    kind: 'staging',
    sequence,
    nextIndex: 0,
    instances: new Map<string, Instance>(),
    set: new DigestedSet(),
  };
}

function invalid(text: string): FeedEnd {
  return new FeedEnd(status.INVALID_ARGUMENT, text);
}

function isKind(kind: string): kind is RegistryKind {
  return kind === 'eureka' || kind === 'zookeeper';
}

function limited(field: string, text: string): string {
  if (text.length > 255) throw invalid(`${field}: longer than 255 characters`);
  return text;
}

/** The status and text with which a stream ends because of this error. */
export function endOf(error: unknown): FeedEnd {
  if (error instanceof FeedEnd) return error;
  if (error instanceof ProtocolError) return invalid(error.message);
  return new FeedEnd(status.INTERNAL, 'internal error');
}
