import type { Instance, Port } from '../../common/instance.ts';
import type { ConversionOptions } from './options.ts';
import { localityOf } from './locality.ts';
import { instanceKey } from './record.ts';
import type { EurekaPort, EurekaRecord } from './record.ts';

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

const secretKey = /passw|secret|token|credential|api[._-]?key|private[._-]?key|^user(\.name)?$/i;

/**
 * A record as the mesh's instance. Pure and total: what does not fit is left out of the instance,
 * not guessed. The times of the record, its action and its URLs never get in, since they change
 * without meaning at every rebuild of a server's cache.
 */
export function convertRecord(record: EurekaRecord, options: ConversionOptions): Instance {
  return {
    id: instanceKey(record.app, record.id),
    service: { kind: 'application', name: record.app.toLowerCase(), group: '', version: '' },
    address: toAddress(record),
    ports: toPorts(record),
    labels: toLabels(record, options.labelKeys),
    locality: localityOf(record, options.zones),
    weight: toWeight(record.metadata.get('weight') ?? ''),
    status: record.status,
  };
}

/** The IP address without brackets; the host name where there is none (it becomes no endpoint). */
function toAddress(record: EurekaRecord): string {
  const address = record.ipAddr.trim() || record.hostName.trim();
  return address.startsWith('[') && address.endsWith(']') ? address.slice(1, -1) : address;
}

/**
 * At most one port of a protocol: when the plain port says by `istio.protocol` that it speaks
 * `https` too, the secure port is the one that counts.
 */
function toPorts(record: EurekaRecord): readonly Port[] {
  const hint = (record.metadata.get('istio.protocol') ?? '').trim().toLowerCase();
  const plain = toPort(record.port, meshProtocols.has(hint) ? hint : 'http');
  const secure = toPort(record.securePort, 'https');
  if (plain === undefined) return secure === undefined ? [] : [secure];
  if (secure === undefined) return [plain];
  if (plain.protocol === secure.protocol) return [secure];
  return plain.protocol < secure.protocol ? [plain, secure] : [secure, plain];
}

function toPort(port: EurekaPort | undefined, protocol: string): Port | undefined {
  if (port?.enabled !== true) return undefined;
  const { number } = port;
  return Number.isInteger(number) && number >= 1 && number <= 65_535
    ? { protocol, number }
    : undefined;
}

function toLabels(record: EurekaRecord, keys: readonly string[]): Readonly<Record<string, string>> {
  if (record.metadata.size === 0) return noLabels;
  const labels: [string, string][] = [];
  for (const key of [...keys].sort()) {
    const value = record.metadata.get(key);
    // A null in a Java map arrives as the text "null".
    if (value === undefined || value === 'null' || secretKey.test(key)) continue;
    labels.push([key, value]);
  }
  return labels.length === 0 ? noLabels : Object.fromEntries(labels);
}

const noLabels: Readonly<Record<string, string>> = Object.freeze({});

/** A positive integer, leading zeros tolerated; else 0 = the registry says nothing. */
function toWeight(text: string): number {
  return /^0*[1-9]\d{0,8}$/.test(text.trim()) ? Number(text) : 0;
}
