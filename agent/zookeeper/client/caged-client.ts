import type { Socket } from 'node:net';
import zookeeper from 'node-zookeeper-client';
import type { Client } from 'node-zookeeper-client';
import { ProtocolError, TransientError, messageOf } from '../../../common/errors.ts';
import { errorCodes } from './error-codes.ts';
import { FrameReader } from './framing.ts';
import type { Candidate } from './servers.ts';
import { eventTypes } from './wire.ts';

/**
 * node-zookeeper-client 1.1.3 with its faults locked in: one dial, one session, then thrown away.
 *
 * The library reconnects without back-off, keeps half a frame over a reconnect, never times out a
 * read, stops its connect timer when TCP connects, throws inside its socket handler for error codes
 * it does not know, cannot parse IPv6 and cannot be closed right after `connect`. So it is
 * given an address to dial instead of choosing one, and never a second time; its socket handler is
 * fed whole frames only and whatever it throws ends the client; a timer of our own runs from the
 * dial to the session; its book of watches, a kilobyte each, is replaced by none (every watch is
 * ours, and an event names its path); and `dispose` takes its socket and timer away. Whoever uses it must probe it
 * (there is still no read timeout) and never calls it after the end. The few private members used
 * are those of this exact version, which package.json pins.
 */
export class CagedClient {
  private readonly options: CagedClientOptions;
  private readonly handlers: CagedClientHandlers;
  private readonly client: Client;
  private readonly manager: ConnectionManager;
  private readonly frames = new FrameReader();
  private connectTimer: NodeJS.Timeout | undefined;
  private phase: 'idle' | 'connecting' | 'ready' | 'ended' = 'idle';

  constructor(options: CagedClientOptions, handlers: CagedClientHandlers) {
    this.options = options;
    this.handlers = handlers;
    this.client = zookeeper.createClient('caged', {
      sessionTimeout: options.sessionTimeoutMs,
      retries: 0,
    });
    const { manager } = withInternals(this.client);
    this.manager = manager;
    this.cage(manager);
  }

  /** Dials. Called once. */
  open(): void {
    this.phase = 'connecting';
    this.connectTimer = setTimeout(() => {
      this.end(`no session within ${this.options.connectTimeoutMs} ms`);
    }, this.options.connectTimeoutMs);
    if (this.options.digest !== undefined) {
      this.client.addAuthInfo('digest', Buffer.from(this.options.digest));
    }
    this.client.on('connected', () => {
      if (this.phase !== 'connecting') return;
      clearTimeout(this.connectTimer);
      this.phase = 'ready';
      this.handlers.ready(this.client.getSessionTimeout());
    });
    for (const oddity of ['disconnected', 'expired', 'authenticationFailed', 'connectedReadOnly']) {
      this.client.on(oddity, () => {
        this.end(oddity);
      });
    }
    this.client.connect();
  }

  /** Names of the children; with a watch if the answer is `ok`. */
  getChildren(path: string, onReply: (error: number, children: readonly string[]) => void): void {
    this.client.getChildren(path, isWatched, (error, children) => {
      this.reply(error, (code) => {
        const names = code === errorCodes.ok ? children : [];
        // The library throws when it is asked about such a path: the frame was damaged on its way.
        if (names.some(isNoName)) this.end('a child has a name that no node can have');
        else onReply(code, names);
      });
    });
  }

  /** The data; with a watch if the answer is `ok`. */
  getData(path: string, onReply: (error: number, data: Buffer | null) => void): void {
    this.client.getData(path, isWatched, (error, data: Buffer | undefined) => {
      this.reply(error, (code) => onReply(code, code === errorCodes.ok ? (data ?? null) : null));
    });
  }

  /** `ok` or `noNode`; in both cases with a watch if one is asked for. */
  exists(path: string, hasWatch: boolean, onReply: (error: number) => void): void {
    const answer = (error: unknown, stat: object | null | undefined): void => {
      this.reply(error, (code) => {
        const isAbsent = code === errorCodes.ok && (stat === null || stat === undefined);
        onReply(isAbsent ? errorCodes.noNode : code);
      });
    };
    if (hasWatch) this.client.exists(path, isWatched, answer);
    else this.client.exists(path, answer);
  }

  /**
   * Ends the session if there is one and takes everything away; resolves when the socket is closed.
   * `ended` is called if it was not yet.
   */
  async dispose(): Promise<void> {
    const { socket } = this.manager;
    const wasReady = this.phase === 'ready';
    const closed = new Promise<void>((resolve) => {
      if (socket === undefined || socket.closed) resolve();
      else socket.once('close', () => resolve());
    });
    this.finish(new TransientError(`${this.name}: closed`));
    if (socket === undefined || socket.closed) return;
    let deadline: NodeJS.Timeout | undefined;
    if (wasReady && !socket.destroyed) {
      deadline = setTimeout(() => socket.destroy(), this.options.closeTimeoutMs);
      this.client.close();
    } else {
      socket.destroy();
    }
    await closed;
    clearTimeout(deadline);
  }

