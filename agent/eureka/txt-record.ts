import { isIP } from 'node:net';

/**
 * The text of DNS TXT records that list Eureka servers, as Eureka's own clients read them: the record
 * `txt.<region>.<domain>` lists zones (`<zone>.<domain>`), and the record `txt.<zone>.<domain>` the hosts of each.
 */

/** The strings of a TXT record, each in its pieces. */
export type TxtStrings = readonly (readonly string[])[];

/** What a record lists. */
export interface TxtEntries {
  /** Host names and addresses, each once, in the order of the record. */
  readonly hosts: readonly string[];
  /** What is neither. */
  readonly unusable: readonly string[];
}

/** A string of a record holds 255 bytes at most: so long a one goes on in the next. */
const pieceBytesMax = 255;
const hostName =
  /^(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*$/;
const entriesMax = 256;
const shownCharactersMax = 80;

/**
 * Servers stand in strings of their own, or together in one with spaces or commas between; final dots are left
 * off, and letters become small. Reads 256 entries at most.
 */
export function parseTxtEntries(strings: TxtStrings): TxtEntries {
  const hosts = new Set<string>();
  const unusable: string[] = [];
  const texts = strings.map(joinPieces).flatMap((text) => text.split(/[\s,]+/));
  for (const text of texts.filter((one) => one !== '').slice(0, entriesMax)) {
    const host = text.toLowerCase().replace(/\.$/, '');
    if (isHost(host)) hosts.add(host);
    else unusable.push(printable(text));
  }
  return { hosts: [...hosts], unusable };
}

/** The first label of a zone's name: `us-east-1c` of `us-east-1c.example.com`. */
export function zoneOf(name: string): string {
  return name.split('.', 1)[0] ?? '';
}

function joinPieces(pieces: readonly string[]): string {
  return pieces.reduce(
    (text, piece) => text + piece + (Buffer.byteLength(piece) === pieceBytesMax ? '' : ' '),
    '',
  );
}

/** What looks like a number is an address or nothing: URLs take `1.2` and `0x7f` for addresses. */
function isHost(text: string): boolean {
  if (isIP(text) !== 0) return true;
  const isNumeric = /(^|\.)(\d+|0x[0-9a-f]*)$/.test(text);
  return !isNumeric && hostName.test(text);
}

/** Fit for a log: whoever wrote a URL into the record may have written its password too. */
function printable(text: string): string {
  const shown = text.replace(/^.*@/, '***@').slice(0, shownCharactersMax);
  return shown.replaceAll(/[^\x21-\x7e]/g, '?');
}
