import { isIP } from 'node:net';
import type { RenderedService, ServiceEntry, WorkloadEntry } from './service-entry.ts';

/**
 * istiod's own rules for a ServiceEntry, the strictest of all releases, applied before anything is
 * published: istiod answers an invalid resource with silence and keeps its old state, or drops the
 * service. Written from istiod's rules alone, on purpose not from what the renderer promises.
 */
type InvalidReason =
  | 'metadata-name'
  | 'host'
  | 'address'
  | 'port'
  | 'protocol'
  | 'endpoint-address'
  | 'endpoint-port'
  | 'endpoint-label'
  | 'endpoint-weight'
  | 'duplicate-endpoint';

/** What is wrong, first of all; `detail` is for the operator. */
export interface Problem {
  readonly reason: InvalidReason;
  readonly detail: string;
}

const dnsLabel = /^[A-Za-z0-9](?:[-A-Za-z0-9]{0,61}[A-Za-z0-9])?$/;
const labelName = /^[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;
const dnsSubdomain = /^[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?$/;
const protocols = new Set(
  'TCP UDP GRPC GRPC-WEB HTTP HTTP2 HTTPS TLS MONGO REDIS MYSQL'.split(' '),
);

/** The first problem of a resource, or undefined when istiod will take it. */
export function validate({ metadata, entry }: RenderedService): Problem | undefined {
  if (!/^[^/]+\/[^/]+$/.test(metadata.name)) {
    return { reason: 'metadata-name', detail: metadata.name };
  }
  return (
    validateHosts(entry.hosts) ??
    validateAddresses(entry.addresses) ??
    validatePorts(entry.ports) ??
    validateEndpoints(entry)
  );
}

function validateHosts(hosts: readonly string[]): Problem | undefined {
  const [host = ''] = hosts;
  const labels = host.split('.');
  const isValid =
    hosts.length === 1 &&
    host.length <= 255 &&
    labels.every((label) => dnsLabel.test(label)) &&
    !/^\d+$/.test(labels.at(-1) ?? '');
  return isValid ? undefined : { reason: 'host', detail: hosts.join(' ') };
}

function validateAddresses(addresses: readonly string[]): Problem | undefined {
  const isValid = addresses.length === 1 && addresses.every((address) => isIP(address) !== 0);
  return isValid ? undefined : { reason: 'address', detail: addresses.join(' ') };
}

function validatePorts(ports: ServiceEntry['ports']): Problem | undefined {
  const [port] = ports;
  if (port === undefined || ports.length > 1 || !dnsLabel.test(port.name) || !isPort(port.number)) {
    return { reason: 'port', detail: ports.map(({ name }) => name).join(' ') };
  }
  if (!protocols.has(port.protocol.toUpperCase())) {
    return { reason: 'protocol', detail: port.protocol };
  }
  return undefined;
}

function validateEndpoints({ endpoints, ports }: ServiceEntry): Problem | undefined {
  const names = new Set(ports.map(({ name }) => name));
  const places = new Set<string>();
  for (const endpoint of endpoints) {
    const problem = validateEndpoint(endpoint, names);
    if (problem !== undefined) return problem;
    const place = [endpoint.network, endpoint.address, ...Object.values(endpoint.ports)].join(' ');
    if (places.has(place)) return { reason: 'duplicate-endpoint', detail: place };
    places.add(place);
  }
  return undefined;
}

function validateEndpoint(
  endpoint: WorkloadEntry,
  names: ReadonlySet<string>,
): Problem | undefined {
  if (isIP(endpoint.address) === 0) {
    return { reason: 'endpoint-address', detail: endpoint.address };
  }
  const ports = Object.entries(endpoint.ports);
  if (
    ports.length !== names.size ||
    !ports.every(([name, port]) => names.has(name) && isPort(port))
  ) {
    return { reason: 'endpoint-port', detail: endpoint.address };
  }
  const weight = endpoint.weight ?? 1;
  if (!Number.isInteger(weight) || weight < 1 || weight > 0xffff_ffff) {
    return { reason: 'endpoint-weight', detail: `${endpoint.address}: ${weight}` };
  }
  for (const [key, value] of Object.entries(endpoint.labels ?? {})) {
    if (!isLabelKey(key) || (value !== '' && !labelName.test(value))) {
      return { reason: 'endpoint-label', detail: `${endpoint.address}: ${key}` };
    }
  }
  return undefined;
}

function isLabelKey(key: string): boolean {
  const slash = key.indexOf('/');
  if (slash === -1) return labelName.test(key);
  return dnsSubdomain.test(key.slice(0, slash)) && labelName.test(key.slice(slash + 1));
}

function isPort(number: number): boolean {
  return Number.isInteger(number) && number >= 1 && number <= 65_535;
}
