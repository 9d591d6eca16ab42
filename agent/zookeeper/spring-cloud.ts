import type { Instance, InstanceStatus, Port } from '../../common/instance.ts';
import { isJsonObject } from '../../common/json-object.ts';
import type { JsonObject } from '../../common/json-object.ts';
import { localityOf } from '../locality.ts';
import { grpcPort, plainProtocol, secureProtocol } from '../metadata-ports.ts';
import {
  escapeIdPart,
  isIdInBounds,
  isPort,
  normalizeAddress,
  pickLabels,
  usableLabelKeys,
  weightOf,
} from './convert.ts';
import { nodeName } from './client/paths.ts';
import { isDubboRecord, readCurator } from './curator.ts';
import type { CuratorRecord } from './curator.ts';
import { readRegistration } from './dubbo/registration-node.ts';
import type { DropReason, NodeReading, Reading } from './reading.ts';
import { isBelow, offsetBelow, wantNothing } from './reading.ts';
import type { Sharing } from './sharing.ts';
import type { Want } from './client/tree.ts';

/**
 * Spring Cloud Zookeeper: `/services/<application>/<id>`, data = the JSON of Curator's service
 * discovery. An application's name may contain slashes, so instances lie at any depth and the name
 * is taken from the JSON. The status changes in place. Dubbo 3 shares the root and the format: its
 * nodes are told by the payload's class, and where there is none by their metadata.
 *
 * What else Spring Cloud knows leaves no trace in ZooKeeper: `spring.cloud.zookeeper.dependencies` gives names to
 * paths within one client. Of an instance's URI specification its load balancers use nothing: they take host and
 * port of the record, and its path only where a client asks for the URI. Here a scheme written out in it
 * says what the plain port speaks; a path, host or port written out in it cannot stand in an endpoint.
 */
export interface SpringCloudOptions {
  readonly roots: readonly string[];
  /** Metadata keys that become labels under their own names. */
  readonly labelKeys: readonly string[];
  /** Region by zone, for instances that name their zone only. */
  readonly zones: Readonly<Record<string, string>>;
}

/** Levels below a root that are looked at. */
const depthMax = 10;
const nameLengthMax = 512;
/** Names that only instances have: nothing lies below them. */
const instanceName =
  /^(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-zA-Z_.%:[\]-]+:\d{1,5})$/;
/** Schemes of a URI specification that say what a port speaks. */
const schemes: ReadonlySet<string> = new Set(['http', 'https', 'http2', 'grpc', 'tcp', 'tls']);

const wantChildren: Want = { node: false, data: false, children: true };
const wantNode: Want = { node: true, data: true, children: true };
const wantInstance: Want = { node: true, data: true, children: false };

/** The reading of Spring Cloud's instances. */
export function createSpringCloudReading(options: SpringCloudOptions, sharing: Sharing): Reading {
  const { roots, zones } = options;
  const labelKeys = usableLabelKeys(options.labelKeys);
  return {
    roots,
    want(path) {
      const root = roots.find((candidate) => isBelow(candidate, path));
      if (root === undefined) return roots.includes(path) ? wantChildren : wantNothing;
      const depth = depthBelow(root, path);
      if (depth === 1) return wantChildren;
      if (depth > depthMax) return wantNothing;
      const isInstance = depth === depthMax || instanceName.test(nodeName(path));
      return isInstance ? wantInstance : wantNode;
    },
    read(path, data) {
      const dropped = (reason: DropReason): NodeReading => ({
        kind: 'dropped',
        reason,
        record: path,
      });
      const found = readCurator(data);
      if (found === 'directory') return { kind: 'ignored', what: 'directory' };
      if (typeof found === 'string') return dropped(found);
      if (isDubboRecord(found)) return readRegistration(path, found, { labelKeys, zones, sharing });
      const instance = toInstance(found, { path, labelKeys, zones, sharing });
      return typeof instance === 'string'
        ? dropped(instance)
        : { kind: 'endpoint', instance, order: 0 };
    },
  };
}

