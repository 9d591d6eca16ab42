import type { Logger } from 'pino';
import type { RegistryAddress } from '../agent/compose.ts';
import { logListening } from '../aggregator/aggregator.ts';
import { runProgram } from '../common/run-program.ts';
import { standaloneProgram } from './config.ts';
import type { StandaloneValues } from './config.ts';
import { runDemo } from './demo.ts';
import { runStandalone } from './standalone.ts';

/** `npm start`: standalone with the registries that are given, or the demo. */

await runProgram(standaloneProgram, run);

async function run(values: StandaloneValues, log: Logger, signal: AbortSignal): Promise<void> {
  const registries: RegistryAddress[] = [
    ...values.eureka.map((address) => ({ kind: 'eureka', address }) as const),
    ...values.zookeeper.map((address) => ({ kind: 'zookeeper', address }) as const),
  ];
  if (registries.length === 0) {
    await runDemo(values, log, signal);
    return;
  }
  const onListening = logListening.bind(undefined, log);
  await runStandalone(registries, values, { log, onListening }, signal);
}
