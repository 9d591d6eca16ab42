import type { Instance, Port } from '../../../../common/instance.ts';
import { escapeIdPart, isIdInBounds } from '../../convert.ts';
import type { Claim } from '../../endpoints.ts';
import type { DropReason } from '../../reading.ts';
import type { Sharing } from '../../sharing.ts';
import { dubboInstance, protocolsOf } from '../dubbo-instance.ts';
import type { DubboContext, ProviderParts } from '../dubbo-instance.ts';
import type { DubboService } from './metadata.ts';
import type { DubboInstanceRecord, ProtocolPort } from './record.ts';

/**
 * What an application-level registration vouches for: one endpoint for each service and port, described and named
 * as the same provider's own leaf would be, so that both models vouch for one endpoint; and the application's own
 * endpoint. A pure function of the registration and of what is known of its services.
 */

/** What is known of the services of a registration. */
export interface Resolution {
  readonly services: readonly DubboService[];
  /** Put together from definitions that say neither revision nor protocol. */
  readonly isInferred: boolean;
}

/** Nothing is exported, or what is exported is known from elsewhere. */
export const noServices: Resolution = { services: [], isInferred: false };

/** What claims are made with. */
export interface ClaimsContext {
  readonly dubbo: DubboContext;
  /** Interfaces that are never shown. */
  readonly hiddenInterfaces: ReadonlySet<string>;
  /** Whether an application has an endpoint of its own. */
  readonly hasApplicationHosts: boolean;
}

/** What a registration vouches for, and why parts of it cannot be vouched for. */
export interface Claims {
  readonly claims: readonly Claim[];
  readonly dropped: readonly DropReason[];
}

const inferredLabel = 'inferred';

/** What the registration at this path vouches for; each id once. */
export function claimsOf(
  path: string,
  record: DubboInstanceRecord,
  resolution: Resolution,
  context: ClaimsContext,
): Claims {
  const { sharing } = context.dubbo;
  const byId = new Map<string, Claim>();
  const dropped: DropReason[] = [];
  const add = (claim: Claim | DropReason): void => {
    if (typeof claim === 'string') dropped.push(claim);
    else if (!byId.has(claim.instance.id)) byId.set(claim.instance.id, claim);
  };
  if (context.hasApplicationHosts && (record.revision !== '' || record.isLegacy)) {
    add(applicationClaim(path, record, sharing));
  }
  for (const parts of endpointsOf(record, resolution)) {
    if (context.hiddenInterfaces.has(parts.interfaceName)) continue;
    const claim = dubboInstance(parts, context.dubbo);
    add(typeof claim === 'string' ? claim : complete(claim, record, resolution, sharing));
  }
  return { claims: [...byId.values()], dropped };
}

/** The registration's own endpoint, under the name of its application. */
function applicationClaim(
  path: string,
  record: DubboInstanceRecord,
  sharing: Sharing,
): Claim | DropReason {
  const id = `dubbo-app:${path.split('/').map(escapeIdPart).join('/')}`;
  if (!isIdInBounds(id)) return 'too-long';
  const instance: Instance = {
    id,
    service: sharing.application('dubbo-application', record.application.toLowerCase()),
    address: record.address,
    ports: portsOf(protocolPortsOf(record), sharing),
    labels: sharing.labels(record.labels),
    locality: record.locality,
    weight: record.weight,
    status: 'UP',
  };
  return { instance, traits: undefined };
}

function portsOf(protocols: readonly ProtocolPort[], sharing: Sharing): readonly Port[] {
  return protocols
    .map(({ protocol, port }) => ({ protocol: sharing.text(protocol), number: port }))
    .sort((a, b) => (a.protocol < b.protocol ? -1 : 1));
}

/** Its protocols; a registration that names none speaks one at its port, Dubbo's own if it does not say. */
function protocolPortsOf(record: DubboInstanceRecord): readonly ProtocolPort[] {
  if (record.protocols.length > 0) return record.protocols;
  const { metadataService, port } = record;
  const protocol = metadataService?.port === port ? metadataService.protocol : 'dubbo';
  return [{ protocol, port }];
}

/** Each service with each of its ports. */
function* endpointsOf(
  record: DubboInstanceRecord,
  { services, isInferred }: Resolution,
): Iterable<ProviderParts> {
  const { address } = record;
  if (isInferred) {
    const ports = [...Map.groupBy(protocolPortsOf(record), ({ port }) => port)];
    for (const { root, interfaceName, group, version, parameters } of services) {
      for (const [port, spoken] of ports) {
        const protocols = spoken.map(({ protocol }) => protocol);
        yield { root, interfaceName, group, version, protocols, address, port, parameters };
      }
    }
    return;
  }
  const extra = new Set(services.flatMap((service) => extraKeysOf(service, record)));
  for (const service of services) {
    const { root, interfaceName, group, version, parameters } = service;
    const port = servicePort(service, record);
    const protocols = protocolsOf(service.protocol, parameters);
    const isExtra = extra.size > 0 && protocols.length === 1;
    if (isExtra && extra.has(keyOf(service, service.protocol, port))) continue;
    yield { root, interfaceName, group, version, protocols, address, port, parameters };
  }
}

/** A service's own port, else that of its protocol, else that of the process. */
function servicePort(service: DubboService, record: DubboInstanceRecord): number {
  if (service.port > 0) return service.port;
  const found = record.protocols.find(({ protocol }) => protocol === service.protocol);
  return found?.port ?? record.port;
}

/** A port that speaks several protocols is listed once for each; the entry of its own protocol names the others. */
function extraKeysOf(service: DubboService, record: DubboInstanceRecord): readonly string[] {
  const port = servicePort(service, record);
  const [, ...others] = protocolsOf(service.protocol, service.parameters);
  return others.map((protocol) => keyOf(service, protocol, port));
}

function keyOf(service: DubboService, protocol: string, port: number): string {
  return JSON.stringify([service.interfaceName, service.group, service.version, protocol, port]);
}

/** What a leaf could not have said: where the process is, and that the endpoint was inferred. */
function complete(
  claim: Claim,
  record: DubboInstanceRecord,
  { isInferred }: Resolution,
  sharing: Sharing,
): Claim {
  const { instance, traits } = claim;
  const locality = instance.locality === '' ? record.locality : instance.locality;
  if (!isInferred && locality === instance.locality) return claim;
  const labels = isInferred ? withLabel(instance.labels, sharing) : instance.labels;
  return { instance: { ...instance, locality, labels }, traits };
}

/** Labels are shared by many endpoints: each set is extended once. */
const extended = new WeakMap<object, Readonly<Record<string, string>>>();

function withLabel(
  labels: Readonly<Record<string, string>>,
  sharing: Sharing,
): Readonly<Record<string, string>> {
  let found = extended.get(labels);
  if (found === undefined) {
    const entries = Object.entries({ ...labels, [inferredLabel]: 'true' });
    found = sharing.labels(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
    extended.set(labels, found);
  }
  return found;
}
