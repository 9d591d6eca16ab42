/**
 * A world that runs faster: `Date.now`, `performance.now` and `setTimeout` of the whole process go at a multiple of
 * the real pace, together, and can jump ahead. So the product's own times (a hold of six minutes, a window of half a
 * second) are what a test goes through, in little time. Timers that are under way do not take part in a jump, as
 * when a machine has slept.
 */
export interface FastTime extends Disposable {
  /** Lets time jump ahead, milliseconds of the fast world. */
  jump(ms: number): void;
  /** Waits by the real clock, milliseconds. */
  pause(realMs: number): Promise<void>;
}

/** From now on, until disposed of. One at a time. */
export function startFastTime(pace: number): FastTime {
  const real = {
    date: Date.now,
    now: performance.now.bind(performance),
    setTimeout: globalThis.setTimeout,
  };
  const startedAt = real.now();
  const wallAt = real.date();
  let jumped = 0;
  const elapsed = (): number => (real.now() - startedAt) * pace + jumped;
  const fastTimeout = (callback: () => void, ms = 0, ...rest: []): NodeJS.Timeout =>
    real.setTimeout(callback, ms / pace, ...rest);
  Date.now = () => Math.floor(wallAt + elapsed());
  performance.now = () => startedAt + elapsed();
  globalThis.setTimeout = Object.assign(fastTimeout, real.setTimeout);
  return {
    jump: (ms) => {
      jumped += ms;
    },
    pause: (ms) => new Promise((resolve) => real.setTimeout(resolve, ms)),
    [Symbol.dispose]: () => {
      Date.now = real.date;
      performance.now = real.now;
      globalThis.setTimeout = real.setTimeout;
    },
  };
}
