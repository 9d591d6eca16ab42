import { readFileSync } from 'node:fs';
import type { Logger } from 'pino';
import type { GuardPolicy } from '../common/guard.ts';
import type { EurekaAddress, ZooKeeperAddress } from '../common/registry-address.ts';
import { datacenterOf } from '../common/registry.ts';
import { softwareVersion } from '../common/version.ts';
import { RegistryAgent } from './agent.ts';
import type { ReadingValues } from './config.ts';
import { eurekaOptionsOf } from './eureka/config.ts';
import { createEurekaSource } from './eureka/source.ts';
import type { FeedTargetOptions } from './feed-targets.ts';
import type { AgentMetrics } from './metrics.ts';
import type { Source } from './source.ts';
import { createZooKeeperSource, defaultZooKeeperOptions } from './zookeeper/source.ts';

/** The registry of an agent. */
export type RegistryAddress =
  | { readonly kind: 'eureka'; readonly address: EurekaAddress }
  | { readonly kind: 'zookeeper'; readonly address: ZooKeeperAddress };

/** What every agent of a process shares. */
export interface AgentSurroundings {
  readonly values: ReadingValues;
  readonly agentId: string;
  readonly feed: FeedTargetOptions;
  readonly metrics: AgentMetrics;
  readonly log: Logger;
}

/** Wires one agent. Throws ConfigurationError for what the schema could not see. */
export function composeAgent(registry: RegistryAddress, around: AgentSurroundings): RegistryAgent {
  const { values, metrics } = around;
  const id = registry.address.registry;
  const log = around.log.child({ registry: id });
  const { observer, report } = metrics.forRegistry(id);
  // The source is made before the agent that it reports its hidden delay to.
  let setHiddenDelay: (ms: number) => void = () => undefined;
  const wrapped: typeof report = {
    ...report,
    hiddenDelay: (ms) => {
      report.hiddenDelay(ms);
      setHiddenDelay(ms);
    },
  };
  const source = sourceOf(registry, values, wrapped, log);
  const agent = new RegistryAgent(
    {
      registry: id,
      kind: registry.kind,
      agentId: around.agentId,
      datacenter: datacenterOf(id),
      network: values.network,
      defaultLocality: values.locality,
      software: softwareVersion,
      emptyServiceMs: values.emptyServiceTime,
      guard: guardOf(values),
      feed: around.feed,
    },
    source,
    observer,
    log,
  );
  setHiddenDelay = (ms) => agent.setHiddenDelay(ms);
  return agent;
}

/** The guard limits that were given; the rest are the defaults of the registry's kind. */
function guardOf(values: ReadingValues): Partial<GuardPolicy> {
  const { guardFraction, guardMinimum, guardHold } = values;
  return {
    ...(guardFraction === undefined ? {} : { fraction: guardFraction }),
    ...(guardMinimum === undefined ? {} : { minimum: guardMinimum }),
    ...(guardHold === undefined ? {} : { holdMs: guardHold }),
  };
}

type Report = ReturnType<AgentMetrics['forRegistry']>['report'];

function sourceOf(
  registry: RegistryAddress,
  values: ReadingValues,
  report: Report,
  log: Logger,
): Source {
  if (registry.kind === 'eureka') {
    return createEurekaSource(eurekaOptionsOf(registry.address, values), report, log);
  }
  const { address } = registry;
  return createZooKeeperSource(
    {
      ...defaultZooKeeperOptions,
      registry: address.registry,
      target: {
        servers: address.servers,
        chroot: address.chroot,
        sessionTimeoutMs: values.zookeeperSessionTimeout,
        digest: readSecret(values.zookeeperDigestFile),
      },
      dubboRoots: values.dubboRoots,
      serviceRoots: values.serviceRoots,
      metadataLabelKeys: values.metadataLabels,
      zones: values.zones,
    },
    report,
    log,
  );
}

function readSecret(path: string | undefined): string | undefined {
  return path === undefined ? undefined : readFileSync(path, 'utf8').trim();
}
