import { normalizeAddress, usableLabelKeys } from '../convert.ts';
import { nodeName, parentPath } from '../client/paths.ts';
import { isDubboRecord, readCurator } from '../curator.ts';
import type { Want } from '../client/tree.ts';
import type { DropReason, NodeReading, Reading } from '../reading.ts';
import { isBelow, offsetBelow, wantNothing } from '../reading.ts';
import type { Sharing } from '../sharing.ts';
import { dubboContext, dubboInstance, protocolsOf } from './dubbo-instance.ts';
import type { DubboContext } from './dubbo-instance.ts';
import type { DubboUrl } from './dubbo-url.ts';
import { decodeNodeName, parseDubboUrl } from './dubbo-url.ts';
import type { RecordContext } from './applications/record.ts';
import { readRegistration } from './registration-node.ts';
import { configName, isRule, readRule, ruleCategories, wantOfRule } from './rule-nodes.ts';

/**
 * Dubbo's interface-level registry, all generations: `/<root>/<interface>/providers/<leaf>`, where
 * the leaf's name is the provider URL and its data is of no use. The interface is the directory's
 * name: simplified URLs do not carry it, and the URL's path may differ. Group, version, protocol and
 * address stand in the leaf alone, so one directory mixes them all.
 *
 * An endpoint is (interface, group, version, protocol, host, port). Several leaves can name the same
 * endpoint (a crashed provider's leaf outlives it until its session ends, while the restarted one has
 * registered anew; a provider registers below two roots): all give the same id, and the newest describes it.
 *
 * A registry with a group of its own has everything below that root: the interfaces and, beside them, the
 * application-level registrations of Dubbo 3, `/<root>/<application>/<ip>:<port>`. What a name is, nobody
 * can tell from outside, so below such a root every name is listed. Below `/dubbo` (and `/`, which is one or the
 * other below a chroot) that is done only for names that are no package and class: one more read for each
 * of 20,000 interfaces is paid for nothing where applications register below `/services`.
 */
export interface DubboOptions {
  readonly roots: readonly string[];
  /** Interfaces that are Dubbo's own and never shown. */
  readonly hiddenInterfaces: readonly string[];
  /** URL parameters that become labels under their own names, beside the tag, which always does. */
  readonly labelKeys: readonly string[];
  /** Metadata of application-level registrations that becomes labels. */
  readonly metadataLabelKeys: readonly string[];
  /** Region by zone. */
  readonly zones: Readonly<Record<string, string>>;
}

/** Roots that hold interfaces only, as a rule. */
const usualRoots: ReadonlySet<string> = new Set(['/dubbo', '/']);
/** Siblings of the interfaces under a root. */
const reservedNames: ReadonlySet<string> = new Set(['metadata', 'mapping', 'zookeeper']);
const className = /^[\w$]+(?:\.[\w$]+)+$/;
const instanceName = /:\d{1,5}$/;
/** No date in milliseconds after 1973 is smaller, none in seconds before the year 5138 larger. */
const secondsMax = 1e11;
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

const wantChildren: Want = { node: false, data: false, children: true };
const wantInterface: Want = {
  node: false,
  data: false,
  children: [...ruleCategories, 'providers'],
};
const wantLeaf: Want = { node: true, data: false, children: false };
const wantInstance: Want = { node: true, data: true, children: false };