interface Context {
  readonly path: string;
  readonly labelKeys: readonly string[];
  readonly zones: Readonly<Record<string, string>>;
  readonly sharing: Sharing;
}

function toInstance(found: CuratorRecord, context: Context): Instance | DropReason {
  const { record, metadata } = found;
  const { path, labelKeys, zones, sharing } = context;
  const name = applicationOf(record);
  if (name === '' || name.length > nameLengthMax) return 'service';
  const address = normalizeAddress(textOf(record['address']).trim());
  if (address === undefined) return 'address';
  const id = `spring-cloud:${path.split('/').map(escapeIdPart).join('/')}`;
  if (!isIdInBounds(id)) return 'too-long';
  return {
    id,
    service: sharing.application('application', name),
    address: sharing.text(address),
    ports: portsOf(found, sharing),
    labels: sharing.labels(pickLabels(labelKeys, (key) => metadata.get(key))),
    locality: sharing.text(localityOf(metadata, zones)),
    weight: weightOf(metadata.get('weight')),
    status: record['enabled'] === false ? 'OUT_OF_SERVICE' : statusOf(metadata),
  };
}

/** Lower case. Slashes stand between its parts only: Curator's paths know no others. */
function applicationOf(record: JsonObject): string {
  const parts = textOf(record['name']).trim().toLowerCase().split('/');
  return parts.filter((part) => part !== '').join('/');
}

/**
 * A secure port, where there is one, is the only one that its clients use. What a port speaks is said by metadata
 * `istio.protocol`, else by the scheme of the URI specification, else it is HTTP. A gRPC port told in metadata stands
 * beside it.
 */
function portsOf({ record, metadata }: CuratorRecord, sharing: Sharing): readonly Port[] {
  const secure = portNumber(record['sslPort']);
  const number = secure ?? portNumber(record['port']);
  const protocol =
    secure === undefined
      ? (plainProtocol(metadata) ?? literalScheme(record['uriSpec']) ?? 'http')
      : secureProtocol(metadata);
  const usual = number === undefined ? [] : sharing.ports([protocol], number);
  const grpc = grpcPort(metadata);
  if (grpc === undefined || usual[0]?.protocol === 'grpc') return usual;
  return [grpc, ...usual].sort((a, b) => (a.protocol < b.protocol ? -1 : 1));
}

/** The scheme of `{"parts":[{"value","variable"}, ...]}` where it is written out, not a variable. */
function literalScheme(uriSpec: unknown): string | undefined {
  const parts = isJsonObject(uriSpec) ? uriSpec['parts'] : undefined;
  const first: unknown = Array.isArray(parts) ? parts[0] : undefined;
  if (!isJsonObject(first) || first['variable'] !== false) return undefined;
  const scheme = /^([a-z][a-z0-9]*):\/\//i.exec(textOf(first['value']))?.[1]?.toLowerCase();
  return scheme !== undefined && schemes.has(scheme) ? scheme : undefined;
}

function portNumber(value: unknown): number | undefined {
  const number = typeof value === 'string' && /^\d{1,5}$/.test(value) ? Number(value) : value;
  return typeof number === 'number' && isPort(number) ? number : undefined;
}

/** A missing status means UP. */
function statusOf(metadata: ReadonlyMap<string, string>): InstanceStatus {
  const text = (metadata.get('instance_status') ?? '').trim().toUpperCase();
  switch (text) {
    case '':
    case 'UP':
      return 'UP';
    case 'DOWN':
    case 'STARTING':
    case 'OUT_OF_SERVICE':
      return text;
    default:
      return 'UNKNOWN';
  }
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function depthBelow(root: string, path: string): number {
  let depth = 1;
  for (let at = path.indexOf('/', offsetBelow(root)); at >= 0; at = path.indexOf('/', at + 1)) {
    depth += 1;
  }
  return depth;
}
