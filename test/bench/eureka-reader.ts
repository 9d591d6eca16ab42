import { pino } from 'pino';
import { defaultEurekaOptions } from '../../agent/eureka/options.ts';
import { createEurekaSource } from '../../agent/eureka/source.ts';
import { limitYoungHeap, tidyHeapAfter } from '../../common/heap.ts';
import type { RegistryId } from '../../common/registry.ts';
import { LoopWatch } from './loop-watch.ts';
import type { LoopUsage } from './loop-watch.ts';
import { monotonicMs } from './statistics.ts';

/**
 * The agent's reader of Eureka, alone in a process: what reading costs without guard, outbox and feed. Argument: JSON of
 * `ReaderOptions`. Says `ReaderEvent` for every event that carries instances; each message asks for a `ReaderUsage`,
 * and says whether the event loop is watched from then on (which costs some CPU).
 */
export interface ReaderOptions {
  readonly urls: readonly string[];
  readonly pollIntervalMs: number;
  /** Where servers may push, on loopback; undefined = nowhere. */
  readonly pushPort: number | undefined;
}

/** Milliseconds. */
export interface ReaderEvent {
  readonly kind: 'event';
  readonly what: 'snapshot' | 'changes' | 'lost' | 'suspect';
  /** Instances or changes. */
  readonly count: number;
  /** From the last byte of the answer (or of the push) to the event. */
  readonly sinceObservedMs: number;
  /** Since the reader was started: what loading the program took is not in it. */
  readonly sinceStartMs: number;
  /** Used since the last usage message. */
  readonly cpuMs: number;
  /** CLOCK_MONOTONIC. */
  readonly at: number;
}

/** What was used since the last such message, or since the start. */
export interface ReaderUsage extends LoopUsage {
  readonly kind: 'usage';
}

export type ReaderMessage = ReaderEvent | ReaderUsage;

const options = JSON.parse(process.argv[2] ?? '{}') as ReaderOptions;
const { pushPort } = options;
const loop = new LoopWatch();

process.on('message', (isWatched: boolean) => {
  const usage: ReaderUsage = { kind: 'usage', ...loop.look() };
  loop.watch(isWatched);
  process.send?.(usage);
});
process.on('disconnect', () => process.exit(0));

const source = createEurekaSource(
  {
    ...defaultEurekaOptions,
    registry: 'bench/eureka' as RegistryId,
    serviceUrls: options.urls,
    pollIntervalMs: options.pollIntervalMs,
    push:
      pushPort === undefined
        ? undefined
        : {
            listen: { host: '127.0.0.1', port: pushPort },
            userFile: undefined,
            certFile: undefined,
            keyFile: undefined,
            clientCaFile: undefined,
          },
  },
  {
    dropped: () => undefined,
    connected: () => undefined,
    hiddenDelay: () => undefined,
    expiredButListed: () => undefined,
  },
  pino({ level: 'silent' }),
);
loop.watch(true);
// As the agent does it.
void limitYoungHeap(new AbortController().signal);
const startedAt = performance.now();
for await (const event of source.watch(new AbortController().signal)) {
  const isRead = event.kind === 'snapshot' || event.kind === 'changes';
  const count =
    event.kind === 'snapshot' ? event.instances.size : isRead ? event.changes.length : 0;
  if (event.kind === 'changes' && count === 0) continue;
  const seen: ReaderEvent = {
    kind: 'event',
    what: event.kind,
    count,
    sinceObservedMs: isRead ? performance.now() - event.observedAt : 0,
    sinceStartMs: performance.now() - startedAt,
    cpuMs: loop.cpuMs(),
    at: monotonicMs(),
  };
  process.send?.(seen);
  if (event.kind === 'snapshot') tidyHeapAfter(count);
}
