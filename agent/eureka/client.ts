import { hostname } from 'node:os';
import type { Logger } from 'pino';
import type { Dispatcher } from 'undici';
import { TransientError } from '../../common/errors.ts';
import { untilAborted } from '../../common/until-aborted.ts';
import { AccessFiles } from './access.ts';
import type { AccessNow } from './access.ts';
import { BodyCollector } from './body.ts';
import { Credentials } from './credentials.ts';
import type { KnownServers } from './credentials.ts';
import { isBrokenConnection, toFailure } from './fetch-failure.ts';
import { refusalOf } from './fetch-result.ts';
import type { FetchResult } from './fetch-result.ts';
import type { EurekaAccess } from './options.ts';
import { proxiesOf } from './proxies.ts';
import type { Environment } from './proxies.ts';
import { redirectTarget } from './redirect.ts';
import type { ServiceUrl } from './service-url.ts';
import { Transport } from './transport.ts';

export interface ClientOptions {
  /** From the start of a request to the last byte of its body, milliseconds. */
  readonly requestTimeoutMs: number;
  /** Of one body, on the wire and again inflated. */
  readonly bodyLimitBytes: number;
  /** Asks for the short form of records in lists. */
  readonly isCompact: boolean;
  /** Remote regions that lists are to have too. */
  readonly regions: readonly string[];
  readonly access: EurekaAccess;
  /** Names the proxies; default: that of the process. */
  readonly environment?: Environment;
}

const refusalBytesMax = 65_536;
const redirectsMax = 3;

const headers = {
  accept: 'application/json',
  'accept-encoding': 'gzip',
  'user-agent': 'tributary',
  'discoveryidentity-name': 'tributary-agent',
  'discoveryidentity-version': '1',
  'discoveryidentity-id': hostname(),
  'x-eureka-accept': 'full',
  'x-discovery-allowredirect': 'false',
};
const compactHeaders = { ...headers, 'x-eureka-accept': 'compact' };
const listPaths: ReadonlySet<string> = new Set(['apps', 'apps/delta']);

/** One GET on its way, over redirects. */
interface Asking {
  readonly server: ServiceUrl;
  /** Below the service URL, percent-encoded, without a query. */
  readonly path: string;
  readonly isList: boolean;
  readonly query: string;
  readonly access: AccessNow;
  readonly signal: AbortSignal;
}

/**
 * GETs from Eureka servers, each with a deadline and a limit, over kept-alive connections. Never
 * throws for what a server or the network does. Sends its own truthful identity.
 *
 * A redirect is followed to the same path of another base URL, three times at most. Credentials go to servers that the
 * operator named and to nobody else. A `not-found` comes only from the server that serves the lists.
 */
export class EurekaClient {
  private readonly options: ClientOptions;
  private readonly credentials: Credentials;
  private readonly files: AccessFiles;
  private readonly transport: Transport;
  private readonly query: string;
  /** By service URL, the base URL that served its list, where that is another one. */
  private readonly listedBy = new Map<string, string>();

  /**
   * Opens nothing before the first request.
   *
   * @param known the servers that the operator named, as they are now
   */
  constructor(options: ClientOptions, known: KnownServers, log: Logger) {
    this.options = options;
    this.credentials = new Credentials(known, log);
    this.files = new AccessFiles(options.access, log);
    this.transport = new Transport({
      requestTimeoutMs: options.requestTimeoutMs,
      serverName: options.access.serverName,
      proxies: proxiesOf(options.environment ?? process.env),
    });
    this.query = queryOf(options.regions);
  }

  /** @param path below the service URL, percent-encoded: `apps/delta` */
  async get(server: ServiceUrl, path: string, signal: AbortSignal): Promise<FetchResult> {
    const abort = new AbortController();
    const onAbort = (): void => abort.abort();
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    const late = new TransientError(`no whole answer in ${this.options.requestTimeoutMs} ms`);
    const timer = setTimeout(() => abort.abort(late), this.options.requestTimeoutMs);
    try {
      return await this.ask(server, path, abort.signal);
    } catch (error) {
      if (abort.signal.reason === late) {
        return { kind: 'failed', failure: 'timeout', detail: late.message };
      }
      return toFailure(error, this.transport.proxyPort(server.url));
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
    }
  }

  /** Ends every connection at once. No request is possible afterwards. */
  async close(): Promise<void> {
    await this.transport.close();
  }

