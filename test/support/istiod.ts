import { Client, credentials, status } from '@grpc/grpc-js';
import type { ChannelCredentials, ChannelOptions, ClientDuplexStream } from '@grpc/grpc-js';
import protobuf from 'protobufjs';
import { messageOf } from '../../common/errors.ts';
import { sleep } from '../../common/sleep.ts';
import { codec } from '../../proto/load.ts';
import { profileOf } from './istiod-profile.ts';
import type { IstiodProfile, IstioVersion } from './istiod-profile.ts';
import { IstiodStore } from './istiod-store.ts';
import type { StoredServiceEntry, StoreEvent } from './istiod-store.ts';

/**
 * An istiod as far as its configuration source can tell: an ADS client that asks, stores,
 * acknowledges and reconnects exactly as istiod's own client (pkg/adsc) of a given release does. It
 * never refuses a response, keeps what it has when a stream ends, deletes what a response leaves
 * out, and is not ready until every type was answered.
 */
export interface TestIstiodOptions {
  /** `host:port` */
  readonly address: string;
  /** Default 1.24. */
  readonly profile?: IstioVersion;
  readonly podName?: string;
  readonly podNamespace?: string;
  /** istiod's REVISION; empty = none. */
  readonly revision?: string;
  /** Default plaintext, as all releases before 1.26. */
  readonly credentials?: ChannelCredentials;
  /** First delay before a new stream, milliseconds; a real istiod has 500. Default 20. */
  readonly backoffMs?: number;
  /** Longest delay; a real istiod has 60,000. Default 1,000. */
  readonly backoffMaxMs?: number;
  /** End with an error, as istiod exits, when the first stream cannot be opened. Default no. */
  readonly exitsIfUnreachable?: boolean;
  /**
   * `full` keeps resources as istiod does. `light` only counts them, and finds one: quick enough to
   * measure pushes of tens of megabytes with. Default full.
   */
  readonly mode?: 'full' | 'light';
  /** Name of the resource that the light mode finds. */
  readonly find?: string;
  /** istiod's debouncing towards its proxies, milliseconds. Default 100 and 10,000. */
  readonly debounce?: { readonly quietMs: number; readonly maxMs: number };
}

/** One response that was received and processed. Times are `performance.now()`. */
export interface ReceivedPush {
  readonly typeUrl: string;
  readonly versionInfo: string;
  readonly nonce: string;
  readonly byteLength: number;
  readonly resources: number;
  /** When the last byte was there. */
  readonly at: number;
  /** Of the resource to be found (light mode). */
  readonly found: { readonly version: string; readonly bytes: Buffer } | undefined;
}

/** A push to the proxies: the changes since the one before. */
export interface MeshPush {
  readonly at: number;
  readonly names: ReadonlySet<string>;
}

export interface TimedStoreEvent extends StoreEvent {
  /** `performance.now()` */
  readonly at: number;
}

interface Response {
  readonly versionInfo: string;
  readonly typeUrl: string;
  readonly nonce: string;
  readonly resources: readonly Buffer[];
}

type Stream = ClientDuplexStream<Buffer, Buffer>;

const method = '/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources';
const meshConfig = 'core/v1alpha1/MeshConfig';
const serviceEntry = /^networking\.istio\.io\/[^/]+\/ServiceEntry$/;
const eventsMax = 10_000;
const pushesMax = 10_000;
const requestCodec = codec<Record<string, unknown>>('envoy.service.discovery.v3.DiscoveryRequest');

export class TestIstiod {
  /** Milliseconds between processing a response and acknowledging it. Responses wait in order. */
  acknowledgeDelayMs = 0;
  /** The last responses, oldest first. */
  readonly pushes: ReceivedPush[] = [];
  /** The last store events, oldest first. */
  readonly events: TimedStoreEvent[] = [];
  /** The last pushes to the proxies, oldest first. */
  readonly meshPushes: MeshPush[] = [];
  /** Bytes of all responses. */
  byteCount = 0;
  /** Streams that were opened. */
  streamCount = 0;
  /** Why streams ended, oldest first. */
  readonly endings: string[] = [];
  private readonly options: TestIstiodOptions;
  private readonly profile: IstiodProfile;
  private readonly store: IstiodStore;
  private readonly answered = new Set<string>();
  private readonly listeners = new Set<(push: ReceivedPush) => void>();
  private readonly meshListeners = new Set<(push: MeshPush) => void>();
  private readonly dirty = new Set<string>();
  private dirtySince = 0;
  private dirtyAt = 0;
  private debounceTimer: NodeJS.Timeout | undefined;
  private pausing: { readonly promise: Promise<void>; readonly release: () => void } | undefined;
  private stream: Stream | undefined;

  constructor(options: TestIstiodOptions) {
    this.options = options;
    this.profile = profileOf(options.profile ?? '1.24');
    this.store = new IstiodStore(this.profile, options.revision ?? '');
  }

