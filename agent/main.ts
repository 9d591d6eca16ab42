import { formatHostPort } from '../common/address.ts';
import { HttpServer } from '../common/http-server.ts';
import { addProcessMetrics, healthRoutes, measureEventLoop } from '../common/metrics.ts';
import type { Readiness } from '../common/metrics.ts';
import { runAll } from '../common/run-all.ts';
import { runProgram } from '../common/run-program.ts';
import { softwareVersion } from '../common/version.ts';
import { Registry } from 'prom-client';
import type { Logger } from 'pino';
import { adminRoutes } from './admin.ts';
import type { RegistryAgent } from './agent.ts';
import { composeAgent } from './compose.ts';
import type { RegistryAddress } from './compose.ts';
import { agentProgram } from './config.ts';
import type { AgentValues } from './config.ts';
import type { FeedAccess } from './feed-credentials.ts';
import { AgentMetrics } from './metrics.ts';

/** The agent as a process: one registry, its feed, metrics and the admin page. */

await runProgram(agentProgram, run);

async function run(values: AgentValues, log: Logger, signal: AbortSignal): Promise<void> {
  const metrics = new AgentMetrics(new Registry());
  addProcessMetrics(metrics.factory, softwareVersion);
  const agent = composeAgent(registryOf(values), {
    values,
    agentId: values.agentId,
    feed: { aggregators: values.aggregator, access: accessOf(values) },
    metrics,
    log,
  });
  const metricsServer = new HttpServer(
    {
      listen: values.metricsListen,
      flag: '--metrics-listen',
      routes: healthRoutes(metrics.factory.registry, () => readinessOf(agent)),
    },
    log,
  );
  const adminServer = new HttpServer(
    {
      listen: values.adminListen,
      flag: '--admin-listen',
      routes: adminRoutes(
        { statuses: () => [agent.status()], release: () => agent.release() },
        softwareVersion,
      ),
      allowedHosts: values.adminHosts,
    },
    log,
  );
  await runAll(signal, [
    [(stop) => agent.run(stop), (stop) => measureEventLoop(metrics.factory, stop)],
    [
      (stop) => metricsServer.run(stop, logListening(log, 'metrics')),
      (stop) => adminServer.run(stop, logListening(log, 'admin')),
    ],
  ]);
}

function logListening(log: Logger, what: string) {
  return (address: { readonly host: string; readonly port: number }): void =>
    log.info({ address: formatHostPort(address) }, `${what} listening`);
}

function registryOf(values: AgentValues): RegistryAddress {
  if (values.eureka !== undefined) return { kind: 'eureka', address: values.eureka };
  if (values.zookeeper !== undefined) return { kind: 'zookeeper', address: values.zookeeper };
  throw new Error('the configuration names no registry');
}

function accessOf(values: AgentValues): FeedAccess {
  const { feedTls, feedCa, feedCert, feedKey, feedServerName, feedTokenFile } = values;
  const isTls = feedTls || feedCa !== undefined || feedCert !== undefined;
  return {
    ...(isTls
      ? {
          tls: {
            ...(feedCa === undefined ? {} : { caFile: feedCa }),
            ...(feedCert === undefined ? {} : { certFile: feedCert }),
            ...(feedKey === undefined ? {} : { keyFile: feedKey }),
            ...(feedServerName === undefined ? {} : { serverName: feedServerName }),
          },
        }
      : {}),
    ...(feedTokenFile === undefined ? {} : { tokenFile: feedTokenFile }),
    // The table has checked that plaintext was allowed, or that it stays on this machine.
    insecure: !isTls,
  };
}

function readinessOf(agent: RegistryAgent): Readiness {
  const { sequence, reason } = agent.status();
  const isReady = sequence > 0;
  return { isReady, reason: isReady ? '' : `the registry has not been read yet ${reason}`.trim() };
}
