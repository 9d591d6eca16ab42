import { isWithin, wantAt } from '../../agent/zookeeper/client/paths.ts';
import type { TreeEvent, TreeInterest } from '../../agent/zookeeper/client/tree.ts';
import type { NodeState, TreeJournal } from './tree-journal.ts';
import { wholeSnapshots } from './whole-snapshots.ts';

/**
 * Judges what a driver delivers against the history of the tree. Of each wanted node it may only say what that node was
 * at some moment, never going back; a snapshot has to say of each what it was after its connection was opened. So
 * nothing is removed that lived, nothing is missing from a snapshot, and nothing is told that was not. Nodes that are
 * reported unreadable with a snapshot (in the same turn, before it), and what is below them, may be missing from it.
 */
export class ViewWitness {
  /** What was said wrongly. */
  readonly faults: string[] = [];
  readonly view = new Map<string, NodeState>();
  readonly deliver: (event: TreeEvent) => void;
  snapshots = 0;
  lost = 0;
  private readonly journal: TreeJournal;
  private readonly interest: TreeInterest;
  /** Paths that were reported unreadable in this turn. */
  private readonly hidden = new Set<string>();
  /** By path: the moment of which the view speaks. */
  private readonly moments = new Map<string, number>();
  /** When the present connection was opened. */
  private openedAt = 0;

  constructor(journal: TreeJournal, interest: TreeInterest) {
    this.journal = journal;
    this.interest = interest;
    this.deliver = wholeSnapshots((event) => {
      this.judge(event);
    });
  }

  /** A connection is opened now: a snapshot says nothing older. */
  opened(): void {
    this.openedAt = this.journal.moment;
  }

  /** What the view has to be now. */
  expected(): ReadonlyMap<string, NodeState> {
    const expected = new Map<string, NodeState>();
    for (const [path, state] of this.journal.tree()) {
      const want = wantAt(this.interest, path);
      if (want !== undefined) expected.set(path, want.data ? state : null);
    }
    return expected;
  }

  private judge(event: TreeEvent): void {
    switch (event.kind) {
      case 'snapshot':
        this.snapshots += 1;
        this.takeSnapshot(event.nodes);
        return;
      case 'changed':
        this.claim(event.path, textOf(event.data), 0, 'changed');
        return;
      case 'removed':
        this.claim(event.path, undefined, 0, 'removed');
        return;
      case 'unreadable':
        this.hidden.add(event.path);
        queueMicrotask(() => {
          this.hidden.clear();
        });
        return;
      case 'lost':
        this.lost += 1;
        return;
      case 'part':
      case 'confirmed':
    }
  }

  private takeSnapshot(nodes: ReadonlyMap<string, Buffer | null>): void {
    const { openedAt } = this;
    for (const [path, data] of nodes) this.claim(path, textOf(data), openedAt, 'snapshot');
    for (const path of new Set([...this.journal.paths(), ...this.view.keys()])) {
      if (nodes.has(path) || this.isHidden(path)) continue;
      if (wantAt(this.interest, path) === undefined) continue;
      this.claim(path, undefined, openedAt, 'missing in a snapshot');
    }
  }

  private isHidden(path: string): boolean {
    return [...this.hidden].some((hidden) => isWithin(hidden, path));
  }

  private claim(path: string, state: NodeState, from: number, what: string): void {
    const want = wantAt(this.interest, path);
    if (want === undefined) this.faults.push(`${what}: ${path} is not wanted`);
    const since = Math.max(from, this.moments.get(path) ?? 0);
    const isSame = (was: NodeState): boolean =>
      want?.data === false ? (was === undefined) === (state === undefined) : was === state;
    const moment = this.journal.momentOf(path, since, isSame);
    if (moment === undefined) {
      this.faults.push(`${what}: ${path} was not ${String(state)} since moment ${since}`);
    }
    this.moments.set(path, moment ?? since);
    if (state === undefined) this.view.delete(path);
    else this.view.set(path, state);
  }
}

function textOf(data: Buffer | null): string | null {
  return data?.toString() ?? null;
}
