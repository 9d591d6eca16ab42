import { Registry } from 'prom-client';
import type { Logger } from 'pino';
import { addProcessMetrics, measureEventLoop } from '../common/metrics.ts';
import { runAll } from '../common/run-all.ts';
import { runProgram } from '../common/run-program.ts';
import { softwareVersion } from '../common/version.ts';
import { Aggregator, logListening } from './aggregator.ts';
import { aggregatorProgram, feedAddress } from './config.ts';
import type { AggregatorValues } from './config.ts';
import type { FeedServerOptions } from './feed-server.ts';
import { AggregatorMetrics } from './metrics.ts';

/** The aggregator as a process. */

await runProgram(aggregatorProgram, run);

async function run(values: AggregatorValues, log: Logger, signal: AbortSignal): Promise<void> {
  const metrics = new AggregatorMetrics(new Registry());
  addProcessMetrics(metrics.factory, softwareVersion);
  const aggregator = new Aggregator(
    { values, expected: values.expect, feed: feedServerOptions(values) },
    metrics,
    log,
  );
  await runAll(signal, [
    [(stop) => aggregator.run(stop, (listening) => logListening(log, listening))],
    [(stop) => measureEventLoop(metrics.factory, stop)],
  ]);
}

function feedServerOptions(values: AggregatorValues): FeedServerOptions {
  const { feedCert, feedKey, feedClientCa, feedTokenFile, feedClients } = values;
  const everything = ['*'];
  return {
    ...feedAddress(values),
    ...(feedCert === undefined || feedKey === undefined
      ? {}
      : {
          tls: {
            certFile: feedCert,
            keyFile: feedKey,
            ...(feedClientCa === undefined ? {} : { clientCaFile: feedClientCa }),
          },
        }),
    clients: [
      ...(feedTokenFile === undefined
        ? []
        : [{ tokenFile: feedTokenFile, registries: everything }]),
      ...feedClients,
    ],
  };
}
