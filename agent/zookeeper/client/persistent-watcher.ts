import { TransientError } from '../../../common/errors.ts';
import { Connection } from './connection.ts';
import type { ConnectionEnd } from './connection.ts';
import { DirectoryAudit } from './directory-audit.ts';
import { describeErrorCode, errorCodes, isKnownErrorCode } from './error-codes.ts';
import type { JuteReader } from './jute.ts';
import { PathQueue } from './path-queue.ts';
import { fromServerPath, isListedAt, parentPath, toServerPath, wantAt } from './paths.ts';
import { answerTogether, findMissing } from './requests.ts';
import type { TreeAnswer, TreeQuestion } from './tree.ts';
import { SnapshotWalk } from './snapshot-walk.ts';
import type { WalkRead } from './snapshot-walk.ts';
import { connectionOptions, nextInTurn, partNodesMin, recheckedPathsMax } from './watch-life.ts';
import type { LifeContext, LifeEnd, WatchLife } from './watch-life.ts';
import {
  decodeData,
  decodeMultiRead,
  encodeAddWatch,
  encodeMultiRead,
  encodeRead,
  encodeSync,
  eventTypes,
  opcodes,
} from './wire.ts';

const batchesInFlightMax = 4;
const readsInFlightMax = 256;
/** Reading all anew for changes that nobody may see takes at most this part of the time. */
const unseenWalkShare = 1 / 20;

/**
 * The view of a server >= 3.6: one persistent recursive watch a root, then a walk.
 *
 * Why nothing is missed. Watches are added before the first read, and a server sends a watch event
 * before any reply that shows its change, so applying replies and events in wire order to the same
 * map gives the tree as of the last of them. From then on each creation, deletion and data change
 * below a root raises an event of its own: a directory that is created with a subtree
 * raises one for each node in it, so nothing has to be listed again; a directory can be deleted only
 * when it is empty, so each of its nodes has raised its own deletion before; a root that does not
 * exist yet can be watched all the same; a child from a list of wanted names is an ordinary node
 * below the root. Only permissions can hide events: what could not be read is tried again from time
 * to time, each directory is looked at in its turn (directory-audit.ts), and the whole view is read anew when
 * the answer differs.
 *
 * Nodes of which only the existence counts cost no read. Data is read after each event, coalesced
 * by path: the reading that is delivered last began after the last event.
 */
export class PersistentWatcher implements WatchLife {
  private readonly context: LifeContext;
  private readonly connection: Connection;
  private readonly reads: PathQueue;
  private readonly over = Promise.withResolvers<ConnectionEnd>();
  private isUnsupported = false;
  /** Our own reason for closing. */
  private failure: Error | undefined;
  private walk: SnapshotWalk | undefined;
  private walkStartedAt = 0;
  private batchesInFlight = 0;
  /** At the end of a walk: data reads that belong to its snapshot. */
  private awaited: Set<string> | undefined;
  private isCurrent = false;
  private readonly unreadable = new Map<string, number>();
  private recheckTimer: NodeJS.Timeout | undefined;
  private audit: DirectoryAudit;
  private auditTimer: NodeJS.Timeout | undefined;
  private isAuditing = false;
  /** Something has changed that raised no event. */
  private isStale = false;
  private walkAgainAt = -Infinity;

  constructor(context: LifeContext) {
    this.context = context;
    this.audit = new DirectoryAudit(context.timing.recheckIntervalMs);
    this.reads = new PathQueue(readsInFlightMax, (path, done) => {
      this.readData(path, done);
    });
    this.connection = new Connection(connectionOptions(context), {
      ready: () => {
        this.subscribe();
      },
      event: (type, path) => {
        this.onEvent(type, path);
      },
      pong: () => {
        if (this.isCurrent && this.walk === undefined) {
          context.deliver({ kind: 'confirmed', observedAt: performance.now() });
        }
      },
      ended: (end) => {
        this.over.resolve(end);
      },
    });
  }

  async run(signal: AbortSignal): Promise<LifeEnd> {
    const onAbort = (): void => void this.connection.close();
    signal.addEventListener('abort', onAbort, { once: true });
    this.connection.open();
    if (signal.aborted) onAbort();
    const end = await this.over.promise;
    signal.removeEventListener('abort', onAbort);
    clearInterval(this.recheckTimer);
    clearInterval(this.auditTimer);
    this.reads.close();
    await this.connection.close();
    if (end.kind === 'defect') throw end.error;
    if (signal.aborted) return { kind: 'stopped' };
    if (this.isUnsupported) return { kind: 'unsupported' };
    if (this.isCurrent) this.context.report.zxidSeen(this.connection.highestZxid);
    if (this.failure !== undefined) return { kind: 'over', cause: 'lost', error: this.failure };
    const { kind: cause, ...rest } = end;
    return { kind: 'over', cause, ...rest };
  }

