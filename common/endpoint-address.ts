import { isIPv4, isIPv6 } from 'node:net';

/** Why an address cannot be an endpoint: a text that is none, or an address that no packet can be sent to. */
export type AddressFault = 'not-an-ip' | 'unusable-address';

/**
 * The canonical text of an IP address, so that two spellings are one endpoint: IPv6 is
 * shortened and lower-cased, an IPv4 address inside IPv6 becomes IPv4.
 */
export function canonicalAddress(
  text: string,
): { readonly address: string } | { readonly fault: AddressFault } {
  if (isIPv4(text)) return usable(text);
  if (!isIPv6(text)) return { fault: 'not-an-ip' };
  if (text.includes('%')) return { fault: 'unusable-address' };
  const canonical = new URL(`http://[${text}]`).hostname.slice(1, -1);
  const mapped = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(canonical);
  if (mapped === null) {
    return canonical === '::' || canonical.startsWith('ff')
      ? { fault: 'unusable-address' }
      : { address: canonical };
  }
  const high = Number.parseInt(mapped[1] ?? '', 16);
  const low = Number.parseInt(mapped[2] ?? '', 16);
  return usable([high >> 8, high & 255, low >> 8, low & 255].join('.'));
}

/**
 * Whether the text is a host name that may be looked up: DNS labels (underscores allowed), the last of which is no
 * number, since resolvers read `10.1` and `0x7f1` as addresses; and none of the words by which clients say that they have none.
 */
export function isHostName(text: string): boolean {
  return hostName.test(text) && !noNames.has(text.toLowerCase());
}

const hostName =
  /^(?=.{1,253}$)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*(?!(?:\d+|0x[\da-f]*)\.?$)[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.?$/i;
const noNames = new Set(['null', 'unknown', 'undefined', 'none', 'nan']);

function usable(address: string): ReturnType<typeof canonicalAddress> {
  const first = Number(address.slice(0, address.indexOf('.')));
  return first === 0 || first >= 224 ? { fault: 'unusable-address' } : { address };
}