  /** Lives until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { backoffMs = 20, backoffMaxMs = 1_000, exitsIfUnreachable = false } = this.options;
    const client = this.createClient(backoffMs, backoffMaxMs);
    let delay = backoffMs;
    try {
      while (!signal.aborted) {
        const count = this.streamCount;
        const reason = await this.runStream(client, signal);
        this.endings.push(reason);
        const wasOpened = this.streamCount > count;
        if (!wasOpened && this.streamCount === 0 && exitsIfUnreachable) {
          throw new Error(`MCP: failed running: ${reason}`);
        }
        if (wasOpened) delay = backoffMs;
        await sleep(delay * (0.5 + Math.random()), signal);
        delay = Math.min(delay * 1.5, backoffMaxMs);
      }
    } finally {
      clearTimeout(this.debounceTimer);
      client.close();
    }
  }

  /** What istiod holds, by `namespace/name`. */
  serviceEntries(): ReadonlyMap<string, StoredServiceEntry> {
    return this.store.entries;
  }

  /** Whether istiod would be ready, as far as this source goes. */
  hasSynced(): boolean {
    if (!this.profile.gatesOnSync) return true;
    return this.profile.types.every((typeUrl) => this.answered.has(typeUrl));
  }

  /** The types that are requested, MeshConfig first. */
  requestedTypes(): readonly string[] {
    return [meshConfig, ...this.profile.types];
  }

