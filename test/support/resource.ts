import { hash } from 'node:crypto';
import type { Resource } from '../../aggregator/store-types.ts';
import { codec } from '../../proto/load.ts';

/** What a test wants to stand in a resource; everything has a valid default. */
export interface ResourceParts {
  /** `namespace/name` */
  readonly name: string;
  /** Default: the hash of the spec. */
  readonly version?: string;
  /** Fields of the ServiceEntry that differ from a valid one with one endpoint. */
  readonly spec?: Readonly<Record<string, unknown>>;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  /** Seconds since 1970, or null for no create time. */
  readonly createTime?: number | null;
  /** Instead of the encoded spec. */
  readonly body?: { readonly type_url: string; readonly value: Uint8Array } | null;
}

const anys = codec<Record<string, unknown>>('google.protobuf.Any');
const resources = codec<Record<string, unknown>>('istio.mcp.v1alpha1.Resource');
const serviceEntries = codec<Record<string, unknown>>('istio.networking.v1alpha3.ServiceEntry');

/** An encoded Any with a resource in it, as it stands in a response. */
export function encodeAny(parts: ResourceParts): Buffer {
  const spec = encodeSpec(parts);
  const createTime = parts.createTime === undefined ? 4_102_444_800 : parts.createTime;
  const body =
    parts.body === undefined
      ? { type_url: 'type.googleapis.com/istio.networking.v1alpha3.ServiceEntry', value: spec }
      : parts.body;
  const value = resources.encode({
    metadata: {
      name: parts.name,
      ...(createTime === null ? {} : { createTime: { seconds: createTime } }),
      version: parts.version ?? hash('sha256', spec).slice(0, 16),
      labels: parts.labels ?? {},
      annotations: parts.annotations ?? {},
    },
    ...(body === null ? {} : { body }),
  });
  const type_url = 'type.googleapis.com/istio.mcp.v1alpha1.Resource';
  return Buffer.from(anys.encode({ type_url, value }));
}

/** A resource as the store takes it. */
export function makeResource(parts: ResourceParts): Resource {
  const any = encodeAny(parts);
  const length: number[] = [];
  for (let rest = any.length; ; rest >>>= 7) {
    if (rest <= 0x7f) {
      length.push(rest);
      break;
    }
    length.push((rest & 0x7f) | 0x80);
  }
  const version = parts.version ?? hash('sha256', encodeSpec(parts)).slice(0, 16);
  return { name: parts.name, version, field: Buffer.concat([Buffer.from([0x12, ...length]), any]) };
}

function encodeSpec(parts: ResourceParts): Uint8Array {
  const host = `${parts.name.slice(parts.name.indexOf('/') + 1)}.tributary.internal`;
  return serviceEntries.encode({
    hosts: [host],
    addresses: ['240.1.2.3'],
    ports: [{ number: 80, protocol: 'HTTP', name: 'http' }],
    location: 1,
    resolution: 1,
    endpoints: [{ address: '192.0.2.1', ports: { http: 8080 } }],
    ...parts.spec,
  });
}
