import { Client, credentials } from '@grpc/grpc-js';
import type { ClientDuplexStream } from '@grpc/grpc-js';
import { codec } from '../../proto/load.ts';

/**
 * A subscriber that costs little: it takes whole pushes as bytes, skims names and versions,
 * acknowledges at once, and says which resources came with another version than before.
 */

interface Request {
  typeUrl: string;
  versionInfo: string;
  responseNonce: string;
  node?: { id: string };
}

/** One push as it arrived. Times are `performance.now()`. */
export interface Push {
  /** When the whole message was here. */
  readonly at: number;
  readonly bytes: number;
  readonly resources: number;
  /** Names of resources that are new or came with another version. */
  readonly changed: readonly string[];
  /** Names that are not there any more. */
  readonly removed: readonly string[];
}

const request = codec<Request>('envoy.service.discovery.v3.DiscoveryRequest');
const typeUrl = 'networking.istio.io/v1/ServiceEntry';
const path = '/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources';

/** How long it waits before it acknowledges, as a busy istiod would; milliseconds. */
export interface SubscriberOptions {
  readonly address: string;
  readonly onPush: (push: Push) => void;
}

export class Subscriber {
  private readonly client: Client;
  private readonly stream: ClientDuplexStream<Buffer, Buffer>;
  private versions = new Map<string, string>();
  private readonly options: SubscriberOptions;

  constructor(options: SubscriberOptions) {
    this.options = options;
    this.client = new Client(options.address, credentials.createInsecure(), {
      'grpc.max_receive_message_length': -1,
      'grpc-node.flow_control_window': 1 << 20,
    });
    const identity = (bytes: Buffer): Buffer => bytes;
    this.stream = this.client.makeBidiStreamRequest(path, identity, identity);
    this.stream.on('error', () => undefined);
    this.stream.on('data', (message: Buffer) => this.take(message));
    this.send({ typeUrl, versionInfo: '', responseNonce: 'at start', node: { id: 'bench' } });
  }

  close(): void {
    this.stream.cancel();
    this.client.close();
  }

  private send(message: Request): void {
    this.stream.write(Buffer.from(request.encode(message)));
  }

  private take(message: Buffer): void {
    const at = performance.now();
    const seen = skim(message);
    this.send({ typeUrl, versionInfo: seen.versionInfo, responseNonce: seen.nonce });
    const changed: string[] = [];
    for (const [name, version] of seen.versions) {
      if (this.versions.get(name) !== version) changed.push(name);
    }
    const removed = [...this.versions.keys()].filter((name) => !seen.versions.has(name));
    this.versions = seen.versions;
    const push = { at, bytes: message.length, resources: seen.versions.size, changed, removed };
    this.options.onPush(push);
  }
}

interface Skimmed {
  versionInfo: string;
  nonce: string;
  versions: Map<string, string>;
}

/** Calls `visit` for each length-delimited field of a message; other wire types are passed over. */
function eachField(
  bytes: Buffer,
  from: number,
  to: number,
  visit: (field: number, start: number, end: number) => void,
): void {
  let at = from;
  const varint = (): number => {
    let value = 0;
    for (let shift = 1; ; shift *= 128) {
      const byte = bytes[at++] ?? 0;
      value += (byte & 127) * shift;
      if (byte < 128) return value;
    }
  };
  while (at < to) {
    const tag = varint();
    if ((tag & 7) === 2) {
      const length = varint();
      visit(tag >> 3, at, at + length);
      at += length;
    } else {
      varint();
    }
  }
}

/** Reads version, nonce and each resource's name and version out of a DiscoveryResponse. */
function skim(message: Buffer): Skimmed {
  const result: Skimmed = { versionInfo: '', nonce: '', versions: new Map() };
  eachField(message, 0, message.length, (field, start, end) => {
    if (field === 1) result.versionInfo = message.toString('latin1', start, end);
    if (field === 5) result.nonce = message.toString('latin1', start, end);
    if (field !== 2) return;
    eachField(message, start, end, (anyField, anyStart, anyEnd) => {
      if (anyField !== 2) return;
      let metadataEnd = -1;
      eachField(message, anyStart, anyEnd, (resourceField, metadataStart, fieldEnd) => {
        if (resourceField !== 1 || metadataEnd >= 0) return;
        metadataEnd = fieldEnd;
        let name = '';
        let version = '';
        eachField(message, metadataStart, fieldEnd, (metadataField, valueStart, valueEnd) => {
          if (metadataField === 1) name = message.toString('latin1', valueStart, valueEnd);
          if (metadataField === 3) version = message.toString('latin1', valueStart, valueEnd);
        });
        result.versions.set(name, version);
      });
    });
  });
  return result;
}
