import { startZooKeeper } from '../rigs/zookeeper.ts';
import { measureChanges, measureIdle, startBoth } from './measure.ts';
import type { PacedResult, PlannedChange, Size } from './measure.ts';
import { measureFloor } from './floor-run.ts';
import { connectLoader, create, interfaceName, providerPath, seed } from './zookeeper-load.ts';
import { loopStalls } from './stalls.ts';
import type { Spread } from './statistics.ts';

export interface ScenarioResult {
  readonly registry: string;
  readonly size: Size;
  readonly firstPushMs: number;
  readonly bytesPerEndpoint: number;
  readonly idle: Awaited<ReturnType<typeof measureIdle>>;
  readonly floor: Spread | undefined;
  readonly paced: readonly PacedResult[];
  /** Event-loop delays of both processes over the whole scenario, start included. */
  readonly stalls: Awaited<ReturnType<typeof loopStalls>>;
}

export interface ScenarioOptions {
  readonly size: Size;
  /** Changes at one a second, and seconds at fifty a second. */
  readonly slowChanges: number;
  readonly fastSeconds: number;
}

/** A provider registers in a real ZooKeeper -> the push that carries it is whole at the subscriber. */
export async function zookeeperScenario(options: ScenarioOptions): Promise<ScenarioResult> {
  const { services, endpoints } = options.size;
  await using zookeeper = await startZooKeeper({ maxSessionTimeoutMs: 60_000, jvm: ['-Xmx2g'] });
  const client = await connectLoader(zookeeper.connectString);
  await seed(client, services, endpoints);
  const running = await startBoth(
    ['--zookeeper', `dc1/bench=${zookeeper.connectString}`],
    'dc1/bench',
  );
  try {
    const first = running.pushes[0];
    const idle = await measureIdle(running, 5);
    let provider = services * endpoints + 1;
    const plan = (count: number): PlannedChange[] =>
      Array.from({ length: count }, (_, index) => {
        const service = Math.floor(((index * 7919) % services) + 0);
        const path = providerPath(service, (provider += 1));
        return {
          resource: `tributary/${interfaceName(service).toLowerCase()}.dubbo.tributary.internal`,
          make: () => {
            const since = performance.now();
            return create(client, path).then(() => since);
          },
        };
      });
    await measureChanges(running, plan(5), 1);
    const slow = await measureChanges(running, plan(options.slowChanges), 1);
    const fast = await measureChanges(running, plan(options.fastSeconds * 50), 50);
    const stalls = await loopStalls(running);
    const floor = await measureFloor(
      client,
      zookeeper.connectString,
      slow.bytesPerPush,
      Math.max(20, options.slowChanges),
    );
    return {
      registry: 'zookeeper',
      size: options.size,
      firstPushMs: running.firstPushMs,
      bytesPerEndpoint: (first?.bytes ?? 0) / (services * endpoints),
      idle,
      floor,
      paced: [slow, fast],
      stalls,
    };
  } finally {
    await running.stop();
    client.close();
  }
}
