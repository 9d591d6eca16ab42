/** How a process is told to stop. */
export interface StopOptions {
  /** From the first signal until the process is ended the hard way, milliseconds. */
  readonly deadlineMs: number;
  /** Called with the first signal, for the log. */
  onStop(signal: NodeJS.Signals): void;
  /** Called when the deadline has passed or a second signal has come; must end the process. */
  onForced(why: string): void;
}

/**
 * A signal that aborts at the first SIGTERM or SIGINT. A second one, or the deadline, forces the
 * end. `release` takes the handlers away.
 */
export function stopOnSignals(options: StopOptions): {
  readonly signal: AbortSignal;
  release(): void;
} {
  const controller = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const handle = (name: NodeJS.Signals): void => {
    if (controller.signal.aborted) {
      options.onForced(`${name} came again`);
      return;
    }
    options.onStop(name);
    timer = setTimeout(
      () => options.onForced(`not stopped within ${options.deadlineMs} ms`),
      options.deadlineMs,
    );
    timer.unref();
    controller.abort();
  };
  process.on('SIGTERM', handle);
  process.on('SIGINT', handle);
  return {
    signal: controller.signal,
    release: () => {
      clearTimeout(timer);
      process.off('SIGTERM', handle);
      process.off('SIGINT', handle);
    },
  };
}
