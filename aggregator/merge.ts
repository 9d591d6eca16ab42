import type { Instance, InstanceStatus, Port } from '../common/instance.ts';
import type { RegistryId } from '../common/registry.ts';
import { canonicalAddress } from '../common/endpoint-address.ts';
import { guestRank, tagLabel } from './host.ts';

/**
 * All that stands under one host becomes one service. Pure, and independent of the order and the grouping of
 * its members: equal sets of members give equal services, on every replica and after every restart.
 *
 * - An endpoint is (network, address, port). It lives while any member that is UP vouches for it,
 *   and keeps the list of those that do. Everything else is withheld and counted by why.
 * - Where members differ, precedence decides: those whose own name the host is before those that it is an
 *   alias of, then the registry's priority (the smaller number first), then the registry's id, then the
 *   instance's id. Weight and locality are those of the first member
 *   that says anything; each label is the first member's that has it. What was overruled
 *   is a conflict, in one line.
 * - Guests of a host (applications of Dubbo 3, see host.ts) have it only where no other application is before them:
 *   it belongs to those of one kind, and of guests to those of one protocol, whatever their status, since nobody
 *   who calls one protocol is served by another. Precedence decides: own name before alias, then the registry's priority,
 *   then others before guests, then who could be an endpoint before who cannot, then the guests' protocols (`dubbo` before `tri` before others). The losers are withheld.
 * - The protocol is that of the first member with an endpoint, if there is any, so that a
 *   registration that takes no traffic cannot change how the others are spoken to.
 * - If any endpoint has a weight of its own, those without have 100; else none has one. Weights
 *   are cut at 10,000: Envoy refuses a cluster whose weights do not fit 32 bits together.
 */
export interface RegistryAttributes {
  readonly id: RegistryId;
  /** The smaller goes first. */
  readonly priority: number;
  readonly network: string;
  readonly defaultLocality: string;
}

/** One port of an instance, as it stands under a host. */
export interface Member {
  readonly registry: RegistryAttributes;
  readonly instance: Instance;
  readonly protocol: string;
  readonly port: Port | undefined;
  /** The host is an alias of the instance's service. */
  readonly isAlias?: true;
  /** The host belongs to applications of other kinds first. */
  readonly isGuest?: true;
  /** The host is that of the instance's Dubbo tag. */
  readonly isTagged?: true;
  /** The host is that of the instance's Dubbo interface, whatever the group and version. */
  readonly isUnion?: true;
}

/** See the head of this file. */
export interface Endpoint {
  readonly address: string;
  readonly port: number;
  readonly network: string;
  readonly locality: string;
  /** 0 when no endpoint of the service has a weight. */
  readonly weight: number;
  /** As registries write them. */
  readonly labels: Readonly<Record<string, string>>;
  readonly provenance: readonly { readonly registry: RegistryId; readonly instance: string }[];
}

/**
 * Why a member is no endpoint. `tagged`: it stands under the host of its Dubbo tag. `other-protocol`: the host belongs to
 * others, and it stands under the host of its protocol.
 */
export type WithheldReason =
  | Exclude<InstanceStatus, 'UP'>
  | 'no-port'
  | 'tagged'
  | 'other-protocol'
  | 'not-an-ip'
  | 'unusable-address';

/** The merged result under one host. */
export interface Service {
  readonly host: string;
  /** As registries know it. */
  readonly protocol: string;
  /** Sorted by network, address and port. */
  readonly endpoints: readonly Endpoint[];
  /** What the registries call it, where a host cannot say it: for the resource's annotations. */
  readonly names: Readonly<Record<string, string>>;
  readonly withheld: Readonly<Partial<Record<WithheldReason, number>>>;
  /** At most `conflictsMax` lines. */
  readonly conflicts: readonly string[];
  readonly conflictCount: number;
}

const weightMax = 10_000;
const weightDefault = 100;
const conflictsMax = 20;
/** Under the host of an interface: `version` alone would speak for the mesh's own telemetry. */
const groupLabel = 'dubbo-group';
const versionLabel = 'dubbo-version';
const localities = new Map<string, string>();
const localitiesMax = 1000;

