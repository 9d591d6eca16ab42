import type { Registry } from 'prom-client';
import type { InstanceStatus } from '../common/instance.ts';
import { MetricFactory } from '../common/metrics.ts';
import type { RegistryId } from '../common/registry.ts';
import type { PushReport } from './eureka/push/item.ts';
import type { AgentCensus, AgentObserver } from './observer.ts';
import type { SourceReport } from './source.ts';
import type { TreeReport } from './zookeeper/client/driver.ts';
import type { DubboApplicationsReport } from './zookeeper/dubbo/applications/applications.ts';

/** What the readers of registries report; drivers of ZooKeeper find what they may report besides. */
export type RegistryReport = SourceReport &
  Partial<TreeReport> &
  Partial<PushReport> &
  DubboApplicationsReport;

/** The two sides from which one registry is counted. The functions may be taken out and wrapped. */
export interface RegistryMetrics {
  readonly observer: AgentObserver;
  readonly report: RegistryReport;
}

const states: readonly AgentCensus['state'][] = ['waiting', 'live', 'lost', 'suspect'];
const statuses: readonly InstanceStatus[] = [
  'UP',
  'DOWN',
  'STARTING',
  'OUT_OF_SERVICE',
  'UNKNOWN',
  'GONE',
];
const streamStarts = ['resume', 'snapshot'] as const;
const guardScopes = ['registry', 'service'] as const;

/**
 * The metrics of the agents of a process, one agent for each registry. All times are differences of
 * this process's monotonic clock. Series of an aggregator go when its address is forgotten.
 */
export class AgentMetrics {
  readonly factory: MetricFactory;
  private readonly registryFigures: RegistryFigures;
  private readonly feedFigures: FeedFigures;

  constructor(registry: Registry) {
    this.factory = new MetricFactory('tributary_agent_', registry);
    this.registryFigures = {
      ...registryFiguresOf(this.factory),
      ...connectionFiguresOf(this.factory),
      ...pushFiguresOf(this.factory),
    };
    this.feedFigures = feedFiguresOf(this.factory);
  }

  /** Where one registry's agent and its source count. */
  forRegistry(registry: RegistryId): RegistryMetrics {
    const figures = this.registryFigures;
    for (const scope of guardScopes) figures.activations.inc({ registry, scope }, 0);
    return {
      observer: {
        ...feedObserver(this.feedFigures, registry),
        guardActivated: (scope) => figures.activations.inc({ registry, scope }),
        dropped: (reason) => figures.dropped.inc({ registry, reason }),
        census: (census) => showCensus(figures, registry, census),
      },
      report: registryReport(figures, registry),
    };
  }
}

type RegistryFigures = ReturnType<typeof registryFiguresOf> &
  ReturnType<typeof connectionFiguresOf> &
  ReturnType<typeof pushFiguresOf>;
type FeedFigures = ReturnType<typeof feedFiguresOf>;

function registryFiguresOf(factory: MetricFactory) {
  return {
    state: factory.gauge(
      'registry_state',
      'What the agent thinks of its registry: 1 for the present state, 0 for the others.',
      ['registry', 'state'],
    ),
    age: factory.gauge(
      'registry_age_seconds',
      'Time since the registry last confirmed what is known, on the clock of the agent; absent before the first time.',
      ['registry'],
    ),
    hiddenDelay: factory.gauge(
      'registry_hidden_delay_seconds',
      'How far the caches of the registry may be behind at most, by its configuration; not measured and in no lag.',
      ['registry'],
    ),
    instances: factory.gauge('instances', 'Instances that are fed, by status.', [
      'registry',
      'status',
    ]),
    services: factory.gauge('services', 'Services that are fed, empty ones included.', [
      'registry',
    ]),
    expired: factory.gauge(
      'expired_but_listed_instances',
      'Instances that the registry still lists although they stopped renewing.',
      ['registry'],
    ),
    dropped: factory.counter(
      'dropped_records_total',
      'Records of the registry that were left out, by reason.',
      ['registry', 'reason'],
    ),
    ignored: factory.gauge(
      'ignored_records',
      'Records of the registry that are left alone on purpose, by kind.',
      ['registry', 'kind'],
    ),
    unreadable: factory.gauge(
      'unreadable_paths',
      'Paths of ZooKeeper that may not be read: what is known of them stays as it was.',
      ['registry'],
    ),
    held: factory.gauge('guard_held_removals', 'Removals that the guard holds at present.', [
      'registry',
    ]),
    activations: factory.counter(
      'guard_activations_total',
      'How often the guard began to hold removals, of the whole registry or of one service.',
      ['registry', 'scope'],
    ),
  };
}

function connectionFiguresOf(factory: MetricFactory) {
  return {
    connections: factory.counter(
      'registry_connections_total',
      'Connections to a server of the registry that became usable, and switches to another.',
      ['registry', 'driver'],
    ),
    disconnections: factory.counter(
      'registry_disconnections_total',
      'Connections to a ZooKeeper server, and attempts at one, that are over, by cause.',
      ['registry', 'cause'],
    ),
    resyncs: factory.histogram(
      'registry_resync_seconds',
      'Duration of a whole reading of ZooKeeper, on the clock of the agent.',
      ['registry'],
    ),
    nodes: factory.gauge(
      'registry_nodes',
      'ZooKeeper nodes of interest at the last whole reading.',
      ['registry'],
    ),
    registrations: factory.gauge(
      'dubbo_registrations',
      'Application-level registrations of Dubbo whose services are not known yet, or were inferred.',
      ['registry', 'state'],
    ),
    metadataFailures: factory.counter(
      'dubbo_metadata_failures_total',
      'Attempts at the metadata of a Dubbo application that failed, by reason.',
      ['registry', 'reason'],
    ),
    unknownErrors: factory.counter(
      'registry_unknown_errors_total',
      'Answers of ZooKeeper with a code that no released server is known to use.',
      ['registry'],
    ),
    unseenChanges: factory.counter(
      'registry_unseen_changes_total',
      'Whole readings because ZooKeeper sent no event of a change: nodes that the agent may not read.',
      ['registry'],
    ),
  };
}

