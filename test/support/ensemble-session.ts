import zookeeper from 'node-zookeeper-client';
import type { Client } from 'node-zookeeper-client';
import { eventually } from './eventually.ts';

/** What happens to a session, told at once. */
export interface SessionListener {
  /** A server answers again. `isSame`: it is still the session of before, with all its nodes. */
  connected(isSame: boolean): void;
  /** From here on the ensemble may end the session. */
  disconnected(): void;
}

/** What became of a write: `unsure` when its answer was lost. */
export type WriteEnd = 'done' | 'exists' | 'missing' | 'unsure';

/** Who owns an ephemeral node, and the transaction that created it, in hex. */
export interface NodeFacts {
  readonly owner: string;
  readonly createdBy: string;
}

/**
 * A client of an ensemble that shares no code with ours. It goes to another server when one is lost and keeps its
 * session; when that has expired it opens another.
 */
export class EnsembleSession {
  private readonly servers: string;
  private readonly timeoutMs: number;
  private readonly listener: SessionListener;
  private client: Client | undefined;
  /** Settles when the present client will answer nothing any more. */
  private ended = Promise.withResolvers<undefined>();
  private session = '';
  private isConnected = false;

  constructor(servers: string, timeoutMs: number, listener: SessionListener) {
    this.servers = servers;
    this.timeoutMs = timeoutMs;
    this.listener = listener;
  }

  /** The session's id, in hex. */
  get id(): string {
    return this.session;
  }

  get isOpen(): boolean {
    return this.isConnected;
  }

  /** Begins to connect. After `vanish` a new session is opened. */
  open(): void {
    const client = zookeeper.createClient(this.servers, {
      sessionTimeout: this.timeoutMs,
      retries: 0,
      spinDelay: 50,
    });
    this.client = client;
    this.ended = Promise.withResolvers();
    client.on('connected', () => {
      if (client !== this.client) return;
      const id = client.getSessionId().toString('hex');
      const isSame = id === this.session;
      this.session = id;
      this.isConnected = true;
      this.listener.connected(isSame);
    });
    client.on('disconnected', () => {
      if (client === this.client) this.leave();
    });
    client.on('expired', () => {
      if (client !== this.client) return;
      this.leave();
      this.ended.resolve(undefined);
      this.open();
    });
    client.connect();
  }

  /** Creates an ephemeral node. */
  async create(path: string): Promise<WriteEnd> {
    return await this.write((client, done) => {
      client.create(path, zookeeper.CreateMode.EPHEMERAL, done);
    });
  }

  async createDirectory(path: string): Promise<void> {
    const client = this.present();
    await new Promise<void>((resolve, reject) => {
      client.mkdirp(path, (error) => {
        if (error instanceof Error) reject(error);
        else resolve();
      });
    });
  }

  async remove(path: string): Promise<WriteEnd> {
    return await this.write((client, done) => {
      client.remove(path, done);
    });
  }

  /** Undefined when the node does not exist; rejects when that cannot be said. */
  async read(path: string): Promise<NodeFacts | undefined> {
    const client = this.present();
    const read = new Promise<NodeFacts | undefined>((resolve, reject) => {
      client.exists(path, (error, stat: zookeeper.Stat | null) => {
        if (error instanceof Error) reject(error);
        else resolve(factsOf(stat));
      });
    });
    const ended = this.ended.promise.then(() => {
      throw new Error('the session has ended');
    });
    return await Promise.race([read, ended]);
  }

  /** Waits for a server that answers. */
  async isReady(): Promise<void> {
    await eventually(() => {
      if (!this.isConnected) throw new Error('no server answers');
    }, readyMs);
  }

  /** Vanishes as a process does that is killed: the ensemble ends the session when its time is over. */
  vanish(): void {
    const { client } = this;
    if (client === undefined) return;
    this.leave();
    this.client = undefined;
    this.ended.resolve(undefined);
    const { connectionManager } = client as unknown as ClientInternals;
    connectionManager.connect = () => undefined;
    connectionManager.socket?.destroy();
  }

  private leave(): void {
    if (!this.isConnected) return;
    this.isConnected = false;
    this.listener.disconnected();
  }

  private present(): Client {
    if (this.client === undefined || !this.isConnected) throw new Error('no server answers');
    return this.client;
  }

  private async write(
    start: (client: Client, done: (error: unknown) => void) => void,
  ): Promise<WriteEnd> {
    if (this.client === undefined || !this.isConnected) return 'unsure';
    const { client } = this;
    const answered = new Promise<WriteEnd>((resolve) => {
      start(client, (error) => {
        resolve(writeEnd(error));
      });
    });
    return (await Promise.race([answered, this.ended.promise])) ?? 'unsure';
  }
}

/** What the client's types do not show. */
interface ClientInternals {
  readonly connectionManager: {
    connect: () => void;
    readonly socket?: { destroy(): void };
  };
}

/** Elections take long where other work wants the same cores. */
const readyMs = 60_000;

function writeEnd(error: unknown): WriteEnd {
  if (error === null || error === undefined) return 'done';
  const code = typeof error === 'object' && 'code' in error ? error.code : undefined;
  if (code === zookeeper.Exception.NODE_EXISTS) return 'exists';
  return code === zookeeper.Exception.NO_NODE ? 'missing' : 'unsure';
}

function factsOf(stat: zookeeper.Stat | null): NodeFacts | undefined {
  if (stat === null) return undefined;
  const { ephemeralOwner, czxid } = stat;
  return { owner: ephemeralOwner.toString('hex'), createdBy: czxid.toString('hex') };
}
