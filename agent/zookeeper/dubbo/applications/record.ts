import { isJsonObject } from '../../../../common/json-object.ts';
import type { JsonObject } from '../../../../common/json-object.ts';
import { localityOf } from '../../../locality.ts';
import { isPort, normalizeAddress, pickLabels, weightOf } from '../../convert.ts';
import { textsOf } from '../../curator.ts';
import type { DropReason } from '../../reading.ts';
import type { Sharing } from '../../sharing.ts';
import type { ProcessPorts } from './process-leaves.ts';

/**
 * An application-level registration of Dubbo 3: one node for each process, `/services/<application>/<address>:<port>`,
 * with the JSON of Curator's service discovery. It names the application and the protocols with their ports, but no
 * service: these stand in the metadata of its revision, which is a hash over application and services.
 *
 * Metadata values are texts; `dubbo.endpoints` and `dubbo.metadata-service.url-params` are JSON in them. Pure.
 */
export interface DubboInstanceRecord {
  /** As registered, which is how metadata names it. */
  readonly application: string;
  /** Normalized. */
  readonly address: string;
  /** Of the preferred protocol; 0 when none is said. */
  readonly port: number;
  /** In the order of the record, each protocol once, lower case. */
  readonly protocols: readonly ProtocolPort[];
  /** Which services it exports; empty when it exports none (yet). */
  readonly revision: string;
  /** Registered by Dubbo 2.7.5 to 2.7.8: there is no metadata that could be read. */
  readonly isLegacy: boolean;
  /** `remote`: its metadata is in the metadata center. `local`: it is to be asked for it. */
  readonly storage: 'local' | 'remote';
  /** Of its metadata service: `1.0.0` (Dubbo protocol), `2.0.0` (Triple), or empty. */
  readonly metadataVersion: string;
  /** Where its metadata service listens; remote storage has none. */
  readonly metadataService: ProtocolPort | undefined;
  /** When it registered by its own clock, milliseconds since 1970; 0 when it does not say. */
  readonly timestamp: number;
  /** Allowed metadata, sorted by key. */
  readonly labels: readonly (readonly [string, string])[];
  readonly locality: string;
  /** 0 when it does not say. */
  readonly weight: number;
}

/** A protocol and where it is spoken. */
export interface ProtocolPort {
  readonly protocol: string;
  readonly port: number;
}

/** What of a record is of interest. */
export interface RecordContext {
  /** Metadata keys that become labels: sorted, none of them a secret. */
  readonly labelKeys: readonly string[];
  /** Region by zone. */
  readonly zones: Readonly<Record<string, string>>;
  readonly sharing: Sharing;
}

const protocolsMax = 64;
const protocolPattern = /^[a-z][a-z0-9+.-]{0,31}$/;
const nameLengthMax = 512;
/** A revision without any service. */
const emptyRevision = '0';

/** What the parsed node says, or why it says nothing. Never throws. */
export function readDubboInstance(
  record: JsonObject,
  context: RecordContext,
): DubboInstanceRecord | DropReason {
  const payload = isJsonObject(record['payload']) ? record['payload'] : {};
  const application = (textOf(record['name']) || textOf(payload['name'])).trim();
  if (application === '' || application.length > nameLengthMax) return 'service';
  const address = normalizeAddress(textOf(record['address']));
  if (address === undefined) return 'address';
  const port = portOf(record['port']);
  const metadata = textsOf(payload['metadata']);
  const protocols = protocolsOf(parseJson(metadata.get('dubbo.endpoints')));
  if (port === 0 && protocols.length === 0) return 'port';
  const { sharing } = context;
  const revision = metadata.get('dubbo.metadata.revision') ?? '';
  const timestamp = metadata.get('timestamp') ?? '';
  return {
    application: sharing.text(application),
    address: sharing.text(address),
    port,
    protocols,
    revision: revision === emptyRevision ? '' : sharing.text(revision),
    isLegacy: revision === '' && (metadata.get('dubbo.exported-services.revision') ?? '') !== '',
    storage: metadata.get('dubbo.metadata.storage-type') === 'remote' ? 'remote' : 'local',
    metadataVersion: sharing.text(metadata.get('meta-v') ?? ''),
    metadataService: protocolPortOf(parseJson(metadata.get('dubbo.metadata-service.url-params'))),
    timestamp: /^\d{1,15}$/.test(timestamp) ? Number(timestamp) : 0,
    labels: pickLabels(context.labelKeys, (key) => metadata.get(key)),
    locality: sharing.text(localityOf(metadata, context.zones)),
    weight: weightOf(metadata.get('weight')),
  };
}

/** Whether what is known of the services of the one holds for the other. */
export function isSameSubject(a: DubboInstanceRecord, b: DubboInstanceRecord): boolean {
  return (
    a.application === b.application &&
    a.address === b.address &&
    a.revision === b.revision &&
    a.storage === b.storage &&
    a.isLegacy === b.isLegacy
  );
}

/** The process, by all ports that its registration names. */
export function portsOf({
  application,
  address,
  port,
  protocols,
}: DubboInstanceRecord): ProcessPorts {
  const ports = new Set([port, ...protocols.map((one) => one.port)]);
  return { application, address, ports: [...ports] };
}

/** Of equal protocols the last one counts, as in Dubbo. */
function protocolsOf(value: unknown): readonly ProtocolPort[] {
  if (!Array.isArray(value)) return [];
  const byName = new Map<string, ProtocolPort>();
  for (const entry of value.slice(0, protocolsMax) as unknown[]) {
    const found = protocolPortOf(entry);
    if (found !== undefined) byName.set(found.protocol, found);
  }
  return [...byName.values()];
}

function protocolPortOf(value: unknown): ProtocolPort | undefined {
  if (!isJsonObject(value)) return undefined;
  const protocol = normalizeProtocol(value['protocol']);
  const port = portOf(value['port']);
  return protocol === undefined || port === 0 ? undefined : { protocol, port };
}

/** The protocol in lower case, or undefined for what is no name of one. */
export function normalizeProtocol(value: unknown): string | undefined {
  const protocol = textOf(value).toLowerCase();
  return protocolPattern.test(protocol) ? protocol : undefined;
}

/** A port written as a number or as text; 0 for anything else. */
export function portOf(value: unknown): number {
  const number = typeof value === 'string' && /^\d{1,5}$/.test(value) ? Number(value) : value;
  return typeof number === 'number' && isPort(number) ? number : 0;
}

/** The value, if it is text. */
export function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function parseJson(text: string | undefined): unknown {
  if (text === undefined || text === '') return undefined;
  try {
    return JSON.parse(text) as unknown;
  } catch {
    // Some other writer's text: as if it said nothing.
    return undefined;
  }
}