  /** Calls the listener after each response has been processed, before it is acknowledged. */
  onPush(listener: (push: ReceivedPush) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Calls the listener whenever istiod would push to its proxies. */
  onMeshPush(listener: (push: MeshPush) => void): () => void {
    this.meshListeners.add(listener);
    return () => this.meshListeners.delete(listener);
  }

  /** The next response that fits. */
  nextPush(fits: (push: ReceivedPush) => boolean = () => true): Promise<ReceivedPush> {
    return new Promise((resolve) => {
      const stop = this.onPush((push) => {
        if (!fits(push)) return;
        stop();
        resolve(push);
      });
    });
  }

  /** Processes and acknowledges nothing more, as an istiod that is stuck. */
  pause(): void {
    if (this.pausing !== undefined) return;
    let release = (): void => undefined;
    const promise = new Promise<void>((resolve) => {
      release = resolve;
    });
    this.pausing = { promise, release };
  }

  resume(): void {
    this.pausing?.release();
    this.pausing = undefined;
  }

  /** Cuts the stream with RST_STREAM, as a crash would. A new one follows. */
  cutStream(): void {
    this.stream?.cancel();
  }

  private createClient(backoffMs: number, backoffMaxMs: number): Client {
    const { windowBytes, receiveBytesMax, pings } = this.profile;
    const options: ChannelOptions = {
      'grpc.max_receive_message_length': receiveBytesMax,
      'grpc.initial_reconnect_backoff_ms': Math.max(backoffMs, 10),
      'grpc.max_reconnect_backoff_ms': Math.max(backoffMaxMs, 10),
      'grpc.use_local_subchannel_pool': 1,
      ...(windowBytes === undefined ? {} : { 'grpc-node.flow_control_window': windowBytes }),
      ...(pings ? { 'grpc.keepalive_time_ms': 30_000, 'grpc.keepalive_timeout_ms': 10_000 } : {}),
    };
    const channel = this.options.credentials ?? credentials.createInsecure();
    return new Client(this.options.address, channel, options);
  }

  /** One stream from its requests to its end; says why it ended. */
  private async runStream(client: Client, signal: AbortSignal): Promise<string> {
    const stream: Stream = client.makeBidiStreamRequest(
      method,
      (bytes: Buffer) => bytes,
      (bytes: Buffer) => bytes,
    );
    this.stream = stream;
    const cancel = (): void => {
      stream.cancel();
      this.resume();
    };
    signal.addEventListener('abort', cancel, { once: true });
    stream.once('metadata', () => this.streamCount++);
    stream.on('error', () => undefined);
    try {
      this.subscribe(stream);
      for await (const bytes of stream) {
        await this.receive(stream, bytes as Buffer, signal);
      }
      return 'the stream ended';
    } catch (error) {
      const code = (error as { code?: number }).code;
      return code === undefined ? messageOf(error) : `${status[code] ?? code} ${messageOf(error)}`;
    } finally {
      signal.removeEventListener('abort', cancel);
      stream.destroy();
      this.stream = undefined;
    }
  }

  /** All types back to back; the node on the first, the time of day as nonce on all. */
  private subscribe(stream: Stream): void {
    let node: unknown = this.node();
    for (const typeUrl of this.requestedTypes()) {
      const responseNonce = `${new Date().toISOString()} m=+${performance.now() / 1000}`;
      stream.write(encode({ typeUrl, responseNonce, ...(node === undefined ? {} : { node }) }));
      node = undefined;
    }
  }

  private node(): unknown {
    const { podName = 'test-1', podNamespace = 'default', revision = '' } = this.options;
    const fields: Record<string, unknown> = {
      GENERATOR: { stringValue: 'api' },
      ISTIO_VERSION: { stringValue: '65536.65536.65536' },
    };
    if (revision !== '' && this.profile.filtersRevision) {
      fields['ISTIO_REVISION'] = { stringValue: revision };
    }
    const domain = `${podNamespace}.svc.cluster.local`;
    return { id: `sidecar~192.0.2.1~${podName}.${podNamespace}~${domain}`, metadata: { fields } };
  }

  private async receive(stream: Stream, bytes: Buffer, signal: AbortSignal): Promise<void> {
    const at = performance.now();
    while (this.pausing !== undefined && !signal.aborted) await this.pausing.promise;
    const response = readResponse(bytes);
    const { typeUrl, nonce, versionInfo } = response;
    this.byteCount += bytes.length;
    if (typeUrl === meshConfig) {
      if (response.resources.length === 0 && this.profile.wedgesOnMeshConfig) {
        await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
      }
      if (response.resources.length > 0) return;
    }
    const found = this.process(response);
    if (this.profile.types.includes(typeUrl)) this.answered.add(typeUrl);
    const push: ReceivedPush = {
      ...{ typeUrl, versionInfo, nonce, at, found },
      byteLength: bytes.length,
      resources: response.resources.length,
    };
    keep(this.pushes, push, pushesMax);
    for (const listener of [...this.listeners]) listener(push);
    if (this.acknowledgeDelayMs > 0) await sleep(this.acknowledgeDelayMs, signal);
    stream.write(encode({ typeUrl, versionInfo, responseNonce: nonce, node: this.node() }));
  }

  private process(response: Response): ReceivedPush['found'] {
    const { typeUrl, resources } = response;
    if (!this.profile.types.includes(typeUrl)) return undefined;
    if (this.options.mode === 'light') return this.processLightly(response);
    if (!serviceEntry.test(typeUrl)) return undefined;
    for (const event of this.store.apply(typeUrl, resources)) {
      keep(this.events, { ...event, at: performance.now() }, eventsMax);
      if (['added', 'updated', 'deleted'].includes(event.kind)) this.changed(event.name);
    }
    return undefined;
  }

  private processLightly(response: Response): ReceivedPush['found'] {
    const { typeUrl, versionInfo, resources } = response;
    if (!serviceEntry.test(typeUrl)) return undefined;
    const last = this.pushes.findLast((push) => push.typeUrl === typeUrl);
    if (last?.versionInfo !== versionInfo) this.changed(this.options.find ?? '');
    if (this.options.find === undefined) return undefined;
    return findResource(resources, this.options.find);
  }

  /** istiod waits for quiet, but not for ever. */
  private changed(name: string): void {
    const { quietMs, maxMs } = this.options.debounce ?? { quietMs: 100, maxMs: 10_000 };
    const now = performance.now();
    if (this.dirty.size === 0) this.dirtySince = now;
    this.dirty.add(name);
    this.dirtyAt = now;
    this.debounceTimer ??= setTimeout(() => this.debounced(quietMs, maxMs), quietMs);
  }

  private debounced(quietMs: number, maxMs: number): void {
    const now = performance.now();
    const quiet = now - this.dirtyAt;
    if (quiet < quietMs && now - this.dirtySince < maxMs) {
      this.debounceTimer = setTimeout(() => this.debounced(quietMs, maxMs), quietMs - quiet);
      return;
    }
    this.debounceTimer = undefined;
    const push: MeshPush = { at: now, names: new Set(this.dirty) };
    this.dirty.clear();
    keep(this.meshPushes, push, pushesMax);
    for (const listener of [...this.meshListeners]) listener(push);
  }
}

function keep<T>(list: T[], item: T, most: number): void {
  list.push(item);
  if (list.length > most) list.shift();
}

function encode(request: Record<string, unknown>): Buffer {
  const bytes = requestCodec.encode(request);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Cuts a DiscoveryResponse into its parts without copying the resources. */
function readResponse(bytes: Buffer): Response {
  const response = { versionInfo: '', typeUrl: '', nonce: '', resources: [] as Buffer[] };
  const reader = protobuf.Reader.create(bytes);
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    if (tag === 0x0a) response.versionInfo = reader.string();
    else if (tag === 0x12) response.resources.push(subarray(bytes, reader));
    else if (tag === 0x22) response.typeUrl = reader.string();
    else if (tag === 0x2a) response.nonce = reader.string();
    else reader.skipType(tag & 7);
  }
  return response;
}

/** The length-delimited field at the reader's position, as a view. */
function subarray(bytes: Buffer, reader: protobuf.Reader): Buffer {
  const length = reader.uint32();
  const start = reader.pos;
  reader.skip(length);
  return bytes.subarray(start, reader.pos);
}

/** Finds a resource by its name: Any.value -> Resource.metadata -> name and version. */
function findResource(resources: readonly Buffer[], name: string): ReceivedPush['found'] {
  for (const bytes of resources) {
    const metadata = field(field(bytes, 2), 1);
    if (field(metadata, 1).toString() !== name) continue;
    return { version: field(metadata, 3).toString(), bytes };
  }
  return undefined;
}

/** The bytes of a length-delimited field, empty when it is absent. */
function field(bytes: Buffer, number: number): Buffer {
  const reader = protobuf.Reader.create(bytes);
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    if (tag === ((number << 3) | 2)) return subarray(bytes, reader);
    reader.skipType(tag & 7);
  }
  return Buffer.alloc(0);
}
