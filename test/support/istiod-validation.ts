import { isIP, isIPv4 } from 'node:net';

/** A decoded `istio.networking.v1alpha3.ServiceEntry`; enums are numbers. */
export interface ServiceEntrySpec {
  readonly hosts: readonly string[];
  readonly addresses: readonly string[];
  readonly ports: readonly {
    readonly number: number;
    readonly protocol: string;
    readonly name: string;
    readonly targetPort: number;
  }[];
  readonly location: number;
  readonly resolution: number;
  readonly endpoints: readonly EndpointSpec[];
  readonly exportTo: readonly string[];
  readonly subjectAltNames: readonly string[];
  readonly workloadSelector: { readonly labels: Readonly<Record<string, string>> } | null;
}

interface EndpointSpec {
  readonly address: string;
  readonly ports: Readonly<Record<string, number>>;
  readonly labels: Readonly<Record<string, string>>;
  readonly network: string;
  readonly locality: string;
  readonly weight: number;
  readonly serviceAccount: string;
}

const resolutions = { none: 0, static: 1, dns: 2, dnsRoundRobin: 3 } as const;
const http = ['http', 'http_proxy', 'http2', 'grpc', 'grpc-web'];
const tls = ['https', 'tls'];
const protocols = new Set(['', 'tcp', 'udp', 'mongo', 'redis', 'mysql', ...http, ...tls]);

const label = /^[A-Za-z0-9]([-A-Za-z0-9]{0,61}[A-Za-z0-9])?$/;
const wildcardLabel = /^(\*|(\*-?)?[A-Za-z0-9]([-A-Za-z0-9]{0,61}[A-Za-z0-9])?)$/;

/**
 * Every reason why istiod would reject the ServiceEntry, empty when it would take it. Written from
 * istiod's own rules and from nothing of the aggregator, so that each checks the other.
 */
export function serviceEntryErrors(spec: ServiceEntrySpec): string[] {
  return [
    ...hostErrors(spec),
    ...selectorErrors(spec),
    ...addressErrors(spec),
    ...portErrors(spec),
    ...endpointErrors(spec),
    ...protocolErrors(spec),
    ...exportErrors(spec.exportTo),
  ];
}

function hostErrors(spec: ServiceEntrySpec): string[] {
  if (spec.hosts.length === 0) return ['no hosts'];
  return spec.hosts
    .filter((host) => host === '*' || !isDomain(host, wildcardLabel))
    .map((host) => `bad host ${JSON.stringify(host)}`);
}

function isDomain(text: string, firstLabel: RegExp): boolean {
  if (text.length === 0 || text.length > 255) return false;
  const labels = (text.endsWith('.') ? text.slice(0, -1) : text).split('.');
  if (/^\d+$/.test(labels.at(-1) ?? '')) return false;
  return labels.every((part, index) => (index === 0 ? firstLabel : label).test(part));
}

function selectorErrors(spec: ServiceEntrySpec): string[] {
  if (spec.workloadSelector === null) return [];
  const errors = spec.endpoints.length > 0 ? ['workloadSelector and endpoints'] : [];
  for (const [key, value] of Object.entries(spec.workloadSelector.labels)) {
    if (key === '') errors.push('empty selector key');
    if (key.includes('*') || value.includes('*')) errors.push('wildcard in selector');
  }
  return errors;
}

function addressErrors(spec: ServiceEntrySpec): string[] {
  const errors: string[] = [];
  for (const address of spec.addresses) {
    const [ip = '', prefix] = address.split('/');
    const widest = isIPv4(ip) ? 32 : 128;
    const isCidr = prefix !== undefined;
    const isValid = isIP(ip) !== 0 && (!isCidr || (/^\d+$/.test(prefix) && +prefix <= widest));
    if (!isValid) errors.push(`bad address ${address}`);
    if (isCidr && spec.resolution > resolutions.static) errors.push(`CIDR ${address} with DNS`);
  }
  return errors;
}

function portErrors(spec: ServiceEntrySpec): string[] {
  const errors: string[] = [];
  const names = new Set<string>();
  const numbers = new Set<number>();
  for (const port of spec.ports) {
    if (!label.test(port.name)) errors.push(`bad port name ${JSON.stringify(port.name)}`);
    if (names.has(port.name)) errors.push(`port name ${port.name} twice`);
    if (numbers.has(port.number)) errors.push(`port ${port.number} twice`);
    names.add(port.name);
    numbers.add(port.number);
    if (!isPort(port.number)) errors.push(`bad port ${port.number}`);
    if (port.targetPort !== 0 && !isPort(port.targetPort)) errors.push('bad target port');
    if (!protocols.has(port.protocol.toLowerCase())) errors.push(`bad protocol ${port.protocol}`);
  }
  return errors;
}