/** Merges the members of a host, of which there is at least one. See the head of this file. */
export function mergeService(host: string, members: Iterable<Member>): Service {
  const all = [...members].sort(byPrecedence);
  const owner = ownerOf(all);
  const sorted = all.filter((member) => isOwn(member, owner));
  const withheld: Partial<Record<WithheldReason, number>> = {};
  if (sorted.length < all.length) withheld['other-protocol'] = all.length - sorted.length;
  const groups = new Map<string, { readonly address: string; readonly members: Member[] }>();
  const speakers: Member[] = [];
  for (const member of sorted) {
    const verdict = judge(member, owner);
    if ('withheld' in verdict) {
      withheld[verdict.withheld] = (withheld[verdict.withheld] ?? 0) + 1;
      continue;
    }
    const key = `${member.registry.network}\u0000${verdict.address}\u0000${member.port?.number ?? 0}`;
    speakers.push(member);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, { address: verdict.address, members: [member] });
    else group.members.push(member);
  }
  const conflicts = new Conflicts();
  const endpoints = Array.from(groups.values(), (group) =>
    mergeEndpoint(group.address, group.members, conflicts),
  ).sort(byPlace);
  return {
    host,
    protocol: settleProtocol(speakers.length > 0 ? speakers : sorted, conflicts),
    endpoints: settleWeights(endpoints),
    names: settleNames(sorted),
    withheld,
    conflicts: conflicts.lines,
    conflictCount: conflicts.count,
  };
}

/** To whom a host belongs: to all who are no guests (undefined), or to the guests of a protocol. */
export type Owner = string | undefined;

/** To whom the host belongs, by all its members. */
export function ownerOf(members: Iterable<Member>): Owner {
  let first: Member | undefined;
  for (const member of members) {
    if (first === undefined || byClaim(member, first) < 0) first = member;
  }
  return first?.isGuest === undefined ? undefined : first.protocol;
}

function isOwn({ isGuest, protocol }: Member, owner: Owner): boolean {
  return isGuest === undefined ? owner === undefined : owner === protocol;
}

function byClaim(a: Member, b: Member): number {
  return (
    Number(a.isAlias ?? false) - Number(b.isAlias ?? false) ||
    a.registry.priority - b.registry.priority ||
    Number(a.isGuest ?? false) - Number(b.isGuest ?? false) ||
    Number(a.port === undefined) - Number(b.port === undefined) ||
    guestRank(a.protocol) - guestRank(b.protocol) ||
    compare(a.protocol, b.protocol)
  );
}

/** Whether a member is an endpoint of a host that belongs to this owner, and with which address, or why it is none. */
export function judge(
  member: Member,
  owner: Owner,
): { readonly address: string } | { readonly withheld: WithheldReason } {
  const { instance, port } = member;
  if (!isOwn(member, owner)) return { withheld: 'other-protocol' };
  if (instance.status !== 'UP') return { withheld: instance.status };
  if (port === undefined && instance.ports.length > 0) return { withheld: 'tagged' };
  if (port === undefined || port.number < 1 || port.number > 65_535) return { withheld: 'no-port' };
  const found = canonicalAddress(instance.address);
  return 'address' in found ? found : { withheld: found.fault };
}

class Conflicts {
  readonly lines: string[] = [];
  count = 0;

  /** `text` is called only for the lines that are kept. */
  add(text: () => string): void {
    this.count += 1;
    if (this.lines.length < conflictsMax) this.lines.push(text());
  }
}

function byPrecedence(a: Member, b: Member): number {
  return (
    Number(a.isAlias ?? false) - Number(b.isAlias ?? false) ||
    a.registry.priority - b.registry.priority ||
    compare(a.registry.id, b.registry.id) ||
    compare(a.instance.id, b.instance.id) ||
    compare(a.protocol, b.protocol)
  );
}

function byPlace(a: Endpoint, b: Endpoint): number {
  return compare(a.network, b.network) || compare(a.address, b.address) || a.port - b.port;
}

