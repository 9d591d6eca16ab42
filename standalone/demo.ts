import type { Logger } from 'pino';
import type { Listening } from '../aggregator/aggregator.ts';
import { formatHostPort } from '../common/address.ts';
import type { HostPort } from '../common/address.ts';
import { isRegistryId } from '../common/registry.ts';
import { runAll } from '../common/run-all.ts';
import { untilAborted } from '../common/until-aborted.ts';
import { pickDemoPorts } from './demo-ports.ts';
import { runDemoRegistry } from './demo-registry.ts';
import { runDemoSubscriber } from './demo-subscriber.ts';
import type { StandaloneValues } from './config.ts';
import { runStandalone } from './standalone.ts';

const registry = 'demo/shop';
const pollIntervalMs = 1000;

/**
 * The demo: an embedded registry, standalone reading it, and a subscriber that prints what istiod would
 * receive. Ports that are taken are replaced by free ones, and said.
 */
export async function runDemo(
  given: StandaloneValues,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  const print = (line: string): void => void process.stdout.write(`${line}\n`);
  // The demo speaks for itself: of the log only what is wrong.
  const quiet = log.child({}, { level: 'warn' });
  const values = { ...(await pickDemoPorts(given)), eurekaPollInterval: pollIntervalMs };
  const serviceUrl = Promise.withResolvers<string>();
  const mcp = Promise.withResolvers<string>();
  if (!isRegistryId(registry)) throw new Error('the demo registry has a bad id');
  await runAll(signal, [
    [
      async (stop) => {
        const address = await Promise.race([mcp.promise, untilAborted(stop)]);
        if (address !== undefined) await runDemoSubscriber(address, print, stop);
      },
    ],
    [
      async (stop) => {
        const url = await Promise.race([serviceUrl.promise, untilAborted(stop)]);
        if (url === undefined) return;
        const onListening = (listening: Listening): void => {
          print(`Demo registry    ${url}`);
          print(`Status page      http://${local(listening.admin)}/`);
          print(`Metrics          http://${local(listening.metrics)}/metrics`);
          print(`MCP for istiod   ${local(listening.mcp)}`);
          print('What an istiod would receive follows; Ctrl-C ends the demo.\n');
          mcp.resolve(local(listening.mcp));
        };
        await runStandalone(
          [{ kind: 'eureka', address: { registry, servers: [url] } }],
          values,
          { log: quiet, onListening },
          stop,
        );
      },
    ],
    [(stop) => runDemoRegistry(stop, serviceUrl.resolve)],
  ]);
}

/** An address as somebody on this machine reaches it. */
function local(address: HostPort): string {
  const isAny = address.host === '0.0.0.0' || address.host === '::';
  return formatHostPort(isAny ? { ...address, host: '127.0.0.1' } : address);
}
