import assert from 'node:assert/strict';
import { test } from 'node:test';
import { attentionOf } from '../../../aggregator/attention.ts';
import { renderStatusPage, servicesShownMax } from '../../../aggregator/status-page.ts';
import type { AggregatorStatus, ServiceList } from '../../../aggregator/status-page.ts';
import type { RegistryId } from '../../../common/registry.ts';
import { fakeRegistry, fakeService, fakeSubscriber } from '../../support/aggregator-view.ts';

const hostile = `"><img src=x onerror='alert(1)'>\u202e`;

function statusOf(changes: Partial<AggregatorStatus> = {}): AggregatorStatus {
  return {
    version: '0.1.0',
    uptimeMs: 60_000,
    isComplete: true,
    registries: [fakeRegistry()],
    serviceCount: 1,
    subscribers: [fakeSubscriber()],
    ...changes,
  };
}

function listOf(changes: Partial<ServiceList> = {}): ServiceList {
  return { filter: '', services: [fakeService()], isCut: false, ...changes };
}

const agent = fakeRegistry().agents[0];
assert.ok(agent);
const endpoint = fakeService().endpoints[0];
assert.ok(endpoint);

test('names from a registry, an agent or a subscriber cannot become markup', () => {
  const page = renderStatusPage(
    statusOf({
      version: hostile,
      registries: [
        fakeRegistry({
          id: hostile as RegistryId,
          heldRemovals: 3,
          guardReason: hostile,
          agents: [
            { ...agent, agentId: hostile, isConnected: false, state: 'lost', reason: hostile },
          ],
        }),
      ],
      subscribers: [
        fakeSubscriber({
          node: hostile,
          peer: hostile,
          subscriptions: [
            {
              typeUrl: hostile,
              acknowledgedVersion: hostile,
              isInFlight: true,
              acknowledgeMs: 1,
              pushes: 1,
            },
          ],
        }),
      ],
    }),
    listOf({
      filter: hostile,
      services: [
        fakeService({
          host: hostile,
          vip: hostile,
          protocol: hostile,
          conflicts: [hostile],
          withheld: { [hostile]: 1 },
          endpoints: Array.from({ length: 5 }, () => ({
            ...endpoint,
            address: hostile,
            locality: hostile,
            network: hostile,
            provenance: [{ registry: hostile as RegistryId, instance: hostile }],
          })),
        }),
      ],
    }),
  );
  assert.ok(!page.body.includes('<img'));
  assert.ok(!page.body.includes("onerror='"));
  assert.ok(!page.body.includes('\u202e'));
  assert.ok(page.body.includes('&lt;img src=x'));
});

test('the page shows registries, services, where endpoints came from, and what was acknowledged', () => {
  const { body } = renderStatusPage(statusOf(), listOf());
  for (const shown of [
    'serving',
    'dc1/orders',
    '2.3 s ago',
    '≤ 30 s',
    '1 out of service',
    'orders.tributary.internal',
    '241.7.9.1',
    '10.0.0.1:8080',
    'dc1/orders (host-1:orders:8080)',
    'istiod-7d9c8b6f5-x2x4p',
    '10.1.0.7:52110',
    '5b2f0c9d8e7a',
    'Nothing: every expected registry is live',
  ]) {
    assert.ok(body.includes(shown), shown);
  }
});

test('equal arguments give an equal page', () => {
  assert.deepEqual(renderStatusPage(statusOf(), listOf()), renderStatusPage(statusOf(), listOf()));
});

test('an empty aggregator has a page too', () => {
  const { body } = renderStatusPage(
    statusOf({ isComplete: false, registries: [], subscribers: [], serviceCount: 0 }),
    listOf({ services: [] }),
  );
  for (const shown of ['silent', 'None yet.', 'No istiod is connected.']) {
    assert.ok(body.includes(shown), shown);
  }
  const filtered = renderStatusPage(statusOf(), listOf({ filter: 'x', services: [] }));
  assert.ok(filtered.body.includes('No host contains this.'));
});

test('a registry can be forgotten only while nobody feeds it, and released while something is held', () => {
  const fed = renderStatusPage(statusOf(), listOf()).body;
  assert.ok(!fed.includes('/forget"') && !fed.includes('/release"'));
  const lost = fakeRegistry({ agents: [{ ...agent, isConnected: false }], heldRemovals: 2 });
  const { body } = renderStatusPage(statusOf({ registries: [lost] }), listOf());
  assert.ok(body.includes('data-post="/api/registries/dc1/orders/forget"'));
  assert.ok(body.includes('data-post="/api/registries/dc1/orders/release"'));
});

test('a page stays small whatever the size of the mesh', () => {
  const services = Array.from({ length: servicesShownMax }, (_, number) =>
    fakeService({
      host: `service-${number}.tributary.internal`,
      endpoints: Array.from({ length: 1000 }, () => endpoint),
    }),
  );
  const { body } = renderStatusPage(
    statusOf({ serviceCount: 100_000 }),
    listOf({ services, isCut: true }),
  );
  assert.ok(body.includes(`the first ${servicesShownMax} of 100000; filter to see others`));
  assert.ok(body.includes('and 950 more'));
  assert.ok(body.length < 5_000_000, `${body.length} characters`);
});

test('what needs attention is told, the worst first', () => {
  const registries = [
    fakeRegistry({ id: 'dc1/a' as RegistryId, isHeard: false, state: 'waiting' }),
    fakeRegistry({
      id: 'dc1/b' as RegistryId,
      heldRemovals: 7,
      guardReason: '7 of 10.',
      agents: [{ ...agent, heldRemovals: 3 }],
    }),
    fakeRegistry({
      id: 'dc1/c' as RegistryId,
      state: 'stale',
      agents: [{ ...agent, reason: 'refused' }],
    }),
    fakeRegistry({ id: 'dc1/d' as RegistryId, state: 'stale', agents: [] }),
    fakeRegistry({ id: 'dc1/e' as RegistryId, isExpected: false }),
  ];
  const services = [
    fakeService({ conflicts: ['port: 1 and 2'] }),
    fakeService({ host: 'b', conflicts: ['port: 1 and 2'] }),
    fakeService(),
  ];
  const points = attentionOf(statusOf({ isComplete: false, registries }), services);
  assert.deepEqual(
    points.map(({ word }) => word),
    ['silent', 'guard', 'guard', 'stale', 'stale', 'not served', 'conflict'],
  );
  const texts = points.map(({ text }) => text);
  assert.match(texts[0] ?? '', /^Waiting for dc1\/a\./);
  assert.match(texts[1] ?? '', /^dc1\/b: 7 removals held back here\. 7 of 10\.$/);
  assert.match(texts[2] ?? '', /^dc1\/b: 3 removals held back by agent agent-1\.$/);
  assert.match(texts[3] ?? '', /agent-1: refused$/);
  assert.match(texts[4] ?? '', /No agent speaks for it\.$/);
  assert.match(texts[6] ?? '', /^orders\.tributary\.internal and 1 more: /);
  assert.deepEqual(attentionOf(statusOf(), [fakeService()]), []);
});
