import { setTimeout as wait } from 'node:timers/promises';
import type { Client } from 'node-zookeeper-client';
import type { Size } from './measure.ts';
import { monotonicMs, spread } from './statistics.ts';
import type { Spread } from './statistics.ts';
import { create, firstLife, providerPath, remove, seedInterface } from './zookeeper-load.ts';
import type { ProviderLife } from './zookeeper-load.ts';
import { ZooKeeperFloor } from './zookeeper-scale-readers.ts';
import type { Followed, ZooKeeperReader } from './zookeeper-scale-readers.ts';

/** From just before the call that changes ZooKeeper until it is known, milliseconds. */
export interface ChangeRun {
  readonly reader: Followed['name'];
  /** Until the loader, which made it, has its answer. */
  readonly answered: Spread;
  readonly created: Spread;
  /** The time for which a removal is held on purpose included. */
  readonly removed: Spread;
  /** A bare watch of the same kind. */
  readonly floor: Spread;
  readonly cpuMsPerCreation: number;
  /** An interface that was not there, with its first provider. */
  readonly newInterface: Spread;
  readonly bytesPerNewInterface: number;
}

/** What restarts of all providers of one large interface cost. */
export interface RestartRun {
  readonly reader: Followed['name'];
  /** `same`: only the timestamp is another one, which no endpoint shows. */
  readonly what: 'same release' | 'new release';
  readonly providers: number;
  readonly perSecond: number;
  /** Since the last creation, until every endpoint is as its new leaf says; NaN where nothing shows. */
  readonly rightMs: number;
  readonly bytes: number;
  /** Of the events that a persistent watch must send for it. */
  readonly leastBytes: number;
  readonly events: number;
  readonly upserts: number;
  readonly removals: number;
  /** Without what the process, watched closely, uses while nothing happens. */
  readonly cpuMs: number;
  readonly longestHoldMs: number;
}

/** The lives of the restarted providers: each round begins where the one before has ended. */
export function livesOf(round: number): readonly [ProviderLife, ProviderLife, ProviderLife] {
  const life = (restarts: number, upgrades: number): ProviderLife => ({
    timestamp: firstLife.timestamp + restarts,
    release: `2.7.${23 + upgrades}`,
  });
  return [life(2 * round, round), life(2 * round + 1, round), life(2 * round + 2, round + 1)];
}

const pauseMs = 30;
const restartsPerSecond = 200;
/** Until nothing more comes of what has been done: longer than removals are held. */
const quietMs = 3_000;

let provider = 10_000_000;

/** One change at a time, in interfaces all over the registry. */
export async function measureZooKeeperChanges(
  reader: ZooKeeperReader,
  run: {
    readonly followed: Followed;
    readonly client: Client;
    readonly size: Size;
    readonly changes: number;
  },
): Promise<ChangeRun> {
  const { followed, client, size, changes } = run;
  const floor = await measureWatch(client, followed, changes);
  const answered: number[] = [];
  const created: number[] = [];
  const removed: number[] = [];
  const paths = Array.from({ length: changes }, (_, index) => {
    provider += 1;
    return providerPath((index * 7919) % size.services, provider);
  });
  reader.clear();
  await reader.usage(false);
  for (const path of paths) {
    await wait(pauseMs);
    const since = monotonicMs();
    const answer = create(client, path).then(() => monotonicMs() - since);
    created.push((await reader.changes(({ upserts }) => upserts > 0)).at - since);
    answered.push(await answer);
  }
  const { cpuMs } = await reader.usage(false);
  for (const path of paths) {
    await wait(pauseMs);
    const since = monotonicMs();
    await remove(client, path);
    removed.push((await reader.changes(({ removals }) => removals > 0)).at - since);
  }
  return {
    reader: followed.name,
    ...(await measureNewInterfaces(reader, client)),
    answered: spread(answered),
    created: spread(created),
    removed: spread(removed),
    floor,
    cpuMsPerCreation: cpuMs / changes,
  };
}

const newInterfaces = 20;
let service = 100_000;

