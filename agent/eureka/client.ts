import { hostname } from 'node:os';
import type { Agent, Dispatcher } from 'undici';
import { messageOf, TransientError } from '../../common/errors.ts';
import { BodyCollector } from './body.ts';
import type { RawBody } from './body.ts';
import type { ServiceUrl } from './service-url.ts';

/**
 * What a GET came to, by meaning. Only `ok` says anything about the registry:
 *
 * - `empty-body`: the server could not encode its answer; never an empty registry.
 * - `forbidden`: deltas are switched off, the server is still warming up, or access is denied.
 * - `not-found`: a wrong base path, or (for one instance) no such instance.
 * - `redirect`: a proxy's login page or another server; never followed, since what answers there is
 *   not the server whose state we hold, and a login page is a refusal.
 * - `unavailable`: 503 (rate limit, overload), 307 without Location (a server that is not UP yet), any 5xx.
 */
export type FetchResult =
  | {
      readonly kind: 'ok';
      readonly body: RawBody;
      /** `performance.now()` when the last byte was there. */
      readonly receivedAt: number;
      /** The server's wall clock by its `Date` header, else ours: milliseconds since 1970. */
      readonly serverTime: number;
    }
  | { readonly kind: 'refused'; readonly refusal: Refusal; readonly status: number }
  | { readonly kind: 'failed'; readonly failure: Failure; readonly detail: string };

/** The server answered, but not with what was asked for. */
type Refusal =
  | 'empty-body'
  | 'redirect'
  | 'unauthorized'
  | 'forbidden'
  | 'not-found'
  | 'not-acceptable'
  | 'unavailable'
  | 'unexpected';

/** No whole answer came. `not-listening`: the connection was refused, so the process is not there. */
type Failure = 'timeout' | 'not-listening' | 'unreachable' | 'too-large' | 'encoding';

export interface ClientOptions {
  /** From the start of a request to the last byte of its body, milliseconds. */
  readonly requestTimeoutMs: number;
  /** Of one body, on the wire and again inflated. */
  readonly bodyLimitBytes: number;
}

const connectTimeoutMs = 3_000;
const refusalBytesMax = 65_536;

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

/**
 * GETs from Eureka servers, each with a deadline and a limit, over kept-alive connections. Never
 * throws for what a server or the network does. Sends its own truthful identity.
 */
export class EurekaClient {
  private readonly options: ClientOptions;
  private dispatcher: Agent | undefined;
  private isClosed = false;

  /** Opens nothing before the first request. */
  constructor(options: ClientOptions) {
    this.options = options;
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
      return await this.exchange(server, path, abort.signal);
    } catch (error) {
      if (abort.signal.reason !== late) return toFailure(error);
      return { kind: 'failed', failure: 'timeout', detail: late.message };
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
    }
  }

  /** Ends every connection at once. No request is possible afterwards. */
  async close(): Promise<void> {
    this.isClosed = true;
    await this.dispatcher?.destroy();
  }

  private async exchange(
    server: ServiceUrl,
    path: string,
    signal: AbortSignal,
  ): Promise<FetchResult> {
    // Loaded with the first request: a process that reads no Eureka registry does without.
    const { Agent, request } = await import('undici');
    if (this.isClosed) throw new TransientError('the client is closed');
    const { requestTimeoutMs } = this.options;
    this.dispatcher ??= new Agent({
      connect: { timeout: connectTimeoutMs },
      headersTimeout: requestTimeoutMs,
      bodyTimeout: requestTimeoutMs,
      connections: 8,
      keepAliveTimeout: 15_000,
      keepAliveMaxTimeout: 30_000,
    });
    const { authorization } = server;
    const response = await request(`${server.url}${path}`, {
      dispatcher: this.dispatcher,
      signal,
      headers: authorization === undefined ? headers : { ...headers, authorization },
    });
    const { statusCode } = response;
    if (statusCode === 200) return this.read(response);
    await response.body.dump({ limit: refusalBytesMax, signal });
    return { kind: 'refused', refusal: refusalOf(statusCode, response), status: statusCode };
  }

  private async read(response: Dispatcher.ResponseData): Promise<FetchResult> {
    const encoding = headerOf(response, 'content-encoding').toLowerCase() || 'identity';
    const collector = new BodyCollector(this.options.bodyLimitBytes);
    for await (const chunk of response.body as AsyncIterable<Buffer>) {
      if (collector.add(chunk)) continue;
      const detail = `the body is over ${this.options.bodyLimitBytes} bytes`;
      return { kind: 'failed', failure: 'too-large', detail };
    }
    if (collector.isEmpty) return { kind: 'refused', refusal: 'empty-body', status: 200 };
    if (encoding !== 'gzip' && encoding !== 'identity') {
      return { kind: 'failed', failure: 'encoding', detail: 'an unknown Content-Encoding' };
    }
    const serverTime = Date.parse(headerOf(response, 'date')) || Date.now();
    const receivedAt = performance.now();
    return { kind: 'ok', body: collector.body(encoding), receivedAt, serverTime };
  }
}

function headerOf(response: Dispatcher.ResponseData, name: string): string {
  const value = response.headers[name];
  return (Array.isArray(value) ? value[0] : value) ?? '';
}

function refusalOf(status: number, response: Dispatcher.ResponseData): Refusal {
  if (status === 307 && headerOf(response, 'location') === '') return 'unavailable';
  if (status >= 300 && status < 400) return 'redirect';
  if (status === 204) return 'empty-body';
  if (status === 401 || status === 407) return 'unauthorized';
  if (status === 403) return 'forbidden';
  if (status === 404) return 'not-found';
  if (status === 406) return 'not-acceptable';
  return status >= 500 || status === 429 ? 'unavailable' : 'unexpected';
}

function toFailure(error: unknown): FetchResult {
  const detail = messageOf(error);
  const isNotListening = codesOf(error).includes('ECONNREFUSED');
  if (isNotListening) return { kind: 'failed', failure: 'not-listening', detail };
  const isLate = codesOf(error).some((code) => code.endsWith('TIMEOUT'));
  return { kind: 'failed', failure: isLate ? 'timeout' : 'unreachable', detail };
}

/** The codes of an error, of its causes, and of each address that was tried. */
function codesOf(error: unknown): readonly string[] {
  if (!(error instanceof Error)) return [];
  const own = 'code' in error && typeof error.code === 'string' ? [error.code] : [];
  const tried = error instanceof AggregateError ? error.errors.flatMap(codesOf) : [];
  return [...own, ...tried, ...codesOf(error.cause)];
}

/** What to tell the operator of an answer that was not `ok`. Shows no secret. */
export function describeResult(result: Exclude<FetchResult, { kind: 'ok' }>): string {
  if (result.kind === 'failed') return result.detail || result.failure;
  switch (result.refusal) {
    case 'empty-body':
      return `${result.status} with an empty body (the server could not encode its answer)`;
    case 'redirect':
      return `${result.status}, a redirect (not followed)`;
    case 'unauthorized':
      return `${result.status}, credentials missing or refused`;
    case 'forbidden':
      return `${result.status}, warming up, switched off or denied`;
    case 'not-found':
      return `${result.status}, no such path on this server`;
    case 'not-acceptable':
    case 'unavailable':
    case 'unexpected':
      return `${result.status}`;
  }
}
