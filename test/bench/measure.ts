import { setTimeout as wait } from 'node:timers/promises';
import type { Binary, AggregatorPorts } from '../support/binaries.ts';
import { aggregatorPorts, startAgent, startAggregator } from '../support/binaries.ts';
import { Subscriber } from './subscriber.ts';
import type { Push } from './subscriber.ts';
import { spread } from './statistics.ts';
import type { Spread } from './statistics.ts';

/** What every scenario measures, whatever the registry. Times in milliseconds. */

export interface Size {
  readonly services: number;
  readonly endpoints: number;
}

export interface Usage {
  readonly cpuSeconds: number;
  readonly rssMiB: number;
}

export interface PacedResult {
  readonly changesPerSecond: number;
  readonly latency: Spread;
  /** From the change until an istiod that debounces (100 ms quiet, 10 s at most) would act. */
  readonly debounced: Spread;
  readonly pushes: number;
  readonly bytesPerPush: number;
  /** Resources that came with another version, for each really changed one. */
  readonly resentPerChanged: number;
  readonly agent: Usage;
  readonly aggregator: Usage;
  readonly cpuSecondsPerChange: number;
}

/** Both binaries, started cold against a registry that is already full, and one subscriber. */
export interface Running {
  readonly agent: Binary & { readonly metricsPort: number };
  readonly aggregator: Binary;
  readonly ports: AggregatorPorts;
  readonly pushes: Push[];
  readonly firstPushMs: number;
  /** Called with each push from then on. */
  readonly listener: { onPush: (push: Push) => void };
  stop(): Promise<void>;
}

/** Starts both at once; resolves at the first complete push. */
export async function startBoth(registry: readonly string[], id: string): Promise<Running> {
  const ports = await aggregatorPorts();
  const startedAt = performance.now();
  const aggregatorStarting = startAggregator(ports, id);
  const agentStarting = startAgent(registry, `127.0.0.1:${ports.feed}`);
  const aggregator = await aggregatorStarting;
  const pushes: Push[] = [];
  const first = Promise.withResolvers<Push>();
  const listener: Running['listener'] = { onPush: () => undefined };
  const subscriber = new Subscriber({
    address: `127.0.0.1:${ports.mcp}`,
    onPush: (push) => {
      pushes.push(push);
      first.resolve(push);
      listener.onPush(push);
    },
  });
  const agent = await agentStarting;
  const { at } = await first.promise;
  return {
    agent,
    aggregator,
    ports,
    pushes,
    listener,
    firstPushMs: at - startedAt,
    stop: async () => {
      subscriber.close();
      await agent.stop();
      await aggregator.stop();
    },
  };
}

/** One change to be made: which resource it shows in, and how to make it. */
export interface PlannedChange {
  /** `namespace/name` of the resource that it changes. */
  readonly resource: string;
  /** Makes the change; resolves with the moment from which latency counts (`performance.now()`). */
  readonly make: () => Promise<number>;
}

/**
 * Makes the changes at a steady rate and waits until each has been seen. Changes that are under way
 * at one time must be of different resources.
 */
export async function measureChanges(
  running: Running,
  changes: readonly PlannedChange[],
  changesPerSecond: number,
): Promise<PacedResult> {
  await wait(2_000); // the first change after quiet
  const waiting = new Map<string, number>();
  const latencies: number[] = [];
  const seenAt: number[] = [];
  const madeAt: number[] = [];
  let resent = 0;
  let expected = 0;
  const before = usage(running);
  const pushesBefore = running.pushes.length;
  const unmatched: Push[] = [];
  const match = (push: Push): void => {
    for (const name of push.changed) {
      const since = waiting.get(name);
      if (since === undefined) continue;
      waiting.delete(name);
      latencies.push(push.at - since);
      madeAt.push(since);
      seenAt.push(push.at);
    }
  };
  running.listener.onPush = (push) => {
    resent += push.changed.length;
    unmatched.push(push);
    match(push);
  };
  const startedAt = performance.now();
  for (const [index, change] of changes.entries()) {
    const due = startedAt + (index * 1000) / changesPerSecond;
    const delay = due - performance.now();
    if (delay > 0) await wait(delay);
    expected += 1;
    void change.make().then((since) => {
      waiting.set(change.resource, since);
      const early = unmatched.find(
        (push) => push.at >= since && push.changed.includes(change.resource),
      );
      if (early !== undefined) match({ ...early, changed: [change.resource] });
    });
  }
  const until = performance.now() + 60_000;
  while (latencies.length < expected && performance.now() < until) await wait(5);
  if (latencies.length < expected) {
    throw new Error(`${expected - latencies.length} of ${expected} changes were never pushed`);
  }
  const elapsed = { before, after: usage(running) };
  running.listener.onPush = () => undefined;
  const taken = running.pushes.slice(pushesBefore);
  const cpu =
    elapsed.after.agent.cpuSeconds -
    before.agent.cpuSeconds +
    elapsed.after.aggregator.cpuSeconds -
    before.aggregator.cpuSeconds;
  return {
    changesPerSecond,
    latency: spread(latencies),
    debounced: spread(debounce(taken, madeAt, seenAt)),
    pushes: taken.length,
    bytesPerPush: taken.at(-1)?.bytes ?? 0,
    resentPerChanged: resent / expected,
    agent: elapsed.after.agent,
    aggregator: elapsed.after.aggregator,
    cpuSecondsPerChange: cpu / expected,
  };
}

/** When an istiod would act on each change: after 100 ms without a push, 10 s at most. */
function debounce(
  pushes: readonly Push[],
  madeAt: readonly number[],
  seenAt: readonly number[],
): number[] {
  const acts: number[] = [];
  let first = -1;
  for (const [index, push] of pushes.entries()) {
    if (first < 0) first = push.at;
    const next = pushes[index + 1]?.at ?? Infinity;
    const quiet = push.at + 100;
    const latest = first + 10_000;
    if (next < quiet && next < latest) continue;
    acts.push(Math.min(quiet, latest));
    first = -1;
  }
  return seenAt.map((seen, index) => {
    const act = acts.find((at) => at >= seen) ?? seen + 100;
    return act - (madeAt[index] ?? seen);
  });
}

function usage(running: Running): { readonly agent: Usage; readonly aggregator: Usage } {
  const of = (binary: Binary): Usage => ({
    cpuSeconds: binary.cpuSeconds(),
    rssMiB: binary.rssMiB(),
  });
  return { agent: of(running.agent), aggregator: of(running.aggregator) };
}

/** CPU seconds a second while nothing changes. */
export async function measureIdle(
  running: Running,
  seconds: number,
): Promise<{
  readonly agentCpu: number;
  readonly aggregatorCpu: number;
  readonly agentRssMiB: number;
  readonly aggregatorRssMiB: number;
}> {
  const before = usage(running);
  await wait(seconds * 1000);
  const after = usage(running);
  return {
    agentCpu: (after.agent.cpuSeconds - before.agent.cpuSeconds) / seconds,
    aggregatorCpu: (after.aggregator.cpuSeconds - before.aggregator.cpuSeconds) / seconds,
    agentRssMiB: after.agent.rssMiB,
    aggregatorRssMiB: after.aggregator.rssMiB,
  };
}
