import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { isIP } from 'node:net';
import type { AddressInfo } from 'node:net';
import type { Logger } from 'pino';
import type { HostPort } from './address.ts';
import { messageOf } from './errors.ts';
import { closeServer, listenOn } from './listening.ts';
import { untilAborted } from './until-aborted.ts';

/** What a route is given. Path parts and query values are percent-decoded. */
export interface HttpRequest {
  readonly parameters: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  readonly body: string;
}

/** What a route answers. */
export interface HttpReply {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** `path` may hold parameters: `/api/registries/:datacenter/:name/forget`. A GET answers HEAD too. */
export interface Route {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  handle(request: HttpRequest): HttpReply | Promise<HttpReply>;
}

export interface HttpServerOptions {
  readonly listen: HostPort;
  /** Names the listener in the error when it cannot listen: `--admin-listen`. */
  readonly flag: string;
  readonly routes: readonly Route[];
  /**
   * Set for a listener that shows or changes what a web page of somebody else must not reach (DNS
   * rebinding, cross-site requests): requests must name an IP address, `localhost` or one of these
   * names as host; a POST must be JSON or carry `x-tributary-request`, and must not come from
   * another site.
   */
  readonly allowedHosts?: readonly string[];
}

/** A failure that a route wants the client to see. */
export class HttpError extends Error {
  override readonly name = 'HttpError';
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

const bodyBytesMax = 64 * 1024;
const connectionsMax = 256;

/** A JSON reply. */
export function json(value: unknown, status = 200): HttpReply {
  return {
    status,
    contentType: 'application/json; charset=utf-8',
    body: `${JSON.stringify(value)}\n`,
  };
}

/** A plain text reply. */
export function plain(body: string, status = 200): HttpReply {
  return { status, contentType: 'text/plain; charset=utf-8', body };
}

/** A small HTTP/1.1 server for metrics, health and the admin port; never for the data itself. */
export class HttpServer {
  private readonly options: HttpServerOptions;
  private readonly log: Logger;

  constructor(options: HttpServerOptions, log: Logger) {
    this.options = options;
    this.log = log;
  }

  /** Serves until the signal aborts. Rejects with ListenError when it cannot listen. */
  async run(signal: AbortSignal, onListening?: (address: HostPort) => void): Promise<void> {
    if (signal.aborted) return;
    const server = createServer(
      {
        maxHeaderSize: 16 * 1024,
        headersTimeout: 10_000,
        requestTimeout: 20_000,
        keepAliveTimeout: 5000,
      },
      (request, response) => void this.serve(request, response),
    );
    server.maxConnections = connectionsMax;
    await listenOn(server, this.options.listen, this.options.flag);
    const { address, port } = server.address() as AddressInfo;
    onListening?.({ host: address, port });
    await untilAborted(signal);
    await closeServer(server);
  }

  private async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const reply = await this.answer(request).catch((error: unknown) => this.toReply(error));
    const body = Buffer.from(reply.body);
    response.writeHead(reply.status, {
      'content-type': reply.contentType,
      'content-length': body.length,
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      'x-frame-options': 'DENY',
      'referrer-policy': 'no-referrer',
      ...(request.complete ? {} : { connection: 'close' }),
      ...reply.headers,
    });
    response.end(request.method === 'HEAD' ? undefined : body);
  }

  private toReply(error: unknown): HttpReply {
    if (error instanceof HttpError) {
      const isMethod = error.status === 405;
      const reply = json({ error: error.message }, error.status);
      return isMethod ? { ...reply, headers: { allow: 'GET, HEAD, POST' } } : reply;
    }
    this.log.error({ err: error }, 'a request to the HTTP server failed');
    return json({ error: 'internal error' }, 500);
  }

  private async answer(request: IncomingMessage): Promise<HttpReply> {
    this.checkSite(request);
    const url = parseTarget(request.url ?? '/');
    const method = request.method === 'HEAD' ? 'GET' : request.method;
    let isPathKnown = false;
    for (const route of this.options.routes) {
      const parameters = match(route.path, url.pathname);
      if (parameters === undefined) continue;
      isPathKnown = true;
      if (route.method !== method) continue;
      const body = method === 'POST' ? await readBody(request) : '';
      return route.handle({ parameters, query: url.searchParams, body });
    }
    throw isPathKnown ? new HttpError(405, 'method not allowed') : new HttpError(404, 'not found');
  }

  private checkSite(request: IncomingMessage): void {
    const { allowedHosts } = this.options;
    if (allowedHosts === undefined) return;
    const host = request.headers.host ?? '';
    if (!isTrustedHost(host, allowedHosts)) {
      throw new HttpError(403, 'this host name is not allowed here: see --admin-hosts');
    }
    if (request.method !== 'POST') return;
    const { origin } = request.headers;
    const site = request.headers['sec-fetch-site'];
    if ((origin !== undefined && hostOfOrigin(origin) !== host) || site === 'cross-site') {
      throw new HttpError(403, 'requests of other sites are not allowed');
    }
    const isJson = /^application\/json\s*(;|$)/i.test(request.headers['content-type'] ?? '');
    if (!isJson && request.headers['x-tributary-request'] === undefined) {
      throw new HttpError(
        415,
        'send the header "content-type: application/json" or "x-tributary-request: 1"',
      );
    }
  }
}

/** Whether a Host header names an address, this machine, or a name that the operator allowed. */
export function isTrustedHost(header: string, allowedHosts: readonly string[]): boolean {
  const name = header
    .replace(/:\d+$/, '')
    .replace(/^\[(.*)\]$/, '$1')
    .toLowerCase();
  return (
    name === 'localhost' ||
    isIP(name) !== 0 ||
    allowedHosts.some((host) => host.toLowerCase() === name)
  );
}

function hostOfOrigin(origin: string): string | undefined {
  return URL.canParse(origin) ? new URL(origin).host : undefined;
}

function parseTarget(target: string): URL {
  const text = target.startsWith('/') ? `http://tributary${target}` : target;
  if (!URL.canParse(text)) throw new HttpError(400, 'bad request target');
  return new URL(text);
}

function match(pattern: string, path: string): Record<string, string> | undefined {
  const wanted = pattern.split('/');
  const parts = path.split('/');
  if (wanted.length !== parts.length) return undefined;
  const parameters: Record<string, string> = {};
  for (const [index, want] of wanted.entries()) {
    const part = parts[index] ?? '';
    if (want.startsWith(':')) parameters[want.slice(1)] = decode(part);
    else if (want !== part) return undefined;
  }
  return parameters;
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch (error) {
    throw new HttpError(400, `bad percent-encoding in the path: ${messageOf(error)}`);
  }
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of request as AsyncIterable<Buffer>) {
      length += chunk.length;
      if (length > bodyBytesMax)
        throw new HttpError(413, `the body is larger than ${bodyBytesMax} bytes`);
      chunks.push(chunk);
    }
  } catch (error) {
    // A client that goes away is no defect of ours, and must not be able to fill the log.
    throw error instanceof HttpError ? error : new HttpError(400, 'the request ended early');
  }
  return Buffer.concat(chunks).toString('utf8');
}
