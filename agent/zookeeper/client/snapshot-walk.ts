import type { DirectoryAudit } from './directory-audit.ts';
import { errorCodes } from './error-codes.ts';
import { childPath } from './paths.ts';
import type { TreeInterest } from './tree.ts';
import type { ReadOperation, ReadResult } from './wire.ts';

/**
 * The walk that reads a whole view: which reads are needed, and what their answers say. Pure of
 * any connection: batches go out, results come back, in any number at a time.
 *
 * Nodes are found by listing their parent where all children are wanted, and by reading them
 * where a list of children is wanted. A node that is gone by the time it is read is left out; one that
 * may not be read, or whose read fails in another way, is kept apart in `unreadable`.
 */
export class SnapshotWalk {
  /** Wanted nodes found and not taken yet. Events that arrive during the walk are applied to it from outside. */
  nodes = new Map<string, Buffer | null>();
  /** How many nodes were taken. */
  taken = 0;
  /** What could be listed. */
  readonly directories: DirectoryAudit;
  /** Error code by path. */
  readonly unreadable = new Map<string, number>();
  private readonly interest: TreeInterest;
  private readonly limits: WalkLimits;
  /** Reads not sent yet; taken from its end (depth first keeps it small). */
  private readonly open: WalkRead[] = [];
  /** Paths whose named children are not planned yet: a root can have tens of thousands of them. */
  private readonly unplanned: string[] = [];
  private outstanding = 0;
  private answered = 0;
  private readonly replyBytes = { children: 1_024, data: 1_024 };

  constructor(
    interest: TreeInterest,
    directories: DirectoryAudit,
    limits: WalkLimits = defaultLimits,
  ) {
    this.interest = interest;
    this.directories = directories;
    this.limits = limits;
    for (const root of interest.roots) this.visit(root, false);
  }

  /** Whether everything has been read. */
  get isDone(): boolean {
    return this.open.length === 0 && this.unplanned.length === 0 && this.outstanding === 0;
  }

  /** Whether not one read was answered: then the walk says nothing about the tree. */
  get isBlind(): boolean {
    return this.answered === 0 && this.unreadable.size > 0;
  }

  /** Takes what was found so far, to be handed on. */
  take(): ReadonlyMap<string, Buffer | null> {
    const { nodes } = this;
    this.nodes = new Map();
    this.taken += nodes.size;
    return nodes;
  }

  /** The next reads, bounded by count, by request bytes and by expected reply bytes; maybe none. */
  nextBatch(): readonly WalkRead[] {
    const batch: WalkRead[] = [];
    let requestBytes = 0;
    let replyBytes = 0;
    for (;;) {
      if (this.open.length === 0) this.planNext();
      const read = this.open.at(-1);
      if (read === undefined || batch.length >= this.limits.operationsMax) break;
      requestBytes += read.path.length * 3 + 18;
      replyBytes += this.replyBytes[read.kind];
      const isFull =
        requestBytes > this.limits.requestBytesMax || replyBytes > this.limits.replyBytesTarget;
      if (isFull && batch.length > 0) break;
      batch.push(read);
      this.open.pop();
    }
    this.outstanding += batch.length;
    return batch;
  }

  /** Applies the answer to a batch. */
  apply(batch: readonly WalkRead[], { results, bytes, zxid }: WalkAnswer): void {
    this.outstanding -= batch.length;
    const weights = batch.map(({ kind }) => this.replyBytes[kind]);
    const expected = weights.reduce((sum, weight) => sum + weight, 0);
    for (const kind of ['children', 'data'] as const) {
      const own = batch.filter((read) => read.kind === kind).length;
      if (own === 0) continue;
      const seen = (bytes * this.replyBytes[kind]) / expected;
      this.replyBytes[kind] = Math.max(64, (this.replyBytes[kind] + seen) / 2);
    }
    batch.forEach((read, index) => {
      const result = results[index];
      if (result !== undefined) this.applyOne(read, result, zxid);
    });
  }

  private applyOne(read: WalkRead, result: ReadResult, zxid: bigint): void {
    const { kind, path } = read;
    if (result.error !== errorCodes.ok && result.error !== errorCodes.noNode) {
      this.unreadable.set(path, result.error);
      return;
    }
    this.answered += 1;
    if (result.error === errorCodes.noNode) return;
    const want = this.interest.want(path);
    if (kind === 'data') {
      if (want.node) this.nodes.set(path, want.data ? result.data : null);
      return;
    }
    this.directories.listed(path, result.children.length, zxid);
    if (want.node && !want.data) this.nodes.set(path, null);
    for (const name of result.children) this.visit(childPath(path, name), true);
  }

  /** Plans the reads of a node and of what is wanted below it. */
  private visit(path: string, isListed: boolean): void {
    const want = this.interest.want(path);
    if (want.children === true) this.open.push({ kind: 'children', path });
    if (want.node) {
      if (want.data || (!isListed && want.children !== true))
        this.open.push({ kind: 'data', path });
      else if (isListed) this.nodes.set(path, null);
    }
    if (typeof want.children === 'object') this.unplanned.push(path);
  }

  private planNext(): void {
    while (this.open.length === 0) {
      const path = this.unplanned.pop();
      if (path === undefined) return;
      const { children } = this.interest.want(path);
      if (typeof children !== 'object') continue;
      for (const name of children) this.visit(childPath(path, name), false);
    }
  }
}

/** A read of the walk. `path` is ours: without the chroot. */
export type WalkRead = ReadOperation;

/** What the server says to a batch. */
export interface WalkAnswer {
  /** One for each read. */
  readonly results: readonly ReadResult[];
  /** The size of the reply. */
  readonly bytes: number;
  /** The transaction as of which it is true. */
  readonly zxid: bigint;
}

export interface WalkLimits {
  /** Reads in one request. */
  readonly operationsMax: number;
  readonly requestBytesMax: number;
  /** Expected size of one reply, from the sizes seen so far. */
  readonly replyBytesTarget: number;
}

const defaultLimits: WalkLimits = {
  operationsMax: 100,
  requestBytesMax: 256 * 1024,
  replyBytesTarget: 256 * 1024,
};
