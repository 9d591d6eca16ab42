import type { KeySet } from './parameters.ts';

/**
 * The leaf names below `/<root>/<interface>/providers`: provider URLs, URL-encoded by Java's
 * `URLEncoder`, of the form `scheme://[user:password@]host:port/path?key=value&key=value`. What
 * Dubbo's own parser takes is taken here: `;` separates as `&` does, values may be empty, a key
 * `default.x` stands in for a missing `x`, an IPv6 host needs no brackets (the last colon splits off
 * the port), a host may be a name. Credentials are passed over and never kept. Pure; never throws.
 */

/** A provider URL, as far as somebody asked for it. */
export interface DubboUrl {
  /** Lower case. */
  readonly scheme: string;
  /** As written, brackets included. */
  readonly host: string;
  /** 0 when there is none. */
  readonly port: number;
  /** The wanted keys that occur. Values are pieces of the decoded name: copy what is kept. */
  readonly parameters: ReadonlyMap<string, string>;
}

/** Longer names are not looked at. Characters; real ones have 300 to 2,000. */
const nameLengthMax = 65_536;
const schemePattern = /^[a-z][a-z0-9+.-]{0,31}$/;
const defaultPrefix = 'default.';

/** Java's URL decoding, once: `+` is a space. Undefined when malformed. */
export function decodeNodeName(name: string): string | undefined {
  if (!name.includes('%') && !name.includes('+')) return name;
  try {
    return decodeURIComponent(name.includes('+') ? name.replaceAll('+', ' ') : name);
  } catch {
    // A malformed escape: some other writer's node, not ours to fail on.
    return undefined;
  }
}

/** Reads a leaf name; of its parameters only the wanted keys. Undefined when it is no such URL. */
export function parseDubboUrl(leafName: string, wanted: KeySet): DubboUrl | undefined {
  if (leafName.length > nameLengthMax) return undefined;
  const text = decodeNodeName(leafName);
  if (text === undefined) return undefined;
  const question = text.indexOf('?');
  const bodyEnd = question < 0 ? text.length : question;
  const schemeEnd = text.indexOf('://');
  if (schemeEnd <= 0 || schemeEnd > bodyEnd) return undefined;
  const scheme = text.slice(0, schemeEnd).toLowerCase();
  if (!schemePattern.test(scheme)) return undefined;
  const slash = text.indexOf('/', schemeEnd + 3);
  const authorityEnd = slash < 0 || slash > bodyEnd ? bodyEnd : slash;
  const authority = text.slice(schemeEnd + 3, authorityEnd);
  return {
    scheme,
    ...splitAuthority(authority.slice(authority.lastIndexOf('@') + 1)),
    parameters: readParameters(text, bodyEnd + 1, wanted),
  };
}

/** `host:port`; without a usable port the whole is the host. */
function splitAuthority(authority: string): { host: string; port: number } {
  const colon = authority.lastIndexOf(':');
  const hasNoPort = colon <= 0 || authority.includes('%', colon) || authority.endsWith(']');
  if (hasNoPort) return { host: authority, port: 0 };
  const digits = authority.slice(colon + 1);
  return { host: authority.slice(0, colon), port: /^\d{1,5}$/.test(digits) ? Number(digits) : 0 };
}

/** Linear in the text, whatever stands in it. Of equal keys the last one counts. */
function readParameters(text: string, from: number, wanted: KeySet): ReadonlyMap<string, string> {
  const parameters = new Map<string, string>();
  const ampersand = new Finder(text, '&');
  const semicolon = new Finder(text, ';');
  const equals = new Finder(text, '=');
  for (let start = from; start < text.length;) {
    const end = Math.min(ampersand.next(start), semicolon.next(start));
    const keyEnd = Math.min(equals.next(start), end);
    const key = text.slice(start, keyEnd);
    if (wanted.has(key)) {
      parameters.set(key, text.slice(keyEnd + 1, end));
    } else if (key.startsWith(defaultPrefix)) {
      const plain = key.slice(defaultPrefix.length);
      if (wanted.has(plain) && !parameters.has(plain)) {
        parameters.set(plain, text.slice(keyEnd + 1, end));
      }
    }
    start = end + 1;
  }
  return parameters;
}

/** Finds one character at or after ever larger positions without looking at anything twice. */
class Finder {
  private readonly text: string;
  private readonly character: string;
  private found = -1;

  constructor(text: string, character: string) {
    this.text = text;
    this.character = character;
  }

  /** Its next position, or the length of the text. */
  next(from: number): number {
    if (this.found < from) {
      const found = this.text.indexOf(this.character, from);
      this.found = found < 0 ? this.text.length : found;
    }
    return this.found;
  }
}
