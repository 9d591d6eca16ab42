import { loadPackageDefinition } from '@grpc/grpc-js';
import type { GrpcObject } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import protobuf from 'protobufjs';

/**
 * Loads the .proto files beside it, once, at start. `root` holds every message for encoding and
 * decoding by hand (`codec`), `loadGrpc` what grpc-js needs of a service.
 */
const files = [
  'tributary/feed/v1/feed.proto',
  'envoy/service/discovery/v3/discovery.proto',
  'istio/mcp/v1alpha1/resource.proto',
  'istio/networking/v1alpha3/service_entry.proto',
];

const root = new protobuf.Root();
root.resolvePath = (_origin, target) =>
  target.startsWith('google/') ? target : `${import.meta.dirname}/${target}`;
root.loadSync(files, { keepCase: false });
root.resolveAll();

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
  const type = root.lookupType(fullName);
  return {
    encode: (message) => type.encode(message as Record<string, unknown>).finish(),
    decode: (bytes) =>
      type.toObject(type.decode(bytes), { longs: Number, defaults: true, arrays: true }) as T,
  };
}

/** The grpc-js view of one .proto file, e.g. `loadGrpc(...).tributary`. */
export function loadGrpc(file: string): GrpcObject {
  return loadPackageDefinition(
    loadSync(file, {
      includeDirs: [import.meta.dirname],
      keepCase: false,
      longs: Number,
      defaults: true,
      arrays: true,
      oneofs: true,
    }),
  );
}
