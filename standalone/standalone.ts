import { hostname } from 'node:os';
import { Registry } from 'prom-client';
import type { Logger } from 'pino';
import { composeAgent } from '../agent/compose.ts';
import type { RegistryAddress } from '../agent/compose.ts';
import { AgentMetrics } from '../agent/metrics.ts';
import { Aggregator } from '../aggregator/aggregator.ts';
import type { Listening } from '../aggregator/aggregator.ts';
import { AggregatorMetrics } from '../aggregator/metrics.ts';
import { addProcessMetrics, measureEventLoop } from '../common/metrics.ts';
import { runAll } from '../common/run-all.ts';
import { untilAborted } from '../common/until-aborted.ts';
import { softwareVersion } from '../common/version.ts';
import type { StandaloneValues } from './config.ts';

/**
 * Agents and an aggregator in one process, talking over loopback gRPC as they would over a network.
 * What is read is what is expected. Rejects on a defect, or with ListenError.
 */
export async function runStandalone(
  registries: readonly RegistryAddress[],
  values: StandaloneValues,
  around: { readonly log: Logger; readonly onListening: (listening: Listening) => void },
  signal: AbortSignal,
): Promise<void> {
  const { log } = around;
  const shared = new Registry();
  const aggregatorMetrics = new AggregatorMetrics(shared);
  const agentMetrics = new AgentMetrics(shared);
  addProcessMetrics(aggregatorMetrics.factory, softwareVersion);
  const aggregator = new Aggregator(
    {
      values,
      expected: registries.map(({ address }) => address.registry),
      feed: { host: '127.0.0.1', port: 0, clients: [] },
    },
    aggregatorMetrics,
    log.child({ part: 'aggregator' }),
  );
  const listening = Promise.withResolvers<Listening>();
  await runAll(signal, [
    [
      async (stop) => {
        const found = await Promise.race([listening.promise, untilAborted(stop)]);
        if (found === undefined || stop.aborted) return;
        const agents = registries.map((registry) =>
          composeAgent(registry, {
            values,
            agentId: `standalone-${hostname()}`,
            feed: { aggregators: [found.feed], access: {} },
            metrics: agentMetrics,
            log: log.child({ part: 'agent' }),
          }),
        );
        await runAll(stop, [agents.map((agent) => (end: AbortSignal) => agent.run(end))]);
      },
    ],
    [
      (stop) =>
        aggregator.run(stop, (found) => {
          listening.resolve(found);
          around.onListening(found);
        }),
    ],
    [(stop) => measureEventLoop(aggregatorMetrics.factory, stop)],
  ]);
}
