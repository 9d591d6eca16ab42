import type { Registry } from 'prom-client';
import type { InstanceStatus } from '../common/instance.ts';
import { MetricFactory } from '../common/metrics.ts';
import type { RegistryId } from '../common/registry.ts';
import type { FeedObserver } from './feed-server.ts';
import type { McpObserver } from './mcp/observer.ts';
import type { PipelineObserver } from './pipeline.ts';
import { SubscriberLabels } from './subscriber-labels.ts';
import type { AggregatorView } from './view.ts';
import { watchView } from './view-metrics.ts';

const statuses: readonly InstanceStatus[] = [
  'UP',
  'DOWN',
  'STARTING',
  'OUT_OF_SERVICE',
  'UNKNOWN',
  'GONE',
];
const resyncCauses = ['gap', 'digest', 'snapshot'] as const;
const messageKinds = ['snapshot', 'delta'] as const;
const pushedTypes = ['ServiceEntry', 'empty'] as const;

/**
 * The metrics of an aggregator. All times are differences of this process's monotonic clock, or such
 * differences of the agent's that came with the data: no figure subtracts the clocks of two machines.
 * Series of a registry go when it is forgotten, those of a subscriber with its last stream.
 */
export class AggregatorMetrics {
  readonly factory: MetricFactory;
  readonly pipeline: PipelineObserver;
  readonly feed: FeedObserver;
  readonly mcp: McpObserver;
  private readonly labels = new SubscriberLabels();

  constructor(registry: Registry) {
    this.factory = new MetricFactory('tributary_aggregator_', registry);
    const core = coreFigures(this.factory);
    const feed = feedFigures(this.factory);
    const mcp = mcpFigures(this.factory);
    this.feed = feedObserver(feed);
    this.mcp = mcpObserver(mcp, this.labels);
    this.pipeline = {
      ...pipelineObserver(core),
      registryGone: (id) => {
        forgetRegistry(core, feed, id);
        mcp.observedToAcknowledged.remove({ registry: id });
      },
    };
  }

  /** Adds the gauges that are read from the aggregator when somebody asks; once at most. */
  watch(
    view: AggregatorView,
    totals: () => { readonly conflicts: number; readonly withheld: ReadonlyMap<string, number> },
  ): void {
    watchView(this.factory, view, { totals, subscriberLabel: (name) => this.labels.labelOf(name) });
  }
}

type CoreFigures = ReturnType<typeof coreFigures>;
type FeedFigures = ReturnType<typeof feedFigures>;
type McpFigures = ReturnType<typeof mcpFigures>;

function coreFigures(factory: MetricFactory) {
  return {
    instances: factory.gauge('instances', 'Instances of a registry, by status.', [
      'registry',
      'status',
    ]),
    services: factory.gauge('services', 'Services of a registry, empty ones included.', [
      'registry',
    ]),
    activations: factory.counter(
      'guard_activations_total',
      "How often the aggregator's guard began to hold removals.",
      ['registry'],
    ),
    rendered: factory.counter(
      'resources_rendered_total',
      'Resources that were rendered, by whether their bytes changed.',
      ['outcome'],
    ),
    invalid: factory.counter(
      'resources_invalid_total',
      'Resources that were not published because istiod would refuse them; always a defect.',
      ['reason'],
    ),
    vipMoves: factory.counter(
      'virtual_address_moves_total',
      'Virtual addresses that went from one host to another.',
    ),
    saves: factory.counter('state_saves_total', 'State files that were written.'),
    saveFailures: factory.counter('state_save_failures_total', 'State files that were not.'),
    saveSeconds: factory.histogram(
      'state_save_seconds',
      'Duration of writing a state file, on the clock of the aggregator.',
    ),
    stateBytes: factory.gauge('state_bytes', 'Size of the state file, 0 before the first save.'),
  };
}

function feedFigures(factory: MetricFactory) {
  return {
    connections: factory.counter('feed_connections_total', 'Streams of agents, welcomed.', [
      'registry',
    ]),
    disconnections: factory.counter('feed_disconnections_total', 'Streams of agents, ended.', [
      'registry',
    ]),
    refused: factory.counter(
      'feed_refused_total',
      'Streams that ended before they were welcomed, by gRPC status.',
      ['code'],
    ),
    messages: factory.counter(
      'feed_received_total',
      'Complete snapshots and Deltas that have come.',
      ['registry', 'kind'],
    ),
    records: factory.counter(
      'feed_received_records_total',
      'Instances of snapshots and changes of Deltas that have come.',
      ['registry', 'kind'],
    ),
    resyncs: factory.counter('feed_resyncs_total', 'Snapshots that were asked for, by cause.', [
      'registry',
      'cause',
    ]),
    throttles: factory.counter('feed_throttles_total', 'How often an agent was told to wait.'),
    dropped: factory.counter(
      'dropped_records_total',
      'Instances of agents that the catalog cannot use and left out.',
      ['registry'],
    ),
  };
}

