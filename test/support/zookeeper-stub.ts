import { createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import type { TlsOptions } from 'node:tls';
import { FrameReader } from '../../agent/zookeeper/client/framing.ts';
import { JuteReader, JuteWriter } from '../../agent/zookeeper/client/jute.ts';
import { DigestMd5Server } from './digest-md5-server.ts';

/**
 * An in-process ZooKeeper server with the operations that readers and simple writers use, and
 * with faults on demand. It keeps its tree and its sessions over `stop` and `start` (same port), as a
 * restarted server does; ephemerals go when their session is closed or runs out.
 */
export class ZooKeeperStub {
  /** Switched at will; most take effect with the next request or connection. */
  readonly faults: StubFaults = {
    isOld: false,
    isHanging: false,
    isSilent: false,
    requiresSasl: false,
    isDribbling: false,
    unreadable: new Set(),
    failing: new Map(),
    zxidOffset: 0n,
    ignoresZxidSeen: false,
    cutReplyAfterBytes: undefined,
    addedToLength: 0,
    digest: undefined,
    ignoredOpcodes: new Set(),
    droppedOpcodes: new Set(),
    failingOpcodes: new Map(),
    garbledOpcodes: new Set(),
    refusesSessions: false,
    saslUsers: undefined,
    sasl: 'right',
  };
  /** Requests by opcode since the start. */
  readonly requests = new Map<number, number>();
  /** The operation codes of each connection that has a session, in their order. */
  readonly histories: (readonly number[])[] = [];
  connections = 0;
  private readonly nodes = new Map<string, StubNode>([['/', newNode(null, 0n, 0n)]]);
  private readonly sessions = new Map<bigint, StubSession>();
  private readonly links = new Set<Link>();
  private readonly options: StubOptions;
  private server: Server | undefined;
  private boundPort = 0;
  private zxid = 1n << 32n;
  private lastSession = 0x1000n;

  constructor(options: StubOptions = {}) {
    this.options = options;
  }

  get port(): number {
    return this.boundPort;
  }

  get openConnections(): number {
    return this.links.size;
  }

  async start(): Promise<void> {
    const { host = '127.0.0.1', tls } = this.options;
    const accept = (socket: Socket): void => {
      this.accept(socket);
    };
    const server =
      tls === undefined
        ? createServer({ noDelay: true }, accept)
        : createTlsServer(tls, accept).on('tlsClientError', () => undefined);
    this.server = server;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(this.boundPort, host, resolve);
    });
    this.boundPort = (server.address() as AddressInfo).port;
  }

  async stop(): Promise<void> {
    const { server } = this;
    this.server = undefined;
    this.dropConnections();
    if (server !== undefined) await new Promise((resolve) => server.close(resolve));
  }

  /** Stops for good: nothing of it is left to hold the process. */
  async dispose(): Promise<void> {
    for (const session of this.sessions.values()) clearTimeout(session.expiry);
    this.sessions.clear();
    await this.stop();
  }

  /** Cuts every connection; sessions live on until they run out. */
  dropConnections(): void {
    for (const link of this.links) link.socket.destroy();
  }

  /** Ends every session at once: their ephemerals go. */
  expireSessions(): void {
    for (const id of this.sessions.keys()) this.endSession(id);
  }

  /** Every path that exists, with its data. */
  tree(): Map<string, Buffer | null> {
    return new Map([...this.nodes].map(([path, node]) => [path, node.data]));
  }

  /** Creates a node and whatever is missing above it. */
  create(path: string, data: Buffer | null = null): void {
    const parent = parentOf(path);
    if (!this.nodes.has(parent)) this.create(parent);
    if (!this.nodes.has(path)) this.createNode(path, data, 0n);
  }

  setData(path: string, data: Buffer): void {
    this.changeData(path, data);
  }

  /** Deletes a node with everything below it, deepest first. */
  remove(path: string): void {
    for (const child of this.nodes.get(path)?.children ?? []) this.remove(join(path, child));
    if (this.nodes.has(path)) this.deleteNode(path);
  }

  private accept(socket: Socket): void {
    this.connections += 1;
    const link: Link = {
      socket,
      frames: new FrameReader(),
      session: undefined,
      hasCredential: false,
      sasl: undefined,
      saslUser: false,
      history: [],
      data: new Set(),
      child: new Set(),
      recursive: new Set(),
      output: [],
      isWriting: false,
      isFinished: false,
    };
    this.links.add(link);
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.links.delete(link);
      this.leaveSession(link);
    });
    socket.on('data', (chunk: Buffer) => {
      if (this.faults.isHanging || this.faults.isSilent) return;
      try {
        link.frames.push(chunk, (content) => {
          if (socket.destroyed || socket.writableEnded || link.isFinished) return;
          this.onFrame(link, content);
        });
      } catch {
        // No frame of ours, or not a client at all: a server closes without a word.
        socket.destroy();
      }
    });
  }

  private onFrame(link: Link, content: Buffer): void {
    const reader = new JuteReader(content);
    if (link.session === undefined) {
      this.connect(link, reader);
      return;
    }
    const xid = reader.int();
    const opcode = reader.int();
    this.requests.set(opcode, (this.requests.get(opcode) ?? 0) + 1);
    link.history.push(opcode);
    if (this.faults.ignoredOpcodes.has(opcode)) return;
    if (this.faults.droppedOpcodes.has(opcode)) {
      link.socket.destroy();
      return;
    }
    this.touch(link.session);
    const isFree = opcode === 11 || opcode === 100 || opcode === 102;
    if (this.faults.requiresSasl && !link.saslUser && !isFree) {
      this.reply(link, { xid, error: -124 });
      this.finish(link);
      return;
    }
    if (this.faults.garbledOpcodes.has(opcode)) {
      this.reply(link, { xid, error: 0 }, (writer) => writer.int(0x7fff_fff0));
      return;
    }
    const failure = this.faults.failingOpcodes.get(opcode);
    if (failure !== undefined) {
      this.reply(link, { xid, error: failure });
      return;
    }
    if (this.faults.isOld && (opcode === 106 || opcode === 22)) {
      this.reply(link, { xid, error: -6 });
      this.finish(link);
      return;
    }
    this.handle(link, { xid, opcode, reader });
  }

  private connect(link: Link, reader: JuteReader): void {
    reader.int();
    const zxidSeen = reader.long();
    const timeoutMs = Math.min(40_000, Math.max(100, reader.int()));
    const asked = reader.long();
    const isBehind = zxidSeen > this.shownZxid && !this.faults.ignoresZxidSeen;
    if (isBehind || this.faults.refusesSessions) {
      link.socket.destroy();
      return;
    }
    let session = this.sessions.get(asked);
    if (session === undefined && asked === 0n) {
      this.lastSession += 1n;
      session = { id: this.lastSession, timeoutMs, expiry: undefined, link: undefined };
      this.sessions.set(session.id, session);
    }
    const writer = new JuteWriter().int(0);
    if (session === undefined) {
      this.send(link, writer.int(0).long(0n).buffer(Buffer.alloc(16)).bool(false).frame());
      this.finish(link);
      return;
    }
    session.link = link;
    link.session = session;
    this.histories.push(link.history);
    this.touch(session);
    writer.int(session.timeoutMs).long(session.id).buffer(Buffer.alloc(16)).bool(false);
    this.send(link, writer.frame());
  }

  private handle(link: Link, request: Request): void {
    const { xid, opcode, reader } = request;
    switch (opcode) {
      case 11:
        this.reply(link, { xid, error: 0 });
        return;
      case 100:
        this.authenticate(link, request);
        return;
      case 102:
        this.sasl(link, request);
        return;
      case -11:
        if (link.session !== undefined) this.endSession(link.session.id);
        this.reply(link, { xid, error: 0 });
        this.finish(link);
        return;
      case 9: {
        const path = reader.text();
        this.reply(link, { xid, error: 0 }, (writer) => writer.text(path));
        return;
      }
      case 1:
      case 2:
      case 5:
        this.write(link, request);
        return;
      case 3:
      case 4:
      case 8:
      case 12:
        this.read(link, request);
        return;
      case 22:
        this.multiRead(link, request);
        return;
      case 106: {
        link.recursive.add(reader.text());
        this.reply(link, { xid, error: 0 }, (writer) => writer.int(0));
        return;
      }
      case 101:
        this.setWatches(link, request);
        return;
      default:
        this.reply(link, { xid, error: -6 });
        this.finish(link);
    }
  }

  private authenticate(link: Link, { xid, reader }: Request): void {
    reader.int();
    const scheme = reader.text();
    const credential = reader.buffer()?.toString() ?? '';
    if (scheme !== 'digest' || credential.includes('wrong')) {
      this.reply(link, { xid, error: -115 });
      this.finish(link);
      return;
    }
    link.hasCredential = credential === this.faults.digest;
    this.reply(link, { xid, error: 0 });
  }

  private sasl(link: Link, { xid, reader }: Request): void {
    const token = reader.buffer() ?? Buffer.alloc(0);
    const { saslUsers, sasl } = this.faults;
    const answer = (content: Buffer | null): void => {
      this.reply(link, { xid, error: 0 }, (writer) => writer.buffer(content));
    };
    if (saslUsers === undefined) {
      answer(null);
    } else if (link.sasl === undefined) {
      link.sasl = new DigestMd5Server(saslUsers);
      answer(sasl instanceof Buffer ? sasl : link.sasl.challenge());
    } else {
      const proof = link.sasl.prove(token);
      if (proof !== undefined) {
        link.saslUser = true;
        answer(sasl === 'lying' ? Buffer.from(`rspauth=${'0'.repeat(32)}`) : proof);
      } else if (sasl === 'dropping') {
        link.socket.destroy();
      } else if (sasl === 'lax') {
        answer(null);
      } else {
        this.reply(link, { xid, error: this.faults.requiresSasl ? -124 : -115 });
        this.finish(link);
      }
    }
  }

  private write(link: Link, { xid, opcode, reader }: Request): void {
    const path = reader.text();
    const node = this.nodes.get(path);
    if (opcode === 1) {
      const data = reader.buffer();
      for (let left = reader.int(); left > 0; left -= 1) {
        reader.int();
        reader.text();
        reader.text();
      }
      const isEphemeral = (reader.int() & 1) === 1;
      const error = node !== undefined ? -110 : this.nodes.has(parentOf(path)) ? 0 : -101;
      if (error === 0) this.createNode(path, data, isEphemeral ? (link.session?.id ?? 0n) : 0n);
      this.reply(link, { xid, error }, (writer) => writer.text(path));
      return;
    }
    if (node === undefined) {
      this.reply(link, { xid, error: -101 });
    } else if (opcode === 2) {
      const error = node.children.size > 0 ? -111 : 0;
      if (error === 0) this.deleteNode(path);
      this.reply(link, { xid, error });
    } else {
      this.changeData(path, reader.buffer() ?? Buffer.alloc(0));
      this.reply(link, { xid, error: 0 }, (writer) => writeStat(writer, node));
    }
  }

  private read(link: Link, { xid, opcode, reader }: Request): void {
    const path = reader.text();
    const isWatched = reader.bool();
    const isExists = opcode === 3;
    const error = isExists && !this.faults.failing.has(path) ? 0 : this.readError(link, path);
    const node = this.nodes.get(path);
    if (isWatched && isExists) link.data.add(path);
    if (error !== 0 || node === undefined) {
      this.reply(link, { xid, error: error === 0 ? -101 : error });
      return;
    }
    if (isWatched) (opcode === 4 || isExists ? link.data : link.child).add(path);
    this.reply(link, { xid, error: 0 }, (writer) => {
      if (opcode === 4) writer.buffer(node.data);
      if (opcode === 8 || opcode === 12) writer.texts([...node.children]);
      if (opcode !== 8) writeStat(writer, node);
    });
  }

  private multiRead(link: Link, { xid, reader }: Request): void {
    this.reply(link, { xid, error: 0 }, (writer) => {
      for (;;) {
        const type = reader.int();
        const isLast = reader.bool();
        reader.int();
        if (isLast) break;
        const path = reader.text();
        reader.bool();
        const error = this.readError(link, path);
        const node = this.nodes.get(path);
        if (error !== 0 || node === undefined) {
          writer.int(-1).bool(false).int(error).int(error);
        } else if (type === 8) {
          writer
            .int(type)
            .bool(false)
            .int(0)
            .texts([...node.children]);
        } else {
          writer.int(type).bool(false).int(0).buffer(node.data);
          writeStat(writer, node);
        }
      }
      writer.int(-1).bool(true).int(-1);
    });
  }

  private setWatches(link: Link, { xid, reader }: Request): void {
    reader.long();
    for (const path of reader.texts()) link.data.add(path);
    for (const path of reader.texts()) link.data.add(path);
    for (const path of reader.texts()) link.child.add(path);
    this.reply(link, { xid, error: 0 });
  }

  private readError(link: Link, path: string): number {
    const failing = this.faults.failing.get(path);
    if (failing !== undefined) return failing;
    if (!this.mayRead(link, path)) return -102;
    return this.nodes.has(path) ? 0 : -101;
  }

  private mayRead(link: Link, path: string): boolean {
    if (link.hasCredential) return true;
    return ![...this.faults.unreadable].some((root) => isBelow(root, path));
  }

  private createNode(path: string, data: Buffer | null, owner: bigint): void {
    this.zxid += 1n;
    this.nodes.set(path, newNode(data, owner, this.zxid));
    this.changeChildren(path, (children) => children.add(nameOf(path)));
    this.notify(path, 1);
    this.notifyChildren(parentOf(path));
  }

  private deleteNode(path: string): void {
    this.zxid += 1n;
    this.nodes.delete(path);
    this.changeChildren(path, (children) => children.delete(nameOf(path)));
    this.notify(path, 2);
    this.notifyChildren(parentOf(path));
  }

  private changeChildren(path: string, change: (children: Set<string>) => unknown): void {
    const parent = this.nodes.get(parentOf(path));
    if (parent === undefined) return;
    change(parent.children);
    parent.changes += 1;
    parent.changedAt = this.zxid;
  }

  private changeData(path: string, data: Buffer): void {
    const node = this.nodes.get(path);
    if (node === undefined) return;
    this.zxid += 1n;
    node.data = data;
    node.version += 1;
    this.notify(path, 3);
  }

  private notify(path: string, type: number): void {
    for (const link of this.links) {
      const isDue = link.data.delete(path);
      const isGone = type === 2 && link.child.delete(path);
      const isCovered =
        this.mayRead(link, path) && [...link.recursive].some((root) => isBelow(root, path));
      if (isDue || isGone || isCovered) this.sendEvent(link, path, type);
    }
  }

  private notifyChildren(path: string): void {
    for (const link of this.links) {
      if (link.child.delete(path)) this.sendEvent(link, path, 4);
    }
  }

  private sendEvent(link: Link, path: string, type: number): void {
    if (this.faults.isSilent) return;
    const writer = new JuteWriter().int(-1).long(-1n).int(0);
    this.send(link, writer.int(type).int(3).text(path).frame());
  }

  private touch(session: StubSession): void {
    clearTimeout(session.expiry);
    session.expiry = undefined;
  }

  private leaveSession(link: Link): void {
    const { session } = link;
    if (session?.link !== link || !this.sessions.has(session.id)) return;
    session.expiry = setTimeout(() => {
      this.endSession(session.id);
    }, session.timeoutMs);
    session.expiry.unref();
  }

  private endSession(id: bigint): void {
    const session = this.sessions.get(id);
    if (session === undefined) return;
    clearTimeout(session.expiry);
    this.sessions.delete(id);
    const owned = [...this.nodes].filter(([, node]) => node.owner === id);
    for (const [path] of owned) this.deleteNode(path);
  }

  private get shownZxid(): bigint {
    return this.zxid + this.faults.zxidOffset;
  }

  private reply(
    link: Link,
    header: { readonly xid: number; readonly error: number },
    body?: (writer: JuteWriter) => unknown,
  ): void {
    const writer = new JuteWriter().int(header.xid).long(this.shownZxid).int(header.error);
    if (header.error === 0) body?.(writer);
    this.send(link, writer.frame());
  }

  private send(link: Link, frame: Buffer): void {
    const { cutReplyAfterBytes, addedToLength } = this.faults;
    frame.writeInt32BE(frame.readInt32BE(0) + addedToLength);
    this.faults.addedToLength = 0;
    if (cutReplyAfterBytes !== undefined && frame.length > cutReplyAfterBytes) {
      this.faults.cutReplyAfterBytes = undefined;
      link.socket.write(frame.subarray(0, cutReplyAfterBytes), () => link.socket.destroy());
      link.socket.pause();
      return;
    }
    if (!this.faults.isDribbling && !link.isWriting) {
      link.socket.write(frame);
      return;
    }
    link.output.push(frame);
    if (!link.isWriting) this.dribble(link, 0);
  }

  /** Closes when everything is written. */
  private finish(link: Link): void {
    link.isFinished = true;
    if (!link.isWriting) link.socket.end();
  }

  /** One byte a write, each as a segment of its own. */
  private dribble(link: Link, at: number): void {
    const frame = link.output[0];
    link.isWriting = frame !== undefined && !link.socket.destroyed;
    if (frame === undefined && link.isFinished) link.socket.end();
    if (frame === undefined || link.socket.destroyed) return;
    link.socket.write(frame.subarray(at, at + 1), () => {
      const isLast = at + 1 >= frame.length;
      if (isLast) link.output.shift();
      setImmediate(() => {
        this.dribble(link, isLast ? 0 : at + 1);
      });
    });
  }
}

