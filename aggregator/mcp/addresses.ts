import { BlockList, isIPv4, isIPv6 } from 'node:net';

/** A set of address ranges. */
export class AddressRanges {
  private readonly ranges: BlockList | undefined;

  /** Empty = every address. Throws TypeError on a bad range: check with `isAddressRange` before. */
  constructor(texts: readonly string[]) {
    if (texts.length === 0) return;
    this.ranges = new BlockList();
    for (const text of texts) {
      const range = parseRange(text);
      if (range === undefined) throw new TypeError(`not an address range: ${text}`);
      this.ranges.addSubnet(range.address, range.prefix, range.family);
    }
  }

  includes(address: string): boolean {
    if (this.ranges === undefined) return true;
    const plain = normalizeAddress(address);
    if (isIPv4(plain)) return this.ranges.check(plain, 'ipv4');
    return isIPv6(plain) && this.ranges.check(plain, 'ipv6');
  }
}

/** Whether the text is an address or an address range. */
export function isAddressRange(text: string): boolean {
  return parseRange(text) !== undefined;
}

/** Without zone, and an IPv4 address in IPv6 clothes as IPv4. */
export function normalizeAddress(address: string): string {
  const plain = address.replace(/%.*$/s, '');
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(plain)?.[1];
  return mapped ?? plain;
}

interface Range {
  readonly address: string;
  readonly family: 'ipv4' | 'ipv6';
  readonly prefix: number;
}

function parseRange(text: string): Range | undefined {
  const [address = '', prefixText, ...more] = text.split('/');
  if (more.length > 0) return undefined;
  const family = isIPv4(address) ? 'ipv4' : isIPv6(address) ? 'ipv6' : undefined;
  if (family === undefined) return undefined;
  const widest = family === 'ipv4' ? 32 : 128;
  if (prefixText === undefined) return { address, family, prefix: widest };
  if (!/^\d{1,3}$/.test(prefixText) || Number(prefixText) > widest) return undefined;
  return { address, family, prefix: Number(prefixText) };
}