function mcpFigures(factory: MetricFactory) {
  return {
    subscribers: factory.gauge('mcp_subscribers', 'Open streams of subscribers.'),
    pushes: factory.counter('mcp_pushes_total', 'Responses sent, by type.', ['type']),
    bytes: factory.counter('mcp_push_bytes_total', 'Bytes of the responses sent.', ['type']),
    nacks: factory.counter('mcp_nacks_total', 'Responses that a subscriber refused.', ['type']),
    rejected: factory.counter(
      'mcp_rejected_total',
      'Connections, streams and requests that were turned away, by reason.',
      ['reason'],
    ),
    receivedToWritten: factory.histogram(
      'received_to_written_seconds',
      'From the arrival of a change until the socket had all of the push with it, on the clock of the aggregator.',
      ['node'],
    ),
    writtenToAcknowledged: factory.histogram(
      'written_to_acknowledged_seconds',
      "From then until the subscriber's acknowledgement, on the clock of the aggregator.",
      ['node'],
    ),
    observedToAcknowledged: factory.histogram(
      'observed_to_acknowledged_seconds',
      "From the observation of a change at the agent to a subscriber's acknowledgement: the time at the agent on its clock plus the time here on ours; without the way between, see feed_round_trip_seconds of the agent.",
      ['registry'],
    ),
  };
}

function pipelineObserver(core: CoreFigures): Omit<PipelineObserver, 'registryGone'> {
  for (const outcome of ['changed', 'unchanged']) core.rendered.inc({ outcome }, 0);
  return {
    registryChanged: (registry, instances, services) => {
      for (const status of statuses) {
        core.instances.set({ registry, status }, instances[status] ?? 0);
      }
      core.services.set({ registry }, services);
      core.activations.inc({ registry }, 0);
    },
    guardActivated: (registry) => core.activations.inc({ registry }),
    rendered: (isChanged) => core.rendered.inc({ outcome: isChanged ? 'changed' : 'unchanged' }),
    invalid: (reason) => core.invalid.inc({ reason }),
    vipMoved: () => core.vipMoves.inc(),
    stateSaved: (bytes, ms) => {
      core.saves.inc();
      core.saveSeconds.observe(ms / 1000);
      core.stateBytes.set(bytes);
    },
    stateFailed: () => core.saveFailures.inc(),
  };
}

function forgetRegistry(core: CoreFigures, feed: FeedFigures, registry: RegistryId): void {
  for (const status of statuses) core.instances.remove({ registry, status });
  for (const kind of messageKinds) {
    feed.messages.remove({ registry, kind });
    feed.records.remove({ registry, kind });
  }
  for (const cause of resyncCauses) feed.resyncs.remove({ registry, cause });
  for (const figure of [
    core.services,
    core.activations,
    feed.connections,
    feed.disconnections,
    feed.dropped,
  ]) {
    figure.remove({ registry });
  }
}

function feedObserver(feed: FeedFigures): FeedObserver {
  return {
    connected: (registry) => {
      feed.connections.inc({ registry });
      feed.disconnections.inc({ registry }, 0);
      feed.dropped.inc({ registry }, 0);
      for (const cause of resyncCauses) feed.resyncs.inc({ registry, cause }, 0);
    },
    disconnected: (registry) => feed.disconnections.inc({ registry }),
    refused: (code) => feed.refused.inc({ code }),
    received: (registry, kind, count) => {
      feed.messages.inc({ registry, kind });
      feed.records.inc({ registry, kind }, count);
    },
    resync: (registry, cause) => feed.resyncs.inc({ registry, cause }),
    throttled: () => feed.throttles.inc(),
    leftOut: (registry) => feed.dropped.inc({ registry }),
  };
}

function mcpObserver(mcp: McpFigures, labels: SubscriberLabels): McpObserver {
  for (const type of pushedTypes) {
    for (const figure of [mcp.pushes, mcp.bytes, mcp.nacks]) figure.inc({ type }, 0);
  }
  return {
    subscribers: (count) => mcp.subscribers.set(count),
    subscriberGone: ({ id }) => {
      const node = labels.release(id);
      if (node === undefined) return;
      mcp.receivedToWritten.remove({ node });
      mcp.writtenToAcknowledged.remove({ node });
    },
    pushed: (type, byteLength) => {
      mcp.pushes.inc({ type });
      mcp.bytes.inc({ type }, byteLength);
    },
    receivedToWritten: (subscriber, ms) =>
      mcp.receivedToWritten.observe({ node: labels.labelOf(subscriber) }, ms / 1000),
    writtenToAcknowledged: (subscriber, ms) =>
      mcp.writtenToAcknowledged.observe({ node: labels.labelOf(subscriber) }, ms / 1000),
    observedToAcknowledged: (registry, ms) =>
      mcp.observedToAcknowledged.observe({ registry }, ms / 1000),
    nacked: (type) => mcp.nacks.inc({ type }),
    rejected: (reason) => mcp.rejected.inc({ reason }),
  };
}
