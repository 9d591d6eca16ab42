import { readFileSync } from 'node:fs';
import zookeeper from 'node-zookeeper-client';

/**
 * Writes into a ZooKeeper (or something that speaks its protocol) through node-zookeeper-client, a
 * client that shares no code with ours: replays recorded dumps, registers providers, alone or by the
 * thousand. Requests are pipelined; each promise settles with its answer.
 */
export class ZooKeeperWriter {
  private readonly client: zookeeper.Client;
  /** Directories known to exist, or being made. */
  private readonly directories = new Map<string, Promise<void>>();
  private isClosed = false;

  private constructor(client: zookeeper.Client) {
    this.client = client;
  }

  /**
   * Connects and waits for the session. Rejects, with everything closed, when none is granted in
   * time.
   *
   * @param servers `host:port,host:port`, with a chroot behind it if wanted
   */
  static async connect(servers: string, options: WriterOptions = {}): Promise<ZooKeeperWriter> {
    const { sessionTimeoutMs = 30_000, connectTimeoutMs = 20_000, digest } = options;
    const client = zookeeper.createClient(servers, {
      sessionTimeout: sessionTimeoutMs,
      retries: 0,
    });
    if (digest !== undefined) client.addAuthInfo('digest', Buffer.from(digest));
    const writer = new ZooKeeperWriter(client);
    let timer: NodeJS.Timeout | undefined;
    try {
      await new Promise<void>((resolve, reject) => {
        timer = setTimeout(() => {
          reject(new Error(`no session at ${servers} within ${connectTimeoutMs} ms`));
        }, connectTimeoutMs);
        client.once('connected', () => {
          resolve();
        });
        client.once('authenticationFailed', () => {
          reject(new Error(`authentication failed at ${servers}`));
        });
        client.connect();
      });
    } catch (error) {
      writer.abandon();
      throw error;
    } finally {
      clearTimeout(timer);
    }
    return writer;
  }

  /** Creates a node, and the directories above it (persistent) where they are missing. */
  async create(
    path: string,
    data: string | Buffer | null = null,
    isEphemeral = false,
  ): Promise<void> {
    await this.ensureDirectory(parentOf(path));
    await this.createOnly(path, data, isEphemeral);
  }

  async setData(path: string, data: string | Buffer | null): Promise<void> {
    await promised((done) => {
      this.client.setData(path, toBuffer(data), done);
    });
  }

  /** Deletes one node, which must be empty. */
  async remove(path: string): Promise<void> {
    this.directories.delete(path);
    await promised((done) => {
      this.client.remove(path, done);
    });
  }

  /** Deletes a node and everything below it; a node that does not exist is none. */
  async removeTree(path: string): Promise<void> {
    const children = await new Promise<readonly string[]>((resolve, reject) => {
      this.client.getChildren(path, (error, names) => {
        if (error === null) resolve(names);
        else if (codeOf(error) === zookeeper.Exception.NO_NODE) resolve([]);
        else reject(asError(error));
      });
    });
    await inParallel(children, windowSize, async (name) => {
      await this.removeTree(path === '/' ? `/${name}` : `${path}/${name}`);
    });
    await this.remove(path).catch((error: unknown) => {
      if (codeOf(error) !== zookeeper.Exception.NO_NODE) throw error;
    });
  }

  /**
   * Creates the nodes of a dump in its order (parents stand before children). Recorded ephemeral
   * nodes die with this writer's session unless they are to stay. Recorded permissions are not
   * replayed.
   */
  async replay(nodes: readonly DumpedNode[], isStaying = false): Promise<void> {
    for (const node of nodes) {
      const isEphemeral = node.ephemeral && !isStaying;
      if (isEphemeral) await this.create(node.path, dataOf(node), true);
      else await this.put(node.path, dataOf(node));
    }
  }

  /** Registers `providersPerInterface` providers for each of `interfaces` interfaces. */
  async createProviders(bulk: BulkProviders): Promise<void> {
    await inParallel(bulkPaths(bulk), bulk.window ?? windowSize, async (path) => {
      await this.create(path, bulk.data ?? '127.0.0.1', bulk.isEphemeral ?? true);
    });
  }

  /** Ends the session: its ephemeral nodes go at once. Idempotent. */
  async close(): Promise<void> {
    if (this.isClosed) return;
    this.isClosed = true;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, closeTimeoutMs);
      this.client.once('disconnected', () => {
        clearTimeout(timer);
        resolve();
      });
      this.client.close();
    });
    this.cut();
  }

  /**
   * Vanishes as a killed process does: the connection is cut, the session is not closed, and its
   * ephemeral nodes stay until the server lets it expire.
   */
  abandon(): void {
    this.isClosed = true;
    this.cut();
  }

  /** Destroys the connection, and keeps the client from dialling again. */
  private cut(): void {
    const { connectionManager } = this.client as unknown as ClientInternals;
    connectionManager.connect = () => undefined;
    connectionManager.socket?.destroy();
  }

  /** Creates a persistent node, or sets its data when it exists already. */
  private async put(path: string, data: Buffer | null): Promise<void> {
    try {
      await this.create(path, data);
    } catch (error) {
      if (codeOf(error) !== zookeeper.Exception.NODE_EXISTS) throw error;
      if (data !== null) await this.setData(path, data);
    }
  }

  private async createOnly(
    path: string,
    data: string | Buffer | null,
    isEphemeral: boolean,
  ): Promise<void> {
    const { EPHEMERAL, PERSISTENT } = zookeeper.CreateMode;
    const mode = isEphemeral ? EPHEMERAL : PERSISTENT;
    await promised((done) => {
      const bytes = toBuffer(data);
      if (bytes === null) this.client.create(path, mode, done);
      else this.client.create(path, bytes, mode, done);
    });
  }

  private ensureDirectory(path: string): Promise<void> {
    if (path === '/') return Promise.resolve();
    let made = this.directories.get(path);
    if (made === undefined) {
      made = this.makeDirectory(path);
      this.directories.set(path, made);
      made.catch(() => this.directories.delete(path));
    }
    return made;
  }

  private async makeDirectory(path: string): Promise<void> {
    await this.ensureDirectory(parentOf(path));
    await this.createOnly(path, null, false).catch((error: unknown) => {
      if (codeOf(error) !== zookeeper.Exception.NODE_EXISTS) throw error;
    });
  }
}

