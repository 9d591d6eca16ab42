import { TransientError, messageOf } from '../../../common/errors.ts';
import { growHeapSparingly } from '../../../common/heap.ts';
import { CagedClient } from './caged-client.ts';
import { describeErrorCode, errorCodes, isKnownErrorCode } from './error-codes.ts';
import { OneShotTree } from './one-shot-tree.ts';
import { PathQueue } from './path-queue.ts';
import { toServerPath, fromServerPath } from './paths.ts';
import { answerSingly, findMissing, sync } from './requests.ts';
import { SideConnection } from './side-connection.ts';
import type { Connection } from './connection.ts';
import type { TreeAnswer, TreeQuestion } from './tree.ts';
import { connectionOptions, nextInTurn, partNodesMin, recheckedPathsMax } from './watch-life.ts';
import type { LifeContext, LifeEnd, WatchLife } from './watch-life.ts';

const readsInFlightMax = 16;
const probeIntervalMaxMs = 3_000;
/** Questions come in bursts. */
const sideIdleMs = 2_000;

/**
 * The view of a server before 3.6: one-shot watches through node-zookeeper-client.
 *
 * Each read leaves a watch, each event leads to a new read of that path (coalesced by path),
 * and the differences between readings are delivered. Reading and arming are one step on the
 * server, so intermediate states can be missed and the final one cannot.
 *
 * The library is caged (caged-client.ts) and supervised: a probe of our own shows that the server
 * still answers (and keeps the session alive while only events arrive); anything odd ends this life.
 * What the library cannot do, a short connection of our own does to the same server: `sync` before
 * the first read, `missing` and `ask`.
 */
export class OneShotWatcher implements WatchLife {
  private readonly context: LifeContext;
  private readonly client: CagedClient;
  private readonly tree: OneShotTree;
  private readonly reads: PathQueue;
  private readonly over = Promise.withResolvers<undefined>();
  private readonly side = new SideConnection(sideIdleMs);
  private failure: Error | undefined;
  private defect: Error | undefined;
  /** Paths whose first reading the snapshot waits for; undefined once it is delivered. */
  private unread: Set<string> | undefined = new Set();
  /** What the snapshot will hold, until it is delivered, and how many nodes were handed on in parts. */
  private found = new Map<string, Buffer | null>();
  private handedOn = 0;
  private planning: NodeJS.Immediate | undefined;
  private startedAt = 0;
  private answered = 0;
  private readonly unreadable = new Map<string, number>();
  private probeSentAt: number | undefined;
  private readonly timers: NodeJS.Timeout[] = [];

  constructor(context: LifeContext) {
    this.context = context;
    const { candidate, credentials, target, timing } = context;
    this.client = new CagedClient(
      {
        candidate,
        sessionTimeoutMs: target.sessionTimeoutMs,
        connectTimeoutMs: timing.connectTimeoutMs,
        closeTimeoutMs: timing.closeTimeoutMs,
        digest: credentials.digest,
      },
      {
        ready: (sessionTimeoutMs) => {
          this.guarded(() => {
            this.start(sessionTimeoutMs);
          });
        },
        event: (serverPath) => {
          const path = fromServerPath(context.chroot, serverPath);
          if (path !== undefined && this.tree.has(path)) this.reads.request(path);
        },
        ended: (error) => {
          this.fail(error);
        },
      },
    );
    this.tree = new OneShotTree(context.interest, {
      needsRead: (path) => {
        this.unread?.add(path);
        this.reads.request(path);
      },
      changed: (path, data) => {
        if (this.unread !== undefined) this.found.set(path, data);
        else context.deliver({ kind: 'changed', path, data, observedAt: performance.now() });
      },
      removed: (path) => {
        if (this.unread !== undefined) this.found.delete(path);
        if (this.unread === undefined || this.handedOn > 0) {
          context.deliver({ kind: 'removed', path, observedAt: performance.now() });
        }
      },
    });
    this.reads = new PathQueue(readsInFlightMax, (path, done) => {
      this.read(path, done);
    });
  }

