import type { Alias, AliasPorts, Instance, Port, ServiceKey } from '../common/instance.ts';
import { cutLabel, encodeLabel, isPlainLabel } from './host-label.ts';
import { isKnownProtocol } from './protocols.ts';

/**
 * Which host a port of an instance stands under. A host is a pure function of the service key, the
 * protocol and the Dubbo tag, never of which other hosts exist; different keys have different hosts
 * (but names that differ in case alone are one: registries and DNS take them for one).
 *
 * - an application: `<name>.<domain>`; its secure port: `secure.<name>.<domain>`; a second
 *   protocol of the same instance: `<protocol>.<name>.<domain>`;
 * - an application of Dubbo 3: `<protocol>.<name>.<domain>` for each of its protocols, and with one of them
 *   (`dubbo` before `tri` before others) `<name>.<domain>`; as a guest everywhere, since another application of that name
 *   may have the host: which guests are endpoints there is decided in merge.ts. With a tag, `<tag>--t.` in front of each;
 * - a Dubbo interface: `<interface>[.g-<group>][.v-<version>].dubbo.<domain>`, dots of the version
 *   as dashes (and its dashes as dots, then escaped); a protocol other than `dubbo`: `<protocol>.` in front;
 * - a Dubbo endpoint with a tag: `<tag>.` in front of that, since a consumer without a tag never
 *   calls a tagged provider. The host without the tag stays known, as an empty service if need be: who calls
 *   it finds no provider, as in Dubbo. Or, when tags are labels only, the tag changes no host;
 * - if so configured, every endpoint of an interface with a group or a version stands also under the host without
 *   both, where all are together as for a consumer that asks for `*`.
 *
 * Group, version and tag are case-sensitive, and every label is escaped as in host-label.ts. Names that
 * would read like a generated part are told apart by *forcing* the escape of a label:
 * - of an application: the last label `dubbo`, and of several labels the first, if it is a protocol or
 *   `secure`;
 * - of an interface: a last label that begins with `g-` or `v-`; of several labels the first, if it is a
 *   protocol, or if it could be a tag in front of a name (it is not a usual first label such as
 *   `com`, but the second is, or is a protocol).
 * A tag is written plainly in front of interfaces that begin with a usual first label, if it is
 * neither such a label nor a protocol; otherwise it carries the mark `--t`. A protocol that is not known
 * carries the mark `--p`.
 *
 * An alias is one more application: its host is what an application of that name and those ports has.
 *
 * A host longer than 240 characters is cut to one label with a hash (under `dubbo.` where it applies).
 */
export interface Placement {
  readonly host: string;
  /** As the registry knows it, lower case. */
  readonly protocol: string;
  /** Undefined when the instance has no port for this host: it keeps the service known, but is no endpoint. */
  readonly port: Port | undefined;
  /** Present when the host is that of an alias. */
  readonly isAlias?: true;
  /** Present when the host is that of a tag. */
  readonly isTagged?: true;
  /** Present when the host belongs to applications of other kinds first. */
  readonly isGuest?: true;
  /** Present when the host is that of the interface, whatever the group and version. */
  readonly isUnion?: true;
}

/**
 * What becomes of Dubbo's tags. `own-host`: a tagged endpoint stands under the host of its tag only. `label`: it
 * stands under the plain host like any other, and routing by its label is left to the operator.
 */
export type DubboTags = 'own-host' | 'label';

/** What hosts there are. */
export interface HostOptions {
  /** `own-host` by default. */
  readonly dubboTags?: DubboTags | undefined;
  /** Whether interfaces have a host for all their groups and versions together; by default they have not. */
  readonly hasInterfaceHosts?: boolean | undefined;
}

/** The label by which a Dubbo provider says its tag. */
export const tagLabel = 'dubbo.tag';

const hostLengthMax = 240;
const cacheLengthMax = 200_000;

const usualFirstLabels = new Set(
  (
    'com org net io cn edu gov mil int info biz name co de fr uk jp kr ru br us eu au ca nl se fi es ' +
    'pl cz ch be dk tw hk sg me tv cc ai java javax jakarta'
  ).split(' '),
);

/** What was found last for a service key: instances that share it mostly share the rest as well. */
interface Placed {
  readonly ports: readonly Port[];
  readonly tag: string;
  readonly aliases: readonly Alias[] | undefined;
  readonly placements: readonly Placement[];
}

/** Finds hosts, remembering those that it has computed. */
export class HostNames {
  private readonly domain: string;
  private readonly options: HostOptions;
  private readonly known = new Map<string, string>();
  private readonly placed = new WeakMap<ServiceKey, Placed>();

