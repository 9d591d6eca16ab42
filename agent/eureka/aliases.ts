import { isIP } from 'node:net';
import type { Alias, AliasPorts } from '../../common/instance.ts';

/**
 * The VIP addresses of a record as aliases. Eureka clients (Ribbon, Spring's DiscoveryClient) find instances by VIP:
 * a list of names separated by commas, each perhaps with a port, in any case, shared by any number of applications.
 * By default it is the application's name; then there is no alias.
 *
 * A name under `vipAddress` has the plain ports, one under `secureVipAddress` the secure one, one under both
 * has all. Placeholders that nobody filled in (`${...}`, `unknown`, `na`), IP addresses and what can be no
 * name are left out, and so are all beyond eight.
 */

const aliasesMax = 8;
const vipLengthMax = 200;
const listLengthMax = 4096;
const knownMax = 10_000;

const vipName = /^[\p{L}\p{N}][\p{L}\p{N}._~-]*$/u;
const placeholders = new Set(['unknown', 'na', 'none', 'null', 'undefined', 'nan']);

/** What was found last for the same texts: instances of an application mostly share them. */
const known = new Map<string, readonly Alias[] | undefined>();

/**
 * The aliases of an application's instance, sorted by name; undefined when there are none. Equal arguments
 * mostly give the same list.
 *
 * @param application its own name, lower case
 */
export function aliasesOf(
  application: string,
  vips: { readonly vipAddress: string; readonly secureVipAddress: string },
): readonly Alias[] | undefined {
  const { vipAddress, secureVipAddress } = vips;
  if (isOwn(vipAddress, application) && isOwn(secureVipAddress, application)) return undefined;
  const key = `${application}\n${vipAddress}\n${secureVipAddress}`;
  if (key.length > listLengthMax) return parse(application, vipAddress, secureVipAddress);
  if (known.has(key)) return known.get(key);
  if (known.size >= knownMax) known.clear();
  const aliases = parse(application, vipAddress, secureVipAddress);
  known.set(key, aliases);
  return aliases;
}

function isOwn(vip: string, application: string): boolean {
  return vip === '' || vip === application || vip.toLowerCase() === application;
}

function parse(application: string, plain: string, secure: string): readonly Alias[] | undefined {
  const found = new Map<string, AliasPorts>();
  for (const name of namesIn(plain)) found.set(name, 'plain');
  for (const name of namesIn(secure)) found.set(name, found.has(name) ? 'all' : 'secure');
  found.delete(application);
  if (found.size === 0) return undefined;
  const aliases = Array.from(found, ([name, ports]) => Object.freeze({ name, ports }));
  aliases.sort((a, b) => (a.name < b.name ? -1 : 1));
  return Object.freeze(aliases.slice(0, aliasesMax));
}

function namesIn(list: string): Set<string> {
  const names = new Set<string>();
  for (const entry of list.slice(0, listLengthMax).split(',')) {
    const name = entry.trim().replace(/:\d*$/, '').toLowerCase();
    const isName = name.length <= vipLengthMax && vipName.test(name) && isIP(name) === 0;
    if (isName && !placeholders.has(name) && Buffer.byteLength(name) <= vipLengthMax) {
      names.add(name);
    }
  }
  return names;
}
