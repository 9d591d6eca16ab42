import type {
  AggregatorView,
  RegistryView,
  ServiceView,
  SubscriberView,
} from '../../aggregator/view.ts';
import type { RegistryId } from '../../common/registry.ts';

/** A view of an aggregator that never ran, for the pages, the API and the metrics. */
export interface FakeView extends AggregatorView {
  complete: boolean;
  registryList: RegistryView[];
  serviceList: ServiceView[];
  subscriberList: SubscriberView[];
}

export function fakeView(): FakeView {
  const fake: FakeView = {
    complete: true,
    registryList: [],
    serviceList: [],
    subscriberList: [],
    isComplete: () => fake.complete,
    registries: () => fake.registryList,
    serviceCount: () => fake.serviceList.length,
    services: (filter, limit) =>
      fake.serviceList.filter(({ host }) => host.includes(filter)).slice(0, limit),
    subscribers: () => fake.subscriberList,
  };
  return fake;
}

export function fakeRegistry(changes: Partial<RegistryView> = {}): RegistryView {
  return {
    id: 'dc1/orders' as RegistryId,
    kind: 'eureka',
    isExpected: true,
    isHeard: true,
    state: 'live',
    agents: [
      {
        agentId: 'agent-1',
        software: '0.1.0',
        isConnected: true,
        state: 'live',
        reason: '',
        instances: 12,
        heldRemovals: 0,
      },
    ],
    instances: { UP: 12, OUT_OF_SERVICE: 1 },
    services: 4,
    ageMs: 2300,
    hiddenDelayMs: 30_000,
    heldRemovals: 0,
    guardReason: '',
    ...changes,
  };
}

export function fakeService(changes: Partial<ServiceView> = {}): ServiceView {
  return {
    host: 'orders.tributary.internal',
    vip: '241.7.9.1',
    portName: 'http',
    port: 80,
    protocol: 'HTTP',
    version: 'abcdef0123456789',
    endpoints: [
      {
        address: '10.0.0.1',
        port: 8080,
        locality: 'eu/a',
        weight: 0,
        network: '',
        labels: {},
        provenance: [{ registry: 'dc1/orders' as RegistryId, instance: 'host-1:orders:8080' }],
      },
    ],
    withheld: {},
    conflicts: [],
    ...changes,
  };
}

export function fakeSubscriber(changes: Partial<SubscriberView> = {}): SubscriberView {
  return {
    id: 1,
    peer: '10.1.0.7:52110',
    node: 'istiod-7d9c8b6f5-x2x4p',
    connectedMs: 3_723_000,
    subscriptions: [
      {
        typeUrl: 'networking.istio.io/v1alpha3/ServiceEntry',
        acknowledgedVersion: '5b2f0c9d8e7a6b5c',
        isInFlight: false,
        acknowledgeMs: 12.4,
        pushes: 42,
      },
    ],
    ...changes,
  };
}
