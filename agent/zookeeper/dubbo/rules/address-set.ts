import { isIPv4, isIPv6 } from 'node:net';
import { normalizeAddress } from '../../convert.ts';

/**
 * The addresses that a rule of Dubbo names. Dubbo reads them in two ways: configurators know
 * `0.0.0.0` (everybody), an address, and either with a port; tag rules know instead, beside the
 * addresses and `0.0.0.0:<port>`, subnets (`10.0.0.0/8`), ranges and wildcards of segments
 * (`10.20.*.1-63`) and `*`. What is no address in the given way matches nobody, as in Dubbo.
 */
export type AddressStyle = 'plain' | 'patterns';

const anyHost = '0.0.0.0';
const portPattern = /^\d{1,5}$/;

/** Smallest and largest number of each segment: four of an IPv4 address, eight of an IPv6 address. */
interface Range {
  readonly segments: readonly (readonly [number, number])[];
  /** 0: every port. */
  readonly port: number;
}

/** A set of addresses, fixed once made. Addresses are looked up as they stand in an instance. */
export class AddressSet {
  private readonly hosts = new Set<string>();
  private readonly endpoints = new Set<string>();
  private readonly ports = new Set<number>();
  private readonly ranges: Range[] = [];
  private isEverybody = false;

  constructor(texts: readonly string[], style: AddressStyle) {
    for (const text of texts) this.add(text.trim(), style);
  }

  /** The hosts, when it names single hosts and nothing else; they may come with ports. */
  get singleHosts(): ReadonlySet<string> | undefined {
    if (this.isEverybody || this.ports.size > 0 || this.ranges.length > 0) return undefined;
    return new Set([...this.hosts, ...[...this.endpoints].map(hostOfEndpoint)]);
  }

  /** Whether the address is in it; port 0 stands for an address without a port. */
  has(host: string, port: number): boolean {
    if (this.isEverybody || this.hosts.has(host) || this.ports.has(port)) return true;
    if (this.endpoints.size > 0 && this.endpoints.has(endpointOf(host, port))) return true;
    if (this.ranges.length === 0) return false;
    const segments = segmentsOf(host);
    return segments !== undefined && this.ranges.some((range) => isInRange(range, segments, port));
  }

  private add(text: string, style: AddressStyle): void {
    if (style === 'patterns' && this.addPattern(text)) return;
    const { host, port } = splitAddress(text);
    if (host === anyHost) this.addAnyHost(port, style);
    const address = normalizeAddress(host);
    if (address === undefined) return;
    if (port === '') this.hosts.add(address);
    else if (portPattern.test(port)) this.endpoints.add(endpointOf(address, Number(port)));
  }

  private addAnyHost(port: string, style: AddressStyle): void {
    if (portPattern.test(port)) this.ports.add(Number(port));
    else if (style === 'plain' && (port === '' || port === '*')) this.isEverybody = true;
  }

  private addPattern(text: string): boolean {
    if (text === '*' || text === '*.*.*.*') {
      this.isEverybody = true;
      return true;
    }
    const slash = text.indexOf('/');
    if (slash >= 0) {
      this.addRange(subnetOf(text.slice(0, slash), text.slice(slash + 1)), '');
      return true;
    }
    const { host, port } = splitAddress(text);
    // A host name may have a hyphen.
    return /[*-]/.test(host) && this.addRange(rangesOf(host), port);
  }

  private addRange(segments: Range['segments'] | undefined, port: string): boolean {
    if (segments === undefined) return false;
    const isPort = port === '' || portPattern.test(port);
    if (isPort) this.ranges.push({ segments, port: Number(port) });
    return true;
  }
}

/** `host`, `host:port`, `[v6]`, `[v6]:port`, `v6`, and `v6:port` where that is no address itself. */
export function splitAddress(text: string): { host: string; port: string } {
  const closing = text.startsWith('[') ? text.indexOf(']') : -1;
  if (closing > 0) return { host: text.slice(1, closing), port: text.slice(closing + 2) };
  const colon = text.lastIndexOf(':');
  if (colon < 0 || isIPv6(text) || isIPv6Range(text)) return { host: text, port: '' };
  return { host: text.slice(0, colon), port: text.slice(colon + 1) };
}

/** Whether a host, as a rule writes it, stands for everybody. */
export function isAnyHost(text: string): boolean {
  return splitAddress(text.trim()).host === anyHost;
}

function isIPv6Range(text: string): boolean {
  return /[*-]/.test(text) && text.split(':').length === 8;
}

function endpointOf(host: string, port: number): string {
  return `${host}|${port}`;
}

function hostOfEndpoint(endpoint: string): string {
  return endpoint.slice(0, endpoint.lastIndexOf('|'));
}

/** The numbers of an address; undefined for a host name. */
function segmentsOf(host: string): readonly number[] | undefined {
  if (isIPv4(host)) return host.split('.').map(Number);
  if (!isIPv6(host)) return undefined;
  const dotted = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(host);
  const text = dotted === null ? host : `${dotted[1] ?? ''}${mappedTail(dotted.slice(2))}`;
  const [head = '', tail] = text.split('::');
  const left = hexGroups(head);
  if (tail === undefined) return left;
  const right = hexGroups(tail);
  const zeros = new Array<number>(8 - left.length - right.length).fill(0);
  return [...left, ...zeros, ...right];
}

function hexGroups(text: string): number[] {
  return text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16));
}

/** The last two groups of an IPv6 address that ends like an IPv4 address. */
function mappedTail(octets: readonly string[]): string {
  const [a = 0, b = 0, c = 0, d = 0] = octets.map(Number);
  return `${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`;
}

/** `10.20.*.1-63`, or all eight groups of an IPv6 address in the same manner. */
function rangesOf(host: string): (readonly [number, number])[] | undefined {
  const isDotted = host.includes('.');
  const parts = host.split(isDotted ? '.' : ':');
  if (parts.length !== (isDotted ? 4 : 8)) return undefined;
  const ranges: (readonly [number, number])[] = [];
  for (const part of parts) {
    const range = rangeOf(part, isDotted);
    if (range === undefined) return undefined;
    ranges.push(range);
  }
  return ranges;
}

function rangeOf(part: string, isDotted: boolean): readonly [number, number] | undefined {
  if (part === '*') return [0, isDotted ? 0xff : 0xffff];
  const found = (
    isDotted ? /^(\d{1,3})(?:-(\d{1,3}))?$/ : /^([\da-f]{1,4})(?:-([\da-f]{1,4}))?$/i
  ).exec(part);
  if (found === null) return undefined;
  const [, first = '', last = first] = found;
  const base = isDotted ? 10 : 16;
  return [Number.parseInt(first, base), Number.parseInt(last, base)];
}

/** The segments of a subnet. */
function subnetOf(address: string, prefix: string): (readonly [number, number])[] | undefined {
  const segments = segmentsOf(address);
  if (segments === undefined || !/^\d{1,3}$/.test(prefix)) return undefined;
  const width = segments.length === 4 ? 8 : 16;
  const length = Number(prefix);
  if (length > segments.length * width) return undefined;
  return segments.map((segment, index) => {
    const free = Math.min(width, Math.max(0, (index + 1) * width - length));
    const first = Math.floor(segment / 2 ** free) * 2 ** free;
    return [first, first + 2 ** free - 1];
  });
}

function isInRange(range: Range, segments: readonly number[], port: number): boolean {
  if (range.port !== 0 && range.port !== port) return false;
  return (
    range.segments.length === segments.length &&
    range.segments.every(([min, max], index) => {
      const segment = segments[index] ?? -1;
      return segment >= min && segment <= max;
    })
  );
}