export interface StubFaults {
  /** Answers addWatch and multiRead with UNIMPLEMENTED and closes, as servers before 3.6. */
  isOld: boolean;
  /** Accepts connections and never answers. */
  isHanging: boolean;
  /** Black hole: reads everything, answers nothing, sends no events. */
  isSilent: boolean;
  /** Answers every request of who has not authenticated by SASL with -124, and closes. */
  requiresSasl: boolean;
  /** Writes byte by byte. */
  isDribbling: boolean;
  /** Subtrees that only the holder of `digest` may read. */
  readonly unreadable: Set<string>;
  /** Error code by path, for reads. */
  readonly failing: Map<string, number>;
  /** Added to every transaction id that is shown; negative for a server that is behind. */
  zxidOffset: bigint;
  /** Grants sessions to clients that have seen more than it has. */
  ignoresZxidSeen: boolean;
  /** The next reply longer than this is cut there, and the connection with it. */
  cutReplyAfterBytes: number | undefined;
  /** The next frame announces so many bytes more than it has. */
  addedToLength: number;
  /** `user:password` that may read everything. Credentials with `wrong` in them are refused. */
  digest: string | undefined;
  /** Requests that are never answered, while others are. */
  readonly ignoredOpcodes: Set<number>;
  /** Requests at which the connection is cut. */
  readonly droppedOpcodes: Set<number>;
  /** Error code by operation code: such requests fail as a whole. */
  readonly failingOpcodes: Map<number, number>;
  /** Requests that are answered with nonsense. */
  readonly garbledOpcodes: Set<number>;
  /** Closes instead of granting a session, as a server without a quorum. */
  refusesSessions: boolean;
  /** Passwords by user; undefined: not set up for SASL. */
  saslUsers: ReadonlyMap<string, string> | undefined;
  /**
   * `dropping`: closes at a wrong password, as servers before 3.5; `lax`: answers it with nothing; `lying`:
   * has no proof of its own; or a challenge to send.
   */
  sasl: 'right' | 'dropping' | 'lax' | 'lying' | Buffer;
}