  private async ask(server: ServiceUrl, path: string, signal: AbortSignal): Promise<FetchResult> {
    let access: AccessNow | undefined;
    try {
      access = await Promise.race([this.files.read(), untilAborted(signal)]);
    } catch (error) {
      if (!(error instanceof TransientError)) throw error;
      return { kind: 'failed', failure: 'access', detail: error.message };
    }
    if (access === undefined) throw new TransientError('the request was given up');
    const isList = listPaths.has(path);
    const query = isList ? this.query : '';
    try {
      const result = await this.follow({ server, path, isList, query, access, signal });
      return withProblem(result, access.problem);
    } catch (error) {
      if (signal.aborted) throw error;
      const failure = toFailure(error, this.transport.proxyPort(server.url));
      return withProblem(failure, access.problem);
    }
  }

  private async follow(asking: Asking): Promise<FetchResult> {
    const { server, path, query } = asking;
    let target = { base: server.url, url: `${server.url}${path}${query}` };
    for (let hops = 0; ; hops++) {
      const response = await this.send(target, asking);
      const { statusCode: status } = response;
      if (status === 200) return this.read(response, target.base, asking);
      await response.body.dump({ limit: refusalBytesMax, signal: asking.signal });
      const location = headerOf(response, 'location');
      const next = redirectTarget(status, location, { url: target.url, path, query });
      if (next === undefined || hops === redirectsMax) {
        return this.refuse(status, location, target.base, asking);
      }
      target = next;
    }
  }

  private async send(
    { base, url }: { readonly base: string; readonly url: string },
    { server, isList, access, signal }: Asking,
  ): Promise<Dispatcher.ResponseData> {
    const dispatcher = await this.transport.dispatcher(url, access.tls);
    const authorization = this.credentials.forBase(base, server, access.authorization);
    const common = this.options.isCompact && isList ? compactHeaders : headers;
    const options: Dispatcher.DispatchOptions & { signal: AbortSignal } = {
      ...splitUrl(url),
      method: 'GET',
      signal,
      headers: authorization === undefined ? common : { ...common, authorization },
    };
    try {
      return await dispatcher.request(options);
    } catch (error) {
      if (signal.aborted || !isBrokenConnection(error)) throw error;
      return dispatcher.request(options);
    }
  }

  private async read(
    response: Dispatcher.ResponseData,
    servedBy: string,
    { server, isList }: Asking,
  ): Promise<FetchResult> {
    const encoding = headerOf(response, 'content-encoding').toLowerCase() || 'identity';
    const collector = new BodyCollector(this.options.bodyLimitBytes);
    for await (const chunk of response.body as AsyncIterable<Buffer>) {
      if (await collector.add(chunk)) continue;
      const detail = `the body is over ${this.options.bodyLimitBytes} bytes`;
      return { kind: 'failed', failure: 'too-large', detail };
    }
    if (collector.isEmpty) return { kind: 'refused', refusal: 'empty-body', status: 200 };
    if (encoding !== 'gzip' && encoding !== 'identity') {
      return { kind: 'failed', failure: 'encoding', detail: 'an unknown Content-Encoding' };
    }
    const receivedAt = performance.now();
    const serverTime = Date.parse(headerOf(response, 'date')) || Date.now();
    if (isList && servedBy !== server.url) this.listedBy.set(server.url, servedBy);
    else if (isList) this.listedBy.delete(server.url);
    const body = await collector.body(encoding);
    return { kind: 'ok', body, receivedAt, serverTime, servedBy };
  }

  private refuse(
    status: number,
    location: string,
    base: string,
    { server, isList }: Asking,
  ): FetchResult {
    const refusal = refusalOf(status, location);
    const isStranger = !isList && base !== (this.listedBy.get(server.url) ?? server.url);
    if (refusal !== 'not-found' || !isStranger) return { kind: 'refused', refusal, status };
    const note = 'by another server than the one that serves the list';
    return { kind: 'refused', refusal: 'unexpected', status, note };
  }
}

function queryOf(regions: readonly string[]): string {
  const names = regions.map((region) => region.trim().toLowerCase()).filter((one) => one !== '');
  if (names.length === 0) return '';
  return `?regions=${[...new Set(names)].toSorted().map(encodeURIComponent).join(',')}`;
}

function splitUrl(url: string): { readonly origin: string; readonly path: string } {
  const { origin, pathname, search } = new URL(url);
  return { origin, path: `${pathname}${search}` };
}

function withProblem(result: FetchResult, problem: string | undefined): FetchResult {
  if (problem === undefined || result.kind === 'ok') return result;
  if (result.kind === 'failed') return { ...result, detail: `${result.detail}; ${problem}` };
  return { ...result, note: result.note === undefined ? problem : `${result.note}; ${problem}` };
}

function headerOf(response: Dispatcher.ResponseData, name: string): string {
  const value = response.headers[name];
  return (Array.isArray(value) ? value[0] : value) ?? '';
}
