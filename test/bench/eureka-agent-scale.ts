import { setTimeout as wait } from 'node:timers/promises';
import { freePorts } from '../rigs/ports.ts';
import { registers } from './eureka-records.ts';
import { Bodies, nextGeneration, postBatch } from './eureka-scale.ts';
import { peakRssMiB } from './loop-watch.ts';
import { startBoth } from './measure.ts';
import type { Running, Size } from './measure.ts';
import { loopStalls } from './stalls.ts';
import { spread } from './statistics.ts';
import type { Spread } from './statistics.ts';

/** What a large Eureka registry costs the whole agent, in the situations that cost most. */
export interface AgentScaleResult {
  readonly size: Size;
  readonly encoding: 'gzip' | 'identity';
  readonly steps: readonly AgentStep[];
  /** From the push of a batch of so many registrations until all are whole at a subscriber, milliseconds. */
  readonly pushed: readonly { readonly items: number; readonly latency: Spread }[];
  /** A poll that brings nothing, of the whole agent beside one that hardly polls: CPU milliseconds. */
  readonly idlePollCpuMs: number;
}

export interface AgentStep {
  readonly name: string;
  readonly rssMiB: number;
  /** Since the start. */
  readonly peakRssMiB: number;
  readonly cpuSeconds: number;
  /** Event-loop delays over 50 ms, other processes that wanted the CPU included. */
  readonly over50: number;
}

export interface AgentScaleOptions {
  readonly size: Size;
  readonly encoding: 'gzip' | 'identity';
  readonly isQuick: boolean;
}

const pollMs = 500;
/** Pushes to a subscriber are at least 150 ms apart; the first after quiet goes at once. */
const quietMs = 1_000;

export async function eurekaAgentScale(options: AgentScaleOptions): Promise<AgentScaleResult> {
  const { size, encoding, isQuick } = options;
  const instances = size.services * size.endpoints;
  const [followed, other] = [new Bodies(size), new Bodies(size)];
  const [pushPort = 0] = await freePorts(1);
  try {
    for (const bodies of [followed, other]) {
      await bodies.ready();
      await bodies.order({ kind: 'compress', isOn: encoding === 'gzip' });
    }
    const registry = ['--eureka', `dc1/bench=${followed.url},${other.url}`];
    const polling = [...registry, '--eureka-poll-interval', `${pollMs}ms`];
    const push = ['--eureka-push-listen', `127.0.0.1:${pushPort}`];
    const running = await startBoth([...polling, ...push], 'dc1/bench');
    const steps: AgentStep[] = [];
    try {
      const step = stepsOf(running, steps);
      await step('first snapshot', 0);
      await step('settled', isQuick ? 3_000 : 30_000);
      const idleSeconds = isQuick ? 3 : 20;
      const busy = await cpuPerSecond(running, idleSeconds);
      const pushed = [
        await pushLatency(running, { size, pushPort, items: 1, isQuick }),
        await pushLatency(running, { size, pushPort, items: 250, isQuick }),
      ];
      const generation = nextGeneration();
      for (const bodies of [followed, other]) {
        await bodies.order({ kind: 'delta', rows: instances, generation });
      }
      await step('everybody registers anew', isQuick ? 4_000 : 10_000);
      await step('the same delta again and again', isQuick ? 3_000 : 20_000);
      await followed.order({ kind: 'fail', isOn: true });
      await step('another server is read', isQuick ? 5_000 : 10_000);
      await followed.order({ kind: 'fail', isOn: false });
      await other.order({ kind: 'lose', count: Math.ceil(instances / 4) });
      await step('a quarter is missing: another server is asked', isQuick ? 8_000 : 20_000);
      await running.stop();
      const quiet = await quietCpu(registry, idleSeconds, isQuick);
      const idlePollCpuMs = ((busy - quiet) * 1000) / (1000 / pollMs);
      return { size, encoding, steps, pushed, idlePollCpuMs };
    } finally {
      await running.stop();
    }
  } finally {
    await followed.stop();
    await other.stop();
  }
}

function stepsOf(running: Running, steps: AgentStep[]) {
  let cpuBefore = 0;
  let over50Before = 0;
  return async (name: string, forMs: number): Promise<void> => {
    await wait(forMs);
    const { agent } = running;
    const { over50 } = (await loopStalls(running)).agent;
    const cpu = agent.cpuSeconds();
    steps.push({
      name,
      rssMiB: agent.rssMiB(),
      peakRssMiB: peakRssMiB(agent.pid),
      cpuSeconds: cpu - cpuBefore,
      over50: over50 - over50Before,
    });
    cpuBefore = cpu;
    over50Before = over50;
  };
}

/** CPU seconds a second. */
async function cpuPerSecond({ agent }: Running, seconds: number): Promise<number> {
  const before = agent.cpuSeconds();
  await wait(seconds * 1000);
  return (agent.cpuSeconds() - before) / seconds;
}

/** The same of an agent that hardly polls. */
async function quietCpu(
  registry: readonly string[],
  seconds: number,
  isQuick: boolean,
): Promise<number> {
  const running = await startBoth([...registry, '--eureka-poll-interval', '10m'], 'dc1/bench');
  try {
    await wait(isQuick ? 3_000 : 30_000);
    return await cpuPerSecond(running, seconds);
  } finally {
    await running.stop();
  }
}

async function pushLatency(
  running: Running,
  run: {
    readonly size: Size;
    readonly pushPort: number;
    readonly items: number;
    readonly isQuick: boolean;
  },
): Promise<AgentScaleResult['pushed'][number]> {
  const { size, pushPort, items } = run;
  const resources = Math.min(items, size.services);
  const latencies: number[] = [];
  for (let batch = 0; batch < (run.isQuick ? 5 : 20); batch += 1) {
    await wait(quietMs);
    const changed = new Set<string>();
    const seen = Promise.withResolvers<number>();
    running.listener.onPush = (push) => {
      for (const name of push.changed) changed.add(name);
      if (changed.size >= resources) seen.resolve(push.at);
    };
    const body = registers(size, { count: items, generation: nextGeneration() });
    const sentAt = performance.now();
    await postBatch(pushPort, body);
    latencies.push((await seen.promise) - sentAt);
  }
  running.listener.onPush = () => undefined;
  return { items, latency: spread(latencies) };
}
