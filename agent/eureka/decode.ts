import { isJsonObject } from '../../common/json-object.ts';
import type { JsonObject } from '../../common/json-object.ts';
import { ProtocolError } from '../../common/errors.ts';
import { Pause } from '../../common/yielding.ts';
import { JsonSlices, textOf } from './json-slices.ts';
import type {
  BadRecord,
  DecodedRecord,
  DropReason,
  EurekaAction,
  EurekaPort,
  EurekaRecord,
  EurekaStatus,
} from './record.ts';

/** What a body says of itself, beside its records. */
export interface BodyHead {
  /** Full reads always say 1; deltas count the builds of this server process. */
  readonly versionsDelta: number | undefined;
  /** The server's census of its whole registry (see view.ts); undefined when it gives none. */
  readonly hashcode: string | undefined;
}

/** Larger records are dropped one by one. Real ones have 1 to 2 kB. */
const recordBytesMax = 262_144;
const pieceBytes = 65_536;

/**
 * Reads the body of `apps` or `apps/delta`, record by record, giving the event loop back between
 * them. Reads what all the servers' codecs write: the default one, compact, XStream's with its
 * lone objects and numbers in texts, and the spellings of old releases.
 *
 * Throws ProtocolError when the body as a whole is no registry (a login page, an error object, a
 * body cut short): then nothing of it may be believed, whatever `onRecord` has seen.
 */
export async function decodeApplications(
  chunks: AsyncIterable<Buffer> | Iterable<Buffer>,
  onRecord: (decoded: DecodedRecord) => void,
): Promise<BodyHead> {
  const head = new Map<string, string>();
  const slices = new JsonSlices(
    {
      head: (name, json) => head.set(name, json),
      instance: (json, application, tooLarge) =>
        onRecord(
          tooLarge ? salvage(json, application, 'too-large') : decodeRecord(json, application),
        ),
    },
    recordBytesMax,
  );
  const pause = new Pause();
  for await (const chunk of chunks) {
    for (let from = 0; from < chunk.length; from += pieceBytes) {
      slices.write(chunk.subarray(from, from + pieceBytes));
      if (pause.isDue()) await pause.turn();
    }
  }
  slices.end();
  return toHead(head);
}

function toHead(head: ReadonlyMap<string, string>): BodyHead {
  const version = head.get('versions__delta') ?? head.get('versions_delta');
  const hashcode = head.get('apps__hashcode') ?? head.get('apps_hashcode');
  const hasList = (head.get('application') ?? 'null') !== 'null';
  // Nothing that says "this is a registry, and it is empty" but one of these two members.
  if (!hasList && hashcode === undefined) throw new ProtocolError('the body is not a registry');
  const versionsDelta = version === undefined ? Number.NaN : Number(textOf(version));
  return {
    versionsDelta: Number.isSafeInteger(versionsDelta) ? versionsDelta : undefined,
    hashcode: hashcode === undefined || hashcode === 'null' ? undefined : textOf(hashcode),
  };
}

/** Reads one instance. `application` is the name under which it stood, for records without one. */
export function decodeRecord(json: string, application: string): DecodedRecord {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    // The record's own syntax is broken; its neighbours are not.
    return salvage(json, application, 'malformed');
  }
  if (!isJsonObject(value)) return salvage(json, application, 'malformed');
  const record = toRecord(value, application);
  if (record.app === '') return bad(record, 'no-app');
  if (record.id === '') return bad(record, 'no-id');
  if (record.ipAddr === '' && record.hostName === '') return bad(record, 'no-address');
  return { kind: 'record', record };
}

function bad(record: EurekaRecord, reason: DropReason): DecodedRecord {
  const { app, id, status, action } = record;
  return { kind: 'bad', bad: { reason, app, id, status, action } };
}

