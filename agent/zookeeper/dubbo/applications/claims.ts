import type { Instance, Port } from '../../../../common/instance.ts';
import { escapeIdPart, isIdInBounds } from '../../convert.ts';
import type { Claim } from '../../description.ts';
import type { DropReason } from '../../reading.ts';
import type { Sharing } from '../../sharing.ts';
import { dubboInstance, protocolsOf, tagKey } from '../dubbo-instance.ts';
import type { DubboContext, ProviderParts } from '../dubbo-instance.ts';
import type { DubboService } from './metadata.ts';
import { trafficBy } from './process-leaves.ts';
import type { ProcessWord, Traffic } from './process-leaves.ts';
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

/** A registration and what is known of it. */
export interface ClaimsSubject {
  readonly path: string;
  readonly record: DubboInstanceRecord;
  readonly resolution: Resolution;
  /** What its own leaves say of the process; undefined when there are none. */
  readonly word: ProcessWord | undefined;
}

/** What a registration vouches for; each id once. */
export function claimsOf(subject: ClaimsSubject, context: ClaimsContext): Claims {
  const { record, resolution } = subject;
  const { sharing } = context.dubbo;
  const byId = new Map<string, Claim>();
  const dropped: DropReason[] = [];
  const add = (claim: Claim | DropReason): void => {
    if (typeof claim === 'string') dropped.push(claim);
    else if (!byId.has(claim.instance.id)) byId.set(claim.instance.id, claim);
  };
  for (const parts of endpointsOf(record, resolution)) {
    if (context.hiddenInterfaces.has(parts.interfaceName)) continue;
    const claim = dubboInstance(parts, context.dubbo);
    add(typeof claim === 'string' ? claim : complete(claim, record, resolution, sharing));
  }
  const services = [...byId.values()];
  if (context.hasApplicationHosts && (record.revision !== '' || record.isLegacy)) {
    add(applicationClaim(subject, wordOf(services), sharing));
  }
  return { claims: [...byId.values()], dropped };
}

/** What goes for the process since it goes for all its services, as far as they are known. */
function wordOf(services: readonly Claim[]): ProcessWord | undefined {
  const words = services.flatMap(({ instance, traits }) =>
    traits === undefined
      ? []
      : [{ tag: instance.labels[tagKey] ?? '', traffic: trafficBy(traits), traits }],
  );
  return words.reduce<ProcessWord | undefined>(
    (first, word) => (first === undefined || isBefore(word, first) ? word : first),
    undefined,
  );
}

const trafficOrder: readonly Traffic[] = ['taken', 'weightless', 'disabled'];

/** Who takes traffic goes before who does not, who has no tag before who has. */
function isBefore(a: ProcessWord, b: ProcessWord): boolean {
  const order = trafficOrder.indexOf(a.traffic) - trafficOrder.indexOf(b.traffic);
  return order < 0 || (order === 0 && a.tag < b.tag);
}

/** The one that takes less traffic. */
function lesser(a: Traffic = 'taken', b: Traffic = 'taken'): Traffic {
  return trafficOrder.indexOf(a) > trafficOrder.indexOf(b) ? a : b;
}

/**
 * The registration's own endpoint, under the name of its application. What goes for all services of the process goes for
 * it: the tag, and that it takes no traffic. Leaves can lack what metadata say (they may be simplified), and metadata may
 * not be had.
 */
function applicationClaim(
  { path, record, word: ofLeaves }: ClaimsSubject,
  ofServices: ProcessWord | undefined,
  sharing: Sharing,
): Claim | DropReason {
  const id = `dubbo-app:${path.split('/').map(escapeIdPart).join('/')}`;
  if (!isIdInBounds(id)) return 'too-long';
  const traffic = lesser(ofLeaves?.traffic, ofServices?.traffic);
  const tag = [ofLeaves?.tag, ofServices?.tag].find((text) => text !== undefined && text !== '');
  const { root = '', parameters } = ofServices?.traits ?? ofLeaves?.traits ?? {};
  const { application } = record;
  const instance: Instance = {
    id,
    service: sharing.application('dubbo-application', application.toLowerCase()),
    address: record.address,
    ports: portsOf(protocolPortsOf(record), sharing),
    labels: tag === undefined ? sharing.labels(record.labels) : taggedLabels(record, tag, sharing),
    locality: record.locality,
    weight: record.weight,
    status: traffic === 'taken' ? 'UP' : 'OUT_OF_SERVICE',
  };
  const weight = traffic === 'weightless' ? 0 : record.weight > 0 ? record.weight : undefined;
  const isDisabled = traffic === 'disabled';
  return { instance, traits: { root, application, weight, isDisabled, parameters } };
}

function taggedLabels(
  { labels }: DubboInstanceRecord,
  tag: string,
  sharing: Sharing,
): Instance['labels'] {
  const others = labels.filter(([key]) => key !== tagKey);
  return sharing.labels([...others, [tagKey, tag] as const].sort(([a], [b]) => (a < b ? -1 : 1)));
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