  /** @param domain the DNS domain under which all hosts stand, at most 100 characters */
  constructor(domain: string, options: HostOptions = {}) {
    this.domain = domain;
    this.options = options;
  }

  /** Where the ports of an instance stand: nowhere if its service has no name. */
  placements(instance: Instance): readonly Placement[] {
    const { service, ports, aliases } = instance;
    if (service.name === '') return [];
    const tag = this.tagOf(instance);
    const last = this.placed.get(service);
    if (last?.ports === ports && last.tag === tag && last.aliases === aliases) {
      return last.placements;
    }
    const own = tag === '' ? this.place(service, ports, '') : this.placeTagged(instance, tag);
    const placements = aliases === undefined ? own : this.withAliases(own, ports, aliases);
    this.placed.set(service, { ports, tag, aliases, placements });
    return placements;
  }

  /** The tag by which the host is chosen; empty when there is none. */
  private tagOf({ service, labels }: Instance): string {
    if (service.kind === 'application' || this.options.dubboTags === 'label') return '';
    return (labels[tagLabel] ?? '').trim();
  }

  private placeTagged({ service, ports }: Instance, tag: string): readonly Placement[] {
    const tagged = this.place(service, ports, tag);
    const plain = this.place(service, ports, '');
    return [
      ...tagged.map((placement): Placement => ({ ...placement, isTagged: true })),
      ...plain.map((placement): Placement => ({ ...placement, port: undefined })),
    ];
  }

  /** A host counts once: first as the instance's own, then for the aliases in their order. */
  private withAliases(
    own: readonly Placement[],
    ports: readonly Port[],
    aliases: readonly Alias[],
  ): readonly Placement[] {
    const byHost = new Map(own.map((placement) => [placement.host, placement]));
    for (const { name, ports: which } of aliases) {
      const covered = coveredPorts(ports, which);
      if (name === '' || covered === undefined) continue;
      const service: ServiceKey = { kind: 'application', name, group: '', version: '' };
      for (const placement of this.place(service, covered, '')) {
        if (!byHost.has(placement.host))
          byHost.set(placement.host, { ...placement, isAlias: true });
      }
    }
    return [...byHost.values()];
  }

  private place(service: ServiceKey, ports: readonly Port[], tag: string): readonly Placement[] {
    const own = this.placeOwn(service, ports, tag);
    const isUnion =
      this.options.hasInterfaceHosts === true &&
      service.kind === 'dubbo' &&
      (service.group !== '' || service.version !== '');
    if (!isUnion) return own;
    const union = this.placeOwn({ ...service, group: '', version: '' }, ports, tag);
    return [...own, ...union.map((placement): Placement => ({ ...placement, isUnion }))];
  }

  private placeOwn(service: ServiceKey, ports: readonly Port[], tag: string): readonly Placement[] {
    if (service.kind === 'dubbo-application') return this.placeProcess(service, ports, tag);
    const primary = primaryProtocol(service, ports);
    if (ports.length === 0) {
      return [{ host: this.host(service, '', tag), protocol: primary, port: undefined }];
    }
    return ports.map((port) => ({
      host: this.host(service, port.protocol === primary ? '' : port.protocol, tag),
      protocol: port.protocol,
      port,
    }));
  }

  /** A process of Dubbo 3. */
  private placeProcess(
    service: ServiceKey,
    ports: readonly Port[],
    tag: string,
  ): readonly Placement[] {
    const guest = guestPort(ports);
    const protocol = guest?.protocol ?? 'dubbo';
    return [
      ...ports.map((port) => ({
        host: this.host(service, port.protocol, tag),
        protocol: port.protocol,
        port,
        isGuest: true as const,
      })),
      { host: this.host(service, '', tag), protocol, port: guest, isGuest: true },
    ];
  }

  private host(service: ServiceKey, prefix: string, tag: string): string {
    const key = [service.kind, service.name, service.group, service.version, prefix, tag].join(
      '\u0000',
    );
    let host = this.known.get(key);
    if (host === undefined) {
      if (this.known.size >= cacheLengthMax) this.known.clear();
      host = hostOf(service, { prefix, tag }, this.domain);
      this.known.set(key, host);
    }
    return host;
  }
}

