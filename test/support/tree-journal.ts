import type { ZooKeeperStub } from './zookeeper-stub.ts';

/** What a node was at a time: undefined = not there, else its data as text, or null. */
export type NodeState = string | null | undefined;

/**
 * Changes the tree of a stub one node at a time, and remembers what it was after each change: the moments, counted
 * from 0. All changes have to go through it.
 */
export class TreeJournal {
  /** The present moment. */
  moment = 0;
  private readonly stub: ZooKeeperStub;
  private readonly histories = new Map<string, Period[]>();
  /** Those that exist, in the order in which they were created. */
  private readonly existing = new Map<string, NodeState>();

  constructor(stub: ZooKeeperStub) {
    this.stub = stub;
  }

  has(path: string): boolean {
    return this.existing.has(path);
  }

  /** Every path that exists now, with its data. */
  tree(): ReadonlyMap<string, NodeState> {
    return this.existing;
  }

  /** Every path that has ever existed. */
  paths(): Iterable<string> {
    return this.histories.keys();
  }

  /** Creates the node, one above the other where some are missing; nothing if it exists. */
  create(path: string, data: string | null = null): void {
    if (path === '/' || this.existing.has(path)) return;
    this.create(path.slice(0, path.lastIndexOf('/')) || '/');
    this.stub.create(path, data === null ? null : Buffer.from(data));
    this.note(path, data);
  }

  /** Nothing if it does not exist. */
  setData(path: string, data: string): void {
    if (!this.existing.has(path)) return;
    this.stub.setData(path, Buffer.from(data));
    this.note(path, data);
  }

  /** Deletes the node and what is below it, the deepest first. */
  remove(path: string): void {
    const below = [...this.existing.keys()].filter(
      (other) => other === path || other.startsWith(`${path}/`),
    );
    for (const other of below.sort().reverse()) {
      this.stub.remove(other);
      this.note(other, undefined);
    }
  }

  /**
   * The first moment, not before `from`, at which the node was so; undefined if there was none up to now.
   * `isSame` compares what it was with what is claimed.
   */
  momentOf(path: string, from: number, isSame: (state: NodeState) => boolean): number | undefined {
    const periods = this.histories.get(path) ?? [{ since: 0, state: undefined }];
    for (const [index, { since, state }] of periods.entries()) {
      const until = periods[index + 1]?.since ?? Infinity;
      if (until > from && isSame(state)) return Math.max(since, from);
    }
    return undefined;
  }

  private note(path: string, state: NodeState): void {
    this.moment += 1;
    if (state === undefined) this.existing.delete(path);
    else this.existing.set(path, state);
    const periods = this.histories.get(path) ?? [{ since: 0, state: undefined }];
    periods.push({ since: this.moment, state });
    this.histories.set(path, periods);
  }
}

interface Period {
  readonly since: number;
  readonly state: NodeState;
}