/** Leaves the interfaces behind, without providers. */
async function measureNewInterfaces(
  reader: ZooKeeperReader,
  client: Client,
): Promise<Pick<ChangeRun, 'newInterface' | 'bytesPerNewInterface'>> {
  const latencies: number[] = [];
  await reader.usage(false);
  reader.clear();
  for (let index = 0; index < newInterfaces; index += 1) {
    await wait(pauseMs);
    service += 1;
    provider += 1;
    const since = monotonicMs();
    const made = seedInterface(client, service, { firstProvider: provider, count: 1 });
    latencies.push((await reader.changes(({ upserts }) => upserts > 0)).at - since);
    await made;
  }
  const { bytes } = await reader.usage(false);
  for (let back = 0; back < newInterfaces; back += 1) {
    await remove(client, providerPath(service - back, provider - back));
  }
  return { newInterface: spread(latencies), bytesPerNewInterface: bytes / newInterfaces };
}

let folders = 0;

async function measureWatch(client: Client, followed: Followed, changes: number): Promise<Spread> {
  folders += 1;
  const path = `/floor-${folders}`;
  await create(client, path);
  const kind = followed.name === 'persistent' ? 'persistent' : 'one-shot';
  const port = Number(followed.server.split(':')[1]);
  const floor = new ZooKeeperFloor({ kind, port, path });
  const latencies: number[] = [];
  try {
    await floor.watching();
    for (let index = 0; index < changes; index += 1) {
      await wait(pauseMs);
      const since = monotonicMs();
      const name = providerPath(0, index).split('/').at(-1) ?? '';
      void create(client, `${path}/${name}`);
      latencies.push((await floor.event()) - since);
    }
  } finally {
    await floor.stop();
  }
  return spread(latencies);
}

interface RestartOptions {
  readonly followed: Followed;
  readonly client: Client;
  readonly service: number;
  readonly firstProvider: number;
  readonly count: number;
  readonly from: ProviderLife;
  readonly to: ProviderLife;
}

/** Every provider of an interface is deleted and created anew, at a steady pace. */
async function measureRestart(reader: ZooKeeperReader, run: RestartOptions): Promise<RestartRun> {
  const { client, service, firstProvider, count, from, to } = run;
  const hasNewRelease = from.release !== to.release;
  await reader.usage(true);
  await wait(quietMs);
  const idle = await reader.usage(true);
  reader.clear();
  const startedAt = performance.now();
  const made: Promise<void>[] = [];
  let leastBytes = 0;
  for (let index = 0; index < count; index += 1) {
    const due = startedAt + (index * 1000) / restartsPerSecond;
    if (due > performance.now()) await wait(due - performance.now());
    const paths = [from, to].map((life) => providerPath(service, firstProvider + index, life));
    const [before = '', after = ''] = paths;
    for (const path of paths) leastBytes += eventBytes(path);
    // One connection: the server does them in this order.
    made.push(remove(client, before), create(client, after));
  }
  const lastAt = monotonicMs();
  await Promise.all(made);
  const right = hasNewRelease ? await reader.changes(({ fresh }) => fresh === count) : undefined;
  const rightMs = right === undefined ? NaN : right.at - lastAt;
  await wait(quietMs);
  const usage = await reader.usage(false);
  const idleMs = (idle.cpuMs / quietMs) * (performance.now() - startedAt);
  return {
    reader: run.followed.name,
    what: hasNewRelease ? 'new release' : 'same release',
    providers: count,
    perSecond: restartsPerSecond,
    rightMs,
    bytes: usage.bytes,
    leastBytes,
    events: usage.events,
    upserts: usage.upserts,
    removals: usage.removals,
    cpuMs: usage.cpuMs - idleMs,
    longestHoldMs: usage.longestHoldMs,
  };
}

/** Length of the frame, its header, type and state, and the path. */
function eventBytes(path: string): number {
  return 4 + 16 + 8 + 4 + Buffer.byteLength(path);
}

/** Restarts at the same release, then at the next one. */
export async function measureRestarts(
  reader: ZooKeeperReader,
  run: Omit<RestartOptions, 'from' | 'to'> & { readonly round: number },
): Promise<readonly RestartRun[]> {
  const [first, second, third] = livesOf(run.round);
  return [
    await measureRestart(reader, { ...run, from: first, to: second }),
    await measureRestart(reader, { ...run, from: second, to: third }),
  ];
}
