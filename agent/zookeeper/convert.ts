import { isIPv4, isIPv6, SocketAddress } from 'node:net';

/** What both readings do alike with the words of a registry. Pure. */

/** The feed carries ids of at most this many bytes. */
const idBytesMax = 1024;
/** Longer label values are left out: no mesh could carry them. Characters. */
const labelLengthMax = 512;

const hostName = /^[a-z0-9_](?:[a-z0-9_.-]{0,251}[a-z0-9_.])?$/;

/**
 * The address as it stands in an instance: IPv4, canonical IPv6 without brackets, or a lower-case
 * host name. Undefined for what nobody could dial: no text, a wildcard address, an IPv6 address
 * with a scope (which means something on its own machine only), characters no name has.
 */
export function normalizeAddress(text: string): string | undefined {
  const bare = text.startsWith('[') && text.endsWith(']') ? text.slice(1, -1) : text;
  if (isIPv4(bare)) return bare === '0.0.0.0' ? undefined : bare;
  if (bare.includes(':')) {
    if (bare.includes('%') || !isIPv6(bare)) return undefined;
    const canonical = new SocketAddress({ address: bare, family: 'ipv6' }).address;
    return canonical === '::' ? undefined : canonical;
  }
  const name = bare.toLowerCase();
  return hostName.test(name) ? name : undefined;
}

/** Whether the number can be a port. */
export function isPort(number: number): boolean {
  return Number.isInteger(number) && number >= 1 && number <= 65_535;
}

/** Whether the id fits the feed. */
export function isIdInBounds(id: string): boolean {
  return id.length * 3 <= idBytesMax || Buffer.byteLength(id) <= idBytesMax;
}

/**
 * One part of an id in which `:` separates parts and `/` path segments: both, and the escape
 * character, are escaped, so that different parts never give the same id.
 */
export function escapeIdPart(part: string): string {
  return /[%:/]/.test(part) ? part.replace(/[%:/]/g, encodeURIComponent) : part;
}

const secretKey = /token|passw|secret|credential|(?:private|access|api)[._-]?key/i;
const userKey = /^user(?:[._-]?name)?$/i;

/** Whether a parameter or metadata key names something that must not leave the registry. */
export function isSecretKey(key: string): boolean {
  return secretKey.test(key) || userKey.test(key);
}

/** The keys that may become labels: sorted, each once, none of them a secret. */
export function usableLabelKeys(keys: readonly string[]): readonly string[] {
  return [...new Set(keys)].filter((key) => key !== '' && !isSecretKey(key)).sort();
}

/** The allowed labels that have a value, in the order of the keys. */
export function pickLabels(
  keys: readonly string[],
  valueOf: (key: string) => string | undefined,
): [string, string][] {
  const labels: [string, string][] = [];
  for (const key of keys) {
    const value = valueOf(key);
    if (value !== undefined && value !== '' && value.length <= labelLengthMax) {
      labels.push([key, value]);
    }
  }
  return labels;
}

const localityPart = /^[A-Za-z0-9._-]{1,63}$/;

/**
 * `region/zone/subzone` from metadata: `istio.locality`, else `region` with `zone` and `subzone`,
 * else `zone` with the region that the operator gave it. Positions count in a locality, so a zone
 * without a region is no locality. Empty when unknown.
 */
export function localityOf(
  metadata: ReadonlyMap<string, string>,
  zones: Readonly<Record<string, string>>,
): string {
  const explicit = joinLocality((metadata.get('istio.locality') ?? '').split('/'));
  if (explicit !== '') return explicit;
  const zone = metadata.get('zone') ?? '';
  const mapped = Object.hasOwn(zones, zone) ? (zones[zone] ?? '') : '';
  const given = metadata.get('region') ?? '';
  const region = given === '' ? mapped : given;
  return joinLocality([region, zone, metadata.get('subzone') ?? '']);
}

/** Joins the leading parts that are usable; a missing part ends the locality. */
function joinLocality(parts: readonly string[]): string {
  const end = parts.findIndex((part) => !localityPart.test(part));
  return (end < 0 ? parts.slice(0, 3) : parts.slice(0, Math.min(end, 3))).join('/');
}

/** An integer weight above zero, at most 2^31 - 1; 0 when the text says none. */
export function weightOf(text: string | undefined): number {
  if (text === undefined || !/^\d{1,15}$/.test(text)) return 0;
  return Math.min(Number(text), 0x7fff_ffff);
}
