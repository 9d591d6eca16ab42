import { isJsonObject } from '../../common/json-object.ts';
import type { JsonObject } from '../../common/json-object.ts';
import type { Instance, InstanceStatus, Port } from '../../common/instance.ts';
import {
  escapeIdPart,
  isIdInBounds,
  isPort,
  localityOf,
  normalizeAddress,
  pickLabels,
  usableLabelKeys,
  weightOf,
} from './convert.ts';
import { nodeName } from './client/paths.ts';
import type { DropReason, NodeReading, Reading } from './reading.ts';
import { isBelow, offsetBelow, wantNothing } from './reading.ts';
import type { Sharing } from './sharing.ts';
import type { Want } from './client/tree.ts';

/**
 * Spring Cloud Zookeeper: `/services/<application>/<id>`, data = the JSON of Curator's service
 * discovery. An application's name may contain slashes, so instances lie at any depth and the name
 * is taken from the JSON. The status changes in place. Dubbo 3 shares the root and the format: its
 * nodes are told by the payload's class, and where there is none by their metadata.
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
/** Larger data is not parsed. Bytes. */
const dataBytesMax = 262_144;
const springClass = 'org.springframework.cloud.zookeeper.discovery.ZookeeperInstance';
const dubboClass = /^(?:org\.apache|com\.alibaba)\.dubbo\./;
const dubboMetadata = /^dubbo\.(?:endpoints$|metadata|exported-services)/;
/** Names that only instances have: nothing lies below them. */
const instanceName =
  /^(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-zA-Z_.%:[\]-]+:\d{1,5})$/;

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
      if (data === null || isDirectoryData(data)) return { kind: 'ignored', what: 'directory' };
      if (data.length > dataBytesMax) return dropped('too-long');
      const record = parseObject(data);
      if (record === undefined) return dropped('json');
      const metadata = metadataOf(record);
      if (isDubbo(record, metadata)) return { kind: 'ignored', what: 'dubbo-instance' };
      const instance = toInstance(record, metadata, { path, labelKeys, zones, sharing });
      return typeof instance === 'string'
        ? dropped(instance)
        : { kind: 'endpoint', instance, order: 0 };
    },
  };
}

type Metadata = ReadonlyMap<string, string>;

interface Context {
  readonly path: string;
  readonly labelKeys: readonly string[];
  readonly zones: Readonly<Record<string, string>>;
  readonly sharing: Sharing;
}

function toInstance(
  record: JsonObject,
  metadata: Metadata,
  context: Context,
): Instance | DropReason {
  const { path, labelKeys, zones, sharing } = context;
  const name = textOf(record['name']).trim().toLowerCase();
  if (name === '' || name.length > 512) return 'service';
  const address = normalizeAddress(textOf(record['address']));
  if (address === undefined) return 'address';
  const id = `spring-cloud:${path.split('/').map(escapeIdPart).join('/')}`;
  if (!isIdInBounds(id)) return 'too-long';
  return {
    id,
    service: sharing.application(name),
    address: sharing.text(address),
    ports: portsOf(record, sharing),
    labels: sharing.labels(pickLabels(labelKeys, (key) => metadata.get(key))),
    locality: sharing.text(localityOf(metadata, zones)),
    weight: weightOf(metadata.get('weight')),
    status: record['enabled'] === false ? 'OUT_OF_SERVICE' : statusOf(metadata),
  };
}

/** A secure port, where there is one, is the only one that its clients use. */
function portsOf(record: JsonObject, sharing: Sharing): readonly Port[] {
  const secure = portNumber(record['sslPort']);
  if (secure !== undefined) return sharing.ports(['https'], secure);
  const plain = portNumber(record['port']);
  return plain === undefined ? [] : sharing.ports(['http'], plain);
}

function portNumber(value: unknown): number | undefined {
  const number = typeof value === 'string' && value !== '' ? Number(value) : value;
  return typeof number === 'number' && isPort(number) ? number : undefined;
}

/** A missing status means UP. */
function statusOf(metadata: Metadata): InstanceStatus {
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

function isDubbo(record: JsonObject, metadata: Metadata): boolean {
  const payload = record['payload'];
  const className = isJsonObject(payload) ? textOf(payload['@class']) : '';
  if (className === springClass) return false;
  if (dubboClass.test(className)) return true;
  for (const key of metadata.keys()) {
    if (dubboMetadata.test(key)) return true;
  }
  return false;
}

/** `payload.metadata`; values that are no text are written as one. */
function metadataOf(record: JsonObject): Metadata {
  const payload = record['payload'];
  const metadata = isJsonObject(payload) ? payload['metadata'] : undefined;
  const texts = new Map<string, string>();
  if (!isJsonObject(metadata)) return texts;
  for (const [key, value] of Object.entries(metadata)) {
    if (typeof value === 'string') texts.set(key, value);
    else if (typeof value === 'number' || typeof value === 'boolean') texts.set(key, String(value));
  }
  return texts;
}

/** Nothing, or the writer's own address, which Curator puts into nodes that it makes on the way. */
function isDirectoryData(data: Buffer): boolean {
  return data.length <= 45 && /^[0-9a-fA-F.:]*$/.test(data.toString('latin1'));
}

function parseObject(data: Buffer): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(data.toString('utf8'));
    return isJsonObject(value) ? value : undefined;
  } catch {
    // Not JSON: the caller drops and counts the record.
    return undefined;
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
