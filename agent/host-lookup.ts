import type { RecordWithTtl } from 'node:dns';
import { lookup, NODATA, NOTFOUND, Resolver } from 'node:dns/promises';

/** What a name stands for. */
export interface HostAnswer {
  /** At least one, of either family, in any order. */
  readonly addresses: readonly string[];
  /** For how long the answer holds, milliseconds. */
  readonly ttlMs: number;
}

/** Looks a host name up. Rejects when there is no address or nobody answers; aborting it makes it reject soon. */
export type LookupHost = (name: string, signal: AbortSignal) => Promise<HostAnswer>;

/** Stand-ins for the system's own means. */
export interface LookupMeans {
  /** DNS servers, `address:port`; the system's when absent. */
  readonly servers?: readonly string[];
  /** All addresses by the system's own resolver (hosts file, search domains, multicast DNS). */
  readonly system?: (name: string) => Promise<readonly string[]>;
}

const queryTimeoutMs = 1000;
const queryTries = 2;
/** The system's resolver tells no time to live. */
const systemTtlMs = 30_000;
/**
 * It blocks a thread of a pool of four that decompression shares, for many seconds when nobody answers: two are
 * left to others.
 */
const systemLookupsMax = 2;

/**
 * Looks up by DNS, IPv4 before IPv6, and what DNS does not know, or does not answer, by the system's resolver. Names
 * of one label are the system's alone, as search domains apply to them.
 */
export function hostLookup(means: LookupMeans = {}): LookupHost {
  const system = means.system ?? systemAddresses;
  return async (name, signal) => {
    signal.throwIfAborted();
    if (name.replace(/\.$/, '').includes('.')) {
      const answer = await askDns(name, means.servers, signal);
      if (answer !== undefined) return answer;
    }
    signal.throwIfAborted();
    const addresses = await slots.use(() => {
      signal.throwIfAborted();
      return system(name);
    });
    if (addresses.length === 0) throw new Error(`${name}: no address`);
    return { addresses, ttlMs: systemTtlMs };
  };
}

async function systemAddresses(name: string): Promise<readonly string[]> {
  const found = await lookup(name, { all: true });
  return found.map(({ address }) => address);
}

/** Undefined when DNS has no address for it or does not answer. A resolver lives for one question: its servers may change. */
async function askDns(
  name: string,
  servers: readonly string[] | undefined,
  signal: AbortSignal,
): Promise<HostAnswer | undefined> {
  const resolver = new Resolver({ timeout: queryTimeoutMs, tries: queryTries });
  const cancel = (): void => resolver.cancel();
  signal.addEventListener('abort', cancel, { once: true });
  try {
    if (servers !== undefined) resolver.setServers(servers);
    return toAnswer(
      (await recordsOf(resolver.resolve4(name, { ttl: true }))) ??
        (await recordsOf(resolver.resolve6(name, { ttl: true }))) ??
        [],
    );
  } finally {
    signal.removeEventListener('abort', cancel);
  }
}

/**
 * The records; undefined when there are none of this sort. Whatever else fails, the next means may know: the last
 * one's failure is what counts. Where nobody answers, there is no use in asking for the other sort.
 */
async function recordsOf(asked: Promise<RecordWithTtl[]>): Promise<RecordWithTtl[] | undefined> {
  try {
    return await asked;
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    return code === NODATA || code === NOTFOUND ? undefined : [];
  }
}

function toAnswer(records: readonly RecordWithTtl[]): HostAnswer | undefined {
  if (records.length === 0) return undefined;
  const seconds = Math.min(...records.map(({ ttl }) => ttl));
  return { addresses: records.map(({ address }) => address), ttlMs: seconds * 1000 };
}

/** Lets a number of tasks run at a time; the others wait in line. */
class Slots {
  private free: number;
  private readonly waiting: (() => void)[] = [];

  constructor(count: number) {
    this.free = count;
  }

  async use<T>(task: () => Promise<T>): Promise<T> {
    if (this.free > 0) this.free -= 1;
    else await new Promise<void>((resolve) => this.waiting.push(resolve));
    try {
      return await task();
    } finally {
      const next = this.waiting.shift();
      if (next === undefined) this.free += 1;
      else next();
    }
  }
}

/** Of the process: all registries share the pool of threads. */
const slots = new Slots(systemLookupsMax);
