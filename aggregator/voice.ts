import type { Instance } from '../common/instance.ts';
import type { AgentIdentity, RegistryHealth } from './contribution.ts';
import type { SavedRegistry } from './registry-types.ts';

/**
 * What one agent has said of a registry and how far it counts. A voice outlives the agent's streams
 * and, as long as it is needed, the agent.
 */
export interface Voice {
  /** Of its latest stream. Of saved state, the agent id is empty. */
  identity: AgentIdentity;
  instances: Map<string, Instance>;
  /** Whether it has delivered a complete snapshot; then its changes can be applied. */
  hasSnapshot: boolean;
  /** The epoch of its latest snapshot, empty before: the first one of an epoch passes the guard. */
  snapshotEpoch: string;
  /** Distinguishes its streams: what an older one still does is void. */
  stream: object | undefined;
  health: RegistryHealth | undefined;
  /** Why its registry was doubted when it was last heard of in the epoch of that snapshot, or empty. */
  doubt: string;
  /** `performance.now()` of the health, and of the end of the stream. */
  healthAt: number;
  closedAt: number;
  /** Why the stream ended. */
  closeReason: string;
  /** Another one delivered a snapshot and was healthy while this one was not: it counts no more until it is healthy. */
  isSuperseded: boolean;
}

/** A voice that has said nothing. */
export function createVoice(identity: AgentIdentity): Voice {
  return {
    identity,
    instances: new Map(),
    hasSnapshot: false,
    snapshotEpoch: '',
    stream: undefined,
    health: undefined,
    doubt: '',
    healthAt: 0,
    closedAt: 0,
    closeReason: '',
    isSuperseded: false,
  };
}

/** Whether it is connected to a registry that is read. Before its first word on that it is believed. */
export function isHealthy(voice: Voice): boolean {
  return (
    voice.stream !== undefined && (voice.health === undefined || voice.health.state === 'live')
  );
}

/** Of saved state, of which the agents are not known any more. */
export function createSavedVoice(saved: SavedRegistry): Voice {
  const { id: registry, kind, network, defaultLocality } = saved;
  const nobody = { agentId: '', epoch: '', software: '' };
  return {
    ...createVoice({ registry, kind, network, defaultLocality, ...nobody }),
    instances: saved.instances,
    hasSnapshot: true,
    doubt: saved.doubt ?? '',
  };
}

/**
 * Why losses would be doubted that an agent of this health tells by what it does not say any more, once it has
 * restarted: it has forgotten what it held, and that its registry was away or had only just come back. Empty when nothing
 * speaks against them. Eureka's agents ask other servers, so this is for ensembles alone.
 */
export function doubtIn({ agentId, kind }: AgentIdentity, health: RegistryHealth): string {
  if (kind !== 'zookeeper') return '';
  const { heldRemovals, doubt, state, reason } = health;
  const last = 'when it was last heard of';
  if (heldRemovals > 0) return `agent ${agentId} held ${heldRemovals} removals ${last}`;
  if (doubt !== undefined) return `agent ${agentId} doubted its registry ${last}: ${doubt}`;
  return state === 'lost' ? `agent ${agentId} had lost its registry ${last}: ${reason}` : '';
}

/** Whether it is connected, and tells what it sees of a registry that it does not see wholly. */
export function isPartial({ stream, hasSnapshot, health }: Voice): boolean {
  return stream !== undefined && hasSnapshot && health?.state === 'suspect';
}

/**
 * Why what these do not say is no loss: one of them says that parts of its registry cannot be read, and after a
 * restart it does not know what they held.
 */
export function suspicionOf(speaking: readonly Voice[]): string | undefined {
  const suspect = speaking.find(({ health }) => health?.state === 'suspect');
  if (suspect?.health === undefined) return undefined;
  const { identity, health } = suspect;
  return `agent ${identity.agentId} does not see the whole registry: ${health.reason}`;
}

/**
 * Whose word counts: the healthy ones' if there are any, else that of those who see a part, else that of all that were
 * not superseded, among those that have delivered a snapshot or (`delivering`) are about to.
 */
export function speakers(voices: Iterable<Voice>, delivering?: Voice): readonly Voice[] {
  const complete = [...voices].filter((voice) => voice.hasSnapshot || voice === delivering);
  const healthy = complete.filter(isHealthy);
  const partial = complete.filter((voice) => isPartial({ ...voice, hasSnapshot: true }));
  const others = partial.length > 0 ? partial : complete.filter((voice) => !voice.isSuperseded);
  const chosen = healthy.length > 0 ? healthy : others;
  return [...chosen].sort((a, b) => (a.identity.agentId < b.identity.agentId ? -1 : 1));
}
