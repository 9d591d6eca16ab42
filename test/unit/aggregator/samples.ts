import type { AgentIdentity, RegistryHealth } from '../../../aggregator/contribution.ts';
import type { Instance } from '../../../common/instance.ts';
import { isRegistryId } from '../../../common/registry.ts';
import type { RegistryId } from '../../../common/registry.ts';

/** A registry id; throws when the text is none. */
export function registryId(text: string): RegistryId {
  if (!isRegistryId(text)) throw new Error(text);
  return text;
}

/** An instance that is UP, unless told otherwise. */
export function instance(id: string, changes: Partial<Instance> = {}): Instance {
  return {
    id,
    service: { kind: 'application', name: 'orders', group: '', version: '' },
    address: '10.0.0.1',
    ports: [{ protocol: 'http', number: 8080 }],
    labels: {},
    locality: '',
    weight: 0,
    status: 'UP',
    ...changes,
  };
}

/** `count` instances of one service, each with an address of its own. */
export function instances(service: string, count: number): Map<string, Instance> {
  const all = new Map<string, Instance>();
  for (let index = 1; index <= count; index += 1) {
    const id = `${service}-${index}`;
    all.set(
      id,
      instance(id, {
        service: { kind: 'application', name: service, group: '', version: '' },
        address: `10.0.${index >> 8}.${index & 255}`,
      }),
    );
  }
  return all;
}

/** An agent of dc1/main. */
export function agent(changes: Partial<AgentIdentity> = {}): AgentIdentity {
  return {
    registry: registryId('dc1/main'),
    kind: 'eureka',
    agentId: 'agent-a',
    epoch: '01',
    network: '',
    defaultLocality: '',
    software: 'test',
    ...changes,
  };
}

/** What a heartbeat says. */
export function health(state: RegistryHealth['state']): RegistryHealth {
  return { state, reason: '', registryAgeMs: 0, hiddenDelayMs: 0, heldRemovals: 0 };
}