  async run(signal: AbortSignal): Promise<LifeEnd> {
    const { chroot, report } = this.context;
    const isStopped = (): boolean => signal.aborted;
    const onAbort = (): void => {
      void this.side.close();
      this.over.resolve(undefined);
    };
    signal.addEventListener('abort', onAbort, { once: true });
    if (isStopped()) onAbort();
    const heap = growHeapSparingly();
    try {
      const checked = await this.side.use(connectionOptions(this.context), (connection) =>
        sync(connection, chroot),
      );
      if (isStopped()) return { kind: 'stopped' };
      if (checked.kind === 'failed') {
        const { kind: cause, ...end } = checked.end;
        return { kind: 'over', cause, ...end };
      }
      report.zxidSeen(checked.highestZxid);
      this.client.open();
      await this.over.promise;
    } finally {
      signal.removeEventListener('abort', onAbort);
      for (const timer of this.timers) clearInterval(timer);
      clearImmediate(this.planning);
      heap[Symbol.dispose]();
      this.reads.close();
      await Promise.all([this.side.close(), this.client.dispose()]);
    }
    if (this.defect !== undefined) throw this.defect;
    if (isStopped() || this.failure === undefined) return { kind: 'stopped' };
    return { kind: 'over', cause: 'lost', error: this.failure };
  }

  missing(paths: readonly string[]): Promise<ReadonlySet<string>> {
    return this.aside((connection) => findMissing(connection, this.context.chroot, paths));
  }

  ask(questions: readonly TreeQuestion[]): Promise<readonly TreeAnswer[]> {
    return this.aside((connection) => answerSingly(connection, this.context.chroot, questions));
  }

  /** Asks over a short connection of our own to the same server. Rejects with TransientError. */
  private async aside<T>(ask: (connection: Connection) => Promise<T>): Promise<T> {
    const options = { ...connectionOptions(this.context), lastZxid: 0n };
    const outcome = await this.side.use(options, ask);
    if (outcome.kind === 'answered') return outcome.value;
    const { error } = outcome.end;
    throw error instanceof TransientError ? error : new TransientError(messageOf(error));
  }

  private start(sessionTimeoutMs: number): void {
    this.startedAt = performance.now();
    const probeMs = Math.min(sessionTimeoutMs / 3, probeIntervalMaxMs);
    const deadlineMs = (sessionTimeoutMs * 2) / 3;
    this.timers.push(
      setInterval(() => {
        this.probe(deadlineMs);
      }, probeMs),
      setInterval(() => {
        for (const [path] of nextInTurn(this.unreadable, recheckedPathsMax)) {
          this.reads.request(path);
        }
      }, this.context.timing.recheckIntervalMs),
    );
    this.tree.start();
    this.completeSnapshot();
  }

  /** One probe at a time; its answer also shows that every event before it has been seen. */
  private probe(deadlineMs: number): void {
    const now = performance.now();
    if (this.probeSentAt !== undefined) {
      if (now - this.probeSentAt <= deadlineMs) return;
      const { server } = this.context.candidate;
      this.fail(
        new TransientError(`zookeeper ${server}: no answer for ${Math.round(deadlineMs)} ms`),
      );
      return;
    }
    this.probeSentAt = now;
    this.client.exists(toServerPath(this.context.chroot, '/'), false, () => {
      this.probeSentAt = undefined;
      if (this.unread !== undefined) return;
      this.guarded(() => {
        this.context.deliver({ kind: 'confirmed', observedAt: performance.now() });
      });
    });
  }

