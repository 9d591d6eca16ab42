import { TransientError } from '../../common/errors.ts';
import type {
  TreeAnswer,
  TreeEvent,
  TreeInterest,
  TreeQuestion,
  TreeWatcher,
} from '../../agent/zookeeper/client/tree.ts';

/**
 * A ZooKeeper tree in memory with a TreeWatcher on it that keeps every promise of a driver: a whole
 * snapshot first and after each loss, single events in order between them, only wanted nodes, and
 * paths that may not be read reported before the snapshot that lacks them.
 *
 * Changes made while the watcher has lost the tree are seen in the next snapshot.
 */
export class TreeFake implements TreeWatcher {
  private readonly nodes = new Map<string, Buffer | null>([['/', null]]);
  private readonly forbidden = new Set<string>();
  private watching: Watching | undefined;
  private isLost = false;
  /** How often `missing` was asked, and for which paths. */
  readonly asked: (readonly string[])[] = [];
  /** Called before `missing` answers: what happens on the wire before the reply. */
  beforeMissing: (() => void) | undefined;

  /** Creates the node, and the directories above it that do not exist. */
  create(path: string, data: string | Buffer | null = null): void {
    const parent = path.slice(0, path.lastIndexOf('/'));
    if (parent !== '' && !this.nodes.has(parent)) this.create(parent);
    if (this.nodes.has(path)) throw new Error(`exists: ${path}`);
    this.put(path, data);
  }

  setData(path: string, data: string | Buffer | null): void {
    if (!this.nodes.has(path)) throw new Error(`no node: ${path}`);
    this.put(path, data);
  }

  /** Deletes the node and what is below it, leaves first. */
  remove(path: string): void {
    const paths = [...this.nodes.keys()].filter((other) => isWithin(path, other));
    for (const other of paths.sort().reverse()) {
      this.nodes.delete(other);
      const want = this.wanted(other);
      if (want?.node === true && !this.isHidden(other)) {
        this.emit({ kind: 'removed', path: other, observedAt: performance.now() });
      }
    }
  }

  has(path: string): boolean {
    return this.nodes.has(path);
  }

  /** The data of a node, as text; undefined when there is no node, or none in it. */
  data(path: string): string | undefined {
    return this.nodes.get(path)?.toString('utf8');
  }

  /** Every path that exists. */
  paths(): readonly string[] {
    return [...this.nodes.keys()];
  }

  /** The connection is lost: changes are not seen until `resync`. */
  lose(reason = 'connection lost'): void {
    this.emit({ kind: 'lost', reason });
    this.isLost = true;
  }

  /** Reads everything anew, as after a reconnect. */
  resync(): void {
    this.isLost = false;
    if (this.watching === undefined) return;
    const nodes = new Map<string, Buffer | null>();
    for (const path of this.forbidden) {
      const want = this.wanted(path);
      if (want !== undefined && (want.node || want.children !== false)) {
        this.emit({ kind: 'unreadable', path, reason: 'no permission' });
      }
    }
    for (const [path, data] of this.nodes) {
      const want = this.wanted(path);
      if (want?.node === true && !this.isHidden(path)) nodes.set(path, want.data ? data : null);
    }
    this.emit({ kind: 'snapshot', hasParts: false, nodes, observedAt: performance.now() });
  }

  confirm(): void {
    this.emit({ kind: 'confirmed', observedAt: performance.now() });
  }

  /** The node and what is below it cannot be read from here on; seen with the next snapshot. */
  forbid(path: string): void {
    this.forbidden.add(path);
  }

  allow(path: string): void {
    this.forbidden.delete(path);
  }

  /** Hands over any event, also one that no driver would deliver. */
  emit(event: TreeEvent): void {
    if (!this.isLost) this.watching?.deliver(event);
  }

  async watch(
    interest: TreeInterest,
    deliver: (event: TreeEvent) => void,
    signal: AbortSignal,
  ): Promise<void> {
    if (this.watching !== undefined) throw new Error('watched twice');
    this.watching = { interest, deliver };
    this.isLost = false;
    await Promise.resolve();
    if (!signal.aborted) this.resync();
    await new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      else signal.addEventListener('abort', () => resolve(), { once: true });
    });
    this.watching = undefined;
  }

  async missing(paths: readonly string[]): Promise<ReadonlySet<string>> {
    if (this.watching === undefined || this.isLost) throw new TransientError('fake: no connection');
    this.asked.push(paths);
    await Promise.resolve();
    this.beforeMissing?.();
    return new Set(paths.filter((path) => !this.nodes.has(path)));
  }

  async ask(questions: readonly TreeQuestion[]): Promise<readonly TreeAnswer[]> {
    if (this.watching === undefined || this.isLost) throw new TransientError('fake: no connection');
    await Promise.resolve();
    return questions.map(({ kind, path }): TreeAnswer => {
      if (this.isHidden(path)) return { kind: 'unreadable', reason: 'no permission' };
      const data = this.nodes.get(path);
      if (data === undefined) return { kind: 'missing' };
      return kind === 'data' ? { kind, data } : { kind, names: this.namesBelow(path) };
    });
  }

  private namesBelow(path: string): readonly string[] {
    const start = path === '/' ? 1 : path.length + 1;
    return [...this.nodes.keys()]
      .filter((other) => other.length > start && isWithin(path, other))
      .map((other) => other.slice(start))
      .filter((name) => !name.includes('/'));
  }

  private put(path: string, data: string | Buffer | null): void {
    const bytes = typeof data === 'string' ? Buffer.from(data, 'utf8') : data;
    const isNew = !this.nodes.has(path);
    this.nodes.set(path, bytes);
    const want = this.wanted(path);
    if (want?.node !== true || this.isHidden(path) || (!isNew && !want.data)) return;
    const seen = want.data ? bytes : null;
    this.emit({ kind: 'changed', path, data: seen, observedAt: performance.now() });
  }

  /** What is wanted of a node, if a walk from a root comes by it. */
  private wanted(path: string): ReturnType<TreeInterest['want']> | undefined {
    const interest = this.watching?.interest;
    const root = interest?.roots.find((candidate) => isWithin(candidate, path));
    if (interest === undefined || root === undefined) return undefined;
    for (let at = path; at !== root; at = at.slice(0, at.lastIndexOf('/')) || '/') {
      const { children } = interest.want(at.slice(0, at.lastIndexOf('/')) || '/');
      const name = at.slice(at.lastIndexOf('/') + 1);
      if (children === false || (children !== true && !children.includes(name))) return undefined;
    }
    return interest.want(path);
  }

  private isHidden(path: string): boolean {
    return [...this.forbidden].some((forbidden) => isWithin(forbidden, path));
  }
}

interface Watching {
  readonly interest: TreeInterest;
  readonly deliver: (event: TreeEvent) => void;
}

function isWithin(root: string, path: string): boolean {
  return root === '/' || path === root || path.startsWith(`${root}/`);
}