/** What can be saved of a text that is not JSON, so that the census stays right. */
function salvage(json: string, application: string, reason: DropReason): DecodedRecord {
  const member = (name: string): string =>
    new RegExp(`"${name}"\\s*:\\s*"([^"\\\\]*)"`).exec(json)?.[1] ?? '';
  const record: BadRecord = {
    reason,
    app: (member('app') || application).toUpperCase(),
    id: member('instanceId') || member('hostName'),
    status: toStatus(member('status')),
    action: toAction(member('actionType')),
  };
  return { kind: 'bad', bad: record };
}

function toRecord(value: JsonObject, application: string): EurekaRecord {
  const center = isJsonObject(value.dataCenterInfo) ? value.dataCenterInfo : {};
  const dataCenter = toTexts(center.metadata, false);
  const lease = isJsonObject(value.leaseInfo) ? value.leaseInfo : {};
  const hostName = toText(value.hostName);
  return {
    app: (toText(value.app) || application).toUpperCase(),
    id: toText(value.instanceId) || (dataCenter.get('instance-id') ?? '') || hostName,
    hostName,
    ipAddr: toText(value.ipAddr),
    status: toStatus(toText(value.status)),
    action: toAction(toText(value.actionType)),
    port: toPort(value.port, true),
    securePort: toPort(value.securePort, false),
    vipAddress: toText(value.vipAddress),
    secureVipAddress: toText(value.secureVipAddress),
    metadata: toTexts(value.metadata, isXStream(value)),
    dataCenter,
    registeredAt: toNumber(lease.registrationTimestamp),
    leaseEndsAt: toLeaseEnd(lease),
    updatedAt: toNumber(value.lastUpdatedTimestamp),
    dirtyAt: toNumber(value.lastDirtyTimestamp),
  };
}

/** XStream's codec alone writes `@enabled` as a boolean; it also doubles `_` in metadata keys. */
function isXStream(value: JsonObject): boolean {
  return isJsonObject(value.port) && typeof value.port['@enabled'] === 'boolean';
}

function toLeaseEnd(lease: JsonObject): number {
  const renewed = toNumber(lease.lastRenewalTimestamp ?? lease.renewalTimestamp);
  return renewed === 0 ? 0 : renewed + toNumber(lease.durationInSecs) * 1000;
}

function toText(value: unknown): string {
  if (typeof value === 'string') return value;
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : '';
}

function toNumber(value: unknown): number {
  const text = toText(value);
  const number = text === '' ? 0 : Number(text);
  return Number.isFinite(number) ? number : 0;
}

/** In capitals or not, as servers and their own clients read it. */
/** The status of that name; whatever else is written is `UNKNOWN`. */
export function toStatus(text: string): EurekaStatus {
  const status = text.toUpperCase();
  switch (status) {
    case 'UP':
    case 'DOWN':
    case 'STARTING':
    case 'OUT_OF_SERVICE':
      return status;
    default:
      return 'UNKNOWN';
  }
}

function toAction(text: string): EurekaAction | undefined {
  return text === 'ADDED' || text === 'MODIFIED' || text === 'DELETED' ? text : undefined;
}

/** Look-alike servers write a bare number or leave `@enabled` out: then the port counts if it is the plain one. */
function toPort(value: unknown, enabledByDefault: boolean): EurekaPort | undefined {
  if (!isJsonObject(value)) {
    const number = toNumber(value);
    return number === 0 ? undefined : { number, enabled: enabledByDefault };
  }
  const enabled = toText(value['@enabled']).toLowerCase();
  return {
    number: toNumber(value.$),
    enabled: enabled === '' ? enabledByDefault : enabled === 'true',
  };
}

/** Drops Java's class marker; what is not a scalar is not metadata. */
function toTexts(value: unknown, hasDoubledUnderscores: boolean): ReadonlyMap<string, string> {
  if (!isJsonObject(value)) return noTexts;
  const texts = new Map<string, string>();
  for (const [key, entry] of Object.entries(value)) {
    if (key === '@class' || key === 'class') continue;
    if (entry === null || typeof entry === 'object') continue;
    texts.set(hasDoubledUnderscores ? key.replaceAll('__', '_') : key, toText(entry));
  }
  return texts;
}

const noTexts: ReadonlyMap<string, string> = new Map();
