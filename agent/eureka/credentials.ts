import type { Logger } from 'pino';
import { isLoopback } from '../../common/address.ts';
import type { ServiceUrl } from './service-url.ts';

/** The servers that the operator named, as they are now. */
export interface KnownServers {
  readonly servers: readonly ServiceUrl[];
}

/** Which credentials go where: to the servers that the operator named, wherever a redirect leads. */
export class Credentials {
  private readonly known: KnownServers;
  private readonly log: Logger;
  private readonly exposed = new Set<string>();

  constructor(known: KnownServers, log: Logger) {
    this.known = known;
    this.log = log;
  }

  /**
   * The `Authorization` header for a base URL: of the server that was asked while it is of the same origin, else of
   * the known server there, else none. Warns once of each server that gets it in plain text.
   *
   * @param fromFile what goes before the credentials of URLs
   */
  forBase(base: string, asked: ServiceUrl, fromFile: string | undefined): string | undefined {
    const owner = base === asked.url ? asked : this.ownerOf(base, asked);
    if (owner === undefined) return undefined;
    const authorization = fromFile ?? owner.authorization;
    if (authorization !== undefined) this.warnIfExposed(base);
    return authorization;
  }

  private ownerOf(base: string, asked: ServiceUrl): ServiceUrl | undefined {
    const { origin } = new URL(base);
    return [asked, ...this.known.servers].find(({ url }) => new URL(url).origin === origin);
  }

  private warnIfExposed(base: string): void {
    if (!base.startsWith('http:') || this.exposed.has(base)) return;
    this.exposed.add(base);
    if (isLoopback(new URL(base).hostname.replaceAll(/[[\]]/g, ''))) return;
    this.log.warn({ server: base }, 'credentials go to an eureka server in plain text: no TLS');
  }
}