  missing(paths: readonly string[]): Promise<ReadonlySet<string>> {
    return findMissing(this.connection, this.context.chroot, paths);
  }

  ask(questions: readonly TreeQuestion[]): Promise<readonly TreeAnswer[]> {
    return answerTogether(this.connection, this.context.chroot, questions);
  }

  /**
   * Sync, then the watches. The first watch goes alone, with nothing else under way: a server that
   * does not know it closes the connection behind its answer, and drops what else it had to say.
   */
  private subscribe(): void {
    const { chroot, interest } = this.context;
    const [first, ...others] = interest.roots;
    let unanswered = interest.roots.length;
    const onAdded = (): void => {
      unanswered -= 1;
      if (unanswered === 0) this.startWalk();
    };
    this.connection.request(
      (xid) => encodeSync(xid, toServerPath(chroot, '/')),
      (error) => {
        if (error !== errorCodes.ok) {
          this.giveUp('sync', error);
        } else if (first === undefined) {
          this.startWalk();
        } else {
          this.addWatch(first, () => {
            onAdded();
            for (const root of others) this.addWatch(root, onAdded);
          });
        }
      },
    );
  }

  private addWatch(root: string, onAdded: () => void): void {
    this.connection.request(
      (xid) => encodeAddWatch(xid, toServerPath(this.context.chroot, root)),
      (error) => {
        if (error === errorCodes.ok) onAdded();
        else this.giveUp('addWatch', error);
      },
    );
  }

  private giveUp(operation: string, error: number): void {
    this.countUnknown(error);
    if (error === errorCodes.unimplemented) this.isUnsupported = true;
    const { server } = this.context.candidate;
    this.fail(`zookeeper ${server}: ${operation}: ${describeErrorCode(error)}`);
  }

  private fail(reason: string): void {
    this.failure ??= new TransientError(reason);
    void this.connection.close();
  }

  private startWalk(): void {
    const { interest, timing } = this.context;
    this.walk = new SnapshotWalk(interest, new DirectoryAudit(timing.recheckIntervalMs));
    this.isStale = false;
    this.walkStartedAt = performance.now();
    this.awaited = undefined;
    this.pumpWalk(this.walk);
  }

  private pumpWalk(walk: SnapshotWalk): void {
    while (this.batchesInFlight < batchesInFlightMax) {
      const batch = walk.nextBatch();
      if (batch.length === 0) break;
      this.batchesInFlight += 1;
      this.multiRead(batch, (body) => {
        this.batchesInFlight -= 1;
        const bytes = body.remaining;
        const results = decodeMultiRead(body, batch.length);
        walk.apply(batch, { results, bytes, zxid: this.connection.highestZxid });
        if (walk.nodes.size >= partNodesMin && !walk.isDone) this.deliverPart(walk);
        this.pumpWalk(walk);
      });
    }
    if (walk.isDone) this.finishWalk(walk);
  }

  private deliverPart(walk: SnapshotWalk): void {
    const isFirst = walk.taken === 0;
    this.context.deliver({ kind: 'part', isFirst, nodes: walk.take() });
  }

  private multiRead(batch: readonly WalkRead[], onReply: (body: JuteReader) => void): void {
    const { chroot } = this.context;
    const operations = batch.map(({ kind, path }) => ({ kind, path: toServerPath(chroot, path) }));
    this.connection.request(
      (xid) => encodeMultiRead(xid, operations),
      (error, body) => {
        if (error === errorCodes.ok) onReply(body);
        else this.giveUp('multiRead', error);
      },
    );
  }

  /** All is read; data that events have asked for meanwhile belongs to the snapshot too. */
  private finishWalk(walk: SnapshotWalk): void {
    if (this.awaited !== undefined) return;
    this.awaited = new Set(this.reads.paths);
    this.completeWalk(walk);
  }

  private completeWalk(walk: SnapshotWalk): void {
    if (this.awaited === undefined || this.awaited.size > 0) return;
    const { context } = this;
    const { deliver, report, candidate } = context;
    this.awaited = undefined;
    this.walk = undefined;
    this.unreadable.clear();
    for (const [path, error] of walk.unreadable) this.noteUnreadable(path, error);
    if (walk.isBlind) {
      this.fail(`zookeeper ${candidate.server}: nothing can be read`);
      return;
    }
    this.isCurrent = true;
    const observedAt = performance.now();
    this.audit = walk.directories;
    this.audit.begin(observedAt);
    this.walkAgainAt = observedAt + (observedAt - this.walkStartedAt) / unseenWalkShare;
    this.auditTimer ??= setInterval(() => {
      this.auditDirectories();
    }, context.timing.auditIntervalMs);
    const hasParts = walk.taken > 0;
    deliver({ kind: 'snapshot', hasParts, nodes: walk.take(), observedAt });
    report.zxidSeen(this.connection.highestZxid);
    report.resynced(walk.taken, observedAt - this.walkStartedAt);
  }

