import type { Census } from '../common/guard.ts';
import { serviceKeyText } from '../common/instance.ts';
import type { Instance, InstanceStatus, ServiceKey } from '../common/instance.ts';
import type { RegistryId } from '../common/registry.ts';
import type { HostNames, Placement } from './host.ts';
import type { Member, RegistryAttributes } from './merge.ts';

/**
 * What has been taken over from the catalog, by registry and by host. It knows which member came from which
 * instance, so that taking over an instance touches only the hosts on which it stood or stands.
 */
export interface HostState {
  readonly host: string;
  readonly members: Set<Member>;
}

/** Where instances come from: one registry of the catalog. */
export interface InstanceSource {
  readonly id: RegistryId;
  /** Whether its instances become services. */
  readonly isServed: boolean;
  /** What holds for the instance now, or undefined when there is none. */
  effective(id: string): Instance | undefined;
}

/** A member that knows its host: one object an instance, as nearly every one stands on one host. */
interface Seat extends Member {
  readonly state: HostState;
}

/** An instance that was taken over: its only seat, or all of them, of which there may be none. */
type Entry = Seat | { readonly instance: Instance; readonly seats: readonly Seat[] };

const noSeats: readonly Seat[] = [];

function seatsOf(entry: Entry | undefined): readonly Seat[] {
  if (entry === undefined) return noSeats;
  return 'seats' in entry ? entry.seats : [entry];
}

/** Nearly all have no marks: the properties of these are the same in the same order. */
function seatAt(
  { protocol, port, isAlias, isGuest, isTagged, isUnion }: Placement,
  { registry, instance, state }: Pick<Seat, 'registry' | 'instance' | 'state'>,
): Seat {
  const seat: Seat = { registry, instance, protocol, port, state };
  if ((isAlias ?? isGuest ?? isTagged ?? isUnion) === undefined) return seat;
  return {
    ...seat,
    ...(isAlias && { isAlias }),
    ...(isGuest && { isGuest }),
    ...(isTagged && { isTagged }),
    ...(isUnion && { isUnion }),
  };
}

interface ServiceCount {
  known: number;
  up: number;
}

interface MutableAttributes {
  readonly id: RegistryId;
  readonly priority: number;
  network: string;
  defaultLocality: string;
}

/** The part of the index that belongs to one registry. */
export class RegistryIndex implements Census {
  readonly attributes: RegistryAttributes;
  private readonly mutable: MutableAttributes;
  private readonly entries = new Map<string, Entry>();
  private readonly statuses = new Map<InstanceStatus, number>();
  private readonly services = new Map<string, ServiceCount>();
  /** The text of the service key that was counted last: instances often come by service. */
  private lastKey: { readonly service: ServiceKey; readonly text: string } | undefined;

  constructor(id: RegistryId, priority: number) {
    this.mutable = { id, priority, network: '', defaultLocality: '' };
    this.attributes = this.mutable;
  }

  /** Members refer to the attributes, so all of them have the new ones at once. */
  setAttributes(network: string, defaultLocality: string): void {
    this.mutable.network = network;
    this.mutable.defaultLocality = defaultLocality;
  }

  /** What `setAttributes` set. */
  place(): { readonly network: string; readonly defaultLocality: string } {
    return { network: this.mutable.network, defaultLocality: this.mutable.defaultLocality };
  }

  instances(): Iterable<Instance> {
    return this.entries.values().map(({ instance }) => instance);
  }

  get(id: string): Entry | undefined {
    return this.entries.get(id);
  }

  /** Instances by status. */
  counts(): Partial<Record<InstanceStatus, number>> {
    return Object.fromEntries(this.statuses);
  }

  get serviceCount(): number {
    return this.services.size;
  }

  /** How many instances are UP. */
  get registry(): number {
    return this.statuses.get('UP') ?? 0;
  }

  /** How many instances of a service are UP. */
  service(service: string): number {
    return this.services.get(service)?.up ?? 0;
  }