/** What the client's types do not show. */
interface ClientInternals {
  readonly connectionManager: {
    connect: () => void;
    readonly socket?: { destroy(): void };
  };
}

export interface WriterOptions {
  /** Asked for; the server clamps it. */
  readonly sessionTimeoutMs?: number;
  readonly connectTimeoutMs?: number;
  /** `user:password`. */
  readonly digest?: string;
}

/** Many providers that differ in interface and address. */
export interface BulkProviders {
  /** `/dubbo` by default. */
  readonly root?: string;
  readonly interfaces: number;
  readonly providersPerInterface: number;
  /** The first interface's number, 0 by default. */
  readonly firstInterface?: number;
  /** The first provider's number, 0 by default. */
  readonly firstProvider?: number;
  /** True by default. */
  readonly isEphemeral?: boolean;
  /** Requests in flight, 256 by default. */
  readonly window?: number;
  readonly data?: string;
}

/** One line of a dump in test/fixtures/zookeeper. */
export interface DumpedNode {
  readonly path: string;
  readonly data: string | null;
  readonly encoding: 'utf8' | 'base64';
  readonly ephemeral: boolean;
}

/** Reads a dump of test/fixtures/zookeeper by its name without the extension. */
export function readDump(name: string): readonly DumpedNode[] {
  const file = new URL(`../fixtures/zookeeper/${name}.jsonl`, import.meta.url);
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as DumpedNode);
}

/** The data of a dumped node. */
export function dataOf(node: DumpedNode): Buffer | null {
  return node.data === null ? null : Buffer.from(node.data, node.encoding);
}

/** The name of interface number `index` in bulk creation. */
function bulkInterface(index: number): string {
  return `com.example.bulk.Service${String(index).padStart(6, '0')}`;
}

/** The address of provider number `index` in bulk creation: one of 10.0.0.0/8. */
function bulkAddress(index: number): string {
  return `10.${(index >> 16) & 255}.${(index >> 8) & 255}.${index & 255}`;
}

/** The paths that bulk creation makes, interface by interface. */
export function bulkPaths(bulk: BulkProviders): readonly string[] {
  const { root = '/dubbo', firstInterface = 0, firstProvider = 0 } = bulk;
  const paths: string[] = [];
  for (let index = 0; index < bulk.interfaces; index++) {
    const interfaceName = bulkInterface(firstInterface + index);
    for (let provider = 0; provider < bulk.providersPerInterface; provider++) {
      const number = firstProvider + index * bulk.providersPerInterface + provider;
      const leaf = providerLeaf({ interfaceName, host: bulkAddress(number) });
      paths.push(`${root}/${interfaceName}/providers/${leaf}`);
    }
  }
  return paths;
}

/** A leaf name as a Dubbo 3 provider writes it, about 535 bytes long. */
export function providerLeaf(provider: ProviderLeaf): string {
  const { interfaceName, host, scheme = 'dubbo', port = 20_880, parameters = {} } = provider;
  const all: Record<string, string | number> = {
    application: 'bulk-app',
    background: 'false',
    deprecated: 'false',
    dubbo: '2.0.2',
    dynamic: 'true',
    generic: 'false',
    interface: interfaceName,
    logger: 'slf4j',
    methods: 'add,find,list,remove,sayHello,update',
    'prefer.serialization': 'hessian2,fastjson2',
    release: '3.3.6',
    'service-name-mapping': 'true',
    side: 'provider',
    timestamp: 1_795_364_870_615,
    ...parameters,
  };
  const query = Object.entries(all).map(([key, value]) => `${key}=${value}`);
  return encodeURIComponent(`${scheme}://${host}:${port}/${interfaceName}?${query.join('&')}`);
}

export interface ProviderLeaf {
  readonly interfaceName: string;
  readonly host: string;
  readonly scheme?: string;
  readonly port?: number;
  /** Added to the usual ones, or instead of them. */
  readonly parameters?: Readonly<Record<string, string | number>>;
}

const windowSize = 256;
const closeTimeoutMs = 3_000;

/** Runs an action for every item, at most `window` at a time; rejects with the first failure. */
async function inParallel<T>(
  items: readonly T[],
  window: number,
  action: (item: T) => Promise<void>,
): Promise<void> {
  let next = 0;
  const work = async (): Promise<void> => {
    for (let item = items[next++]; item !== undefined; item = items[next++]) await action(item);
  };
  await Promise.all(Array.from({ length: Math.min(window, items.length) }, work));
}

function promised(start: (done: (error: unknown) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    start((error) => {
      if (error === null || error === undefined) resolve();
      else reject(asError(error));
    });
  });
}

/** The client's exceptions are errors, although their type does not say so. */
function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error('zookeeper writer: unknown failure');
}

function codeOf(error: unknown): number | undefined {
  if (typeof error !== 'object' || error === null) return undefined;
  if ('code' in error && typeof error.code === 'number') return error.code;
  return undefined;
}

function toBuffer(data: string | Buffer | null): Buffer | null {
  return typeof data === 'string' ? Buffer.from(data, 'utf8') : data;
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/')) || '/';
}
