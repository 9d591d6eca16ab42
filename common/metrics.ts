import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { HttpReply, Route } from './http-server.ts';
import { json, plain } from './http-server.ts';
import { sleep } from './sleep.ts';

/** The buckets of every lag histogram, seconds. */
const lagBuckets = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300,
];

const loopBuckets = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5];
const loopPeriodMs = 20;

/**
 * Makes the metrics of a binary: names get its prefix, everything goes into one registry. Several
 * factories may share one (agents and aggregator in one process), each with a prefix of its own.
 */
export class MetricFactory {
  readonly registry: Registry;
  private readonly prefix: string;

  /** @param prefix with the trailing underscore: `tributary_agent_` */
  constructor(prefix: string, registry = new Registry()) {
    this.prefix = prefix;
    this.registry = registry;
  }

  counter<L extends string>(name: string, help: string, labelNames: readonly L[] = []): Counter<L> {
    return new Counter({ name: this.prefix + name, help, labelNames, registers: [this.registry] });
  }

  /** @param collect sets the values when somebody asks; what it does not set then is gone */
  gauge<L extends string>(
    name: string,
    help: string,
    labelNames: readonly L[] = [],
    collect?: (gauge: Gauge<L>) => void,
  ): Gauge<L> {
    return new Gauge({
      name: this.prefix + name,
      help,
      labelNames,
      registers: [this.registry],
      ...(collect === undefined
        ? {}
        : {
            collect(this: Gauge<L>) {
              this.reset();
              collect(this);
            },
          }),
    });
  }

  histogram<L extends string>(
    name: string,
    help: string,
    labelNames: readonly L[] = [],
    buckets: readonly number[] = lagBuckets,
  ): Histogram<L> {
    return new Histogram({
      name: this.prefix + name,
      help,
      labelNames,
      buckets: [...buckets],
      registers: [this.registry],
    });
  }
}

/** Version and process figures that every binary has. */
export function addProcessMetrics(factory: MetricFactory, version: string): void {
  factory.gauge('build_info', 'Always 1; the version is in the label.', ['version'], (gauge) =>
    gauge.set({ version }, 1),
  );
  const registers = [factory.registry];
  new Gauge({
    name: 'process_resident_memory_bytes',
    help: 'Resident memory of the process.',
    registers,
    collect() {
      this.set(process.memoryUsage.rss());
    },
  });
  new Gauge({
    name: 'process_heap_used_bytes',
    help: 'JavaScript heap in use.',
    registers,
    collect() {
      this.set(process.memoryUsage().heapUsed);
    },
  });
  new Gauge({
    name: 'process_start_time_seconds',
    help: 'Start of the process, seconds since the epoch.',
    registers,
  }).set(Math.round((Date.now() - process.uptime() * 1000) / 1000));
  let countedSeconds = 0;
  new Counter({
    name: 'process_cpu_seconds_total',
    help: 'User and system CPU time of the process.',
    registers,
    collect() {
      const { user, system } = process.cpuUsage();
      const seconds = (user + system) / 1e6;
      this.inc(seconds - countedSeconds);
      countedSeconds = seconds;
    },
  });
}

/**
 * Measures how long the event loop keeps a due timer waiting, every 20 ms, until the signal aborts.
 * A histogram of our own instead of a gauge, so that a stall is counted whoever scrapes when.
 */
export async function measureEventLoop(factory: MetricFactory, signal: AbortSignal): Promise<void> {
  const delay = factory.histogram(
    'event_loop_delay_seconds',
    'How long a due timer waited for the event loop; sampled every 20 ms.',
    [],
    loopBuckets,
  );
  while (!signal.aborted) {
    const startedAt = performance.now();
    await sleep(loopPeriodMs, signal);
    delay.observe(Math.max(0, performance.now() - startedAt - loopPeriodMs) / 1000);
  }
}

/** Whether the process can do its work, and why not. */
export interface Readiness {
  readonly isReady: boolean;
  readonly reason: string;
}

/** `/metrics`, `/healthz` (the process runs) and `/readyz`. */
export function healthRoutes(registry: Registry, readiness: () => Readiness): Route[] {
  return [
    { method: 'GET', path: '/metrics', handle: () => renderMetrics(registry) },
    { method: 'GET', path: '/healthz', handle: () => plain('ok\n') },
    {
      method: 'GET',
      path: '/readyz',
      handle: () => {
        const { isReady, reason } = readiness();
        return plain(`${isReady ? 'ready' : `not ready: ${reason}`}\n`, isReady ? 200 : 503);
      },
    },
    {
      method: 'GET',
      path: '/',
      handle: () => json({ paths: ['/metrics', '/healthz', '/readyz'] }),
    },
  ];
}

async function renderMetrics(registry: Registry): Promise<HttpReply> {
  return { status: 200, contentType: registry.contentType, body: await registry.metrics() };
}
