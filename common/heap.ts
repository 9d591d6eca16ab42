import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { sleep } from './sleep.ts';

/**
 * Keeps the process as small as what it holds. Reading a large registry makes much garbage in one go; V8
 * answers by growing the part of its heap for new objects to 128 MiB, which it never gives back, and keeps
 * the rest until there is new garbage, which in a quiet process there is not for a long time. Agents and aggregators are alike in it.
 */
const youngBytesMax = 16 * 1024 * 1024;
const lookMs = 20;
/** Below this a snapshot leaves too little behind to matter. */
const largeSnapshot = 5_000;
/** By then a snapshot has been sent where it can be. */
const tidyDelayMs = 2_000;

/**
 * Lets the young part of this process's heap grow to 16 MiB and no further. Resolves when it has got there, or
 * the signal aborts. Further calls, by other agents in the process, are harmless.
 */
export async function limitYoungHeap(signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    if (youngBytes() >= youngBytesMax) {
      // V8 reads the factor each time that it wants to grow that part.
      setFlagsFromString('--semi-space-growth-factor=1');
      return;
    }
    await sleep(lookMs, signal);
  }
}

/**
 * To be called when a snapshot of so many instances has been taken in. After a large one V8 is made to
 * see, by a collection of the young part alone (a millisecond or two), that much of the heap is garbage:
 * within half a minute it collects and compacts the rest, in steps.
 */
export function tidyHeapAfter(instances: number): void {
  if (instances < largeSnapshot) return;
  clearTimeout(tidyTimer);
  tidyTimer = setTimeout(() => {
    youngCollection ??= findYoungCollection();
    youngCollection();
  }, tidyDelayMs).unref();
}

/**
 * Until the result is disposed of, V8 lets the heap grow by at most four fifths of what is alive before it collects
 * again. Who reads slowly and makes much garbage would have it grow by several times that, since V8 measures how
 * fast memory is asked for; the reading takes a twentieth longer. May be called again meanwhile.
 */
export function growHeapSparingly(): Disposable {
  sparing += 1;
  setFlagsFromString('--heap-growing-percent=80');
  return {
    [Symbol.dispose]: () => {
      sparing -= 1;
      if (sparing === 0) setFlagsFromString('--heap-growing-percent=0');
    },
  };
}

let sparing = 0;
let tidyTimer: NodeJS.Timeout | undefined;
let youngCollection: (() => void) | undefined;

function findYoungCollection(): () => void {
  setFlagsFromString('--expose-gc');
  const collect: unknown = runInNewContext('gc');
  return isCollection(collect) ? () => collect({ type: 'minor' }) : () => undefined;
}

function youngBytes(): number {
  const spaces = getHeapSpaceStatistics();
  return spaces.find((space) => space.space_name === 'new_space')?.space_size ?? 0;
}

function isCollection(value: unknown): value is (options: { readonly type: 'minor' }) => void {
  return typeof value === 'function';
}
