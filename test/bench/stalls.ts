import type { Running } from './measure.ts';

/** How often, and how long at most, an event loop kept a due timer waiting, from a binary's own metrics. */
export interface Stalls {
  /** Samples above 50 ms. */
  readonly over50: number;
  /** Upper bound of the highest bucket that is not empty, milliseconds. */
  readonly longestAtMostMs: number;
}

export async function loopStalls(
  running: Running,
): Promise<{ readonly agent: Stalls; readonly aggregator: Stalls }> {
  return {
    agent: await stallsOf(running.agent.metricsPort),
    aggregator: await stallsOf(running.ports.metrics),
  };
}

/** By the port of a binary's metrics. */
export async function stallsOf(port: number): Promise<Stalls> {
  const response = await fetch(`http://127.0.0.1:${port}/metrics`);
  const text = await response.text();
  const buckets = [...text.matchAll(/event_loop_delay_seconds_bucket\{le="([^"]+)"\} (\d+)/g)].map(
    ([, bound, count]) => ({
      bound: bound === '+Inf' ? Infinity : Number(bound),
      count: Number(count),
    }),
  );
  const total = buckets.at(-1)?.count ?? 0;
  const within = buckets.findLast((bucket) => bucket.bound <= 0.05)?.count ?? total;
  const longest = buckets.find((bucket) => bucket.count === total)?.bound ?? NaN;
  return { over50: total - within, longestAtMostMs: longest * 1000 };
}
