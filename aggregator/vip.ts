import { hash } from 'node:crypto';
import { isIPv4 } from 'node:net';
import { ConfigurationError } from '../common/errors.ts';
import { canonicalAddress } from '../common/endpoint-address.ts';

/**
 * Virtual addresses without a store and without a coordinator: which host has which address is a pure function
 * of the set of hosts and the pins, equal on every replica and after every restart.
 *
 * Each host has an endless list of candidates, derived from the SHA-256 of its name. In the order of these
 * hashes, each host takes the first of its candidates that is free. So of two that collide
 * the one with the smaller hash keeps the address, and the other goes on to its next candidate.
 * `VipAllocator` reaches the same assignment step by step, whatever the order in which hosts come
 * and go, at the cost of the few hosts concerned.
 *
 * The space is 240.0.0.0/4, which no network routes, less 240.240.0.0/16 (istiod's own allocation)
 * and 255.0.0.0/8 (broadcast), and less all addresses that end in 0 or 255, which some
 * systems refuse to connect to. Pinned addresses are taken from the space whether or not their
 * hosts exist.
 */
export interface VipSpace {
  readonly size: number;
  /** The address of an index below `size`. */
  address(index: number): string;
}

const hostsPerBlock = 254;
const istioBlock = 240 * 256;
const blocks = 15 * 65_536 - 256;

/** See the head of this file. */
export const vipSpace: VipSpace = {
  size: blocks * hostsPerBlock,
  address(index) {
    const position = Math.floor(index / hostsPerBlock);
    const block = position < istioBlock ? position : position + 256;
    const last = 1 + (index % hostsPerBlock);
    return `${240 + (block >> 16)}.${(block >> 8) & 255}.${block & 255}.${last}`;
  },
};

/** After this many hashed candidates a host tries every address in turn. */
const hashedCandidates = 16;

/** The index of a host's candidate number `turn`, counted from 0. */
export function vipCandidate(host: string, turn: number, size: number): number {
  if (turn < hashedCandidates) return indexOf(turn === 0 ? host : `${host}#${turn}`, size);
  return (indexOf(host, size) + turn - hashedCandidates + 1) % size;
}

/** The rank of a host: the smaller goes first. */
export function vipRank(host: string): string {
  return hash('sha256', host);
}

interface Seat {
  readonly host: string;
  readonly rank: string;
  turn: number;
}

/** See the head of this file. */
export class VipAllocator {
  private readonly space: VipSpace;
  private readonly pins: ReadonlyMap<string, string>;
  private readonly pinned: ReadonlySet<string>;
  private readonly seats = new Map<string, Seat>();
  private readonly taken = new Map<number, Seat>();
  /** Who was turned away at an index and would come back if it became free. */
  private readonly turnedAway = new Map<number, Set<Seat>>();

  /**
   * @param pins addresses by host; throws ConfigurationError when one is no address or stands twice
   */
  constructor(pins: ReadonlyMap<string, string>, space: VipSpace = vipSpace) {
    this.space = space;
    this.pins = canonicalPins(pins);
    this.pinned = new Set(this.pins.values());
  }

  /** The address of a host that has been added. */
  address(host: string): string | undefined {
    const pin = this.pins.get(host);
    if (pin !== undefined) return pin;
    const seat = this.seats.get(host);
    return seat && this.space.address(this.indexAt(seat));
  }

  /** Gives the host an address; returns the other hosts whose address this changed. */
  add(host: string): readonly string[] {
    if (this.pins.has(host) || this.seats.has(host)) return [];
    if (this.seats.size + this.pinned.size >= this.space.size) {
      throw new RangeError('virtual addresses: the space is full');
    }
    const moved: string[] = [];
    let seat: Seat = { host, rank: vipRank(host), turn: 0 };
    this.seats.set(host, seat);
    for (;;) {
      const index = this.indexAt(seat);
      const holder = this.taken.get(index);
      if (holder === undefined && !this.pinned.has(this.space.address(index))) {
        this.taken.set(index, seat);
        return moved;
      }
      if (holder !== undefined && holder !== seat && seat.rank < holder.rank) {
        this.taken.set(index, seat);
        moved.push(holder.host);
        seat = holder;
      }
      this.turnAway(index, seat);
      seat.turn += 1;
    }
  }

  /** Takes the host's address back; returns the other hosts whose address this changed. */
  remove(host: string): readonly string[] {
    const seat = this.seats.get(host);
    if (seat === undefined) return [];
    this.seats.delete(host);
    let free = this.indexAt(seat);
    this.forgetTurns(seat);
    this.taken.delete(free);
    const moved: string[] = [];
    for (;;) {
      const next = firstByRank(this.turnedAway.get(free));
      if (next === undefined) return moved;
      const left = this.indexAt(next);
      this.forgetTurns(next);
      next.turn = 0;
      while (this.indexAt(next) !== free) {
        this.turnAway(this.indexAt(next), next);
        next.turn += 1;
      }
      this.taken.delete(left);
      this.taken.set(free, next);
      moved.push(next.host);
      free = left;
    }
  }

  private indexAt(seat: Seat): number {
    return vipCandidate(seat.host, seat.turn, this.space.size);
  }

  private turnAway(index: number, seat: Seat): void {
    const waiting = this.turnedAway.get(index);
    if (waiting === undefined) this.turnedAway.set(index, new Set([seat]));
    else waiting.add(seat);
  }

  /** The seat waits for nothing any more. */
  private forgetTurns(seat: Seat): void {
    for (let turn = 0; turn < seat.turn; turn += 1) {
      const index = vipCandidate(seat.host, turn, this.space.size);
      const waiting = this.turnedAway.get(index);
      waiting?.delete(seat);
      if (waiting?.size === 0) this.turnedAway.delete(index);
    }
  }
}

function firstByRank(seats: ReadonlySet<Seat> | undefined): Seat | undefined {
  let first: Seat | undefined;
  for (const seat of seats ?? []) {
    if (first === undefined || seat.rank < first.rank) first = seat;
  }
  return first;
}

function indexOf(text: string, size: number): number {
  return Number.parseInt(hash('sha256', text).slice(0, 12), 16) % size;
}

function canonicalPins(pins: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
  const problems: string[] = [];
  const canonical = new Map<string, string>();
  const hosts = new Map<string, string>();
  for (const [host, text] of pins) {
    const address = pinAddress(text);
    const other = address === undefined ? undefined : hosts.get(address);
    if (address === undefined) problems.push(`vip of ${host}: expected an IP address`);
    else if (other !== undefined) problems.push(`vip of ${host}: ${address} is that of ${other}`);
    else {
      canonical.set(host.toLowerCase(), address);
      hosts.set(address, host);
    }
  }
  if (problems.length > 0) throw new ConfigurationError(problems);
  return canonical;
}

function pinAddress(text: string): string | undefined {
  if (isIPv4(text) && /^2[45]/.test(text)) return text.startsWith('255.') ? undefined : text;
  const found = canonicalAddress(text);
  return 'address' in found ? found.address : undefined;
}
