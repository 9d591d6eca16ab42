import type { CollectionState } from '../store-types.ts';
import type { EncodedMessage } from './grpc-types.ts';

/** The parts of a DiscoveryResponse. */
export interface DiscoveryResponse {
  readonly versionInfo: string;
  /** Exactly as it was requested. */
  readonly typeUrl: string;
  readonly nonce: string;
  /** Encoded `resources` fields, or undefined for none. */
  readonly state: CollectionState | undefined;
}

/**
 * A DiscoveryResponse as slices: a head and a tail of some bytes, and between them the very
 * segments of the store, neither copied nor joined.
 */
export function encodeDiscoveryResponse(response: DiscoveryResponse): EncodedMessage {
  const head = stringField(1, response.versionInfo);
  const tail = Buffer.concat([stringField(4, response.typeUrl), stringField(5, response.nonce)]);
  return {
    slices: [head, ...(response.state?.segments ?? []), tail],
    byteLength: head.length + (response.state?.byteLength ?? 0) + tail.length,
  };
}

/** Encodes each response once for all subscribers. What nobody serves any more is forgotten. */
export class ResponseCache {
  private readonly encoded = new WeakMap<CollectionState, Map<string, EncodedMessage>>();

  /** The encoded response. Responses without a state are encoded each time: they are tiny. */
  encode(response: DiscoveryResponse): EncodedMessage {
    const { state, typeUrl } = response;
    if (state === undefined) return encodeDiscoveryResponse(response);
    let byType = this.encoded.get(state);
    if (byType === undefined) {
      byType = new Map();
      this.encoded.set(state, byType);
    }
    let message = byType.get(typeUrl);
    if (message === undefined) {
      message = encodeDiscoveryResponse(response);
      byType.set(typeUrl, message);
    }
    return message;
  }
}

function stringField(field: number, text: string): Buffer {
  const bytes = Buffer.from(text);
  return Buffer.concat([varint((field << 3) | 2), varint(bytes.length), bytes]);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  while (rest > 0x7f) {
    bytes.push((rest & 0x7f) | 0x80);
    rest >>>= 7;
  }
  bytes.push(rest);
  return Buffer.from(bytes);
}
