import { isJsonObject } from '../../../../common/json-object.ts';
import type { JsonObject } from '../../../../common/json-object.ts';
import { childPath } from '../../client/paths.ts';
import { textsOf } from '../../curator.ts';
import type { KeySet } from '../parameters.ts';
import { normalizeProtocol, portOf, textOf } from './record.ts';

/**
 * What Dubbo's metadata center says of services, below the root of a registry:
 *
 * - `metadata/<application>/<revision>`: all services of a revision, exactly, with protocols and ports. Written with
 *   remote storage, and with local storage where `report-metadata` is set. Never changes, is never taken back.
 * - `metadata/<interface>[/<version>][/<group>]/provider/<application>`: the definition of one service, written in
 *   all settings (but for generic services). Without revision and protocol, never taken back.
 * - `mapping/<interface>`: the applications, comma-separated, that have ever exported an interface.
 *
 * Of parameters only the wanted ones are kept, and never a secret. Pure; never throws.
 */

/** A service that processes of an application export. */
export interface DubboService {
  /** Below which root it was found; empty when a provider has told it. */
  readonly root: string;
  readonly interfaceName: string;
  readonly group: string;
  readonly version: string;
  /** Empty in a definition: it does not say which. */
  readonly protocol: string;
  /** 0 when it does not say. */
  readonly port: number;
  readonly parameters: ReadonlyMap<string, string>;
}

/** The services of one revision of an application. */
export interface MetadataInfo {
  readonly services: readonly DubboService[];
  /** How many could not be understood. */
  readonly malformed: number;
}

/** Where metadata come from, and what of them is kept. */
export interface MetadataOrigin {
  readonly application: string;
  /** Empty when a provider has told them. */
  readonly root: string;
  /** The parameters that are kept. */
  readonly wanted: KeySet;
}

const servicesMax = 50_000;
const textLengthMax = 1024;

/** The metadata of a revision from its node; undefined when it is none. */
export function readMetadataInfo(
  data: Buffer | null,
  origin: MetadataOrigin,
): MetadataInfo | undefined {
  const value = parseObject(data);
  return value === undefined ? undefined : metadataInfoOf(value, origin);
}

/** The metadata of a revision from its parsed form; undefined when it is none. */
export function metadataInfoOf(
  value: JsonObject,
  origin: MetadataOrigin,
): MetadataInfo | undefined {
  const entries = value['services'];
  if (!isJsonObject(entries)) return undefined;
  const services: DubboService[] = [];
  let malformed = 0;
  for (const entry of Object.values(entries)) {
    const service = serviceOf(entry, origin);
    if (service === undefined || services.length >= servicesMax) malformed += 1;
    else services.push(service);
  }
  return { services, malformed };
}

function serviceOf(entry: unknown, origin: MetadataOrigin): DubboService | undefined {
  if (!isJsonObject(entry)) return undefined;
  const parameters = textsOf(entry['params']);
  const interfaceName = textOf(entry['name']) || (parameters.get('interface') ?? '');
  const protocol = normalizeProtocol(entry['protocol']);
  if (!isInterfaceName(interfaceName) || protocol === undefined) return undefined;
  const group = textOf(entry['group']) || (parameters.get('group') ?? '');
  const version = textOf(entry['version']) || (parameters.get('version') ?? '');
  return bounded({
    root: origin.root,
    interfaceName,
    group,
    version,
    protocol,
    port: portOf(entry['port']),
    parameters: keep(parameters, origin),
  });
}

/** A definition of a provider; undefined when it is none. */
export function readDefinition(
  data: Buffer | null,
  origin: MetadataOrigin,
): DubboService | undefined {
  const value = parseObject(data);
  if (!isJsonObject(value?.['parameters'])) return undefined;
  const parameters = textsOf(value['parameters']);
  const interfaceName = parameters.get('interface') ?? textOf(value['canonicalName']);
  if (!isInterfaceName(interfaceName) || parameters.get('side') === 'consumer') return undefined;
  return bounded({
    root: origin.root,
    interfaceName,
    group: parameters.get('group') ?? '',
    version: parameters.get('version') ?? '',
    protocol: '',
    port: 0,
    parameters: keep(parameters, origin),
  });
}

function bounded(service: DubboService): DubboService | undefined {
  const isShort = service.group.length <= textLengthMax && service.version.length <= textLengthMax;
  return isShort ? service : undefined;
}

function isInterfaceName(name: string): boolean {
  return name !== '' && name.length <= textLengthMax;
}

/** A provider's rules go by its application: where parameters do not say it, the registration does. */
function keep(
  parameters: ReadonlyMap<string, string>,
  { application, wanted }: MetadataOrigin,
): ReadonlyMap<string, string> {
  const kept = new Map([['application', application]]);
  for (const [key, value] of parameters) {
    if (wanted.has(key) && value !== '' && value.length <= textLengthMax) kept.set(key, value);
  }
  return kept;
}

/** The applications that a mapping names. */
export function mappedApplications(data: Buffer | null): readonly string[] {
  const text = data?.toString('utf8') ?? '';
  return text
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '');
}

/** Where the metadata of a revision is; undefined for names that no node can have. */
export function metadataPath(
  root: string,
  application: string,
  revision: string,
): string | undefined {
  if (!isNodeName(application) || !isNodeName(revision)) return undefined;
  return childPath(childPath(childPath(root, 'metadata'), application), revision);
}

/** Whether a node can have this name: a server refuses others, and with them the whole request. */
export function isNodeName(name: string): boolean {
  if (name === '' || name === '.' || name === '..' || name.length > textLengthMax) return false;

  return !/[/\u0000-\u001f\u007f-\u009f\ud800-\uf8ff\ufff0-\uffff]/.test(name);
}

function parseObject(data: Buffer | null): JsonObject | undefined {
  if (data === null || data.length === 0) return undefined;
  try {
    const value: unknown = JSON.parse(data.toString('utf8'));
    return isJsonObject(value) ? value : undefined;
  } catch {
    // Some other writer's node.
    return undefined;
  }
}
