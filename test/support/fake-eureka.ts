import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createEurekaRegistry } from '../../standalone/eureka-registry/registry.ts';
import type {
  EurekaRegistry,
  EurekaRegistryOptions,
} from '../../standalone/eureka-registry/registry.ts';
import { eurekaRequestListener, keepRegistry } from '../../standalone/eureka-registry/server.ts';

/** What a server can do wrong to a request. */
export type EurekaFault =
  | { readonly kind: 'status'; readonly code: number; readonly location?: string }
  /** 200 without a byte, as when a server cannot encode its registry. */
  | { readonly kind: 'empty-body'; readonly encoding?: 'gzip' }
  /** Headers, then a byte now and then, for ever. */
  | { readonly kind: 'slow-loris' }
  /** The connection is cut without an answer. */
  | { readonly kind: 'reset' }
  | { readonly kind: 'truncated-gzip' }
  /** A login page, 200. */
  | { readonly kind: 'html' }
  /** The named instance's record is no JSON; the rest of the body is whole. */
  | { readonly kind: 'broken-record'; readonly id: string };

export interface SeenRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
}

const faultyPaths = /^\/eureka\/(v2\/)?apps(\/delta)?\/?$/;

/** One server of a fake cluster. Keeps its port over stops and starts. */
export class FakeEurekaNode {
  /** Done to every request whose path matches. */
  fault: { readonly path: RegExp; readonly fault: EurekaFault } | undefined;
  /** Whether writes by applications are passed on to the other nodes. */
  isReplicating = true;
  readonly requests: SeenRequest[] = [];
  registry: EurekaRegistry;
  private readonly options: EurekaRegistryOptions;
  private readonly nodes: readonly FakeEurekaNode[];
  private server: Server | undefined;
  private chores: AbortController | undefined;
  private port = 0;

  constructor(options: EurekaRegistryOptions, nodes: readonly FakeEurekaNode[]) {
    this.options = options;
    this.nodes = nodes;
    this.registry = createEurekaRegistry(options);
  }

  get serviceUrl(): string {
    return `http://127.0.0.1:${this.port}/eureka/`;
  }

  /** Applies a fault to the lists (`apps`, `apps/delta`), or to the paths given. */
  fail(fault: EurekaFault, path = faultyPaths): void {
    this.fault = { path, fault };
  }

  heal(): void {
    this.fault = undefined;
  }

  async start(): Promise<void> {
    const { registry } = this;
    const chores = new AbortController();
    this.chores = chores;
    void keepRegistry(registry, chores.signal);
    registry.onReplicate((replication) => {
      if (!this.isReplicating) return;
      for (const node of this.nodes) {
        if (node !== this && node.server !== undefined) node.registry.applyReplication(replication);
      }
    });
    const answer = eurekaRequestListener(registry);
    const server = createServer((request, response) => {
      const path = request.url ?? '';
      this.requests.push({ method: request.method ?? '', path, headers: request.headers });
      const { fault } = this;
      if (fault?.path.test(path) !== true) answer(request, response);
      else this.misbehave(fault.fault, path, response);
    });
    this.server = server;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(this.port, '127.0.0.1', resolve);
    });
    this.port = (server.address() as AddressInfo).port;
  }

  /** Cuts every connection and stops listening; the registry keeps what it has. */
  async stop(): Promise<void> {
    const { server } = this;
    this.server = undefined;
    this.chores?.abort();
    if (server === undefined) return;
    await new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  }

  /** Starts again with nothing in its memory, as a Spring server does: 200 and empty. */
  async restartEmpty(): Promise<void> {
    await this.stop();
    this.registry = createEurekaRegistry(this.options);
    await this.start();
  }

  private misbehave(fault: EurekaFault, path: string, response: ServerResponse): void {
    switch (fault.kind) {
      case 'status':
        response.writeHead(
          fault.code,
          fault.location === undefined ? {} : { location: fault.location },
        );
        response.end();
        return;
      case 'empty-body':
        response.writeHead(
          200,
          fault.encoding === undefined ? {} : { 'content-encoding': fault.encoding },
        );
        response.end();
        return;
      case 'slow-loris':
        this.drip(response);
        return;
      case 'reset':
        response.destroy();
        return;
      case 'truncated-gzip':
        this.sendTruncated(path, response);
        return;
      case 'html':
        response.writeHead(200, { 'content-type': 'text/html' });
        response.end('<html><body>Please log in</body></html>');
        return;
      case 'broken-record':
        this.sendBroken(fault.id, path, response);
    }
  }

  private drip(response: ServerResponse): void {
    response.writeHead(200, { 'content-type': 'application/json' });
    const timer = setInterval(() => response.write(' '), 20);
    response.on('close', () => clearInterval(timer));
  }

  private body(path: string): { readonly plain: Buffer; readonly gzip: Buffer } {
    const entity = path.includes('delta') ? 'delta' : 'full';
    const payload = this.registry.payload({ entity, isCompact: false });
    if (payload === undefined) throw new Error(`no such list: ${path}`);
    return payload;
  }

  private sendTruncated(path: string, response: ServerResponse): void {
    const { gzip } = this.body(path);
    response.writeHead(200, { 'content-encoding': 'gzip', 'content-type': 'application/json' });
    response.end(gzip.subarray(0, gzip.length - 12));
  }

  /** The colon behind the host name is taken out of one record. */
  private sendBroken(id: string, path: string, response: ServerResponse): void {
    const text = this.body(path)
      .plain.toString()
      .replace(`"instanceId":"${id}","hostName":`, `"instanceId":"${id}","hostName"`);
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(text);
  }
}

export interface FakeEureka {
  readonly nodes: readonly FakeEurekaNode[];
  stop(): Promise<void>;
}

/**
 * A cluster of fake Eureka servers on loopback that replicate to each other at once. Bodies are always fresh
 * (no read-only cache) unless the options say otherwise.
 */
export async function startFakeEureka(
  size = 1,
  options: EurekaRegistryOptions = {},
): Promise<FakeEureka> {
  const nodes: FakeEurekaNode[] = [];
  for (let index = 0; index < size; index += 1) {
    nodes.push(new FakeEurekaNode({ readOnlyCacheMs: 0, ...options }, nodes));
  }
  await Promise.all(nodes.map((node) => node.start()));
  return {
    nodes,
    stop: async () => {
      await Promise.all(nodes.map((node) => node.stop()));
    },
  };
}