  private get name(): string {
    const { candidate } = this.options;
    return `zookeeper ${candidate.server}`;
  }

  private cage(manager: ConnectionManager): void {
    const { candidate, connectTimeoutMs } = this.options;
    const onSocketData = manager.onSocketData.bind(manager);
    let hasDialled = false;
    // A reconnect ends here: the library asks for a server and is never given another.
    manager.findNextServer = (dial) => {
      if (hasDialled || this.phase === 'ended') return;
      hasDialled = true;
      dial({ host: candidate.address, port: candidate.port });
    };
    manager.connectTimeout = connectTimeoutMs;
    manager.watcherManager = {
      registerDataWatcher: isWatched,
      registerChildWatcher: isWatched,
      registerExistenceWatcher: isWatched,
      emit: ({ type, path }) => {
        if (!knownEvents.has(type)) throw new ProtocolError(`an event of unknown type ${type}`);
        if (this.phase === 'ready') this.handlers.event(path);
      },
      isEmpty: () => true,
    };
    manager.onSocketData = (chunk) => {
      try {
        this.frames.push(chunk, (content) => {
          if (manager.socket?.destroyed !== false) return;
          const frame = Buffer.allocUnsafe(4 + content.length);
          frame.writeInt32BE(content.length, 0);
          frame.set(content, 4);
          onSocketData(frame);
        });
      } catch (error) {
        this.end(messageOf(error), error);
      }
    };
  }

  private reply(error: unknown, onReply: (code: number) => void): void {
    if (this.phase !== 'ready') return;
    const code = codeOf(error);
    if (code === undefined) {
      this.end(messageOf(error), error);
      return;
    }
    if (endsClient.has(code)) {
      this.end(messageOf(error), error);
      return;
    }
    onReply(code);
  }

  private end(reason: string, cause?: unknown): void {
    this.finish(new TransientError(`${this.name}: ${reason}`, { cause }));
    clearTimeout(this.manager.connectTimeoutHandler ?? undefined);
    this.manager.socket?.destroy();
  }

  private finish(error: Error): void {
    clearTimeout(this.connectTimer);
    if (this.phase === 'ended') return;
    this.phase = 'ended';
    clearTimeout(this.manager.connectTimeoutHandler ?? undefined);
    this.handlers.ended(error);
  }
}

/** Given to the library as the watcher, which makes it ask for a watch; it is never called. */
const isWatched = (): void => undefined;

const knownEvents: ReadonlySet<number> = new Set(Object.values(eventTypes));

/** CONNECTION_LOSS, SESSION_EXPIRED, AUTH_FAILED. */
const endsClient: ReadonlySet<number> = new Set([-4, -112, -115]);

/** The error code of what the library hands to a callback; undefined if it is none of its own. */
function codeOf(error: unknown): number | undefined {
  if (error === null || error === undefined) return errorCodes.ok;
  if (typeof error === 'object' && 'code' in error && typeof error.code === 'number') {
    return error.code;
  }
  return undefined;
}

/** What is used of the library's private connection manager. */
interface ConnectionManager {
  socket?: Socket;
  connectTimeout: number;
  connectTimeoutHandler: NodeJS.Timeout | null;
  findNextServer: (dial: (server: { host: string; port: number }) => void) => void;
  onSocketData: (chunk: Buffer) => void;
  watcherManager: WatcherManager;
}

/** Its book of watches. */
interface WatcherManager {
  registerDataWatcher: () => void;
  registerChildWatcher: () => void;
  registerExistenceWatcher: () => void;
  emit: (event: { readonly type: number; readonly path: string }) => void;
  isEmpty: () => boolean;
}

function withInternals(client: Client): { readonly manager: ConnectionManager } {
  const internals = client as unknown as { readonly connectionManager: ConnectionManager };
  return { manager: internals.connectionManager };
}

export interface CagedClientOptions {
  readonly candidate: Candidate;
  readonly sessionTimeoutMs: number;
  /** From the dial to the granted session. */
  readonly connectTimeoutMs: number;
  /** How long the server has to close its side at the end. */
  readonly closeTimeoutMs: number;
  /** `user:password`, a secret. */
  readonly digest: string | undefined;
}

/** Called from the library's socket handler. */
export interface CagedClientHandlers {
  ready(sessionTimeoutMs: number): void;
  /** A one-shot watch has fired at this path, whatever kind it was. */
  event(path: string): void;
  /** Called exactly once, whatever happens after `open`. The client must still be disposed. */
  ended(error: Error): void;
}

function isNoName(name: string): boolean {
  return name === '' || name === '.' || name === '..' || /[/\0]/.test(name);
}
