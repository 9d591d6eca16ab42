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

/** Takes all steps, with turns for others between them. */
export async function inTurns(steps: Iterable<undefined>, pause: Pause): Promise<void> {
  const taking = steps[Symbol.iterator]();
  while (taking.next().done !== true) if (pause.isDue()) await pause.turn();
}

/** Takes all steps in this turn. */
export function atOnce(steps: Iterable<undefined>): void {
  const taking = steps[Symbol.iterator]();
  while (taking.next().done !== true);
}
