/**
 * Long loops give the event loop back: no part of Tributary may hold it for more than 50 ms.
 * `await pause.due()` every few items; it resolves at once until the slice is used up.
 */
export class Pause {
  private readonly sliceMs: number;
  private startedAt = performance.now();

  /** @param sliceMs how long a loop may hold the event loop, milliseconds */
  constructor(sliceMs = 8) {
    this.sliceMs = sliceMs;
  }

  /** Whether the slice is used up: then (and only then) `await pause.turn()`. */
  isDue(): boolean {
    return performance.now() - this.startedAt >= this.sliceMs;
  }

  /** Lets everything that waits run once, then starts a new slice. */
  async turn(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    this.startedAt = performance.now();
  }
}
