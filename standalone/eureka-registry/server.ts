import { createServer } from 'node:http';
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { sleep } from '../../common/sleep.ts';
import { untilAborted } from '../../common/until-aborted.ts';
import { encodeInstance } from './encode.ts';
import { BadRegistration, isStatus } from './model.ts';
import type { EurekaRegistry } from './registry.ts';
import { vipEntity } from './vip.ts';
import { readRegistration } from './registration.ts';
import type { Payload } from './response-cache.ts';

/** Where a server listens. */
export interface ListenAddress {
  readonly host: string;
  /** 0 for any free one. */
  readonly port: number;
}

const bodyBytesMax = 1_048_576;
const requestTimeoutMs = 10_000;

/** What a request is answered with. */
interface Answer {
  readonly status: number;
  readonly body?: Payload | string;
}

/** A request, taken apart. */
interface Call {
  readonly method: string;
  /** Decoded, without `eureka` and `v2`: `['apps', 'ORDERS', 'h1', 'status']`. */
  readonly path: readonly string[];
  readonly query: URLSearchParams;
  readonly isCompact: boolean;
  readonly readBody: () => Promise<string>;
}

/**
 * Answers Eureka's REST calls under `/eureka/` and `/eureka/v2/`, JSON only: who does not accept
 * JSON gets 406 (a real server would write XML).
 */
export function eurekaRequestListener(registry: EurekaRegistry): RequestListener {
  return (request, response) => {
    answer(registry, request)
      .catch((error: unknown): Answer => {
        if (error instanceof BadRegistration) return { status: 400, body: error.message };
        return { status: 500, body: 'the request cannot be handled' };
      })
      .then((result) => send(request, response, result))
      .catch(() => response.destroy());
  };
}

async function answer(registry: EurekaRegistry, request: IncomingMessage): Promise<Answer> {
  const url = URL.parse(request.url ?? '/', 'http://registry');
  const [root, ...rest] = (url?.pathname ?? '/').split('/').slice(1);
  if (url === null || root !== 'eureka') return { status: 404 };
  const path = (rest[0] === 'v2' ? rest.slice(1) : rest)
    .filter((part) => part !== '')
    .map((part) => decodeURIComponent(part));
  const encodings = request.headers['accept-encoding'];
  const isEnforced = registry.options.flavour === 'netflix';
  if (isEnforced && typeof encodings === 'string' && !encodings.includes('gzip')) {
    return { status: 406 };
  }
  const call: Call = {
    method: request.method ?? 'GET',
    path,
    query: url.searchParams,
    isCompact: request.headers['x-eureka-accept'] === 'compact',
    readBody: () => readBody(request),
  };
  if (call.method === 'GET') {
    const isJson = request.headers.accept?.includes('json') === true;
    return isJson ? get(registry, call) : { status: 406, body: 'JSON only' };
  }
  return path[0] === 'apps' ? write(registry, call) : { status: 404 };
}

function get(registry: EurekaRegistry, call: Call): Answer {
  const [kind, first, second, ...rest] = call.path;
  if (rest.length > 0) return { status: 404 };
  if (first !== undefined && second === undefined) {
    if (kind === 'instances') return instanceAnswer(registry, registry.leaseById(first));
    if (kind === 'vips' || kind === 'svips') {
      const entity = vipEntity({ isSecure: kind === 'svips', address: first });
      return listAnswer(registry, entity, call);
    }
  }
  if (kind === 'status' && first === undefined) return statusAnswer(registry);
  if (kind !== 'apps') return { status: 404 };
  if (first !== undefined && second !== undefined) {
    return instanceAnswer(registry, registry.lease(first, second));
  }
  const isDelta = first === 'delta';
  if (isDelta && registry.options.disableDelta) return { status: 403 };
  return listAnswer(registry, isDelta ? 'delta' : (first?.toUpperCase() ?? 'full'), call);
}

function listAnswer(registry: EurekaRegistry, entity: string, { isCompact, query }: Call): Answer {
  const named = query.get('regions')?.toLowerCase().split(',') ?? [];
  const regions = entity === 'full' || entity === 'delta' ? named.sort() : [];
  if (!registry.isOpen || !registry.hasRead(regions)) return { status: 403 };
  const body = registry.payload({ entity, isCompact, regions });
  return body === undefined ? { status: 404 } : { status: 200, body };
}

/** Spring's servers of today cannot write this in JSON. */
function statusAnswer({ options, size }: EurekaRegistry): Answer {
  if (options.flavour === 'spring') return { status: 500, body: 'Internal Server Error' };
  const applicationStats = {
    'registered-replicas': '',
    'available-replicas': '',
    'unavailable-replicas': '',
  };
  const generalStats = { 'current-instances': String(size) };
  return { status: 200, body: JSON.stringify({ generalStats, applicationStats, isHealthy: true }) };
}

