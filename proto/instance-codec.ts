import { ProtocolError } from '../common/errors.ts';
import { serviceKinds } from '../common/instance.ts';
import type {
  Alias,
  AliasPorts,
  Instance,
  InstanceStatus,
  Port,
  ServiceKey,
} from '../common/instance.ts';
import { Interner } from './interner.ts';
import { WireReader, WireWriter } from './wire.ts';

/**
 * The Instance message of the feed, by hand: it is encoded and decoded a hundred thousand times in
 * a row, and its strings repeat, so decoding shares them (a bounded number).
 *
 * Encoding is deterministic: equal instances give equal bytes, whatever the order of their labels
 * and ports, so bytes are compared to find changes and hashed for the digest.
 */

/** Limits of an instance, as feed.proto states them; bytes of UTF-8, or counts. */
const instanceLimits = {
  instanceBytes: 256 * 1024,
  idBytes: 1024,
  nameBytes: 1024,
  groupBytes: 255,
  addressBytes: 255,
  localityBytes: 255,
  ports: 64,
  protocolBytes: 63,
  labels: 1024,
  labelKeyBytes: 1024,
  labelValueBytes: 65_536,
  weight: 2 ** 31 - 1,
  aliases: 16,
  aliasBytes: 255,
} as const;

/** An instance that breaks a rule: `id` tells which, empty if not even that could be read. */
export class InstanceError extends ProtocolError {
  readonly id: string;

  constructor(id: string, problem: string, options?: ErrorOptions) {
    super(`instance ${JSON.stringify(id.slice(0, 200))}: ${problem}`, options);
    this.id = id;
  }
}

const statuses: readonly InstanceStatus[] = [
  'UNKNOWN',
  'UP',
  'DOWN',
  'STARTING',
  'OUT_OF_SERVICE',
  'GONE',
];
const statusNumbers = new Map(statuses.map((status, number) => [status, number]));

const aliasPorts: readonly AliasPorts[] = ['all', 'plain', 'secure'];

const text = (field: number): number => (field << 3) | 2;
const varint = (field: number): number => field << 3;

const writer = new WireWriter();

/** Encodes an instance, labels sorted by key, ports by protocol, aliases by name. Checks nothing: see `checkInstance`. */
export function encodeInstance(instance: Instance): Buffer {
  writer.string(text(1), instance.id);
  writeService(instance.service);
  if (instance.address !== '') writer.string(text(3), instance.address);
  for (const port of sortedPorts(instance.ports)) {
    const start = writer.open(text(4));
    writer.string(text(1), port.protocol);
    writer.uint32(varint(2), port.number);
    writer.close(start);
  }
  for (const key of Object.keys(instance.labels).sort()) {
    const start = writer.open(text(5));
    writer.string(text(1), key);
    writer.string(text(2), instance.labels[key] ?? '');
    writer.close(start);
  }
  if (instance.locality !== '') writer.string(text(6), instance.locality);
  if (instance.weight !== 0) writer.uint32(varint(7), instance.weight);
  const status = statusNumbers.get(instance.status) ?? 0;
  if (status !== 0) writer.uint32(varint(8), status);
  if (instance.aliases !== undefined) writeAliases(instance.aliases);
  return writer.finish();
}

function writeAliases(aliases: readonly Alias[]): void {
  for (const { name, ports } of sortedAliases(aliases)) {
    const start = writer.open(text(9));
    writer.string(text(1), name);
    if (ports !== 'all') writer.uint32(varint(2), aliasPorts.indexOf(ports));
    writer.close(start);
  }
}

function writeService({ kind, name, group, version }: ServiceKey): void {
  const start = writer.open(text(2));
  writer.string(text(1), kind);
  writer.string(text(2), name);
  if (group !== '') writer.string(text(3), group);
  if (version !== '') writer.string(text(4), version);
  writer.close(start);
}

/**
 * Decodes and checks an instance. Throws InstanceError, naming the field. A status unknown here (a newer
 * agent's) reads as UNKNOWN. The result does not hold on to `bytes`.
 */