function compare(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

function mergeEndpoint(
  address: string,
  members: readonly Member[],
  conflicts: Conflicts,
): Endpoint {
  const [first] = members;
  if (first === undefined) throw new Error('merge: an endpoint without members');
  const place = `${address}:${first.port?.number ?? 0}`;
  const weight = members.find(({ instance }) => instance.weight > 0)?.instance.weight ?? 0;
  const named = members.find(({ instance }) => localityOf(instance.locality) !== '');
  const fallback = members.find(({ registry }) => localityOf(registry.defaultLocality) !== '');
  const locality = localityOf(named?.instance.locality ?? fallback?.registry.defaultLocality ?? '');
  if (members.length > 1) reportDifferences({ place, members, weight, locality, conflicts });
  return {
    address,
    port: first.port?.number ?? 0,
    network: first.registry.network,
    locality,
    weight,
    labels: members.length === 1 ? labelsOf(first) : mergeLabels(members),
    provenance: members.map(({ registry, instance }) => ({
      registry: registry.id,
      instance: instance.id,
    })),
  };
}

/** What the host does not say of an instance, its labels do. */
function labelsOf({ instance, isUnion }: Member): Readonly<Record<string, string>> {
  if (isUnion === undefined) return instance.labels;
  const { group, version } = instance.service;
  return {
    ...instance.labels,
    ...(group !== '' && { [groupLabel]: group }),
    ...(version !== '' && { [versionLabel]: version }),
  };
}

function mergeLabels(members: readonly Member[]): Readonly<Record<string, string>> {
  const merged = new Map<string, string>();
  for (const member of members) {
    for (const [key, value] of Object.entries(labelsOf(member))) {
      if (!merged.has(key)) merged.set(key, value);
    }
  }
  return Object.fromEntries([...merged].sort(([a], [b]) => compare(a, b)));
}

function reportDifferences(merged: {
  readonly place: string;
  readonly members: readonly Member[];
  readonly weight: number;
  readonly locality: string;
  readonly conflicts: Conflicts;
}): void {
  const { place, members, conflicts } = merged;
  const labels = new Map<string, string>();
  for (const member of members) {
    const { registry, instance } = member;
    const from = `${registry.id} ${instance.id}`;
    if (instance.weight > 0 && instance.weight !== merged.weight) {
      conflicts.add(() => `${place}: weight ${merged.weight}, not ${instance.weight} (${from})`);
    }
    const locality = localityOf(instance.locality);
    if (locality !== '' && locality !== merged.locality) {
      conflicts.add(() => `${place}: locality ${merged.locality}, not ${locality} (${from})`);
    }
    for (const [key, value] of Object.entries(labelsOf(member))) {
      const settled = labels.get(key);
      if (settled === undefined) labels.set(key, value);
      else if (settled !== value) {
        conflicts.add(() => `${place}: label ${key} ${settled}, not ${value} (${from})`);
      }
    }
  }
}

function settleProtocol(members: readonly Member[], conflicts: Conflicts): string {
  const settled = members[0]?.protocol ?? '';
  const others = new Map<string, number>();
  for (const { protocol } of members) {
    if (protocol !== settled) others.set(protocol, (others.get(protocol) ?? 0) + 1);
  }
  for (const [protocol, count] of [...others].sort(([a], [b]) => compare(a, b))) {
    conflicts.add(() => `protocol ${settled}, not ${protocol} (${count} instances)`);
  }
  return settled;
}

function settleWeights(endpoints: readonly Endpoint[]): readonly Endpoint[] {
  if (!endpoints.some(({ weight }) => weight > 0)) return endpoints;
  return endpoints.map((endpoint) => ({
    ...endpoint,
    weight: Math.min(endpoint.weight > 0 ? endpoint.weight : weightDefault, weightMax),
  }));
}

/**
 * Independent of which instances stand for the names: the smallest name of the first registry, of those
 * whose own name the host is if there are any.
 */
function settleNames(members: readonly Member[]): Readonly<Record<string, string>> {
  let first = members[0];
  for (const member of members) {
    if (member.registry.id !== first?.registry.id || member.isAlias !== first.isAlias) break;
    if (member.instance.service.name < first.instance.service.name) first = member;
  }
  if (first === undefined) return {};
  const { kind, name, group, version } = first.instance.service;
  const text = first.isTagged ? (first.instance.labels[tagLabel] ?? '').trim() : '';
  const tag = text !== '' && { 'tributary.io/tag': text };
  if (kind !== 'dubbo') return { 'tributary.io/application': name, ...tag };
  const isOwn = first.isUnion === undefined;
  return {
    interface: name,
    ...(isOwn && group !== '' && { 'tributary.io/group': group }),
    ...tag,
    ...(isOwn && version !== '' && { 'tributary.io/version': version }),
  };
}

/** Istio reads localities by position: without a region there is none. */
function localityOf(text: string): string {
  if (text === '') return '';
  let locality = localities.get(text);
  if (locality === undefined) {
    const parts = text.split('/').slice(0, 3);
    const end = parts.indexOf('');
    locality = (end === -1 ? parts : parts.slice(0, end)).join('/');
    if (localities.size >= localitiesMax) localities.clear();
    localities.set(text, locality);
  }
  return locality;
}
