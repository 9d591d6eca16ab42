import { hash } from 'node:crypto';
import type { Endpoint, Service } from './merge.ts';
import { repairLabels } from './labels.ts';
import { servicePort } from './protocols.ts';
import { meshInternal, staticResolution } from './service-entry.ts';
import type { RenderedService, WorkloadEntry } from './service-entry.ts';

/**
 * Service -> ServiceEntry. Pure: equal services give equal entries (and bytes, see encode.ts). What looks odd below steps around faults of released istiods:
 *
 * - A STATIC entry that loses its last endpoint leaves the dead ones in every proxy (1.5 to 1.29): an
 *   empty entry carries one more metadata label (read by 1.11 and later) and a create time one second
 *   later (read by those before 1.18), which makes the transition a change of the service itself.
 * - Endpoints that share an address are compared without their ports (1.21 to 1.29): each carries a
 *   label whose value changes with the group.
 * - Exactly one address: two double all endpoints, none sends TCP traffic to the wrong service.
 * - An endpoint without a port of its own gets the service's: the port map is always explicit.
 * - `dubbo` is no protocol to any istiod: it is TCP.
 * - The create time is far in the future, so that an operator's own resource for the host is older and
 *   wins, and constant, since older istiods push everything when it changes.
 */
export interface RenderOptions {
  /** The namespace of all resources. */
  readonly namespace: string;
  readonly vip: string;
}

/** 2100-01-01T00:00:00Z. */
const createTime = 4_102_444_800;
const emptyLabel = 'tributary.io/empty';
const groupLabel = 'tributary.io/port-group';

/** The resource of a service, not yet encoded. */
export function renderService(service: Service, options: RenderOptions): RenderedService {
  const isEmpty = service.endpoints.length === 0;
  const port = servicePort(service.protocol);
  const groups = portGroups(service.endpoints);
  return {
    metadata: {
      name: `${options.namespace}/${service.host}`,
      createTime: isEmpty ? createTime + 1 : createTime,
      labels: isEmpty ? { [emptyLabel]: 'true' } : {},
      annotations: service.names,
    },
    entry: {
      hosts: [service.host],
      addresses: [options.vip],
      ports: [port],
      location: meshInternal,
      resolution: staticResolution,
      endpoints: service.endpoints.map((endpoint) =>
        renderEndpoint(endpoint, port.name, groups.get(endpoint.address)),
      ),
    },
  };
}

function renderEndpoint(
  endpoint: Endpoint,
  portName: string,
  group: string | undefined,
): WorkloadEntry {
  const repaired = repairLabels(endpoint.labels);
  const labels = group === undefined ? repaired : { ...repaired, [groupLabel]: group };
  const { network, locality, weight } = endpoint;
  return {
    address: endpoint.address,
    ports: { [portName]: endpoint.port },
    ...(Object.keys(labels).length > 0 && { labels }),
    ...(network !== '' && { network }),
    ...(locality !== '' && { locality }),
    ...(weight > 0 && { weight }),
  };
}

/** For each address that several endpoints share, a text that changes with the set of their ports. */
function portGroups(endpoints: readonly Endpoint[]): ReadonlyMap<string, string> {
  const ports = new Map<string, number[]>();
  for (const { address, port } of endpoints) {
    const known = ports.get(address);
    if (known === undefined) ports.set(address, [port]);
    else known.push(port);
  }
  const groups = new Map<string, string>();
  for (const [address, shared] of ports) {
    if (shared.length < 2) continue;
    const text = shared.sort((a, b) => a - b).join(',');
    groups.set(address, hash('sha256', text).slice(0, 10));
  }
  return groups;
}