  private onEvent(type: number, serverPath: string): void {
    if (this.walk === undefined && !this.isCurrent) return;
    const path = fromServerPath(this.context.chroot, serverPath);
    if (path === undefined) return;
    const { interest } = this.context;
    this.noteDirectories(type, path);
    const want = wantAt(interest, path);
    if (want === undefined) return;
    switch (type) {
      case eventTypes.created:
        if (want.data) this.reads.request(path);
        else this.changed(path, null);
        return;
      case eventTypes.dataChanged:
        if (want.data) this.reads.request(path);
        return;
      case eventTypes.deleted:
        this.removed(path);
        return;
      default:
    }
  }

  private readData(path: string, done: (bytes: number) => void): void {
    const serverPath = toServerPath(this.context.chroot, path);
    this.connection.request(
      (xid) => encodeRead(xid, opcodes.getData, serverPath),
      (error, body) => {
        const bytes = body.remaining;
        if (error === errorCodes.ok) this.changed(path, decodeData(body));
        else if (error === errorCodes.noNode) this.removed(path);
        else if (this.walk !== undefined) this.walk.unreadable.set(path, error);
        else this.noteUnreadable(path, error);
        done(bytes);
        if (this.walk !== undefined && this.awaited?.delete(path) === true) {
          this.completeWalk(this.walk);
        }
      },
    );
  }

  private changed(path: string, data: Buffer | null): void {
    if (this.walk === undefined) {
      this.context.deliver({ kind: 'changed', path, data, observedAt: performance.now() });
      return;
    }
    this.walk.nodes.set(path, data);
    this.walk.unreadable.delete(path);
  }

  private removed(path: string): void {
    if (this.walk === undefined) {
      this.context.deliver({ kind: 'removed', path, observedAt: performance.now() });
      return;
    }
    this.walk.nodes.delete(path);
    this.walk.unreadable.delete(path);
    if (this.walk.taken > 0) {
      this.context.deliver({ kind: 'removed', path, observedAt: performance.now() });
    }
  }

  private noteUnreadable(path: string, error: number): void {
    this.countUnknown(error);
    this.unreadable.set(path, error);
    this.context.deliver({ kind: 'unreadable', path, reason: describeErrorCode(error) });
    this.recheckTimer ??= setInterval(() => {
      this.recheck();
    }, this.context.timing.recheckIntervalMs);
  }

  /** Asks again for some of what could not be read; a different answer means a new walk. */
  private recheck(): void {
    const { interest } = this.context;
    if (!this.isCurrent || this.walk !== undefined) return;
    const asked = nextInTurn(this.unreadable, recheckedPathsMax);
    if (asked.length === 0) return;
    const batch = asked.map(([path]): WalkRead => {
      return { kind: interest.want(path).children === true ? 'children' : 'data', path };
    });
    this.multiRead(batch, (body) => {
      const results = decodeMultiRead(body, batch.length);
      const differs = asked.some(([, error], index) => results[index]?.error !== error);
      if (differs && this.walk === undefined) this.startWalk();
    });
  }

  private noteDirectories(type: number, path: string): void {
    const directories = this.walk?.directories ?? this.audit;
    if (type === eventTypes.created) {
      directories.created(parentPath(path));
      if (isListedAt(this.context.interest, path)) directories.add(path);
    } else if (type === eventTypes.deleted) {
      if (!directories.deleted(path, parentPath(path))) this.noteUnseen(path);
    }
  }

  private noteUnseen(directory: string): void {
    if (this.isStale) return;
    this.isStale = true;
    this.context.report.unseenChange(directory);
  }

  /** Looks at some directories; what is not as expected means a new walk. */
  private auditDirectories(): void {
    if (!this.isCurrent || this.walk !== undefined || this.isAuditing) return;
    const now = performance.now();
    if (this.isStale && now >= this.walkAgainAt) {
      this.startWalk();
      return;
    }
    const { audit } = this;
    const asked = audit.next(now);
    if (asked.length === 0) return;
    this.isAuditing = true;
    const batch = asked.map((path): WalkRead => ({ kind: 'data', path }));
    this.multiRead(batch, (body) => {
      this.isAuditing = false;
      const bytes = body.remaining;
      const finding = audit.judge(asked, decodeMultiRead(body, batch.length), bytes);
      if (this.walk !== undefined || finding === undefined) return;
      if (finding.kind === 'forbidden') this.startWalk();
      else this.noteUnseen(finding.path);
    });
  }

  private countUnknown(error: number): void {
    if (!isKnownErrorCode(error)) this.context.report.unknownError(error);
  }
}
