import type { RegistryView, ServiceView, SubscriberView } from './view.ts';

/** One thing that an operator should look at. */
export interface AttentionPoint {
  readonly tone: 'bad' | 'warn';
  readonly word: string;
  readonly text: string;
}

interface Looked {
  readonly isComplete: boolean;
  readonly registries: readonly RegistryView[];
  readonly subscribers: readonly SubscriberView[];
}

/** So many registries are named at most. */
const namedMax = 10;

/** What needs attention, the worst first. Pure. */
export function attentionOf(status: Looked, services: readonly ServiceView[]): AttentionPoint[] {
  const expected = status.registries.filter(({ isExpected }) => isExpected);
  return [
    ...silence(status.isComplete, status.registries),
    ...expected.flatMap(guards),
    ...expected.flatMap(staleness),
    ...status.registries.filter(({ isExpected }) => !isExpected).map(unexpected),
    ...conflicts(services),
  ];
}

function silence(isComplete: boolean, registries: readonly RegistryView[]): AttentionPoint[] {
  if (isComplete) return [];
  const what = describeSilence(registries);
  const text = `${what.charAt(0).toUpperCase()}${what.slice(1)}. A partial answer would delete live services in an istiod that merely reconnected.`;
  return [{ tone: 'bad', word: 'silent', text }];
}

/** Why nothing is answered yet: which expected registries are missing. */
export function describeSilence(registries: readonly RegistryView[]): string {
  const missing = registries.filter(({ isExpected, isHeard }) => isExpected && !isHeard);
  if (missing.length === 0) return 'preparing the first answer';
  const named = missing.slice(0, namedMax).map(({ id }) => id);
  const more = missing.length - named.length;
  return `waiting for ${named.join(', ')}${more === 0 ? '' : ` and ${more} more`}`;
}

function guards(registry: RegistryView): AttentionPoint[] {
  const points: AttentionPoint[] = [];
  if (registry.heldRemovals > 0) {
    const text = `${registry.id}: ${registry.heldRemovals} removals held back here. ${registry.guardReason}`;
    points.push({ tone: 'warn', word: 'guard', text });
  }
  for (const { agentId, heldRemovals } of registry.agents) {
    if (heldRemovals === 0) continue;
    const text = `${registry.id}: ${heldRemovals} removals held back by agent ${agentId}.`;
    points.push({ tone: 'warn', word: 'guard', text });
  }
  return points;
}

function staleness(registry: RegistryView): AttentionPoint[] {
  if (registry.state === 'live' || !registry.isHeard) return [];
  const reasons = registry.agents.map(({ agentId, reason }) =>
    reason === '' ? '' : `${agentId}: ${reason}`,
  );
  const why = reasons.filter((reason) => reason !== '').join('; ');
  const isSuspect = registry.agents.some((agent) => agent.isConnected && agent.state === 'suspect');
  const what = isSuspect
    ? 'what its agents doubt or cannot see stays as it was.'
    : 'its last good data is served.';
  const text = `${registry.id}: ${what} ${why === '' ? 'No agent speaks for it.' : why}`;
  return [{ tone: 'warn', word: registry.state, text }];
}

function unexpected(registry: RegistryView): AttentionPoint {
  const text = `${registry.id} is fed but not among --expect: it is shown, not served.`;
  return { tone: 'warn', word: 'not served', text };
}

function conflicts(services: readonly ServiceView[]): AttentionPoint[] {
  const hosts = services.filter((service) => service.conflicts.length > 0);
  const first = hosts[0];
  if (first === undefined) return [];
  const others = hosts.length === 1 ? '' : ` and ${hosts.length - 1} more`;
  const text = `${first.host}${others}: registries disagree; settled by precedence.`;
  return [{ tone: 'warn', word: 'conflict', text }];
}
