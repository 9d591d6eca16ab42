import type { MethodDefinition, ServiceDefinition } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import protobuf from 'protobufjs';

/**
 * Loads the .proto files beside it, each when it is first asked for. `codec` is for encoding and decoding by
 * hand, `loadGrpc` gives what grpc-js needs of a service.
 */
const files: Readonly<Record<string, string>> = {
  'tributary.feed': 'tributary/feed/v1/feed.proto',
  'envoy.service': 'envoy/service/discovery/v3/discovery.proto',
  'istio.mcp': 'istio/mcp/v1alpha1/resource.proto',
  'istio.networking': 'istio/networking/v1alpha3/service_entry.proto',
  'google.protobuf': 'istio/mcp/v1alpha1/resource.proto',
  'org.apache': 'dubbo/metadata/metadata_service_v2.proto',
};

const roots = new Map<string, protobuf.Root>();

/** The messages of the file that has the message of this name, and of those that it imports. */
function rootOf(fullName: string): protobuf.Root {
  const file = files[fullName.split('.', 2).join('.')];
  if (file === undefined) throw new Error(`no file is known to have the message ${fullName}`);
  const known = roots.get(file);
  if (known !== undefined) return known;
  const root = new protobuf.Root();
  root.resolvePath = (_origin, target) =>
    target.startsWith('google/') ? target : `${import.meta.dirname}/${target}`;
  root.loadSync(file, { keepCase: false });
  root.resolveAll();
  roots.set(file, root);
  return root;
}

/** Encodes and decodes one message type. */
export interface Codec<T> {
  encode(message: T): Uint8Array;
  /** Throws on bytes that are not this message. Absent fields have their proto3 defaults. */
  decode(bytes: Uint8Array): T;
}

/**
 * The codec of a message by its full name. Field names are camelCase, enums are numbers, 64-bit
 * numbers are JavaScript numbers (so at most 2^53), bytes are Buffers, maps are plain objects.
 */
export function codec<T>(fullName: string): Codec<T> {
  const type = rootOf(fullName).lookupType(fullName);
  return {
    encode: (message) => type.encode(message as Record<string, unknown>).finish(),
    decode: (bytes) =>
      type.toObject(type.decode(bytes), { longs: Number, defaults: true, arrays: true }) as T,
  };
}

/** A method of a service as grpc-js takes it, with its messages as bytes. */
export type BytesMethod = MethodDefinition<Buffer, Buffer>;

const identity = (bytes: Buffer): Buffer => bytes;

/**
 * A method as its .proto file declares it (path, which sides stream), by the service's full name. Its
 * messages stay bytes: whoever calls or serves it encodes them with a codec. Throws when the file
 * has no such method.
 */
export function bytesMethod(file: string, service: string, method: string): BytesMethod {
  const definition = loadSync(file, { includeDirs: [import.meta.dirname] })[service];
  const declared =
    definition !== undefined && !('format' in definition)
      ? (definition as ServiceDefinition)[method]
      : undefined;
  if (declared === undefined) throw new Error(`${file}: no method ${service}/${method}`);
  return {
    ...declared,
    requestSerialize: identity,
    requestDeserialize: identity,
    responseSerialize: identity,
    responseDeserialize: identity,
  };
}