function instanceAnswer(
  registry: EurekaRegistry,
  lease: Parameters<typeof encodeInstance>[0] | undefined,
): Answer {
  if (lease === undefined) return { status: 404 };
  return { status: 200, body: encodeInstance(lease, registry.options.codec) };
}

async function write(registry: EurekaRegistry, call: Call): Promise<Answer> {
  const { method, path, query } = call;
  const [, app = '', id, what, ...rest] = path;
  if (app === '' || rest.length > 0) return { status: 404 };
  if (id === undefined) {
    if (method !== 'POST') return { status: 405 };
    registry.register(readRegistration(await call.readBody(), app, registry.options.now()));
    return { status: 204 };
  }
  const found = (isFound: boolean): Answer => ({ status: isFound ? 200 : 404 });
  if (what === undefined && method === 'PUT') {
    const dirtyAt = Number(query.get('lastDirtyTimestamp') ?? 0);
    return found(registry.heartbeat(app, id) && !registry.isOlder(app, id, dirtyAt));
  }
  if (what === undefined && method === 'DELETE') return found(registry.cancel(app, id));
  if (what === 'metadata' && method === 'PUT') {
    return found(registry.setMetadata(app, id, Object.fromEntries(query)));
  }
  if (what === 'status' && (method === 'PUT' || method === 'DELETE')) {
    const status = query.get('value') ?? (method === 'PUT' ? '' : 'UNKNOWN');
    if (!isStatus(status)) return { status: 500, body: 'no such status' };
    const isFound =
      method === 'PUT'
        ? registry.setStatus(app, id, status)
        : registry.deleteStatus(app, id, status);
    return found(isFound);
  }
  return { status: 405 };
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > bodyBytesMax) throw new BadRegistration('the body is too large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

function send(request: IncomingMessage, response: ServerResponse, result: Answer): void {
  // What nobody has read would stand in the way of the connection's next request.
  request.resume();
  const { status, body } = result;
  if (body === undefined) {
    response.writeHead(status, { 'content-length': 0 }).end();
    return;
  }
  if (typeof body === 'string') {
    const type = status === 200 ? 'application/json' : 'text/plain';
    response.writeHead(status, { 'content-type': type }).end(body);
    return;
  }
  const isGzip = request.headers['accept-encoding']?.includes('gzip') === true;
  const bytes = isGzip ? body.gzip : body.plain;
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': bytes.length,
    ...(isGzip ? { 'content-encoding': 'gzip' } : {}),
  });
  response.end(bytes);
}

/**
 * Serves a registry and keeps its caches, its delta queue and its leases going until the signal
 * aborts. Rejects when the address cannot be listened on.
 */
export async function serveEurekaRegistry(
  registry: EurekaRegistry,
  address: ListenAddress,
  signal: AbortSignal,
  onListening: (address: ListenAddress) => void,
): Promise<void> {
  const server = createServer(
    { requestTimeout: requestTimeoutMs },
    eurekaRequestListener(registry),
  );
  const chores = new AbortController();
  const failed = new Promise<never>((_, reject) => server.on('error', reject));
  const stopped = untilAborted(signal);
  try {
    const listening = new Promise<void>((resolve) => {
      server.listen(address.port, address.host, resolve);
    });
    await Promise.race([listening, failed]);
    const bound = server.address();
    if (bound !== null && typeof bound === 'object') {
      onListening({ host: bound.address, port: bound.port });
    }
    await Promise.race([stopped, failed, keepRegistry(registry, chores.signal)]);
  } finally {
    chores.abort();
    await new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  }
}

/** Runs a registry's timers until the signal aborts; the cache follows on multiples of its interval by the wall clock. */
export async function keepRegistry(registry: EurekaRegistry, signal: AbortSignal): Promise<void> {
  const { readOnlyCacheMs, deltaPurgeMs, evictionIntervalMs, now } = registry.options;
  const every = async (delayMs: () => number, chore: () => void): Promise<void> => {
    while (!signal.aborted) {
      await sleep(delayMs(), signal);
      if (!isAborted(signal)) chore();
    }
  };
  const toNextTick = (): number => readOnlyCacheMs - (now() % readOnlyCacheMs);
  await Promise.all([
    readOnlyCacheMs > 0 ? every(toNextTick, () => registry.tick()) : undefined,
    every(
      () => deltaPurgeMs,
      () => registry.purge(),
    ),
    every(
      () => evictionIntervalMs,
      () => registry.evict(),
    ),
  ]);
}

function isAborted(signal: AbortSignal): boolean {
  return signal.aborted;
}