export function decodeInstance(bytes: Uint8Array): Instance {
  const draft = newDraft();
  try {
    readInstance(asBuffer(bytes), draft);
  } catch (error) {
    throw new InstanceError(draft.id, 'cannot be decoded', { cause: error });
  }
  const problem = findProblem(draft) ?? sizeProblem(bytes.length);
  if (problem !== undefined) throw new InstanceError(draft.id, problem);
  return draft;
}

/** What of the instance, whose encoding has so many bytes, breaks the limits of the feed, if anything. */
export function checkInstance(instance: Instance, encodedBytes: number): string | undefined {
  return findProblem(instance) ?? sizeProblem(encodedBytes);
}

interface Draft {
  id: string;
  service: ServiceKey;
  address: string;
  ports: readonly Port[];
  labels: Record<string, string>;
  locality: string;
  weight: number;
  status: InstanceStatus;
  aliases?: readonly Alias[];
}

const noService: ServiceKey = { kind: 'application', name: '', group: '', version: '' };
const noPorts: readonly Port[] = [];

function newDraft(): Draft {
  return {
    id: '',
    service: noService,
    address: '',
    ports: noPorts,
    labels: {},
    locality: '',
    weight: 0,
    status: 'UNKNOWN',
  };
}

const strings = new Interner((buffer, start, end) => buffer.toString('utf8', start, end), 15, 128);
const services = new Interner(readService, 14, 512);
const ports = new Interner(readPort, 12, 128);
const aliases = new Interner(readAlias, 12, 260);

function readInstance(bytes: Buffer, draft: Draft): void {
  const reader = new WireReader(bytes);
  const portList: Port[] = [];
  let aliasList: Alias[] | undefined;
  while (reader.position < reader.end) {
    const tag = reader.uint32();
    if (tag === text(1)) draft.id = reader.string();
    else if (tag === text(2)) draft.service = shared(services, reader);
    else if (tag === text(3)) draft.address = reader.string();
    else if (tag === text(4)) portList.push(shared(ports, reader));
    else if (tag === text(5)) readLabel(reader, draft.labels);
    else if (tag === text(6)) draft.locality = shared(strings, reader);
    else if (tag === varint(7)) draft.weight = reader.uint32();
    else if (tag === varint(8)) draft.status = statuses[reader.uint32()] ?? 'UNKNOWN';
    else if (tag === text(9)) (aliasList ??= []).push(shared(aliases, reader));
    else reader.skip(tag);
  }
  if (aliasList !== undefined) draft.aliases = aliasList;
  if (portList.length > 0) draft.ports = portList;
}

function shared<T>(interner: Interner<T>, reader: WireReader): T {
  const length = reader.skipBytes();
  return interner.get(reader.buffer, reader.position - length, reader.position);
}

function readService(bytes: Buffer, start: number, end: number): ServiceKey {
  const reader = new WireReader(bytes, start, end);
  const fields = ['', '', '', ''];
  while (reader.position < reader.end) {
    const tag = reader.uint32();
    const index = (tag >>> 3) - 1;
    if ((tag & 7) === 2 && index >= 0 && index < 4) fields[index] = reader.string();
    else reader.skip(tag);
  }
  const [kind = '', name = '', group = '', version = ''] = fields;
  return { kind: kind as ServiceKey['kind'], name, group, version };
}

function readPort(bytes: Buffer, start: number, end: number): Port {
  const reader = new WireReader(bytes, start, end);
  let protocol = '';
  let number = 0;
  while (reader.position < reader.end) {
    const tag = reader.uint32();
    if (tag === text(1)) protocol = reader.string();
    else if (tag === varint(2)) number = reader.uint32();
    else reader.skip(tag);
  }
  return { protocol, number };
}

function readAlias(bytes: Buffer, start: number, end: number): Alias {
  const reader = new WireReader(bytes, start, end);
  let name = '';
  let which: AliasPorts = 'all';
  while (reader.position < reader.end) {
    const tag = reader.uint32();
    if (tag === text(1)) name = reader.string();
    else if (tag === varint(2)) which = aliasPorts[reader.uint32()] ?? 'all';
    else reader.skip(tag);
  }
  return { name, ports: which };
}