function pushFiguresOf(factory: MetricFactory) {
  return {
    unresolvedHosts: factory.gauge(
      'unresolved_hosts',
      'Host names in the place of addresses that could not be resolved: their instances are no endpoints.',
      ['registry'],
    ),
    pushRequests: factory.counter(
      'push_requests_total',
      'Requests of Eureka servers that push to us, by what became of them.',
      ['registry', 'outcome'],
    ),
    pushItems: factory.counter(
      'push_items_total',
      'Changes and heartbeats that Eureka servers pushed, by action.',
      ['registry', 'action'],
    ),
  };
}

function feedFiguresOf(factory: MetricFactory) {
  const labels = ['registry', 'aggregator'] as const;
  return {
    observedToSent: factory.histogram(
      'observed_to_sent_seconds',
      'From the observation of a change to the writing of its Delta, on the clock of the agent; of the oldest change in it.',
      labels,
    ),
    roundTrip: factory.histogram(
      'feed_round_trip_seconds',
      'From a heartbeat to its echo, on the clock of the agent; the whole way, so an upper bound of one direction.',
      labels,
    ),
    connected: factory.gauge('feed_connected', 'Whether the aggregator has welcomed us.', labels),
    streams: factory.counter(
      'feed_streams_total',
      'Streams that were welcomed, by whether they resumed or began with a snapshot.',
      [...labels, 'start'],
    ),
    disconnections: factory.counter(
      'feed_disconnections_total',
      'Streams, and attempts to open one, that have ended.',
      labels,
    ),
    batches: factory.counter('feed_sent_batches_total', 'Batches of changes sent.', labels),
    chunks: factory.counter('feed_sent_chunks_total', 'Chunks of snapshots sent.', labels),
    bytes: factory.counter('feed_sent_bytes_total', 'Bytes of Deltas and chunks sent.', labels),
  };
}

function feedObserver(
  figures: FeedFigures,
  registry: RegistryId,
): Omit<AgentObserver, 'guardActivated' | 'dropped' | 'census'> {
  return {
    observedToSent: (aggregator, seconds) =>
      figures.observedToSent.observe({ registry, aggregator }, seconds),
    roundTrip: (aggregator, seconds) =>
      figures.roundTrip.observe({ registry, aggregator }, seconds),
    sent: (aggregator, batches, bytes) => {
      const labels = { registry, aggregator };
      if (batches === 0) figures.chunks.inc(labels);
      else figures.batches.inc(labels, batches);
      figures.bytes.inc(labels, bytes);
    },
    connected: (aggregator, isResumed) => {
      figures.connected.set({ registry, aggregator }, 1);
      const start = isResumed ? 'resume' : 'snapshot';
      figures.streams.inc({ registry, aggregator, start });
    },
    disconnected: (aggregator) => {
      figures.connected.set({ registry, aggregator }, 0);
      figures.disconnections.inc({ registry, aggregator });
    },
    forgotten: (aggregator) => {
      const { streams, ...others } = figures;
      for (const start of streamStarts) streams.remove({ registry, aggregator, start });
      for (const figure of Object.values(others)) figure.remove({ registry, aggregator });
    },
  };
}

function showCensus(figures: RegistryFigures, registry: RegistryId, census: AgentCensus): void {
  for (const state of states) {
    figures.state.set({ registry, state }, state === census.state ? 1 : 0);
  }
  for (const status of statuses) {
    figures.instances.set({ registry, status }, census.instances[status] ?? 0);
  }
  figures.services.set({ registry }, census.services);
  figures.held.set({ registry }, census.heldRemovals);
  if (census.registryAgeSeconds === undefined) figures.age.remove({ registry });
  else figures.age.set({ registry }, census.registryAgeSeconds);
}

function registryReport(figures: RegistryFigures, registry: RegistryId): RegistryReport {
  return {
    dropped: (reason) => figures.dropped.inc({ registry, reason }),
    connected: (_server: string, driver?: string) =>
      figures.connections.inc({ registry, driver: driver ?? 'http' }),
    disconnected: (_server, cause) => figures.disconnections.inc({ registry, cause }),
    resynced: (nodes, elapsedMs) => {
      figures.nodes.set({ registry }, nodes);
      figures.resyncs.observe({ registry }, elapsedMs / 1000);
    },
    unknownError: () => figures.unknownErrors.inc({ registry }),
    unseenChange: () => figures.unseenChanges.inc({ registry }),
    hiddenDelay: (ms) => figures.hiddenDelay.set({ registry }, ms / 1000),
    expiredButListed: (count) => figures.expired.set({ registry }, count),
    dubboRegistrations: (unresolved, inferred) => {
      figures.registrations.set({ registry, state: 'unresolved' }, unresolved);
      figures.registrations.set({ registry, state: 'inferred' }, inferred);
    },
    metadataFailed: (reason) => figures.metadataFailures.inc({ registry, reason }),
    ignored: (kind, count) => figures.ignored.set({ registry, kind }, count),
    unreadable: (count) => figures.unreadable.set({ registry }, count),
    unresolvedHosts: (count) => figures.unresolvedHosts.set({ registry }, count),
    pushRequest: (outcome) => figures.pushRequests.inc({ registry, outcome }),
    pushItems: (action, count) => figures.pushItems.inc({ registry, action }, count),
  };
}
