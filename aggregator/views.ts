import type { HeldPart } from '../common/guard-holds.ts';
import type { Catalog } from './catalog.ts';
import { repairLabels } from './labels.ts';
import { judge, mergeService, ownerOf } from './merge.ts';
import type { Member, Owner } from './merge.ts';
import { servicePort } from './protocols.ts';
import type { RegistryCatalog } from './registry-catalog.ts';
import type { HostState, RegistryIndex } from './service-index.ts';
import type { AgentView, RegistryView, ServiceView } from './view.ts';
import { isHealthy } from './voice.ts';
import type { Voice } from './voice.ts';

const reasonPartsMax = 10;

/** What an operator may see of a registry that has been heard of. `now` is `performance.now()`. */
function registryView(registry: RegistryCatalog, index: RegistryIndex, now: number): RegistryView {
  const { guard } = registry;
  const held = guard.heldCount === 0 ? [] : guard.held();
  return {
    id: registry.id,
    kind: registry.kind,
    isExpected: registry.isServed,
    isHeard: registry.isHeard,
    state: stateOf(registry),
    agents: [...registry.voices.values()]
      .filter(({ identity }) => identity.agentId !== '')
      .map(agentView)
      .sort((a, b) => (a.agentId < b.agentId ? -1 : 1)),
    instances: index.counts(),
    services: index.serviceCount,
    ageMs: registry.ageMs(now),
    hiddenDelayMs: hiddenDelay(registry),
    heldRemovals: guard.heldCount,
    guardReason: guardReason(held),
  };
}

/** The evidence of the first parts; `held` may have thousands. */
function guardReason(held: readonly HeldPart[]): string {
  const lines = held.slice(0, reasonPartsMax).map(({ evidence }) => evidence);
  if (held.length > reasonPartsMax) lines.push(`and ${held.length - reasonPartsMax} more`);
  return lines.join('; ');
}

/** An expected registry of which nothing has been heard; its kind is not known yet. */
function awaitedView(id: RegistryView['id']): RegistryView {
  return {
    id,
    kind: 'eureka',
    isExpected: true,
    isHeard: false,
    state: 'waiting',
    agents: [],
    instances: {},
    services: 0,
    ageMs: undefined,
    hiddenDelayMs: 0,
    heldRemovals: 0,
    guardReason: '',
  };
}

function stateOf(registry: RegistryCatalog): RegistryView['state'] {
  if (registry.isLive) return 'live';
  return registry.isHeard ? 'stale' : 'waiting';
}

function hiddenDelay(registry: RegistryCatalog): number {
  let delay = 0;
  for (const voice of registry.voices.values()) {
    if (isHealthy(voice)) delay = Math.max(delay, voice.health?.hiddenDelayMs ?? 0);
  }
  return delay;
}

function agentView(voice: Voice): AgentView {
  const isConnected = voice.stream !== undefined;
  return {
    agentId: voice.identity.agentId,
    software: voice.identity.software,
    isConnected,
    state: isConnected ? (voice.health?.state ?? 'live') : 'lost',
    reason: isConnected ? (voice.health?.reason ?? '') : voice.closeReason,
    instances: voice.instances.size,
    heldRemovals: voice.health?.heldRemovals ?? 0,
  };
}

/** What is served under a host. `version` is that of the published resource, or empty. */
export function serviceView(
  state: HostState,
  published: { readonly vip: string; readonly version: string },
): ServiceView {
  const service = mergeService(state.host, state.members);
  const port = servicePort(service.protocol);
  return {
    host: state.host,
    vip: published.vip,
    portName: port.name,
    port: port.number,
    protocol: port.protocol,
    version: published.version,
    endpoints: service.endpoints.map((endpoint) => ({
      ...endpoint,
      labels: repairLabels(endpoint.labels),
    })),
    withheld: service.withheld,
    conflicts: service.conflicts,
  };
}

/** Why an instance is, or is not, an endpoint of a host. */
export interface MemberExplanation {
  readonly registry: RegistryView['id'];
  readonly instance: string;
  readonly address: string;
  readonly port: number | undefined;
  readonly protocol: string;
  /** `served`, or why it is withheld. */
  readonly verdict: string;
}

/** All members of a host, sorted by registry and instance. */
export function explainMembers(state: HostState): readonly MemberExplanation[] {
  const owner = ownerOf(state.members);
  return Array.from(state.members, (member) => explainMember(member, owner)).sort((a, b) =>
    keyOf(a) < keyOf(b) ? -1 : 1,
  );
}

function explainMember(member: Member, owner: Owner): MemberExplanation {
  const verdict = judge(member, owner);
  return {
    registry: member.registry.id,
    instance: member.instance.id,
    address: member.instance.address,
    port: member.port?.number,
    protocol: member.protocol,
    verdict: 'address' in verdict ? 'served' : verdict.withheld,
  };
}

function keyOf({ registry, instance }: MemberExplanation): string {
  return `${registry} ${instance}`;
}

/** Registries that are known or expected, sorted by id. */
export function registryViews(
  catalog: Catalog,
  expected: ReadonlySet<RegistryView['id']>,
  indexOf: (id: RegistryView['id']) => RegistryIndex,
): readonly RegistryView[] {
  const now = performance.now();
  const awaited = [...expected].filter(
    (id) => !catalog.registries.has(id) && !catalog.retired.has(id),
  );
  return [...catalog.registries.values()]
    .map((registry) => registryView(registry, indexOf(registry.id), now))
    .concat(awaited.map(awaitedView))
    .sort((a, b) => (a.id < b.id ? -1 : 1));
}