  /** Takes `entry` in the place of `before`, the one that there was. */
  put(entry: Entry, before: Entry | undefined): void {
    if (before !== undefined) this.count(before.instance, -1);
    this.entries.set(entry.instance.id, entry);
    this.count(entry.instance, 1);
  }

  remove(entry: Entry): void {
    this.entries.delete(entry.instance.id);
    this.count(entry.instance, -1);
  }

  private count(instance: Instance, by: 1 | -1): void {
    const { status } = instance;
    const total = (this.statuses.get(status) ?? 0) + by;
    if (total === 0) this.statuses.delete(status);
    else this.statuses.set(status, total);
    const key = this.keyText(instance.service);
    let service = this.services.get(key);
    if (service === undefined) {
      service = { known: 0, up: 0 };
      this.services.set(key, service);
    }
    service.known += by;
    if (status === 'UP') service.up += by;
    if (service.known === 0) this.services.delete(key);
  }

  private keyText(service: ServiceKey): string {
    if (this.lastKey?.service !== service) {
      this.lastKey = { service, text: serviceKeyText(service) };
    }
    return this.lastKey.text;
  }
}

/** See the head of this file. */
export class ServiceIndex {
  readonly hosts = new Map<string, HostState>();
  private readonly names: HostNames;
  private readonly priorities: ReadonlyMap<RegistryId, number>;
  private readonly byRegistry = new Map<RegistryId, RegistryIndex>();

  /** @param priorities of registries; one that is not named has 100, the smaller goes first */
  constructor(names: HostNames, priorities: ReadonlyMap<RegistryId, number>) {
    this.names = names;
    this.priorities = priorities;
  }

  registry(id: RegistryId): RegistryIndex {
    let index = this.byRegistry.get(id);
    if (index === undefined) {
      index = new RegistryIndex(id, this.priorities.get(id) ?? 100);
      this.byRegistry.set(id, index);
    }
    return index;
  }

  /** Drops what is known of a registry; its instances must have been removed before. */
  dropRegistry(id: RegistryId): void {
    this.byRegistry.delete(id);
  }

  /** The hosts on which the instance stands or will stand once it is taken over. */
  hostsOf(source: InstanceSource, id: string): readonly string[] {
    const before = seatsOf(this.registry(source.id).get(id)).map(({ state }) => state.host);
    const after = source.isServed ? source.effective(id) : undefined;
    if (after === undefined) return before;
    const hosts = this.names.placements(after).map(({ host }) => host);
    return before.length === 0 ? hosts : [...before, ...hosts];
  }

  /**
   * Takes over what holds for the instance now. `touch` is called for each host whose members changed, or,
   * with `isForced`, on which it stands at all.
   */
  take(
    source: InstanceSource,
    id: string,
    { isForced, touch }: { readonly isForced: boolean; readonly touch: (host: HostState) => void },
  ): void {
    const registry = this.registry(source.id);
    const before = registry.get(id);
    const instance = source.effective(id);
    if (before?.instance === instance && !isForced) return;
    for (const seat of seatsOf(before)) {
      seat.state.members.delete(seat);
      touch(seat.state);
    }
    if (instance === undefined) {
      if (before !== undefined) registry.remove(before);
      return;
    }
    const placements = source.isServed ? this.names.placements(instance) : [];
    const seats = placements.map((placement) => {
      const state = this.hostState(placement.host);
      const seat = seatAt(placement, { registry: registry.attributes, instance, state });
      state.members.add(seat);
      touch(state);
      return seat;
    });
    const [only] = seats;
    registry.put(only !== undefined && seats.length === 1 ? only : { instance, seats }, before);
  }

  private hostState(host: string): HostState {
    let state = this.hosts.get(host);
    if (state === undefined) {
      state = { host, members: new Set() };
      this.hosts.set(host, state);
    }
    return state;
  }
}