/** A host by its parts; `prefix` is a protocol or empty. Pure. See the head of this file. */
export function hostOf(
  service: ServiceKey,
  front: { readonly prefix: string; readonly tag: string },
  domain: string,
): string {
  const isDubbo = service.kind === 'dubbo';
  const labels = isDubbo ? interfaceLabels(service) : applicationLabels(service.name);
  if (front.prefix !== '') labels.unshift(prefixLabel(front.prefix, service.kind));
  if (front.tag !== '') labels.unshift(tagLabelOf(front.tag, service));
  const land = isDubbo ? `dubbo.${domain}` : domain;
  const host = `${labels.join('.')}.${land}`;
  if (host.length <= hostLengthMax) return host;
  return `${cutLabel(host, `host:${labels.join('.')}`)}.${land}`;
}

/** The ports that stand under an alias; none keep it known without an endpoint. Undefined: it does not exist. */
function coveredPorts(ports: readonly Port[], which: AliasPorts): readonly Port[] | undefined {
  if (which === 'all') return ports;
  const secure = ports.filter(({ protocol }) => protocol === 'https' || protocol === 'tls');
  if (which === 'secure') return secure.length === 0 ? undefined : secure;
  return secure.length === ports.length ? ports : ports.filter((port) => !secure.includes(port));
}

function primaryProtocol(service: ServiceKey, ports: readonly Port[]): string {
  if (service.kind === 'dubbo') return 'dubbo';
  if (ports.some((port) => port.protocol === 'http')) return 'http';
  return ports.find((port) => port.protocol !== 'https')?.protocol ?? 'http';
}

/** With which port an application of Dubbo 3 stands under its plain host. */
function guestPort(ports: readonly Port[]): Port | undefined {
  const [first] = [...ports].sort(
    (a, b) => guestRank(a.protocol) - guestRank(b.protocol) || (a.protocol < b.protocol ? -1 : 1),
  );
  return first;
}

/** The smaller goes first where guests of several protocols meet; those of equal rank go by name. */
export function guestRank(protocol: string): number {
  const rank = ['dubbo', 'tri'].indexOf(protocol);
  return rank === -1 ? 2 : rank;
}

function prefixLabel(protocol: string, kind: ServiceKey['kind']): string {
  if (protocol === 'https' && kind === 'application') return 'secure';
  return isKnownProtocol(protocol) ? protocol : encodeLabel(protocol, { mark: 'p' });
}

/** The labels of a name as far as dots can separate them: an empty label makes it all one label. */
function split(name: string): string[] {
  const labels = name.toLowerCase().split('.');
  return labels.includes('') ? [labels.join('.')] : labels;
}

function applicationLabels(name: string): string[] {
  const labels = split(name);
  const [first = ''] = labels;
  const isForced = labels.length > 1 && (first === 'secure' || isKnownProtocol(first));
  return labels.map((label, index) =>
    encodeLabel(label, {
      isForced: (isForced && index === 0) || (index === labels.length - 1 && label === 'dubbo'),
    }),
  );
}

function interfaceLabels(service: ServiceKey): string[] {
  const names = split(service.name);
  const isForced = isInterfacePrefixLike(names);
  const labels = names.map((label, index) =>
    encodeLabel(label, {
      isForced: (isForced && index === 0) || (index === names.length - 1 && /^[gv]-/.test(label)),
    }),
  );
  if (service.group !== '') {
    labels.push(`g-${encodeLabel(service.group, { isCaseSensitive: true, lengthMax: 61 })}`);
  }
  if (service.version !== '') {
    const swapped = service.version.replace(/[.-]/g, (found) => (found === '.' ? '-' : '.'));
    labels.push(`v-${encodeLabel(swapped, { isCaseSensitive: true, lengthMax: 61 })}`);
  }
  return labels;
}

/** Whether the first of several labels could be read as a protocol or a tag in front of a name. */
function isInterfacePrefixLike(labels: readonly string[]): boolean {
  const [first = '', second = ''] = labels;
  if (labels.length < 2) return false;
  if (isInterfacePrefix(first)) return true;
  if (labels.length < 3 || usualFirstLabels.has(first)) return false;
  return usualFirstLabels.has(second) || isInterfacePrefix(second);
}

function isInterfacePrefix(label: string): boolean {
  return label !== 'dubbo' && isKnownProtocol(label);
}

function tagLabelOf(tag: string, { kind, name }: ServiceKey): string {
  const labels = split(name);
  const [first = ''] = labels;
  const isPlain =
    kind === 'dubbo' &&
    isPlainLabel(tag) &&
    !usualFirstLabels.has(tag) &&
    !isInterfacePrefix(tag) &&
    labels.length > 1 &&
    usualFirstLabels.has(first);
  return isPlain ? tag : encodeLabel(tag, { isCaseSensitive: true, mark: 't' });
}