/** Where and how it listens; 127.0.0.1 in plain text by default. */
export interface StubOptions {
  readonly host?: string;
  readonly tls?: TlsOptions;
}

interface StubNode {
  data: Buffer | null;
  readonly children: Set<string>;
  readonly owner: bigint;
  readonly czxid: bigint;
  version: number;
  /** How often a child has come or gone. */
  changes: number;
  /** When one did last. */
  changedAt: bigint;
}

interface StubSession {
  readonly id: bigint;
  readonly timeoutMs: number;
  expiry: NodeJS.Timeout | undefined;
  link: Link | undefined;
}

interface Link {
  readonly socket: Socket;
  readonly frames: FrameReader;
  session: StubSession | undefined;
  hasCredential: boolean;
  sasl: DigestMd5Server | undefined;
  saslUser: boolean;
  readonly history: number[];
  readonly data: Set<string>;
  readonly child: Set<string>;
  readonly recursive: Set<string>;
  readonly output: Buffer[];
  isWriting: boolean;
  isFinished: boolean;
}

interface Request {
  readonly xid: number;
  readonly opcode: number;
  readonly reader: JuteReader;
}

function newNode(data: Buffer | null, owner: bigint, czxid: bigint): StubNode {
  return { data, children: new Set(), owner, czxid, version: 0, changes: 0, changedAt: czxid };
}

function writeStat(writer: JuteWriter, node: StubNode): void {
  writer.long(node.czxid).long(node.czxid).long(0n).long(0n);
  writer.int(node.version).int(node.changes).int(0).long(node.owner);
  writer
    .int(node.data?.length ?? 0)
    .int(node.children.size)
    .long(node.changedAt);
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/')) || '/';
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

function join(parent: string, name: string): string {
  return parent === '/' ? `/${name}` : `${parent}/${name}`;
}

function isBelow(root: string, path: string): boolean {
  return root === '/' || path === root || path.startsWith(`${root}/`);
}
