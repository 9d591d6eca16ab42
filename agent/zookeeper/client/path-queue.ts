/** So many bytes of one path are read again in a millisecond: 8 MB a second. */
const rereadBytesPerMs = 8_000;
const restMinMs = 5;
const restMaxMs = 1_000;

/**
 * How long a path rests after a reading, in ms: as long as it may cost at 8 MB a second, 5 ms at least, 1 s at most.
 *
 * @param bytes the size of that reading
 */
export function restAfter(bytes: number): number {
  return Math.min(Math.max(bytes / rereadBytesPerMs, restMinMs), restMaxMs);
}

/**
 * Reads of single paths, coalesced and bounded: a path that waits is not queued twice; one that is
 * being read when it is requested again is read once more afterwards, so that the last reading
 * is never older than the last request.
 *
 * A path rests after each reading, the longer the more that brought. So a node that is rewritten all
 * the time, or a large directory in which everything restarts, costs a server 200 reads and 8 MB a
 * second at most. A path that has rested is read at once.
 */
export class PathQueue {
  private readonly limit: number;
  private readonly start: (path: string, done: (bytes: number) => void) => void;
  private readonly restAfter: (bytes: number) => number;
  /** Insertion order is the order of reading. */
  private readonly waiting = new Set<string>();
  private readonly running = new Set<string>();
  private readonly again = new Set<string>();
  /** By path: until when it rests, as of performance.now(). */
  private readonly resting = new Map<string, number>();
  /** Paths that were requested while they rest. */
  private readonly deferred = new Map<string, NodeJS.Timeout>();
  private isClosed = false;

  /**
   * @param limit how many reads run at the same time
   * @param start begins to read a path; `done` is to be called once, when its reply is applied, with its size
   * @param rest how long a path rests after a reading of this size, in ms
   */
  constructor(
    limit: number,
    start: (path: string, done: (bytes: number) => void) => void,
    rest = restAfter,
  ) {
    this.limit = limit;
    this.start = start;
    this.restAfter = rest;
  }

  /** Paths that wait or are being read. */
  get paths(): readonly string[] {
    return [...new Set([...this.waiting, ...this.running, ...this.deferred.keys()])];
  }

  get isIdle(): boolean {
    return this.waiting.size === 0 && this.running.size === 0 && this.deferred.size === 0;
  }

  request(path: string): void {
    if (this.running.has(path)) this.again.add(path);
    else this.enqueue(path);
    this.pump();
  }

  /** No other reading begins. */
  close(): void {
    this.isClosed = true;
    this.waiting.clear();
    for (const timer of this.deferred.values()) clearTimeout(timer);
    this.deferred.clear();
  }

  private enqueue(path: string): void {
    if (this.isClosed || this.deferred.has(path)) return;
    const restMs = (this.resting.get(path) ?? 0) - performance.now();
    if (restMs <= 0) {
      this.waiting.add(path);
      return;
    }
    const onRested = (): void => {
      this.deferred.delete(path);
      this.waiting.add(path);
      this.pump();
    };
    this.deferred.set(path, setTimeout(onRested, Math.ceil(restMs)));
  }

  private pump(): void {
    for (const path of this.waiting) {
      if (this.running.size >= this.limit) return;
      this.waiting.delete(path);
      this.running.add(path);
      this.start(path, (bytes) => {
        this.finish(path, bytes);
      });
    }
  }

  private finish(path: string, bytes: number): void {
    this.running.delete(path);
    this.rest(path, bytes);
    if (this.again.delete(path)) this.enqueue(path);
    this.pump();
  }

  private rest(path: string, bytes: number): void {
    const now = performance.now();
    for (const [rested, until] of this.resting) {
      if (until > now) break;
      this.resting.delete(rested);
    }
    this.resting.delete(path);
    this.resting.set(path, now + this.restAfter(bytes));
  }
}
