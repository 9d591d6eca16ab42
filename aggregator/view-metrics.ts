import type { MetricFactory } from '../common/metrics.ts';
import type { SubscriberName } from './mcp/observer.ts';
import type { AggregatorView, RegistryView } from './view.ts';

/** What the gauges need besides the view. */
export interface WatchedParts {
  readonly totals: () => {
    readonly conflicts: number;
    readonly withheld: ReadonlyMap<string, number>;
  };
  readonly subscriberLabel: (subscriber: SubscriberName) => string;
}

const registryStates: readonly RegistryView['state'][] = ['waiting', 'live', 'stale'];

/**
 * Gauges that are read from the aggregator when somebody asks. They hold no series of their own, so
 * what is gone from the aggregator is gone from them.
 */
export function watchView(
  factory: MetricFactory,
  view: AggregatorView,
  { totals, subscriberLabel }: WatchedParts,
): void {
  factory.gauge(
    'complete',
    'Whether ServiceEntries are served: every expected registry was heard, or saved state is in force.',
    [],
    (gauge) => gauge.set(view.isComplete() ? 1 : 0),
  );
  factory.gauge('hosts', 'Hosts in the catalog, empty ones included.', [], (gauge) =>
    gauge.set(view.serviceCount()),
  );
  factory.gauge(
    'conflicts',
    'Conflicts between instances of a host that precedence settled.',
    [],
    (gauge) => gauge.set(totals().conflicts),
  );
  factory.gauge(
    'withheld_instances',
    'Instances that are known but are no endpoints of their host, by reason.',
    ['reason'],
    (gauge) => {
      for (const [reason, count] of totals().withheld) gauge.set({ reason }, count);
    },
  );
  watchRegistries(factory, view);
  factory.gauge(
    'mcp_unacknowledged',
    'Responses that the subscriber has not answered yet.',
    ['node'],
    (gauge) => {
      for (const subscriber of view.subscribers()) {
        const inFlight = subscriber.subscriptions.filter(({ isInFlight }) => isInFlight).length;
        gauge.inc({ node: subscriberLabel(subscriber) }, inFlight);
      }
    },
  );
}

function watchRegistries(factory: MetricFactory, view: AggregatorView): void {
  factory.gauge(
    'registry_state',
    'Whether a healthy agent speaks for the registry: 1 for the present state, 0 for the others.',
    ['registry', 'state'],
    (gauge) => {
      for (const { id, state: present } of view.registries()) {
        for (const state of registryStates) {
          gauge.set({ registry: id, state }, state === present ? 1 : 0);
        }
      }
    },
  );
  const perRegistry = (
    name: string,
    help: string,
    valueOf: (registry: RegistryView) => number | undefined,
  ): void => {
    factory.gauge(name, help, ['registry'], (gauge) => {
      for (const registry of view.registries()) {
        const value = valueOf(registry);
        if (value !== undefined) gauge.set({ registry: registry.id }, value);
      }
    });
  };
  perRegistry(
    'registry_age_seconds',
    'Time since the registry last confirmed its data: what the agent reported plus the time since, each on its own clock; absent before the first time.',
    ({ ageMs }) => (ageMs === undefined ? undefined : ageMs / 1000),
  );
  perRegistry(
    'registry_hidden_delay_seconds',
    'How far the caches of the registry may be behind at most, by its configuration; not measured and in no lag.',
    ({ hiddenDelayMs }) => hiddenDelayMs / 1000,
  );
  perRegistry('registry_expected', 'Whether the registry is served.', ({ isExpected }) =>
    isExpected ? 1 : 0,
  );
  perRegistry(
    'registry_heard',
    'Whether it has delivered a complete snapshot since the start, or stands in the saved state.',
    ({ isHeard }) => (isHeard ? 1 : 0),
  );
  perRegistry(
    'registry_agents',
    'Agents of the registry that are connected.',
    ({ agents }) => agents.filter(({ isConnected }) => isConnected).length,
  );
  perRegistry(
    'guard_held_removals',
    "Removals that the aggregator's own guard holds at present.",
    ({ heldRemovals }) => heldRemovals,
  );
  perRegistry(
    'agent_held_removals',
    'Removals that the guards of its agents held when last heard of.',
    ({ agents }) => agents.reduce((sum, agent) => sum + agent.heldRemovals, 0),
  );
}