function readLabel(outer: WireReader, labels: Record<string, string>): void {
  const length = outer.skipBytes();
  const reader = new WireReader(outer.buffer, outer.position - length, outer.position);
  let key = '';
  let value = '';
  while (reader.position < reader.end) {
    const tag = reader.uint32();
    if (tag === text(1)) key = shared(strings, reader);
    else if (tag === text(2)) value = shared(strings, reader);
    else reader.skip(tag);
  }
  if (key !== '__proto__') labels[key] = value;
  else {
    const property = { value, enumerable: true, configurable: true, writable: true };
    Object.defineProperty(labels, key, property);
  }
}

function findProblem(instance: Instance): string | undefined {
  const { service } = instance;
  return (
    lengthProblem('id', instance.id, 1, instanceLimits.idBytes) ??
    kindProblem(service.kind) ??
    lengthProblem('service.name', service.name, 1, instanceLimits.nameBytes) ??
    lengthProblem('service.group', service.group, 0, instanceLimits.groupBytes) ??
    lengthProblem('service.version', service.version, 0, instanceLimits.groupBytes) ??
    lengthProblem('address', instance.address, 0, instanceLimits.addressBytes) ??
    lengthProblem('locality', instance.locality, 0, instanceLimits.localityBytes) ??
    numberProblem('weight', instance.weight, 0, instanceLimits.weight) ??
    portsProblem(instance.ports) ??
    labelsProblem(instance.labels) ??
    aliasesProblem(instance.aliases)
  );
}

function kindProblem(kind: string): string | undefined {
  if (serviceKinds.some((known) => known === kind)) return undefined;
  return `service.kind: unknown: ${JSON.stringify(kind.slice(0, 32))}`;
}

function portsProblem(list: readonly Port[]): string | undefined {
  if (list.length > instanceLimits.ports) return `ports: more than ${instanceLimits.ports}`;
  for (const [index, port] of list.entries()) {
    const problem =
      lengthProblem('protocol', port.protocol, 1, instanceLimits.protocolBytes) ??
      numberProblem('number', port.number, 1, 65_535);
    if (problem !== undefined) return `ports[${index}].${problem}`;
    if (list.findIndex((other) => other.protocol === port.protocol) !== index) {
      return `ports[${index}].protocol: twice in one instance`;
    }
  }
  return undefined;
}

function aliasesProblem(list: readonly Alias[] = []): string | undefined {
  if (list.length > instanceLimits.aliases) return `aliases: more than ${instanceLimits.aliases}`;
  for (const [index, { name }] of list.entries()) {
    const problem = lengthProblem('name', name, 1, instanceLimits.aliasBytes);
    if (problem !== undefined) return `aliases[${index}].${problem}`;
    if (list.findIndex((other) => other.name === name) !== index) {
      return `aliases[${index}].name: twice in one instance`;
    }
  }
  return undefined;
}

function labelsProblem(labels: Readonly<Record<string, string>>): string | undefined {
  const keys = Object.keys(labels);
  if (keys.length > instanceLimits.labels) return `labels: more than ${instanceLimits.labels}`;
  for (const key of keys) {
    const problem =
      lengthProblem('key', key, 1, instanceLimits.labelKeyBytes) ??
      lengthProblem('value', labels[key] ?? '', 0, instanceLimits.labelValueBytes);
    if (problem !== undefined) return `labels: ${problem}`;
  }
  return undefined;
}

function lengthProblem(field: string, value: string, min: number, max: number): string | undefined {
  if (value.length < min) return `${field}: empty`;
  if (value.length * 3 <= max || Buffer.byteLength(value) <= max) return undefined;
  return `${field}: longer than ${max} bytes`;
}

function numberProblem(field: string, value: number, min: number, max: number): string | undefined {
  if (Number.isInteger(value) && value >= min && value <= max) return undefined;
  return `${field}: expected ${min}..${max}`;
}

function sizeProblem(encodedBytes: number): string | undefined {
  if (encodedBytes <= instanceLimits.instanceBytes) return undefined;
  return `longer than ${instanceLimits.instanceBytes} bytes`;
}

function sortedPorts(list: readonly Port[]): readonly Port[] {
  if (list.length < 2) return list;
  return list.toSorted((left, right) => compare(left.protocol, right.protocol));
}

function sortedAliases(list: readonly Alias[]): readonly Alias[] {
  if (list.length < 2) return list;
  return list.toSorted((left, right) => compare(left.name, right.name));
}

function compare(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0;
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes)
    ? bytes
    : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
