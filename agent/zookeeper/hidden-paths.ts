import { parentPath } from './client/paths.ts';

/**
 * The paths that may not be read, and for how long that is believed. A driver reports each of them
 * with every snapshot, before it, and whenever it meets one in between. What lies at or below such a
 * path is missing from a snapshot without having gone.
 */
export class HiddenPaths {
  /** By path: whether it was reported for the snapshot that comes next, just before it. */
  private readonly paths = new Map<string, boolean>();

  get size(): number {
    return this.paths.size;
  }

  /** Each of them. */
  all(): IterableIterator<string> {
    return this.paths.keys();
  }

  add(path: string): void {
    this.paths.set(path, true);
  }

  /** The node has been read after all. That says nothing of a directory above it: its other children may be hidden still. */
  delete(path: string): void {
    this.paths.delete(path);
  }

  /** Something else was said: what was reported before was not reported for the snapshot that comes next. */
  age(): void {
    for (const path of this.paths.keys()) this.paths.set(path, false);
  }

  /** A snapshot has come: what was not reported since the one before can be read again. */
  renew(): void {
    for (const [path, isRecent] of this.paths) {
      if (isRecent) this.paths.set(path, false);
      else this.paths.delete(path);
    }
  }

  /** Whether the path or one above it may not be read. */
  covers(path: string): boolean {
    if (this.paths.size === 0) return false;
    for (let at = path; ; at = parentPath(at)) {
      if (this.paths.has(at)) return true;
      if (at === '/') return false;
    }
  }

  /** For the operator; names one of them without the names of leaves, which may hold secrets. */
  describe(): string {
    for (const path of this.paths.keys()) {
      const others = this.paths.size === 1 ? '' : ` and ${this.paths.size - 1} more`;
      return `zookeeper: no permission to read ${withoutLeaf(path)}${others}`;
    }
    return '';
  }
}

function withoutLeaf(path: string): string {
  const at = path.indexOf('/providers/');
  return at < 0 ? path : path.slice(0, at + '/providers'.length);
}
