import { isIP } from 'node:net';
import { checkServerIdentity, getCACertificates } from 'node:tls';
import type { PeerCertificate } from 'node:tls';
import type * as Undici from 'undici';
import type { Dispatcher } from 'undici';
import { TransientError } from '../../common/errors.ts';
import type { TlsMaterial } from '../access-material.ts';
import type { Proxies } from './proxies.ts';

export interface TransportOptions {
  readonly requestTimeoutMs: number;
  /** The name that the servers' certificates must have; default: the host of the URL. */
  readonly serverName: string | undefined;
  readonly proxies: Proxies;
}

const connectTimeoutMs = 3_000;
const keepAlive = { keepAliveTimeout: 15_000, keepAliveMaxTimeout: 30_000 };
const connectionsMax = 8;

/** The connections of one set of certificates. */
interface Lines {
  readonly tls: TlsMaterial | undefined;
  readonly toHttp: Dispatcher;
  readonly toHttps: Dispatcher;
}

/**
 * Kept-alive connections to servers, straight or by the proxies that the environment names. Other
 * certificates mean other connections: what is under way on the old ones is finished there.
 */
export class Transport {
  private readonly options: TransportOptions;
  private lines: Lines | undefined;
  private readonly retired = new Set<Dispatcher>();
  private isClosed = false;

  /** Opens nothing. */
  constructor(options: TransportOptions) {
    this.options = options;
  }

  /** The port of the proxy that may stand between us and this URL: what refuses a connection there is not the server. */
  proxyPort(url: string): number | undefined {
    const { http, https } = this.options.proxies;
    const proxy = url.startsWith('https:') ? https : http;
    if (proxy === undefined) return undefined;
    const { port, protocol } = new URL(proxy);
    return port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port);
  }

  /** What carries a request to this URL. Rejects with TransientError when it cannot be made, or after `close`. */
  async dispatcher(url: string, tls: TlsMaterial | undefined): Promise<Dispatcher> {
    if (this.lines === undefined || this.lines.tls !== tls) {
      const { problem } = this.options.proxies;
      if (problem !== undefined) throw new TransientError(problem);
      // Loaded with the first request: a process that reads no Eureka registry does without.
      const undici = await import('undici');
      if (this.isClosed) throw new TransientError('the client is closed');
      if (this.lines === undefined || this.lines.tls !== tls) this.replace(undici, tls);
    }
    if (this.lines === undefined || this.isClosed) throw new TransientError('the client is closed');
    return url.startsWith('https:') ? this.lines.toHttps : this.lines.toHttp;
  }

  /** Ends every connection at once. */
  async close(): Promise<void> {
    this.isClosed = true;
    const { lines } = this;
    this.lines = undefined;
    const open = new Set([...this.retired, ...(lines === undefined ? [] : dispatchersOf(lines))]);
    await Promise.all([...open].map(async (dispatcher) => dispatcher.destroy()));
  }

  private replace(undici: typeof Undici, tls: TlsMaterial | undefined): void {
    const old = this.lines;
    this.lines = this.open(undici, tls);
    if (old === undefined) return;
    for (const dispatcher of dispatchersOf(old)) {
      this.retired.add(dispatcher);
      // Resolves when the last request on it is over; `close` may be faster, which it tells by rejecting.
      const forget = (): boolean => this.retired.delete(dispatcher);
      dispatcher.close().then(forget, forget);
    }
  }

  private open({ Agent, EnvHttpProxyAgent }: typeof Undici, tls: TlsMaterial | undefined): Lines {
    const { requestTimeoutMs, proxies } = this.options;
    const { http, https, except } = proxies;
    const requestTls = this.tlsOptions(tls);
    const options = {
      ...keepAlive,
      connectTimeout: connectTimeoutMs,
      headersTimeout: requestTimeoutMs,
      bodyTimeout: requestTimeoutMs,
      connections: connectionsMax,
      allowH2: false,
      connect: { ...requestTls, timeout: connectTimeoutMs },
    };
    if (http === undefined && https === undefined) {
      const agent = new Agent(options);
      return { tls, toHttp: agent, toHttps: agent };
    }
    const byProxy = (proxy: string | undefined): Dispatcher =>
      proxy === undefined
        ? new Agent(options)
        : new EnvHttpProxyAgent({
            ...options,
            requestTls: { ...requestTls, timeout: connectTimeoutMs },
            proxyTls: proxyTls(proxy, tls),
            httpProxy: proxy,
            httpsProxy: proxy,
            noProxy: except,
          });
    return { tls, toHttp: byProxy(http), toHttps: byProxy(https) };
  }

  private tlsOptions(tls: TlsMaterial | undefined): object {
    const { serverName } = this.options;
    const { ca, cert, key } = tls ?? {};
    return {
      allowH2: false,
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
      ...nameOptions(serverName),
    };
  }
}

function dispatchersOf({ toHttp, toHttps }: Lines): ReadonlySet<Dispatcher> {
  return new Set([toHttp, toHttps]);
}

/** An address cannot be asked for by name (SNI), but a certificate may have one. */
function nameOptions(serverName: string | undefined): object {
  if (serverName === undefined) return {};
  if (isIP(serverName) === 0) return { servername: serverName };
  return {
    checkServerIdentity: (_host: string, certificate: PeerCertificate) =>
      checkServerIdentity(serverName, certificate),
  };
}

/** A proxy is trusted by our authorities and by the system's. */
function proxyTls(proxy: string, tls: TlsMaterial | undefined): object {
  if (!proxy.startsWith('https:') || tls?.ca === undefined) return { allowH2: false };
  return { allowH2: false, ca: [...getCACertificates(), tls.ca] };
}