function isPort(number: number): boolean {
  return number >= 1 && number <= 65535;
}

function endpointErrors(spec: ServiceEntrySpec): string[] {
  const { resolution, endpoints, hosts } = spec;
  if (resolution === resolutions.none) return endpoints.length > 0 ? ['endpoints with NONE'] : [];
  if (resolution === resolutions.static) {
    return endpoints.flatMap((endpoint) => [
      ...staticAddressErrors(endpoint, spec),
      ...endpointPortErrors(endpoint, spec),
      ...labelErrors(endpoint.labels),
    ]);
  }
  if (resolution !== resolutions.dns && resolution !== resolutions.dnsRoundRobin) {
    return [`resolution ${resolution}`];
  }
  const errors: string[] = [];
  if (endpoints.length === 0 && !hosts.every((host) => isDomain(host, label))) {
    errors.push('wildcard host without endpoints');
  }
  if (resolution === resolutions.dnsRoundRobin && endpoints.length > 1) {
    errors.push('more than one endpoint with DNS_ROUND_ROBIN');
  }
  for (const endpoint of endpoints) {
    const { address } = endpoint;
    if (isIP(address) === 0 && !isDomain(address, label)) errors.push('bad endpoint address');
    errors.push(...endpointPortErrors(endpoint, spec), ...labelErrors(endpoint.labels));
  }
  return errors;
}

function staticAddressErrors(endpoint: EndpointSpec, spec: ServiceEntrySpec): string[] {
  const { address, network, ports } = endpoint;
  if (address.startsWith('unix://')) {
    const path = address.slice('unix://'.length);
    const errors = /^(@.+|\/.*[^/])$/.test(path) ? [] : [`bad socket ${address}`];
    if (Object.keys(ports).length > 0) errors.push('ports of a socket');
    if (spec.ports.length !== 1) errors.push('a socket needs exactly one port');
    return errors;
  }
  if (address === '') return network === '' ? ['empty endpoint address'] : [];
  return isIP(address) === 0 ? [`bad endpoint address ${JSON.stringify(address)}`] : [];
}

function endpointPortErrors(endpoint: EndpointSpec, spec: ServiceEntrySpec): string[] {
  const errors: string[] = [];
  for (const [name, number] of Object.entries(endpoint.ports)) {
    if (!spec.ports.some((port) => port.name === name)) errors.push(`unknown port ${name}`);
    if (!isPort(number)) errors.push(`bad endpoint port ${number}`);
  }
  return errors;
}

const labelName = /^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;
const labelValue = /^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$/;
const labelPrefix = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

function labelErrors(labels: Readonly<Record<string, string>>): string[] {
  const errors: string[] = [];
  for (const [key, value] of Object.entries(labels)) {
    const parts = key.split('/');
    const isKey =
      parts.length === 1
        ? labelName.test(key)
        : parts.length === 2 &&
          labelPrefix.test(parts[0] ?? '') &&
          labelName.test(parts[1] ?? '') &&
          (parts[0] ?? '').length <= 253;
    if (!isKey) errors.push(`bad label key ${JSON.stringify(key)}`);
    if (!labelValue.test(value)) errors.push(`bad label value ${JSON.stringify(value)}`);
  }
  return errors;
}

function protocolErrors(spec: ServiceEntrySpec): string[] {
  if (spec.hosts.length < 2 || spec.resolution === resolutions.none) return [];
  const isRouted = spec.ports.every(({ protocol }) =>
    [...http, ...tls].includes(protocol.toLowerCase()),
  );
  return isRouted ? [] : ['several hosts with a TCP port'];
}

function exportErrors(exportTo: readonly string[]): string[] {
  const errors = exportTo
    .filter((entry) => !['.', '*', '~'].includes(entry) && !label.test(entry))
    .map((entry) => `bad exportTo ${JSON.stringify(entry)}`);
  if (new Set(exportTo).size < exportTo.length) errors.push('exportTo twice');
  const isAll = exportTo.includes('*') || exportTo.includes('~');
  if (isAll && exportTo.length > 1) errors.push('exportTo * or ~ with others');
  return errors;
}
