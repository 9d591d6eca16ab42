import assert from 'node:assert/strict';
import { test } from 'node:test';
import { renderAgentPage } from '../../../agent/admin-page.ts';
import type { AgentReport, RegistryReport } from '../../../agent/admin-page.ts';
import type { SourceFacts } from '../../../agent/source-facts.ts';
import type { RegistryId } from '../../../common/registry.ts';

const hostile = `"><img src=x onerror='alert(1)'>\u202e`;

const source: SourceFacts = {
  server: 'http://eureka-1:8761/eureka/',
  hiddenDelayMs: 30_000,
  expired: { count: 0, examples: [] },
  unresolvedHosts: 0,
  unreadable: 0,
  ignored: {},
  push: undefined,
};

function registryOf(changes: Partial<RegistryReport> = {}): RegistryReport {
  return {
    registry: 'dc1/orders' as RegistryId,
    kind: 'eureka',
    agentId: 'agent-1',
    epoch: '00112233445566778899aabbccddeeff',
    sequence: 12,
    state: 'live',
    reason: '',
    registryAgeMs: 2300,
    source,
    instances: { UP: 7, GONE: 2 },
    services: 3,
    heldRemovals: 0,
    held: [],
    aggregators: [
      { address: '10.0.0.1:9903', state: 'welcomed', reason: '', accepted: 10, served: true },
    ],
    ...changes,
  };
}

const reportOf = (...registries: RegistryReport[]): AgentReport => ({
  version: '0.1.0',
  uptimeMs: 60_000,
  registries,
});

test('the page shows the registry, the aggregators and how far they are behind', () => {
  const { body } = renderAgentPage(reportOf(registryOf()));
  for (const shown of [
    ...['dc1/orders', 'live', '2.3 s ago', '≤ 30 s', '2 remembered', 'agent-1', '00112233'],
    ...['10.0.0.1:9903', 'welcomed', '2 behind', 'Nothing: no removal is held back.'],
  ]) {
    assert.ok(body.includes(shown), shown);
  }
  assert.ok(!body.includes('/api/release'));
});

test('what an operator should know of the registry is told', () => {
  const facts: SourceFacts = {
    ...source,
    expired: { count: 12, examples: ['SHOP/1', 'SHOP/2'] },
    unresolvedHosts: 3,
    push: {
      peers: [
        { address: '10.0.0.5', agoMs: 4_000 },
        { address: '10.0.0.6', agoMs: 1_200 },
      ],
      items: { heartbeat: 40, register: 2 },
    },
  };
  const { body } = renderAgentPage(reportOf(registryOf({ source: facts })));
  for (const shown of [
    ...['http://eureka-1:8761/eureka/', '12 stopped renewing', 'SHOP/1, SHOP/2, ...'],
    ...['cannot be resolved: 3', '2 servers push, last 1.2 s ago: 40 heartbeat, 2 register'],
  ]) {
    assert.ok(body.includes(shown), shown);
  }
  const quiet = { ...source, push: { peers: [], items: {} } };
  assert.match(renderAgentPage(reportOf(registryOf({ source: quiet }))).body, /no server pushes/);
});

test('held removals are shown with a button that lets them pass', () => {
  const held = Array.from({ length: 25 }, (_, number) => ({
    service: number === 0 ? '' : `application:/s${number}:`,
    evidence: '4 of 10',
    losses: 4,
    witnesses: 'http://b:8761/eureka/ lists 3 of 4 as UP',
    passesInMs: 61_000,
  }));
  const { body } = renderAgentPage(reportOf(registryOf({ heldRemovals: 100, held })));
  assert.ok(body.includes('data-post="/api/release"'));
  assert.ok(body.includes('1 min 1 s'));
  assert.ok(body.includes('and 5 more'));
});

test('a registry that cannot be read and aggregators that are away are told with their reason', () => {
  const { body } = renderAgentPage(
    reportOf(
      registryOf(),
      registryOf({
        state: 'lost',
        reason: 'GET apps: refused',
        registryAgeMs: undefined,
        source: { ...source, hiddenDelayMs: 0 },
        aggregators: [
          { address: 'a:1', state: 'waiting', reason: 'no route', accepted: 0, served: false },
        ],
      }),
      registryOf({ state: 'waiting', aggregators: [] }),
    ),
  );
  for (const shown of ['lost', 'GET apps: refused', 'never', 'no route', 'of 3 registries live']) {
    assert.ok(body.includes(shown), shown);
  }
  const none = renderAgentPage(reportOf(registryOf({ aggregators: [] })));
  assert.ok(none.body.includes('No address of an aggregator is known.'));
});

test('names and reasons cannot become markup', () => {
  const { body } = renderAgentPage(
    reportOf(
      registryOf({
        registry: hostile as RegistryId,
        agentId: hostile,
        epoch: hostile,
        reason: hostile,
        state: 'suspect',
        heldRemovals: 1,
        held: [
          { service: hostile, evidence: hostile, losses: 1, witnesses: hostile, passesInMs: 0 },
        ],
        aggregators: [
          { address: hostile, state: 'waiting', reason: hostile, accepted: 0, served: false },
        ],
      }),
    ),
  );
  assert.ok(!body.includes('<img'));
  assert.ok(!body.includes('\u202e'));
});