/** The reading of the interface-level registry. */
export function createDubboReading(options: DubboOptions, sharing: Sharing): Reading {
  const { roots } = options;
  const hidden = new Set(options.hiddenInterfaces);
  const context = dubboContext(options.labelKeys, sharing);
  const isSeen = (key: string): boolean =>
    context.labelKeys.includes(key) || context.parameterKeys.isCustom(key);
  const records: RecordContext = {
    labelKeys: usableLabelKeys(options.metadataLabelKeys),
    zones: options.zones,
    sharing,
  };

  const wantOfName = (root: string, name: string): Want => {
    if (reservedNames.has(name) || hidden.has(decodeNodeName(name) ?? name)) return wantNothing;
    return name === configName || mayBeApplication(root, name) ? wantChildren : wantInterface;
  };

  return {
    roots,
    want(path) {
      const root = roots.find((candidate) => isBelow(candidate, path));
      if (root === undefined) return roots.includes(path) ? wantChildren : wantNothing;
      const start = offsetBelow(root);
      const first = path.indexOf('/', start);
      const name = first < 0 ? path.slice(start) : path.slice(start, first);
      const wanted = wantOfName(root, name);
      if (first < 0 || wanted === wantNothing) return wanted;
      if (name === configName || !path.startsWith('providers', first + 1)) {
        const mayBeInstance = wanted === wantChildren && name !== configName;
        if (mayBeInstance && isInstancePath(path, first)) return wantInstance;
        return wantOfRule(path.slice(start).split('/'));
      }
      const afterProviders = first + 1 + 'providers'.length;
      if (path.length === afterProviders) return wantChildren;
      const isLeaf = path[afterProviders] === '/' && !path.includes('/', afterProviders + 1);
      return isLeaf ? wantLeaf : wantNothing;
    },
    read(path, data) {
      const root = roots.find((candidate) => isBelow(candidate, path)) ?? '/';
      const start = offsetBelow(root);
      const first = path.indexOf('/', start);
      const name = path.slice(start, first);
      if (name === configName || !path.startsWith('providers/', first + 1)) {
        const parts = path.slice(start).split('/');
        if (isRule(parts)) {
          return readRule({ parts, root, directory: parentPath(path), isSeen }, data);
        }
        return readInstanceNode(path, data, records);
      }
      const said = readProvider(root, name, nodeName(path), context);
      if (typeof said !== 'string') return said;
      return { kind: 'dropped', reason: said, record: parentPath(path) };
    },
  };
}

/** What a leaf below the interface of this node name says; or why it cannot be understood. */
function readProvider(
  root: string,
  directoryName: string,
  leafName: string,
  context: DubboContext,
): NodeReading | DropReason {
  const interfaceName = decodeNodeName(directoryName);
  if (interfaceName === undefined || interfaceName === '') return 'name';
  const url = parseDubboUrl(leafName, context.parameterKeys);
  if (url === undefined) return 'url';
  if (!isProvider(url)) return { kind: 'ignored', what: 'not-a-provider' };
  const address = addressOf(url);
  if (address === undefined) return 'address';
  const { parameters, port } = url;
  const said = dubboInstance(
    {
      root,
      interfaceName,
      group: parameters.get('group') ?? '',
      version: parameters.get('version') ?? '',
      protocols: protocolsOf(url.scheme, parameters),
      address,
      port,
      parameters,
    },
    context,
  );
  return typeof said === 'string' ? said : { kind: 'endpoint', ...said, order: timestampOf(url) };
}

/** Whether below this name of a root there could be application-level registrations. */
function mayBeApplication(root: string, name: string): boolean {
  return !usualRoots.has(root) || !className.test(decodeNodeName(name) ?? '');
}

/** Whether the path has the form of an application-level registration; `first` is the slash after the name. */
function isInstancePath(path: string, first: number): boolean {
  return first >= 0 && path.lastIndexOf('/') === first && instanceName.test(nodeName(path));
}

function readInstanceNode(path: string, data: Buffer | null, context: RecordContext): NodeReading {
  const found = readCurator(data);
  if (found === 'directory') return { kind: 'ignored', what: 'directory' };
  if (typeof found === 'string') return { kind: 'dropped', reason: found, record: path };
  if (!isDubboRecord(found)) return { kind: 'ignored', what: 'not-a-provider' };
  return readRegistration(path, found, context);
}

/**
 * The host; and where it cannot be dialled, the address that the provider gives beside it: Dubbo's own
 * consumers try that one first wherever they have IPv6.
 */
function addressOf({ host, parameters }: DubboUrl): string | undefined {
  const address = normalizeAddress(host);
  const other = parameters.get('ipv6') ?? '';
  if (address !== undefined || !other.includes(':')) return address;
  return normalizeAddress(other);
}

function isProvider({ scheme, parameters }: DubboUrl): boolean {
  const category = parameters.get('category') ?? '';
  return !otherSchemes.has(scheme) && (category === '' || category === 'providers');
}

/** When the provider registered, milliseconds since 1970 (Go's writes seconds); 0 where the URL does not say. */
function timestampOf({ parameters }: DubboUrl): number {
  const text = parameters.get('timestamp') ?? '';
  const time = /^\d{1,15}$/.test(text) ? Number(text) : 0;
  return time < secondsMax ? time * 1000 : time;
}
