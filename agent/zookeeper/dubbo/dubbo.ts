import type { Instance, InstanceStatus, ServiceKey } from '../../../common/instance.ts';
import {
  escapeIdPart,
  isIdInBounds,
  isPort,
  normalizeAddress,
  pickLabels,
  usableLabelKeys,
  weightOf,
} from '../convert.ts';
import type { DubboUrl } from './dubbo-url.ts';
import { decodeNodeName, parseDubboUrl } from './dubbo-url.ts';
import type { DropReason, NodeReading, Reading } from '../reading.ts';
import { isBelow, offsetBelow, wantNothing } from '../reading.ts';
import type { Sharing } from '../sharing.ts';
import type { Want } from '../client/tree.ts';

/**
 * Dubbo's interface-level registry, all generations: `/<root>/<interface>/providers/<leaf>`, where
 * the leaf's name is the provider URL and its data is of no use. The interface is the directory's
 * name: simplified URLs do not carry it, and the URL's path may differ. Group, version, protocol and
 * address stand in the leaf alone, so one directory mixes them all.
 *
 * An endpoint is (root, interface, group, version, protocol, host, port). Several leaves can name
 * the same endpoint (a crashed provider's leaf outlives it until its session ends, while the
 * restarted one has registered anew): all give the same id, and the newest describes it.
 */
export interface DubboOptions {
  readonly roots: readonly string[];
  /** Interfaces that are Dubbo's own and never shown. */
  readonly hiddenInterfaces: readonly string[];
  /** URL parameters that become labels under their own names. */
  readonly labelKeys: readonly string[];
}

/** Siblings of the interfaces under a root. */
const reservedNames: ReadonlySet<string> = new Set(['config', 'metadata', 'mapping']);
/** Schemes of leaves that are no provider; every other scheme is one. */
const otherSchemes: ReadonlySet<string> = new Set([
  'absent',
  'condition',
  'consumer',
  'empty',
  'injvm',
  'mock',
  'override',
  'provider',
  'registry',
  'route',
  'script',
  'service-discovery-registry',
  'tag',
]);
const ownKeys = [
  'category',
  'disabled',
  'enabled',
  'ext.protocol',
  'group',
  'timestamp',
  'version',
  'weight',
];
const protocolPattern = /^[a-z][a-z0-9+.-]{0,31}$/;

const wantChildren: Want = { node: false, data: false, children: true };
const wantProviders: Want = { node: false, data: false, children: ['providers'] };
const wantLeaf: Want = { node: true, data: false, children: false };

/** The reading of the interface-level registry. */
export function createDubboReading(options: DubboOptions, sharing: Sharing): Reading {
  const { roots } = options;
  const hidden = new Set(options.hiddenInterfaces);
  const labelKeys = usableLabelKeys(options.labelKeys);
  const wantedKeys = new Set([...ownKeys, ...labelKeys]);
  const services = new Services(sharing);

  const isInterface = (name: string): boolean =>
    !reservedNames.has(name) && !hidden.has(decodeNodeName(name) ?? name);

  return {
    roots,
    want(path) {
      const root = roots.find((candidate) => isBelow(candidate, path));
      if (root === undefined) return roots.includes(path) ? wantChildren : wantNothing;
      const start = offsetBelow(root);
      const first = path.indexOf('/', start);
      if (first < 0) return isInterface(path.slice(start)) ? wantProviders : wantNothing;
      if (!path.startsWith('providers', first + 1)) return wantNothing;
      const afterProviders = first + 1 + 'providers'.length;
      if (!isInterface(path.slice(start, first))) return wantNothing;
      if (path.length === afterProviders) return wantChildren;
      const isLeaf = path[afterProviders] === '/' && !path.includes('/', afterProviders + 1);
      return isLeaf ? wantLeaf : wantNothing;
    },
    read(path) {
      const root = roots.find((candidate) => isBelow(candidate, path)) ?? '/';
      const start = offsetBelow(root);
      const first = path.indexOf('/', start);
      const leafStart = path.lastIndexOf('/') + 1;
      const dropped = (reason: DropReason): NodeReading => ({
        kind: 'dropped',
        reason,
        record: path.slice(0, leafStart - 1),
      });
      const interfaceName = decodeNodeName(path.slice(start, first));
      if (interfaceName === undefined || interfaceName === '') return dropped('name');
      const url = parseDubboUrl(path.slice(leafStart), wantedKeys);
      if (url === undefined) return dropped('url');
      if (!isProvider(url)) return { kind: 'ignored', what: 'not-a-provider' };
      const instance = toInstance(url, { root, interfaceName, labelKeys, sharing, services });
      if (typeof instance === 'string') return dropped(instance);
      return { kind: 'endpoint', instance, order: timestampOf(url) };
    },
  };
}

