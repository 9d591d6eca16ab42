import { setTimeout as wait } from 'node:timers/promises';
import type { Client } from 'node-zookeeper-client';
import type { Binary } from '../support/binaries.ts';
import { startAgent } from '../support/binaries.ts';
import { startTcpProxy } from '../support/tcp-proxy.ts';
import type { Size } from './measure.ts';
import { peakRssMiB } from './loop-watch.ts';
import { stallsOf } from './stalls.ts';
import { spread } from './statistics.ts';
import type { Spread } from './statistics.ts';
import { create, providerPath } from './zookeeper-load.ts';
import { FeedEnd } from './zookeeper-scale-feed.ts';
import type { Followed } from './zookeeper-scale-readers.ts';

/** What a large ZooKeeper registry costs the whole agent, its feed's other end being a process that only accepts. */
export interface ZooKeeperAgentResult {
  readonly reader: Followed['name'];
  readonly steps: readonly AgentStep[];
  /** From just before the create call until the feed's other end has the Delta, milliseconds. */
  readonly created: Spread;
}

interface AgentStep {
  readonly name: string;
  /** From the step's beginning until the feed's other end has what it must; NaN where it only waits. */
  readonly ms: number;
  readonly rssMiB: number;
  /** Since the start. */
  readonly peakRssMiB: number;
  readonly cpuSeconds: number;
  /** Event-loop delays over 50 ms, other processes that wanted the CPU included. */
  readonly over50: number;
  /** Upper bound of the highest bucket that is not empty, since the start. */
  readonly longestAtMostMs: number;
}

const pauseMs = 30;
let provider = 12_000_000;

/** Starts an agent beside a full registry, changes it, and breaks its connection twice. */
export async function measureZooKeeperAgent(run: {
  readonly followed: Followed;
  readonly client: Client;
  readonly size: Size;
  readonly instances: number;
  readonly changes: number;
  readonly settleMs: number;
}): Promise<ZooKeeperAgentResult> {
  const { followed, client, size, instances, settleMs } = run;
  const feed = new FeedEnd();
  const aggregator = await feed.listen();
  const [host = '', port = ''] = followed.server.split(':');
  await using proxy = await startTcpProxy({ host, port: Number(port) });
  const startedAt = performance.now();
  const whole = feed.next('snapshot');
  const agent = await startAgent(['--zookeeper', `dc1/bench=127.0.0.1:${proxy.port}`], aggregator);
  const steps: AgentStep[] = [];
  const step = stepsOf(agent, steps);
  const change = async (): Promise<number> => {
    provider += 1;
    const since = performance.now();
    const seen = feed.next('delta');
    await create(client, providerPath((provider * 7919) % size.services, provider));
    return (await seen).at - since;
  };
  try {
    const { count, at } = await whole;
    if (count !== instances) throw new Error(`the agent said ${count} of ${instances} instances`);
    await step('first snapshot', at - startedAt);
    await wait(settleMs);
    await step('settled', NaN);
    const latencies: number[] = [];
    for (let index = 0; index < run.changes; index += 1) {
      await wait(pauseMs);
      latencies.push(await change());
    }
    await step(`${run.changes} changes`, NaN);
    for (let cut = 0; cut < 2; cut += 1) {
      proxy.cut();
      await step('cut, read again', await change());
      await wait(settleMs);
      await step('settled', NaN);
    }
    return { reader: followed.name, steps, created: spread(latencies) };
  } finally {
    await agent.stop();
    feed.close();
  }
}

function stepsOf(agent: Binary & { readonly metricsPort: number }, steps: AgentStep[]) {
  let cpuBefore = 0;
  let over50Before = 0;
  return async (name: string, ms: number): Promise<void> => {
    const cpu = agent.cpuSeconds();
    const { over50, longestAtMostMs } = await stallsOf(agent.metricsPort);
    steps.push({
      name,
      ms,
      rssMiB: agent.rssMiB(),
      peakRssMiB: peakRssMiB(agent.pid),
      cpuSeconds: cpu - cpuBefore,
      over50: over50 - over50Before,
      longestAtMostMs,
    });
    cpuBefore = cpu;
    over50Before = over50;
  };
}
