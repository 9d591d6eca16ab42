import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';

/** A TCP proxy on loopback whose links can be cut, suspended and slowed down. */
export interface TcpProxy extends AsyncDisposable {
  readonly port: number;
  /** Links that are open now. */
  readonly links: number;
  /** Breaks every link with a reset; new ones are accepted unless refused. */
  cut(): void;
  /** Passes nothing on any more, in both directions, without closing anything: a half-open link. */
  suspend(): void;
  /** Passes on what was held, and what follows. */
  resume(): void;
  /** Passes on at most this many bytes a second from the target; undefined for no limit. */
  slow(bytesPerSecond: number | undefined): void;
  /** Closes new links at once. */
  refuse(isRefusing: boolean): void;
  /** Breaks the link after so many more bytes from the target. */
  cutAfter(bytes: number): void;
  close(): Promise<void>;
}

/** Starts a proxy in front of `target`. */
export async function startTcpProxy(target: {
  readonly host?: string;
  readonly port: number;
}): Promise<TcpProxy> {
  const state: ProxyState = {
    links: new Set(),
    isSuspended: false,
    isRefusing: false,
    bytesPerSecond: undefined,
    bytesUntilCut: undefined,
    cut: () => {
      for (const link of state.links) link.reset();
    },
  };
  const server = createServer({ noDelay: true }, (client) => {
    if (state.isRefusing) client.resetAndDestroy();
    else openLink(state, client, target);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const close = async (): Promise<void> => {
    state.cut();
    await new Promise((resolve) => server.close(resolve));
  };
  return {
    port: (server.address() as AddressInfo).port,
    get links() {
      return state.links.size;
    },
    cut: state.cut,
    suspend: () => {
      state.isSuspended = true;
    },
    resume: () => {
      state.isSuspended = false;
      for (const link of state.links) link.flush();
    },
    slow: (bytesPerSecond) => {
      state.bytesPerSecond = bytesPerSecond;
    },
    refuse: (isRefusing) => {
      state.isRefusing = isRefusing;
    },
    cutAfter: (bytes) => {
      state.bytesUntilCut = bytes;
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

interface ProxyState {
  readonly links: Set<Link>;
  isSuspended: boolean;
  isRefusing: boolean;
  bytesPerSecond: number | undefined;
  bytesUntilCut: number | undefined;
  cut: () => void;
}

interface Link {
  flush(): void;
  reset(): void;
}

function openLink(
  state: ProxyState,
  client: Socket,
  target: { readonly host?: string; readonly port: number },
): void {
  const upstream = connect({ host: target.host ?? '127.0.0.1', port: target.port, noDelay: true });
  const toServer = new Pipe(state, upstream, false);
  const toClient = new Pipe(state, client, true);
  const link: Link = {
    flush: () => {
      toServer.pump();
      toClient.pump();
    },
    reset: () => {
      state.links.delete(link);
      for (const socket of [client, upstream]) {
        reset(socket);
      }
    },
  };
  state.links.add(link);
  for (const [from, pipe] of [
    [client, toServer],
    [upstream, toClient],
  ] as const) {
    from.on('error', () => undefined);
    from.on('data', (chunk: Buffer) => {
      pipe.add(chunk);
    });
    from.on('end', () => {
      pipe.finish();
    });
    from.on('close', () => {
      if (!state.isSuspended) pipe.finish();
      if (client.destroyed && upstream.destroyed) state.links.delete(link);
    });
  }
}

/** A socket whose end is under way cannot be reset: Node would never close it, and spin when the process ends. */
function reset(socket: Socket): void {
  if (socket.writableEnded) socket.destroy();
  else if (!socket.destroyed) socket.resetAndDestroy();
}

/** One direction of a link. */
class Pipe {
  private readonly state: ProxyState;
  private readonly to: Socket;
  private readonly isFromTarget: boolean;
  private readonly held: Buffer[] = [];
  private isFinished = false;
  private isWaiting = false;

  constructor(state: ProxyState, to: Socket, isFromTarget: boolean) {
    this.state = state;
    this.to = to;
    this.isFromTarget = isFromTarget;
  }

  add(chunk: Buffer): void {
    this.held.push(chunk);
    this.pump();
  }

  finish(): void {
    this.isFinished = true;
    this.pump();
  }

  pump(): void {
    const { state } = this;
    while (!this.isWaiting && !state.isSuspended && this.held.length > 0) {
      let chunk = this.held.shift() ?? Buffer.alloc(0);
      if (this.isFromTarget && state.bytesUntilCut !== undefined) {
        const left = state.bytesUntilCut;
        state.bytesUntilCut = left > chunk.length ? left - chunk.length : undefined;
        if (state.bytesUntilCut === undefined) {
          this.to.write(chunk.subarray(0, left), () => {
            state.cut();
          });
          return;
        }
      }
      if (this.isFromTarget && state.bytesPerSecond !== undefined) {
        const size = Math.max(1, Math.floor(state.bytesPerSecond / 100));
        if (chunk.length > size) this.held.unshift(chunk.subarray(size));
        chunk = chunk.subarray(0, size);
        this.isWaiting = true;
        setTimeout(() => {
          this.isWaiting = false;
          this.pump();
        }, 10);
      }
      if (!this.to.destroyed) this.to.write(chunk);
    }
    if (this.isFinished && this.held.length === 0 && !state.isSuspended) this.to.end();
  }
}
