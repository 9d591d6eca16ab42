import { TransientError } from '../../../common/errors.ts';
import { Connection } from './connection.ts';
import type { ConnectionEnd, ConnectionOptions } from './connection.ts';

/**
 * A connection of our own beside another client's, for questions: opened when one is asked, kept for the next ones for
 * a while, and opened anew after it broke. Sees no events.
 */
export class SideConnection {
  private readonly idleMs: number;
  private link: Link | undefined;
  private readonly leaving = new Set<Promise<void>>();
  private isClosed = false;

  /** @param idleMs how long a connection is kept that nobody uses */
  constructor(idleMs: number) {
    this.idleMs = idleMs;
  }

  /**
   * Asks over the connection; `options` count when it has to be opened. Resolves with how that connection
   * ended if it did before there was an answer.
   */
  async use<T>(
    options: ConnectionOptions,
    ask: (connection: Connection) => Promise<T>,
  ): Promise<Outcome<T>> {
    if (this.isClosed) return { kind: 'failed', end: closedEnd() };
    const link = this.link ?? this.open(options);
    clearTimeout(link.idle);
    link.users += 1;
    try {
      const end = await link.opened;
      if (end !== undefined) return { kind: 'failed', end };
      const value = await ask(link.connection);
      return { kind: 'answered', value, highestZxid: link.connection.highestZxid };
    } catch (error) {
      if (!(error instanceof TransientError)) throw error;
      return { kind: 'failed', end: link.end ?? { kind: 'lost', error } };
    } finally {
      link.users -= 1;
      if (link.users === 0) {
        clearTimeout(link.idle);
        link.idle = setTimeout(() => {
          this.leave(link);
        }, this.idleMs);
      }
    }
  }

  /** Ends it for good: whoever still asks is told so. Resolves when every socket is closed. */
  async close(): Promise<void> {
    this.isClosed = true;
    if (this.link !== undefined) this.leave(this.link);
    await Promise.all(this.leaving);
  }

  private open(options: ConnectionOptions): Link {
    const opened = Promise.withResolvers<ConnectionEnd | undefined>();
    const connection = new Connection(options, {
      ready: () => opened.resolve(undefined),
      event: () => undefined,
      pong: () => undefined,
      ended: (end) => {
        link.end = end;
        if (this.link === link) this.link = undefined;
        opened.resolve(end);
      },
    });
    const link: Link = {
      connection,
      opened: opened.promise,
      users: 0,
      idle: undefined,
      end: undefined,
    };
    this.link = link;
    connection.open();
    return link;
  }

  private leave(link: Link): void {
    clearTimeout(link.idle);
    if (this.link === link) this.link = undefined;
    const closing = link.connection.close().finally(() => this.leaving.delete(closing));
    this.leaving.add(closing);
  }
}

/** What came of questions. */
export type Outcome<T> =
  | { readonly kind: 'answered'; readonly value: T; readonly highestZxid: bigint }
  | { readonly kind: 'failed'; readonly end: ConnectionEnd };

interface Link {
  readonly connection: Connection;
  /** Undefined: there is a session; else why there is none. */
  readonly opened: Promise<ConnectionEnd | undefined>;
  users: number;
  idle: NodeJS.Timeout | undefined;
  end: ConnectionEnd | undefined;
}

function closedEnd(): ConnectionEnd {
  return { kind: 'closed', error: new TransientError('zookeeper: the connection is closed') };
}
