/**
 * Lets one part wait until another has something for it. A `poke` while nobody waits is not remembered: look at what
 * there is to do, and wait in the same turn of the event loop.
 */
export class Wake {
  private finish: () => void = () => undefined;

  /** Ends the present wait. */
  poke(): void {
    this.finish();
  }

  /** Resolves upon `poke`, when the signal aborts, or after `ms` milliseconds. One waits at a time. */
  wait(signal: AbortSignal, ms?: number): Promise<void> {
    return new Promise((resolve) => {
      const finish = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', finish);
        this.finish = () => undefined;
        resolve();
      };
      const timer = ms === undefined ? undefined : setTimeout(finish, ms);
      if (signal.aborted) finish();
      else {
        this.finish = finish;
        signal.addEventListener('abort', finish, { once: true });
      }
    });
  }
}
