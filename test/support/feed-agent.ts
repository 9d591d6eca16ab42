import { randomBytes } from 'node:crypto';
import { Client, credentials, Metadata } from '@grpc/grpc-js';
import type { ChannelCredentials, ClientDuplexStream, ServiceError } from '@grpc/grpc-js';
import { Digest, hashInstance } from '../../common/digest.ts';
import type { Instance } from '../../common/instance.ts';
import {
  decodeAggregatorMessage,
  encodeAgentMessage,
  encodeChanges,
  encodeDelta,
  feedStream,
} from '../../proto/feed.ts';
import type { AggregatorMessage, Heartbeat, Hello, SnapshotChunk } from '../../proto/feed.ts';
import { encodeInstance } from '../../proto/instance-codec.ts';

export interface RawFeedAgentOptions {
  readonly port: number;
  readonly hello?: Partial<Hello>;
  readonly channel?: ChannelCredentials;
  readonly token?: string;
  readonly options?: Readonly<Record<string, string | number>>;
}

/** An agent that sends exactly what a test tells it to, and keeps what the aggregator answers. */
export class RawFeedAgent {
  readonly received: AggregatorMessage[] = [];
  /** How the stream ended. */
  ended: ServiceError | 'ok' | undefined;
  private readonly client: Client;
  private readonly call: ClientDuplexStream<Buffer, Buffer>;
  private readonly set = new Map<string, Buffer>();
  private sequence = 0;

  constructor({ port, hello, channel, token, options }: RawFeedAgentOptions) {
    this.client = new Client(`ipv4:127.0.0.1:${port}`, channel ?? credentials.createInsecure(), {
      'grpc.use_local_subchannel_pool': 1,
      ...options,
    });
    const metadata = new Metadata();
    if (token !== undefined) metadata.set('authorization', `Bearer ${token}`);
    const { path, requestSerialize, responseDeserialize } = feedStream;
    this.call = this.client.makeBidiStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      metadata,
    );
    this.call.on('data', (bytes: Buffer) => this.received.push(decodeAggregatorMessage(bytes)));
    this.call.on('error', (error: ServiceError) => (this.ended ??= error));
    this.call.on('end', () => (this.ended ??= 'ok'));
    if (hello !== undefined) this.hello(hello);
  }

  /** The messages of one kind, in order. */
  of<K extends AggregatorMessage['kind']>(kind: K): Extract<AggregatorMessage, { kind: K }>[] {
    return this.received.filter(
      (message): message is Extract<AggregatorMessage, { kind: K }> => message.kind === kind,
    );
  }

  send(bytes: Buffer): void {
    this.call.write(bytes);
  }

  hello(fields: Partial<Hello>): void {
    this.send(encodeAgentMessage({ kind: 'hello', hello: rawHello(fields) }));
  }

  /** A snapshot in one chunk, as of the next sequence, unless the fields say otherwise. */
  snapshot(instances: readonly Instance[], fields: Partial<SnapshotChunk> = {}): void {
    this.set.clear();
    for (const instance of instances) this.set.set(instance.id, encodeInstance(instance));
    this.sequence = fields.sequence ?? this.sequence + 1;
    const chunk = {
      sequence: this.sequence,
      index: 0,
      instances: [...this.set.values()],
      last: true,
      digest: this.digest(),
      count: this.set.size,
      ageMs: 0,
      ...fields,
    };
    this.send(encodeAgentMessage({ kind: 'chunk', chunk }));
  }

  /** A Delta with the next sequence, unless given. */
  delta(
    upserts: readonly Instance[],
    removals: readonly string[] = [],
    sequence = this.sequence + 1,
  ): void {
    this.sequence = sequence;
    for (const instance of upserts) this.set.set(instance.id, encodeInstance(instance));
    for (const id of removals) this.set.delete(id);
    const changes = encodeChanges([
      ...upserts.map((instance) => ({ kind: 'upsert', bytes: encodeInstance(instance) }) as const),
      ...removals.map((id) => ({ kind: 'removal', id }) as const),
    ]);
    this.send(encodeDelta({ firstSequence: sequence, sequence, ageMs: 1 }, [changes]));
  }

  heartbeat(fields: Partial<Heartbeat> = {}): void {
    const heartbeat: Heartbeat = {
      heartbeat: 1,
      sequence: this.sequence,
      digest: this.digest(),
      state: 'live',
      reason: '',
      registryAgeMs: 0,
      hiddenDelayMs: 0,
      heldRemovals: 0,
      ...fields,
    };
    this.send(encodeAgentMessage({ kind: 'heartbeat', heartbeat }));
  }

  close(): void {
    this.call.cancel();
    this.client.close();
  }

  private digest(): Buffer {
    const digest = new Digest();
    for (const bytes of this.set.values()) digest.add(hashInstance(bytes));
    return digest.bytes();
  }
}

/** A Hello of an agent of `dc1/main`. */
export function rawHello(fields: Partial<Hello> = {}): Hello {
  return {
    protocolVersion: 1,
    agentId: 'agent-1',
    registry: 'dc1/main',
    kind: 'eureka',
    datacenter: 'dc1',
    network: '',
    defaultLocality: '',
    epoch: randomBytes(16),
    oldestSequence: 1,
    sequence: 0,
    software: 'test',
    ...fields,
  };
}