  /** Reads what a path needs, with watches, one kind after the other. */
  private read(path: string, done: (bytes: number) => void): void {
    const serverPath = toServerPath(this.context.chroot, path);
    const needed = this.tree.readOf(path);
    let bytes = 0;
    const finish = (): void => {
      this.guarded(() => {
        done(bytes);
        if (this.unread?.delete(path) !== true) return;
        this.handOn();
        this.completeSnapshot();
      });
    };
    const readData = (): void => {
      this.client.getData(serverPath, (error, data) => {
        this.apply(path, error, finish, () => {
          bytes += data?.length ?? 0;
          this.tree.found(path, data);
          finish();
        });
      });
    };
    if (needed?.children === true) {
      this.client.getChildren(serverPath, (error, names) => {
        this.apply(path, error, finish, () => {
          for (const name of names) bytes += name.length;
          this.tree.listed(path, names);
          this.planOn();
          if (needed.data) readData();
          else finish();
        });
      });
    } else if (needed?.data === true) {
      readData();
    } else if (needed?.existence === true) {
      this.client.exists(serverPath, true, (error) => {
        this.apply(path, error, finish, () => {
          this.tree.found(path, null);
          finish();
        });
      });
    } else {
      finish();
    }
  }

  /** Looks at what is left of large listings, with turns for others between the portions. */
  private planOn(): void {
    if (this.tree.isPlanned || this.planning !== undefined) return;
    this.planning = setImmediate(() => {
      this.planning = undefined;
      this.guarded(() => {
        this.tree.plan();
        this.planOn();
        this.completeSnapshot();
      });
    });
  }

  /** Applies one answer: `onFound`, or what its error code means. */
  private apply(path: string, error: number, finish: () => void, onFound: () => void): void {
    this.guarded(() => {
      if (error === errorCodes.ok || error === errorCodes.noNode) {
        this.answered += 1;
        if (this.unreadable.delete(path) && this.unread === undefined) {
          // What happened below it meanwhile is only known from a whole reading.
          const { server } = this.context.candidate;
          this.fail(new TransientError(`zookeeper ${server}: what was hidden can be read again`));
          finish();
          return;
        }
        if (error === errorCodes.ok) onFound();
        else this.awaitCreation(path, finish);
        return;
      }
      if (!isKnownErrorCode(error)) this.context.report.unknownError(error);
      this.unreadable.set(path, error);
      if (this.unread === undefined) this.deliverUnreadable(path, error);
      finish();
    });
  }

  private awaitCreation(path: string, finish: () => void): void {
    if (!this.tree.absent(path)) {
      finish();
      return;
    }
    this.client.exists(toServerPath(this.context.chroot, path), true, (error) => {
      if (error === errorCodes.ok) this.reads.request(path);
      finish();
    });
  }

  private completeSnapshot(): void {
    if (this.unread === undefined || this.unread.size > 0 || !this.tree.isPlanned) return;
    this.unread = undefined;
    for (const [path, error] of this.unreadable) this.deliverUnreadable(path, error);
    if (this.answered === 0 && this.unreadable.size > 0) {
      const { server } = this.context.candidate;
      this.fail(new TransientError(`zookeeper ${server}: nothing can be read`));
      return;
    }
    const hasParts = this.handedOn > 0;
    const nodes = this.takeFound();
    const observedAt = performance.now();
    this.context.deliver({ kind: 'snapshot', hasParts, nodes, observedAt });
    this.context.report.resynced(this.handedOn, observedAt - this.startedAt);
  }

  /** Hands on what was found of a large tree while the rest is read. */
  private handOn(): void {
    if (this.unread === undefined || this.unread.size === 0) return;
    if (this.found.size < partNodesMin) return;
    const isFirst = this.handedOn === 0;
    this.context.deliver({ kind: 'part', isFirst, nodes: this.takeFound() });
  }

  private takeFound(): ReadonlyMap<string, Buffer | null> {
    const nodes = this.found;
    this.found = new Map();
    this.handedOn += nodes.size;
    return nodes;
  }

  private deliverUnreadable(path: string, error: number): void {
    this.context.deliver({ kind: 'unreadable', path, reason: describeErrorCode(error) });
  }

  private fail(error: Error): void {
    this.failure ??= error;
    this.over.resolve(undefined);
  }

  /** What our own code throws must not look like a fault of the library. */
  private guarded(action: () => void): void {
    if (this.defect !== undefined) return;
    try {
      action();
    } catch (error) {
      this.defect = error instanceof Error ? error : new Error(String(error));
      this.over.resolve(undefined);
    }
  }
}
