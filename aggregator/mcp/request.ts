import protobuf from 'protobufjs';
import { ProtocolError } from '../../common/errors.ts';

/** What matters of an `envoy.service.discovery.v3.DiscoveryRequest`. */
export interface DiscoveryRequest {
  readonly typeUrl: string;
  readonly versionInfo: string;
  readonly responseNonce: string;
  /** `node.id`, or undefined when the request carries no node. */
  readonly node: string | undefined;
  /** The message of `error_detail`, or undefined when it is not set: this is no nack then. */
  readonly error: string | undefined;
}

const lengthDelimited = 2;

/**
 * Reads the fields that matter and skips the others, resource names among them, without building
 * them: a hostile request costs no more than its bytes. Throws ProtocolError on bytes that are no
 * DiscoveryRequest.
 */
export function decodeDiscoveryRequest(bytes: Uint8Array): DiscoveryRequest {
  try {
    return decode(bytes);
  } catch (error) {
    throw new ProtocolError('not a DiscoveryRequest', { cause: error });
  }
}

function decode(bytes: Uint8Array): DiscoveryRequest {
  const request = {
    typeUrl: '',
    versionInfo: '',
    responseNonce: '',
    node: undefined as string | undefined,
    error: undefined as string | undefined,
  };
  const reader = protobuf.Reader.create(bytes);
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    if ((tag & 7) !== lengthDelimited) {
      reader.skipType(tag & 7);
      continue;
    }
    switch (tag >>> 3) {
      case 1:
        request.versionInfo = reader.string();
        break;
      case 2:
        request.node = stringIn(reader.bytes(), 1);
        break;
      case 4:
        request.typeUrl = reader.string();
        break;
      case 5:
        request.responseNonce = reader.string();
        break;
      case 6:
        request.error = stringIn(reader.bytes(), 2);
        break;
      default:
        reader.skipType(lengthDelimited);
    }
  }
  return request;
}

/** A text field of an embedded message, empty when it is absent. */
function stringIn(bytes: Uint8Array, field: number): string {
  const reader = protobuf.Reader.create(bytes);
  let text = '';
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    if (tag === ((field << 3) | lengthDelimited)) text = reader.string();
    else reader.skipType(tag & 7);
  }
  return text;
}
