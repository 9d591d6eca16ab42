import { isIPv4, isIPv6, SocketAddress } from 'node:net';
import { isHostName } from '../../common/endpoint-address.ts';
import { isSecretKey, isSecretValue } from '../secrets.ts';

/** What the readings do alike with the words of a registry. Pure. */

/** The feed carries ids of at most this many bytes. */
const idBytesMax = 1024;
/** Longer label values are left out: no mesh could carry them. Characters. */
const labelLengthMax = 512;

/**
 * The address as it stands in an instance: IPv4, canonical IPv6 without brackets, or a lower-case
 * host name. Undefined for what nobody could dial: no text, a wildcard address, an IPv6 address
 * with a scope (which means something on its own machine only), what no name can be.
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
  return isHostName(name) ? name : undefined;
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

/** The keys that may become labels: sorted, each once, none of them a secret. */
export function usableLabelKeys(keys: readonly string[]): readonly string[] {
  return [...new Set(keys)].filter((key) => key !== '' && !isSecretKey(key)).sort();
}

/** The allowed labels that have a value which is no secret, in the order of the keys. */
export function pickLabels(
  keys: readonly string[],
  valueOf: (key: string) => string | undefined,
): [string, string][] {
  const labels: [string, string][] = [];
  for (const key of keys) {
    const value = valueOf(key);
    if (value === undefined || value === '' || value.length > labelLengthMax) continue;
    if (!isSecretValue(value)) labels.push([key, value]);
  }
  return labels;
}

/** An integer weight above zero, at most 2^31 - 1; 0 when the text says none. */
export function weightOf(text: string | undefined): number {
  const trimmed = text?.trim() ?? '';
  return /^\d{1,15}$/.test(trimmed) ? Math.min(Number(trimmed), 0x7fff_ffff) : 0;
}
