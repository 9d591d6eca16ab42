import { mkdirSync, writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { pino } from 'pino';
import { defaultEurekaOptions } from '../../agent/eureka/options.ts';
import type { EurekaOptions } from '../../agent/eureka/options.ts';
import { createEurekaSource } from '../../agent/eureka/source.ts';
import type { RegistryId } from '../../common/registry.ts';
import { startNetflixEureka } from '../rigs/eureka.ts';
import type { NetflixEurekaOptions } from '../rigs/eureka.ts';
import { freePorts } from '../rigs/ports.ts';
import { eurekaApplication } from '../support/eureka-application.ts';
import { FollowedSource, RememberedReport } from '../support/followed-source.ts';
import { spread, table } from './statistics.ts';

/**
 * `npm run bench:eureka-lag`: how long a registration at a real Eureka server takes to become an event of the
 * agent's source, by the server's caches, the poll interval, and with push. It waits for caches of 30 s, so it takes
 * some minutes, most of them idle; the figures are the registry's, not the machine's.
 */
interface Setup {
  readonly name: string;
  readonly server: 'default' | 'short-cache' | 'no-cache';
  readonly options: Partial<EurekaOptions>;
  /** The contract between Eureka's caches and a poller, by its source: seconds at worst and in the mean. */
  readonly expected: string;
}

const caches: Readonly<
  Record<Setup['server'], NonNullable<NetflixEurekaOptions['systemProperties']>>
> = {
  default: { 'eureka.shouldUseReadOnlyResponseCache': true },
  'short-cache': {
    'eureka.shouldUseReadOnlyResponseCache': true,
    'eureka.responseCacheUpdateIntervalMs': 3_000,
  },
  'no-cache': { 'eureka.shouldUseReadOnlyResponseCache': false },
};

const setups: readonly Setup[] = [
  {
    name: 'defaults, poll 30 s',
    server: 'default',
    options: { pollIntervalMs: 30_000 },
    expected: '60 / 30',
  },
  {
    name: 'defaults, poll 5 s',
    server: 'default',
    options: { pollIntervalMs: 5_000 },
    expected: '35 / 17.5',
  },
  {
    name: 'cache 3 s, poll 2 s',
    server: 'short-cache',
    options: { pollIntervalMs: 2_000 },
    expected: '5 / 2.5',
  },
  {
    name: 'no cache, poll 1 s',
    server: 'no-cache',
    options: { pollIntervalMs: 1_000 },
    expected: '1 / 0.5',
  },
  {
    name: 'defaults, poll 30 s, push',
    server: 'default',
    options: { pollIntervalMs: 30_000 },
    expected: '1 / 0.5',
  },
];

const samples = process.argv.includes('--quick') ? 3 : 10;

/** All setups of one server side by side: each sample is one registration that all of them wait for. */
async function measureServer(server: Setup['server']): Promise<Map<string, number[]>> {
  const [pushPort = 0] = await freePorts(1);
  await using rig = await startNetflixEureka({
    host: 'localhost',
    peers: [`http://127.0.0.1:${pushPort}/eureka/`],
    systemProperties: caches[server],
  });
  const own = setups.filter((setup) => setup.server === server);
  const followed = own.map((setup) => {
    const isPushed = setup.name.endsWith('push');
    const push = isPushed
      ? {
          listen: { host: '127.0.0.1', port: pushPort },
          userFile: undefined,
          certFile: undefined,
          keyFile: undefined,
          clientCaFile: undefined,
        }
      : undefined;
    const source = createEurekaSource(
      {
        ...defaultEurekaOptions,
        registry: 'bench/eureka' as RegistryId,
        serviceUrls: [rig.serviceUrl],
        emptyHoldMs: 0,
        ...setup.options,
        push,
      },
      new RememberedReport(),
      pino({ level: 'silent' }),
    );
    return { name: setup.name, source: new FollowedSource(source) };
  });
  const lags = new Map<string, number[]>(own.map(({ name }) => [name, []]));
  for (let i = -1; i < samples; i += 1) {
    // Spread over the phases of cache and poll.
    await delay(i < 0 ? 3_000 : (((i * 0.618) % 1) * 30_000) / (server === 'default' ? 1 : 10));
    const address = `10.1.${i + 1}.1`;
    const id = `BENCH/${address}:bench`;
    const startedAt = performance.now();
    await eurekaApplication(rig.serviceUrl, 'BENCH', address).register();
    await Promise.all(
      followed.map(async ({ name, source }) => {
        while (!source.view.has(id)) await delay(5);
        if (i >= 0) lags.get(name)?.push(performance.now() - startedAt);
      }),
    );
    process.stderr.write(`${server}: ${i + 1} of ${samples}\n`);
  }
  await Promise.all(followed.map(({ source }) => source.stop()));
  return lags;
}

const measured = await Promise.all(
  (['default', 'short-cache', 'no-cache'] as const).map(measureServer),
);
const rows = setups.map(({ name, expected }) => {
  const lags = measured.flatMap((one) => one.get(name) ?? []);
  const { p50, max } = spread(lags);
  const seconds = (value: number): string => (value / 1000).toFixed(2);
  const mean = lags.reduce((sum, lag) => sum + lag, 0) / lags.length;
  return {
    name,
    expected,
    samples: lags.length,
    p50: seconds(p50),
    mean: seconds(mean),
    worst: seconds(max),
  };
});
console.log(
  table(
    [
      'Eureka server and agent',
      'by its caches: worst / mean, s',
      'samples',
      'p50, s',
      'mean, s',
      'worst, s',
    ],
    rows.map((row) => [row.name, row.expected, String(row.samples), row.p50, row.mean, row.worst]),
  ),
);
const folder = new URL('results/', import.meta.url).pathname;
mkdirSync(folder, { recursive: true });
writeFileSync(`${folder}eureka-lag.json`, `${JSON.stringify(rows, null, 2)}\n`);
