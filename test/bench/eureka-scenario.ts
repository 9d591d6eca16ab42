import { fork } from 'node:child_process';
import { once } from 'node:events';
import { measureChanges, measureIdle, startBoth } from './measure.ts';
import type { PlannedChange } from './measure.ts';
import { loopStalls } from './stalls.ts';
import type { ScenarioOptions, ScenarioResult } from './zookeeper-scenario.ts';

interface Seen {
  readonly instance: number;
  readonly visibleAt: number;
}

/**
 * An instance registers in a Eureka-compatible registry; latency counts from the moment at which the
 * registry hands over the first response that shows it, until the push is whole at the subscriber.
 */
export async function eurekaScenario(options: ScenarioOptions): Promise<ScenarioResult> {
  const { services, endpoints } = options.size;
  const script = new URL('eureka-server.ts', import.meta.url).pathname;
  const server = fork(script, [String(services), String(endpoints)]);
  const [{ port }] = (await once(server, 'message')) as [{ port: number }];
  const toLocal = performance.now() - Number(process.hrtime.bigint()) / 1e6;
  const visible = new Map<number, (at: number) => void>();
  server.on('message', (message) => {
    const { instance, visibleAt } = message as Seen;
    visible.get(instance)?.(visibleAt + toLocal);
  });
  const url = `http://127.0.0.1:${port}/eureka/`;
  try {
    const running = await startBoth(
      ['--eureka', `dc1/bench=${url}`, '--eureka-poll-interval', '200ms'],
      'dc1/bench',
    );
    try {
      const first = running.pushes[0];
      const idle = await measureIdle(running, 5);
      let next = services * endpoints + 1;
      const plan = (count: number): PlannedChange[] =>
        Array.from({ length: count }, (_, index) => {
          const service = (index * 7919) % services;
          const instance = (next += 1);
          return {
            resource: `tributary/bench-${String(service).padStart(5, '0')}.tributary.internal`,
            make: () =>
              new Promise<number>((resolve) => {
                visible.set(instance, resolve);
                server.send({ service, instance });
              }),
          };
        });
      await measureChanges(running, plan(5), 1);
      const slow = await measureChanges(running, plan(options.slowChanges), 1);
      const fast = await measureChanges(running, plan(options.fastSeconds * 50), 50);
      return {
        registry: 'eureka',
        size: options.size,
        firstPushMs: running.firstPushMs,
        bytesPerEndpoint: (first?.bytes ?? 0) / (services * endpoints),
        idle,
        floor: undefined,
        paced: [slow, fast],
        stalls: await loopStalls(running),
      };
    } finally {
      await running.stop();
    }
  } finally {
    server.disconnect();
  }
}
