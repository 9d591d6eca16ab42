import { isIP } from 'node:net';
import { TransientError } from '../../common/errors.ts';
import { withHost } from './service-url.ts';
import type { ServiceUrl } from './service-url.ts';
import { parseTxtEntries, zoneOf } from './txt-record.ts';
import type { TxtEntries, TxtStrings } from './txt-record.ts';

/** Where TXT records are looked up. One of node's resolvers is one. */
export interface TxtResolver {
  /** Rejects with an error that has a `code` of node:dns. */
  resolveTxt(name: string): Promise<TxtStrings>;
  /** Has what is being looked up reject. */
  cancel(): void;
}

/** A server and the zone that lists it; undefined for one that is listed outside of any zone. */
export interface ZonedServer {
  readonly server: ServiceUrl;
  readonly zone: string | undefined;
}

/** What looking up came to. */
export interface TxtServers {
  readonly servers: readonly ZonedServer[];
  /** Zones that could not be looked up; fit for a log. */
  readonly failures: readonly string[];
  /** Entries that are no hosts; fit for a log. */
  readonly leftOut: readonly string[];
}

/** By name of a zone, what its record listed last. */
export type ZoneMemory = Map<string, readonly string[]>;

const noRecord: ReadonlySet<unknown> = new Set(['ENOTFOUND', 'ENODATA']);

/**
 * The servers of a TXT record. Each of its entries names a zone, when there is a record `txt.<entry>` that lists the
 * servers of the zone, else it is a server itself. A zone whose record cannot be looked up keeps
 * what it listed before, by `memory`, which is updated.
 *
 * Throws TransientError when the record itself cannot be read, or when no server comes of it: then nothing is known.
 */
export async function lookUpServers(
  record: { readonly name: string; readonly template: ServiceUrl },
  resolver: TxtResolver,
  memory: ZoneMemory,
): Promise<TxtServers> {
  const { name, template } = record;
  const entries = await read(resolver, name);
  if (entries === undefined) throw new TransientError(`TXT ${name}: no such record`);
  const zones = await Promise.all(
    entries.hosts.map(async (entry) => lookUpZone(entry, resolver, memory)),
  );
  const servers: ZonedServer[] = [];
  const failures = zones.flatMap((zone) => zone.failures);
  const leftOut = [
    ...entries.unusable.map((text) => `TXT ${name}: no host name: ${text}`),
    ...zones.flatMap((zone) => zone.leftOut),
  ];
  for (const { hosts, zone } of zones) {
    for (const host of hosts) {
      const server = withHost(template, host);
      if (server !== undefined) servers.push({ server, zone });
    }
  }
  if (servers.length > 0) return { servers, failures, leftOut };
  throw new TransientError([`TXT ${name}: lists no server`, ...failures, ...leftOut].join('; '));
}

interface Zone {
  readonly zone: string | undefined;
  readonly hosts: readonly string[];
  readonly failures: readonly string[];
  readonly leftOut: readonly string[];
}

/** What an entry stands for: the servers of a zone, or itself. */
async function lookUpZone(entry: string, resolver: TxtResolver, memory: ZoneMemory): Promise<Zone> {
  const itself: Zone = { zone: undefined, hosts: [entry], failures: [], leftOut: [] };
  if (isIP(entry) !== 0) return itself;
  const zone = zoneOf(entry);
  const name = `txt.${entry}`;
  try {
    const entries = await read(resolver, name);
    if (entries === undefined) {
      memory.delete(entry);
      return itself;
    }
    memory.set(entry, entries.hosts);
    const leftOut = entries.unusable.map((text) => `TXT ${name}: no host name: ${text}`);
    return { zone, hosts: entries.hosts, failures: [], leftOut };
  } catch (error) {
    if (!(error instanceof TransientError)) throw error;
    // Whether it is a zone is not known: a zone that was one stays, and nothing is made up.
    return { zone, hosts: memory.get(entry) ?? [], failures: [error.message], leftOut: [] };
  }
}

/** Undefined: there is no such record. Throws TransientError when that cannot be found out. */
async function read(resolver: TxtResolver, name: string): Promise<TxtEntries | undefined> {
  try {
    return parseTxtEntries(await resolver.resolveTxt(name));
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (noRecord.has(code)) return undefined;
    const shown = typeof code === 'string' ? code : 'failed';
    throw new TransientError(`TXT ${name}: ${shown}`, { cause: error });
  }
}
