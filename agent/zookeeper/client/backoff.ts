/** How long to wait before the next attempt: full jitter, so that many agents spread out. */
export class Backoff {
  private readonly options: BackoffOptions;
  private attempts = 0;

  constructor(options: BackoffOptions) {
    this.options = options;
  }

  /** Milliseconds, between 0 and the current bound; the bound doubles with each call. */
  next(): number {
    const { minMs, maxMs, random } = this.options;
    const boundMs = Math.min(maxMs, minMs * 2 ** Math.min(this.attempts, 30));
    this.attempts += 1;
    return random() * boundMs;
  }

  /** Only real success resets: a completed resync, not an accepted connection. */
  reset(): void {
    this.attempts = 0;
  }
}

export interface BackoffOptions {
  /** Bound of the first delay. */
  readonly minMs: number;
  readonly maxMs: number;
  /** 0 (inclusive) to 1 (exclusive). */
  readonly random: () => number;
}
