import { canonicalAddress, isHostName } from '../../common/endpoint-address.ts';
import type { Instance, InstanceStatus } from '../../common/instance.ts';
import { aliasesOf } from './aliases.ts';
import type { ConversionOptions } from './options.ts';
import { localityOf } from '../locality.ts';
import { portsOf } from './ports.ts';
import { instanceKey } from './record.ts';
import type { EurekaRecord, EurekaStatus } from './record.ts';
import { isSecretKey, isSecretValue } from '../secrets.ts';

/** Longer ones are left out: a label of the mesh has 63 characters. */
const labelLengthMax = 4096;

/**
 * A record as the mesh's instance. Pure and total: what does not fit is left out of the instance,
 * not guessed. The times of the record, its action and its URLs never get in, since they change
 * without meaning at every rebuild of a server's cache.
 */
export function convertRecord(record: EurekaRecord, options: ConversionOptions): Instance {
  const name = record.app.toLowerCase();
  const instance: Instance = {
    id: instanceKey(record.app, record.id),
    service: { kind: 'application', name, group: '', version: '' },
    address: toAddress(record),
    ports: portsOf(record, options.ports),
    labels: toLabels(record, options.labelKeys),
    locality: localityOf(
      record.metadata,
      options.zones,
      record.dataCenter.get('availability-zone'),
    ),
    weight: toWeight(record.metadata.get('weight') ?? ''),
    status: toStatus(record.status, options),
  };
  const aliases = options.hasVipAliases ? aliasesOf(name, record) : undefined;
  return aliases === undefined ? instance : { ...instance, aliases };
}

/** `UP` for the statuses that are to take traffic, the others as they are. */
function toStatus(status: EurekaStatus, { upStatuses }: ConversionOptions): InstanceStatus {
  return upStatuses.includes(status) ? 'UP' : status;
}

/**
 * The first that is an IP address traffic can be sent to, of the IP address and the host name; else the first that is a
 * name to be looked up; else what was written, which becomes no endpoint (nothing of it if it may hold credentials).
 */
function toAddress(record: EurekaRecord): string {
  const usual = canonicalAddress(record.ipAddr);
  if ('address' in usual) return usual.address;
  const written = [record.ipAddr, record.hostName].map(withoutBrackets);
  for (const text of written) {
    const found = canonicalAddress(text);
    if ('address' in found) return found.address;
  }
  const text = written.find(isHostName) ?? written.find((each) => each !== '') ?? '';
  return /^[\w.:%[\]-]{1,255}$/.test(text) ? text : '';
}

function withoutBrackets(text: string): string {
  const trimmed = text.trim();
  return trimmed.startsWith('[') && trimmed.endsWith(']') ? trimmed.slice(1, -1) : trimmed;
}

function toLabels(record: EurekaRecord, keys: readonly string[]): Readonly<Record<string, string>> {
  if (record.metadata.size === 0) return noLabels;
  const labels: [string, string][] = [];
  for (const key of usableKeys(keys)) {
    const value = record.metadata.get(key);
    // A null in a Java map arrives as the text "null".
    if (value === undefined || value === 'null' || value.length > labelLengthMax) continue;
    if (isSecretValue(value)) continue;
    labels.push([key, value]);
  }
  return labels.length === 0 ? noLabels : Object.fromEntries(labels);
}

/** Sorted, without those that name a secret. */
function usableKeys(keys: readonly string[]): readonly string[] {
  let usable = keysByOption.get(keys);
  if (usable === undefined) {
    usable = keys.filter((key) => !isSecretKey(key)).sort();
    keysByOption.set(keys, usable);
  }
  return usable;
}

const keysByOption = new WeakMap<readonly string[], readonly string[]>();
const noLabels: Readonly<Record<string, string>> = Object.freeze({});

/** A positive integer, leading zeros tolerated; else 0 = the registry says nothing. */
function toWeight(text: string): number {
  return /^0*[1-9]\d{0,8}$/.test(text.trim()) ? Number(text) : 0;
}
