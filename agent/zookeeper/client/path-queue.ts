/**
 * Reads of single paths, coalesced and bounded: a path that waits is not queued twice; one that is
 * being read when it is requested again is read once more afterwards, so that the last reading
 * is never older than the last request.
 */
export class PathQueue {
  private readonly limit: number;
  private readonly start: (path: string, done: () => void) => void;
  /** Insertion order is the order of reading. */
  private readonly waiting = new Set<string>();
  private readonly running = new Set<string>();
  private readonly again = new Set<string>();

  /**
   * @param limit how many reads run at the same time
   * @param start begins to read a path; `done` is to be called once, when its reply is applied
   */
  constructor(limit: number, start: (path: string, done: () => void) => void) {
    this.limit = limit;
    this.start = start;
  }

  /** Paths that wait or are being read. */
  get paths(): readonly string[] {
    return [...new Set([...this.waiting, ...this.running])];
  }

  get isIdle(): boolean {
    return this.waiting.size === 0 && this.running.size === 0;
  }

  request(path: string): void {
    if (this.running.has(path)) this.again.add(path);
    else this.waiting.add(path);
    this.pump();
  }

  private pump(): void {
    for (const path of this.waiting) {
      if (this.running.size >= this.limit) return;
      this.waiting.delete(path);
      this.running.add(path);
      this.start(path, () => {
        this.finish(path);
      });
    }
  }

  private finish(path: string): void {
    this.running.delete(path);
    if (this.again.delete(path)) this.waiting.add(path);
    this.pump();
  }
}
