/**
 * The directories that could be listed, to be looked at again in their turn. Servers from 3.8.4 on send no events of
 * what may not be read: a permission that is taken away would not be noticed, and the view be silently old. Pure but
 * for its state; times are `performance.now()` milliseconds.
 */
export class AccessProbe {
  private readonly pauseMs: number;
  private directories = new Set<string>();
  private round: SetIterator<string> | undefined;
  private startedAt = -Infinity;

  /** @param pauseMs no directory is looked at twice within this time */
  constructor(pauseMs: number) {
    this.pauseMs = pauseMs;
  }

  /** All of them, as a whole reading has found them just now. */
  replace(directories: Set<string>, now: number): void {
    this.directories = directories;
    this.round = undefined;
    this.startedAt = now;
  }

  add(directory: string): void {
    this.directories.add(directory);
  }

  delete(directory: string): void {
    this.directories.delete(directory);
  }

  /** The next ones, at most so many; none while it is too early for another round. */
  next(max: number, now: number): readonly string[] {
    if (this.round === undefined) {
      if (now - this.startedAt < this.pauseMs) return [];
      this.round = this.directories.values();
      this.startedAt = now;
    }
    const next = [...this.round.take(max)];
    if (next.length < max) this.round = undefined;
    return next;
  }
}
