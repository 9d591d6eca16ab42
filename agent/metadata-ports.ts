import type { Port } from '../common/instance.ts';

/**
 * What the metadata of Spring applications say of ports, in the same words in every registry. Pure.
 */

/** The protocols that istiod knows for a port of a service (case-insensitively). */
const meshProtocols: ReadonlySet<string> = new Set([
  'tcp',
  'udp',
  'grpc',
  'grpc-web',
  'http',
  'http_proxy',
  'http2',
  'https',
  'tls',
  'mongo',
  'redis',
  'mysql',
]);

/** By which gRPC servers in Spring applications tell their port, the first that is there. */
const grpcKeys = ['gRPC_port', 'gRPC.port', 'grpc.port', 'grpc_port', 'grpcPort'];

/** What the plain port speaks by metadata `istio.protocol`; undefined when that says nothing usable. */
export function plainProtocol(metadata: ReadonlyMap<string, string>): string | undefined {
  const hint = hintOf(metadata);
  return meshProtocols.has(hint) ? hint : undefined;
}

/** What the secure port speaks: `tls` when metadata `istio.protocol` says so, else `https`. */
export function secureProtocol(metadata: ReadonlyMap<string, string>): 'tls' | 'https' {
  return hintOf(metadata) === 'tls' ? 'tls' : 'https';
}

/** A gRPC port told in metadata. */
export function grpcPort(metadata: ReadonlyMap<string, string>): Port | undefined {
  if (metadata.size === 0) return undefined;
  for (const key of grpcKeys) {
    const text = metadata.get(key)?.trim() ?? '';
    const number = /^\d{1,5}$/.test(text) ? Number(text) : 0;
    if (number >= 1 && number <= 65_535) return { protocol: 'grpc', number };
  }
  return undefined;
}

function hintOf(metadata: ReadonlyMap<string, string>): string {
  return (metadata.get('istio.protocol') ?? '').trim().toLowerCase();
}
