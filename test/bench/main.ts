import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { eurekaAgentScale } from './eureka-agent-scale.ts';
import type { AgentScaleResult } from './eureka-agent-scale.ts';
import { scaleReport } from './eureka-scale-report.ts';
import { eurekaScale } from './eureka-scale.ts';
import type { ScaleResult } from './eureka-scale.ts';
import { eurekaScenario } from './eureka-scenario.ts';
import { short, table } from './statistics.ts';
import { zookeeperScaleReport } from './zookeeper-scale-report.ts';
import { zookeeperScale } from './zookeeper-scale.ts';
import type { ZooKeeperScaleResult } from './zookeeper-scale.ts';
import { zookeeperScenario } from './zookeeper-scenario.ts';
import type { ScenarioResult } from './zookeeper-scenario.ts';

/**
 * `npm run bench`: from a change in a registry to the push at a subscriber, both binaries as
 * processes, beside the physical floor in the same run. Prints tables and writes JSON to
 * test/bench/results/. `--quick`: fewer changes; `--size 100x10` (repeatable) and
 * `--only zookeeper|eureka|eureka-scale|zookeeper-scale` narrow it. What a large Eureka registry costs is measured at sizes
 * from 10,000 on; what a large ZooKeeper registry costs, at one of its own (20000x10, `--quick`: 2000x10).
 */
const args = process.argv.slice(2);
const isQuick = args.includes('--quick');
const valuesOf = (flag: string): string[] =>
  args.flatMap((arg, index) => (arg === flag ? [args[index + 1] ?? ''] : []));
const sizes =
  valuesOf('--size').length > 0 ? valuesOf('--size') : ['100x10', '1000x10', '10000x10'];
const only = valuesOf('--only')[0];

const results: ScenarioResult[] = [];
for (const size of sizes) {
  const [services = 0, endpoints = 0] = size.split('x').map(Number);
  const options = {
    size: { services, endpoints },
    slowChanges: isQuick ? 8 : 30,
    fastSeconds: isQuick ? 4 : 10,
  };
  for (const [name, scenario] of [
    ['zookeeper', zookeeperScenario],
    ['eureka', eurekaScenario],
  ] as const) {
    if (only !== undefined && only !== name) continue;
    process.stderr.write(`${name} ${size} ...\n`);
    results.push(await scenario(options));
  }
}

const readers: ScaleResult[] = [];
const agents: AgentScaleResult[] = [];
const hasEurekaScale = only === undefined || only === 'eureka' || only === 'eureka-scale';
for (const size of hasEurekaScale ? sizes : []) {
  const [services = 0, endpoints = 0] = size.split('x').map(Number);
  if (services * endpoints < 10_000) continue;
  for (const encoding of ['gzip', 'identity'] as const) {
    // Servers compress; what comes uncompressed matters where it is large.
    if (encoding === 'identity' && (isQuick || services * endpoints < 100_000)) continue;
    const options = { size: { services, endpoints }, encoding, isQuick };
    process.stderr.write(`eureka ${size}, ${encoding}: the reader ...\n`);
    readers.push(await eurekaScale(options));
    process.stderr.write(`eureka ${size}, ${encoding}: the agent ...\n`);
    agents.push(await eurekaAgentScale(options));
  }
}

const largeTrees: ZooKeeperScaleResult[] = [];
if (only === undefined || only === 'zookeeper-scale') {
  const asked = only === undefined ? [] : valuesOf('--size');
  for (const size of asked.length > 0 ? asked : [isQuick ? '2000x10' : '20000x10']) {
    const [services = 0, endpoints = 0] = size.split('x').map(Number);
    largeTrees.push(await zookeeperScale({ size: { services, endpoints }, isQuick }));
  }
}

const [cpu] = cpus();
const machine = `${cpus().length} x ${cpu?.model ?? 'unknown'}, ${Math.round(totalmem() / 1e9)} GB, Node ${process.version}`;
const changeReport = [
  '### From the change to the push',
  '',
  table(
    [
      'registry',
      'services x endpoints',
      'changes/s',
      'p50',
      'p95',
      'p99',
      'floor p50',
      'floor p99',
      'p50 / floor',
      'p99 / floor',
      'as a debouncing istiod p50',
      'p99',
      'pushes',
      'MB a push',
      'resent per changed',
    ],
    results.flatMap((result) =>
      result.paced.map((paced) => {
        const isSlow = paced.changesPerSecond === 1 && result.floor !== undefined;
        const { floor } = result;
        return [
          result.registry,
          `${result.size.services} x ${result.size.endpoints}`,
          String(paced.changesPerSecond),
          short(paced.latency.p50),
          short(paced.latency.p95),
          short(paced.latency.p99),
          isSlow ? short(floor?.p50 ?? NaN) : '',
          isSlow ? short(floor?.p99 ?? NaN) : '',
          isSlow ? short(paced.latency.p50 / (floor?.p50 ?? NaN)) : '',
          isSlow ? short(paced.latency.p99 / (floor?.p99 ?? NaN)) : '',
          short(paced.debounced.p50),
          short(paced.debounced.p99),
          String(paced.pushes),
          short(paced.bytesPerPush / 1e6),
          short(paced.resentPerChanged),
        ];
      }),
    ),
  ),
  '',
  '### What it costs',
  '',
  table(
    [
      'registry',
      'services x endpoints',
      'first push',
      'bytes/endpoint',
      'idle CPU % agent',
      'aggregator',
      'RSS MiB agent',
      'aggregator',
      'CPU s/change at 1/s',
      'at 50/s',
      'RSS MiB after agent',
      'aggregator',
      'loop > 50 ms agent',
      'aggregator',
      'longest <= agent',
      'aggregator',
    ],
    results.map((result) => {
      const [slow, fast] = result.paced;
      return [
        result.registry,
        `${result.size.services} x ${result.size.endpoints}`,
        short(result.firstPushMs),
        short(result.bytesPerEndpoint),
        short(result.idle.agentCpu * 100),
        short(result.idle.aggregatorCpu * 100),
        short(result.idle.agentRssMiB),
        short(result.idle.aggregatorRssMiB),
        short(slow?.cpuSecondsPerChange ?? NaN),
        short(fast?.cpuSecondsPerChange ?? NaN),
        short(fast?.agent.rssMiB ?? NaN),
        short(fast?.aggregator.rssMiB ?? NaN),
        String(result.stalls.agent.over50),
        String(result.stalls.aggregator.over50),
        short(result.stalls.agent.longestAtMostMs),
        short(result.stalls.aggregator.longestAtMostMs),
      ];
    }),
  ),
  '',
].join('\n');
const report = [
  `Machine: ${machine}. Milliseconds unless said otherwise.`,
  '',
  ...(results.length > 0 ? [changeReport] : []),
  ...(readers.length > 0 ? [scaleReport(readers, agents)] : []),
  ...(largeTrees.length > 0 ? [zookeeperScaleReport(largeTrees)] : []),
].join('\n');

const folder = new URL('results/', import.meta.url).pathname;
mkdirSync(folder, { recursive: true });
writeFileSync(
  `${folder}latest.json`,
  `${JSON.stringify({ machine, results, readers, agents, largeTrees }, null, 2)}\n`,
);
writeFileSync(`${folder}latest.md`, report);
process.stdout.write(report);
