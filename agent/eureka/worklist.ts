import { Wake } from '../../common/wake.ts';
import type { SourceEvent } from '../source.ts';

interface Item {
  readonly work: () => Promise<SourceEvent | undefined>;
  readonly done: () => void;
}

/** Pieces of work of several tasks, done one at a time by the one reader of what comes of them. */
export class Worklist {
  private readonly items: Item[] = [];
  private isClosed = false;
  private failure: { readonly error: unknown } | undefined;
  private readonly wake = new Wake();

  /** Resolves when the work is done, has failed, or will not be done any more. */
  put(work: Item['work']): Promise<void> {
    if (this.isClosed) return Promise.resolve();
    return new Promise((done) => {
      this.items.push({ work, done });
      this.wake.poke();
    });
  }

  /** Nobody reads any more: what waits is dropped. */
  close(): void {
    this.isClosed = true;
    for (const { done } of this.items.splice(0)) done();
  }

  /** The reader's next call rejects. */
  fail(error: unknown): void {
    this.failure ??= { error };
    this.wake.poke();
  }

  /** The next event that some work comes to; undefined when the signal aborts. Rejects with what a work rejected with. */
  async next(signal: AbortSignal): Promise<SourceEvent | undefined> {
    while (!signal.aborted) {
      if (this.failure !== undefined) throw this.failure.error;
      const item = this.items.shift();
      if (item === undefined) {
        await this.wake.wait(signal);
        continue;
      }
      const event = await item.work().finally(item.done);
      if (event !== undefined) return event;
    }
    return undefined;
  }
}
