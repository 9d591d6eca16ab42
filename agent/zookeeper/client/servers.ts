import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { ConfigurationError, TransientError } from '../../../common/errors.ts';

/** One address that can be dialled. */
export interface Candidate {
  /** The configured server it comes from, `host:port`: for logs and metrics. */
  readonly server: string;
  /** An IP address without brackets. */
  readonly address: string;
  readonly port: number;
}

/** Every address of a host name. */
type Resolve = (host: string) => Promise<readonly string[]>;

export interface ServerListOptions {
  readonly resolve: Resolve;
  readonly resolveTimeoutMs: number;
  /** 0 (inclusive) to 1 (exclusive). */
  readonly random: () => number;
}

const defaultPort = 2181;

const systemOptions: ServerListOptions = {
  resolve: async (host) => (await lookup(host, { all: true })).map(({ address }) => address),
  resolveTimeoutMs: 3_000,
  random: Math.random,
};

/**
 * `host:port`, `host`, `[::1]:2181`, `[::1]` or a bare IPv6 address, as host and port (2181 if none
 * is given). Throws ConfigurationError.
 */
export function parseServer(server: string): { readonly host: string; readonly port: number } {
  const bracketed = /^\[([^\]]+)\](?::(\d+))?$/.exec(server);
  const plain = /^([^:[\]\s]+)(?::(\d+))?$/.exec(server);
  const host = isIP(server) === 6 ? server : (bracketed?.[1] ?? plain?.[1]);
  const port = Number(bracketed?.[2] ?? plain?.[2] ?? defaultPort);
  const isSound =
    host !== undefined && port >= 1 && port <= 65_535 && (bracketed === null || isIP(host) === 6);
  if (!isSound) {
    throw new ConfigurationError([
      `zookeeper server ${JSON.stringify(server)}: expected host:port`,
    ]);
  }
  return { host, port };
}

/**
 * The servers of an ensemble, in random order and resolved anew at each dial; a name with several
 * addresses is several candidates. No candidate comes a second time before each had its turn.
 */
export class ServerList {
  private readonly servers: readonly { server: string; host: string; port: number }[];
  private readonly options: ServerListOptions;
  private readonly tried = new Set<string>();

  /** Throws ConfigurationError for a server that cannot be understood, and for an empty list. */
  constructor(servers: readonly string[], options: ServerListOptions = systemOptions) {
    if (servers.length === 0) throw new ConfigurationError(['zookeeper: no servers']);
    this.servers = servers.map((server) => ({ server, ...parseServer(server) }));
    this.options = options;
  }

  /** Whom to dial next. Rejects with TransientError when no name could be resolved. */
  async next(): Promise<Candidate> {
    const candidates = await this.resolveAll();
    let fresh = candidates.filter((candidate) => !this.tried.has(keyOf(candidate)));
    if (fresh.length === 0) {
      this.tried.clear();
      fresh = candidates;
    }
    const chosen = fresh[Math.floor(this.options.random() * fresh.length)];
    if (chosen === undefined) throw new TransientError('zookeeper: no server has an address');
    this.tried.add(keyOf(chosen));
    return chosen;
  }

  private async resolveAll(): Promise<Candidate[]> {
    const failures: unknown[] = [];
    const found = await Promise.all(
      this.servers.map(async ({ server, host, port }) => {
        try {
          const addresses = isIP(host) === 0 ? await this.resolveInTime(host) : [host];
          return addresses.map((address) => ({ server, address, port }));
        } catch (error) {
          failures.push(error);
          return [];
        }
      }),
    );
    const candidates = found.flat();
    if (candidates.length === 0) {
      throw new TransientError('zookeeper: no server name could be resolved', {
        cause: failures[0],
      });
    }
    return candidates;
  }

  private async resolveInTime(host: string): Promise<readonly string[]> {
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => {
        reject(new TransientError(`resolving ${host}: no answer`));
      }, this.options.resolveTimeoutMs);
    });
    try {
      return await Promise.race([this.options.resolve(host), timeout]);
    } finally {
      clearTimeout(timer);
    }
  }
}

/** `address:port`, IPv6 in brackets: what tells candidates apart. */
export function keyOf(candidate: Candidate): string {
  return isIP(candidate.address) === 6
    ? `[${candidate.address}]:${candidate.port}`
    : `${candidate.address}:${candidate.port}`;
}