/** Where a leaf stands. */
interface Place {
  readonly root: string;
  readonly interfaceName: string;
}

interface Context extends Place {
  readonly labelKeys: readonly string[];
  readonly sharing: Sharing;
  readonly services: Services;
}

/** A service, and how the ids of its endpoints begin. */
interface DescribedService extends Place {
  readonly service: ServiceKey;
  readonly idPrefix: string;
}

/** Services by their parts. The last one is remembered: a snapshot brings leaves directory by directory. */
class Services {
  private readonly sharing: Sharing;
  private last: DescribedService | undefined;

  constructor(sharing: Sharing) {
    this.sharing = sharing;
  }

  describe(place: Place, group: string, version: string): DescribedService {
    const { last } = this;
    const isSame =
      last?.interfaceName === place.interfaceName &&
      last.service.group === group &&
      last.service.version === version &&
      last.root === place.root;
    if (isSame) return last;
    const service = this.sharing.dubbo(place.interfaceName, group, version);
    const text = [service.name, service.group, service.version].map(escapeIdPart).join(':');
    const idPrefix = `dubbo:${place.root === '/' ? '' : place.root}/${text}:`;
    const described = { root: place.root, interfaceName: service.name, service, idPrefix };
    this.last = described;
    return described;
  }
}

function toInstance(url: DubboUrl, context: Context): Instance | DropReason {
  const { labelKeys, sharing } = context;
  const { parameters, port } = url;
  const address = normalizeAddress(url.host);
  if (address === undefined) return 'address';
  if (!isPort(port)) return 'port';
  const { service, idPrefix } = context.services.describe(
    context,
    parameters.get('group') ?? '',
    parameters.get('version') ?? '',
  );
  const host = address.includes(':') ? `[${address}]` : address;
  const id = `${idPrefix}${url.scheme}://${host}:${port}`;
  if (!isIdInBounds(id)) return 'too-long';
  const weight = weightOf(parameters.get('weight'));
  return {
    id,
    service,
    address: sharing.text(address),
    ports: sharing.ports(protocolsOf(url), port),
    labels: sharing.labels(pickLabels(labelKeys, (key) => parameters.get(key))),
    locality: '',
    weight,
    status: statusOf(parameters),
  };
}

function isProvider(url: DubboUrl): boolean {
  const category = url.parameters.get('category') ?? '';
  return !otherSchemes.has(url.scheme) && (category === '' || category === 'providers');
}

/** Its own protocol, and those that the same port speaks besides (`ext.protocol`, Dubbo 3.2+). */
function protocolsOf(url: DubboUrl): readonly string[] {
  const others = url.parameters.get('ext.protocol');
  if (others === undefined) return [url.scheme];
  const names = others
    .toLowerCase()
    .split(',')
    .map((name) => name.trim());
  return [...new Set([url.scheme, ...names.filter((name) => protocolPattern.test(name))])];
}

/**
 * A consumer's rule: `disabled`, where present, decides alone, else `enabled`; and a weight of zero
 * (or below) takes no traffic. Such a provider is registered and shown, but is no endpoint.
 */
function statusOf(parameters: ReadonlyMap<string, string>): InstanceStatus {
  const disabled = parameters.get('disabled') ?? '';
  const enabled = parameters.get('enabled') ?? '';
  const isDisabled = disabled === '' ? enabled !== '' && !isTrue(enabled) : isTrue(disabled);
  const hasNoWeight = /^(?:-\d+|0+)$/.test(parameters.get('weight') ?? '');
  return isDisabled || hasNoWeight ? 'OUT_OF_SERVICE' : 'UP';
}

function isTrue(text: string): boolean {
  return text.toLowerCase() === 'true';
}

/** When the provider registered, milliseconds since 1970; 0 where the URL does not say. */
function timestampOf(url: DubboUrl): number {
  const text = url.parameters.get('timestamp') ?? '';
  return /^\d{1,15}$/.test(text) ? Number(text) : 0;
}
