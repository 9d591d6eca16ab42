import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createEurekaRegistry } from '../../standalone/eureka-registry/registry.ts';
import type {
  EurekaRegistry,
  EurekaRegistryOptions,
} from '../../standalone/eureka-registry/registry.ts';
import { eurekaRequestListener, keepRegistry } from '../../standalone/eureka-registry/server.ts';
import { answerBatch, PeerLink, replicationTimes } from './fake-replication.ts';
import type { LinkFault, ReplicationTimes } from './fake-replication.ts';

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
  /** The list states another census than it has. */
  | { readonly kind: 'wrong-census' }
  /** The named instance's record is no JSON; the rest of the body is whole. */
  | { readonly kind: 'broken-record'; readonly id: string };

export interface SeenRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
}

const faultyPaths = /^\/eureka\/(v2\/)?apps(\/delta)?\/?$/;
const batchPath = /^\/eureka\/(v2\/)?peerreplication\/batch\/?$/;

/** How the nodes of a fake cluster are made. */
export interface FakeEurekaOptions extends EurekaRegistryOptions {
  /** Nodes pass writes on over HTTP, in batches, as real servers do; else at once and in memory. */
  readonly replication?: Partial<ReplicationTimes>;
  /** Instead of `createEurekaRegistry`. */
  readonly makeRegistry?: (options: EurekaRegistryOptions) => EurekaRegistry;
}

/** One server of a fake cluster. Keeps its port over stops and starts. */
export class FakeEurekaNode {
  /** Done to every request whose path matches. */
  fault: { readonly path: RegExp; readonly fault: EurekaFault } | undefined;
  /** Whether writes by applications are passed on to the other nodes. */
  isReplicating = true;
  readonly requests: SeenRequest[] = [];
  registry: EurekaRegistry;
  private readonly options: FakeEurekaOptions;
  private readonly nodes: readonly FakeEurekaNode[];
  private server: Server | undefined;
  private chores: AbortController | undefined;
  private stopListening: () => void = () => undefined;
  private port = 0;
  /** Peers that are no nodes. */
  private readonly otherPeers: string[] = [];
  private readonly linkFaults = new Map<string, LinkFault>();
  private links = new Map<string, PeerLink>();

  constructor(options: FakeEurekaOptions, nodes: readonly FakeEurekaNode[]) {
    this.options = options;
    this.nodes = nodes;
    this.registry = this.newRegistry();
  }

  get serviceUrl(): string {
    return `http://127.0.0.1:${this.port}/eureka/`;
  }

  get isRunning(): boolean {
    return this.server !== undefined;
  }

  /** Applies a fault to the lists (`apps`, `apps/delta`), or to the paths given. */
  fail(fault: EurekaFault, path = faultyPaths): void {
    this.fault = { path, fault };
  }

  heal(): void {
    this.fault = undefined;
  }

  /** From now on this service URL (an agent's push listener) is a peer too. */
  addPeer(url: string): void {
    this.otherPeers.push(url);
    if (this.isRunning) this.link(url);
  }

  /** Breaks, or heals, what this node sends to a peer, by the peer's service URL. */
  breakLink(url: string, fault: LinkFault | undefined): void {
    const link = this.links.get(url);
    if (link !== undefined) link.fault = fault;
    if (fault === undefined) this.linkFaults.delete(url);
    else this.linkFaults.set(url, fault);
  }

  /** The queue towards a peer, while this node runs. */
  linkTo(url: string): PeerLink | undefined {
    return this.links.get(url);
  }

  async start(): Promise<void> {
    const { registry } = this;
    const chores = new AbortController();
    this.chores = chores;
    void keepRegistry(registry, chores.signal);
    const answer = eurekaRequestListener(registry);
    const server = createServer((request, response) => {
      const path = request.url ?? '';
      response.setHeader('date', new Date(registry.options.now()).toUTCString());
      const isBatch = batchPath.test(path);
      if (!isBatch) this.note(request, path);
      const { fault } = this;
      if (fault?.path.test(path) === true) this.misbehave(fault.fault, path, response);
      else if (isBatch) this.takeBatch(request, response);
      else answer(request, response);
    });
    this.server = server;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(this.port, '127.0.0.1', resolve);
    });
    this.port = (server.address() as AddressInfo).port;
    this.replicateToPeers(registry);
  }

  /** Cuts every connection and stops listening; the registry keeps what it has, what waited for peers is lost. */
  async stop(): Promise<void> {
    const { server } = this;
    this.server = undefined;
    this.chores?.abort();
    this.stopListening();
    for (const link of this.links.values()) link.close();
    this.links = new Map();
    if (server === undefined) return;
    await new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  }

  /** Starts again with nothing in its memory, as a Spring server does: 200 and empty. */
  async restartEmpty(): Promise<void> {
    await this.restart([]);
  }

  /** Starts again with what a peer knows: every lease is new. */
  async restartSynced(from: FakeEurekaNode): Promise<void> {
    await this.restart(from.registry.registrations());
  }

  private async restart(known: ReturnType<EurekaRegistry['registrations']>): Promise<void> {
    await this.stop();
    this.registry = this.newRegistry();
    for (const registration of known) this.registry.register(registration, true);
    await this.start();
  }

  private newRegistry(): EurekaRegistry {
    return (this.options.makeRegistry ?? createEurekaRegistry)(this.options);
  }

  private note(request: IncomingMessage, path: string): void {
    this.requests.push({ method: request.method ?? '', path, headers: request.headers });
  }

  private replicateToPeers(registry: EurekaRegistry): void {
    const isBatched = this.options.replication !== undefined;
    for (const url of this.otherPeers) this.link(url);
    this.stopListening = registry.onReplicate((replication) => {
      if (!this.isReplicating) return;
      for (const node of this.nodes) {
        if (node === this) continue;
        if (isBatched) this.link(node.serviceUrl).offer(replication);
        else if (node.isRunning) node.registry.applyReplication(replication);
      }
      for (const url of this.otherPeers) this.link(url).offer(replication);
    });
  }

  private link(url: string): PeerLink {
    const known = this.links.get(url);
    if (known !== undefined) return known;
    const times = { ...replicationTimes, ...this.options.replication };
    const link = new PeerLink(url, () => this.registry, times);
    link.fault = this.linkFaults.get(url);
    this.links.set(url, link);
    return link;
  }

  private takeBatch(request: IncomingMessage, response: ServerResponse): void {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('error', () => response.destroy());
    request.on('end', () => {
      const body = answerBatch(this.registry, Buffer.concat(chunks).toString());
      response.writeHead(200, { 'content-type': 'application/json' }).end(body);
    });
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
      case 'wrong-census':
        this.sendWrongCensus(path, response);
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

  private sendWrongCensus(path: string, response: ServerResponse): void {
    const text = this.body(path)
      .plain.toString()
      .replace(/"apps__hashcode":"[^"]*"/, '"apps__hashcode":"UP_1234_"');
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(text);
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
 * A cluster of fake Eureka servers on loopback that replicate to each other, at once unless the options say how.
 * Bodies are always fresh (no read-only cache) unless the options say otherwise.
 */
export async function startFakeEureka(
  size = 1,
  options: FakeEurekaOptions = {},
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
