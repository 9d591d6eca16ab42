import type { Logger } from 'pino';
import { guardOfRegistry } from '../common/guard-limits.ts';
import type { GuardPolicy } from '../common/guard.ts';
import type { EurekaAddress, ZooKeeperAddress } from '../common/registry-address.ts';
import { datacenterOf } from '../common/registry.ts';
import type { RegistryKind } from '../common/registry.ts';
import { softwareVersion } from '../common/version.ts';
import { RegistryAgent } from './agent.ts';
import type { ReadingValues } from './config.ts';
import { eurekaOptionsOf } from './eureka/config.ts';
import { createEurekaSource } from './eureka/source.ts';
import type { FeedTargetOptions } from './feed-targets.ts';
import type { AgentMetrics } from './metrics.ts';
import { hostLookup } from './host-lookup.ts';
import { ResolvingSource } from './resolving-source.ts';
import { SourceNotes } from './source-facts.ts';
import type { Source } from './source.ts';
import { zooKeeperOptionsOf } from './zookeeper/config.ts';
import { zooKeeperHoldMs } from './zookeeper/doubt.ts';
import { createZooKeeperSource } from './zookeeper/source.ts';

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
  const notes = new SourceNotes();
  const noted = notes.readAlong(report);
  const read = sourceOf(registry, values, noted, log);
  const source = new ResolvingSource(read, hostLookup(), noted, log);
  return new RegistryAgent(
    {
      registry: id,
      kind: registry.kind,
      agentId: around.agentId,
      datacenter: datacenterOf(id),
      network: values.network,
      defaultLocality: values.locality,
      software: softwareVersion,
      emptyServiceMs: values.emptyServiceTime,
      guard: { ...guardOfKind(registry.kind, values), ...guardOfRegistry(values, id) },
      feed: around.feed,
      notes,
    },
    source,
    observer,
    log,
  );
}

/** What the configuration says of the guard without naming it. */
function guardOfKind(kind: RegistryKind, values: ReadingValues): Partial<GuardPolicy> {
  return kind === 'zookeeper' ? { holdMs: zooKeeperHoldMs(values.zookeeperSessionTimeout) } : {};
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
  return createZooKeeperSource(zooKeeperOptionsOf(registry.address, values), report, log);
}
