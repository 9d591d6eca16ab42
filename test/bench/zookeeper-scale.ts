import { setTimeout as wait } from 'node:timers/promises';
import type { Client } from 'node-zookeeper-client';
import { startZooKeeper } from '../rigs/zookeeper.ts';
import type { Size } from './measure.ts';
import { connectLoader, seed, seedInterface } from './zookeeper-load.ts';
import { measureZooKeeperAgent } from './zookeeper-scale-agent.ts';
import type { ZooKeeperAgentResult } from './zookeeper-scale-agent.ts';
import { livesOf, measureRestarts, measureZooKeeperChanges } from './zookeeper-scale-changes.ts';
import type { ChangeRun, RestartRun } from './zookeeper-scale-changes.ts';
import type { FloorRead } from './zookeeper-scale-floor.ts';
import { ZooKeeperFloor, ZooKeeperReader } from './zookeeper-scale-readers.ts';
import type { Followed } from './zookeeper-scale-readers.ts';

/**
 * What a large ZooKeeper registry costs the agent's reader, alone in a process, with either driver, and the whole agent:
 * real servers, a bare client beside them in the same run. Milliseconds, MiB.
 */
export interface ZooKeeperScaleResult {
  readonly size: Size;
  /** Of one more interface. */
  readonly restarted: number;
  readonly snapshots: readonly SnapshotRuns[];
  readonly changes: readonly ChangeRun[];
  readonly restarts: readonly RestartRun[];
  readonly agents: readonly ZooKeeperAgentResult[];
}

/** Whole reads with one driver. */
export interface SnapshotRuns {
  readonly reader: Followed['name'];
  readonly runs: readonly SnapshotRun[];
  /** A while after the first snapshot; undefined where it was not waited for. */
  readonly settledRssMiB: number | undefined;
}

/** One whole read, and the floor just before it. */
interface SnapshotRun {
  readonly ms: number;
  readonly cpuMs: number;
  readonly peakRssMiB: number;
  readonly longestStallMs: number;
  /** The longest time for which the reader itself held the loop. */
  readonly longestHoldMs: number;
  readonly bytes: number;
  readonly floor: FloorRead;
}

export interface ZooKeeperScaleOptions {
  readonly size: Size;
  readonly isQuick: boolean;
}

const restarted = 1_000;

/** One registry on one server. */
interface Registry {
  readonly client: Client;
  readonly server: string;
  readonly size: Size;
  readonly instances: number;
}

export async function zookeeperScale(
  options: ZooKeeperScaleOptions,
): Promise<ZooKeeperScaleResult> {
  const { size, isQuick } = options;
  const snapshots: SnapshotRuns[] = [];
  const changes: ChangeRun[] = [];
  const restarts: RestartRun[] = [];
  const agents: ZooKeeperAgentResult[] = [];
  const settleMs = isQuick ? 8_000 : 40_000;
  const reads = isQuick ? 1 : 3;
  const changeCount = isQuick ? 100 : 200;
  const runAgent = async (followed: Followed, registry: Registry): Promise<void> => {
    progress(`the agent, ${followed.name}`);
    agents.push(
      await measureZooKeeperAgent({ ...registry, followed, changes: changeCount, settleMs }),
    );
  };
  await withRegistry('3.9.5', size, async (registry) => {
    const drivers: readonly Followed[] = [
      { name: 'persistent', driver: 'as usual', server: registry.server },
      { name: 'one-shot', driver: 'one-shot', server: registry.server },
    ];
    for (const [round, followed] of drivers.entries()) {
      progress(`first snapshots, ${followed.name}`);
      const runs: SnapshotRun[] = [];
      for (let read = 0; read < reads; read += 1) runs.push(await snapshotRun(followed, registry));
      const [, , { release }] = livesOf(round);
      const reader = new ZooKeeperReader(followed, release);
      try {
        await reader.snapshot(registry.instances);
        await wait(settleMs);
        const { rssMiB } = await reader.usage(false);
        snapshots.push({ reader: followed.name, runs, settledRssMiB: rssMiB });
        progress(`changes, ${followed.name}`);
        const { client } = registry;
        changes.push(
          await measureZooKeeperChanges(reader, { followed, client, size, changes: changeCount }),
        );
        progress(`restarts, ${followed.name}`);
        const where = { service: size.services, firstProvider: firstRestarted, count: restarted };
        restarts.push(...(await measureRestarts(reader, { followed, client, ...where, round })));
      } finally {
        await reader.stop();
      }
    }
    const [persistent] = drivers;
    if (persistent !== undefined) await runAgent(persistent, registry);
  });
  await withRegistry('3.4.14', size, async (registry) => {
    const { server } = registry;
    const followed: Followed = { name: 'one-shot, 3.4.14', driver: 'as usual', server };
    progress(`first snapshots, ${followed.name}`);
    const runs: SnapshotRun[] = [];
    for (let read = 0; read < reads; read += 1) runs.push(await snapshotRun(followed, registry));
    snapshots.push({ reader: followed.name, runs, settledRssMiB: undefined });
    await runAgent(followed, registry);
  });
  return { size, restarted, snapshots, changes, restarts, agents };
}

const firstRestarted = 14_000_000;

async function withRegistry(
  version: '3.9.5' | '3.4.14',
  size: Size,
  use: (registry: Registry) => Promise<void>,
): Promise<void> {
  progress(`ZooKeeper ${version}: filling it`);
  await using rig = await startZooKeeper({
    version,
    maxSessionTimeoutMs: 60_000,
    jvm: ['-Xmx2g'],
  });
  const client = await connectLoader(rig.connectString);
  try {
    await seed(client, size.services, size.endpoints);
    await seedInterface(client, size.services, { firstProvider: firstRestarted, count: restarted });
    const instances = size.services * size.endpoints + restarted;
    await use({ client, server: rig.connectString, size, instances });
  } finally {
    client.close();
  }
}

async function snapshotRun(followed: Followed, registry: Registry): Promise<SnapshotRun> {
  const { size, instances } = registry;
  const port = Number(followed.server.split(':')[1]);
  const kind = followed.name === 'persistent' ? 'multi' : 'single';
  const bare = new ZooKeeperFloor({ kind, port, services: size.services + 1 });
  const floor = await bare.read();
  await bare.stop();
  const reader = new ZooKeeperReader(followed, '');
  const { sinceStartMs, cpuMs } = await reader.snapshot(instances);
  const { peakRssMiB, longestStallMs, longestHoldMs, bytes } = await reader.usage(false);
  await reader.stop();
  return { ms: sinceStartMs, cpuMs, peakRssMiB, longestStallMs, longestHoldMs, bytes, floor };
}

function progress(what: string): void {
  process.stderr.write(`zookeeper-scale: ${what} ...\n`);
}
