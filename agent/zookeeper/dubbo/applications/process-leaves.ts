import type { DubboTraits } from '../traits.ts';

/**
 * The leaves of the interface-level registry by process: those of an application at an address and a port. A provider
 * that registers in both models needs no inference; but its leaves and its registration come and go one after the other,
 * so a change counts only once it has lasted. And what its leaves say of tag and traffic goes for its application's
 * endpoint as well. Times are `performance.now()` milliseconds.
 */
export class ProcessLeaves {
  private readonly graceMs: number;
  private readonly wordChanged: (process: Process) => void;
  private readonly places = new Map<string, Map<string, Place>>();
  /** By application: how many of its places say something out of the ordinary. Where none does, nothing depends on others. */
  private readonly oddOnes = new Map<string, number>();
  /** Places that have lost their last leaf, to be forgotten once that has lasted. */
  private empty: Process[] = [];
  private settledAt = -Infinity;

  /**
   * @param graceMs how long a change must have lasted
   * @param wordChanged called from within `seen`, `gone` and `prune` when `wordOf` says something else of this process
   */
  constructor(graceMs: number, wordChanged: (process: Process) => void) {
    this.graceMs = graceMs;
    this.wordChanged = wordChanged;
  }

  /** One more. Whether it is the first of its process. */
  seen(leaf: ProcessLeaf, now: number): boolean {
    const place = this.placeOf(leaf, now);
    const isFirst = place.count === 0;
    place.count += 1;
    if (isFirst) place.changedAt = now;
    const isOther = isFirst && place.traits.parameters !== leaf.traits.parameters;
    if (isFirst) place.traits = leaf.traits;
    this.count(place, leaf, 1);
    this.settleWord(place, leaf, isOther || (isFirst && this.hasOddOnes(leaf.application)));
    return isFirst;
  }

  /** One less. Whether it was the last of its process. */
  gone(leaf: ProcessLeaf, now: number): boolean {
    const place = this.find(leaf.application, leaf.address, leaf.port);
    if (place === undefined || place.count === 0) return false;
    place.count -= 1;
    this.count(place, leaf, -1);
    if (place.count > 0) {
      this.settleWord(place, leaf, false);
      return false;
    }
    place.changedAt = now;
    const { application, address, port } = leaf;
    this.empty.push({ application, address, port });
    if (this.hasOddOnes(application)) this.wordChanged({ application, address, port });
    return true;
  }

  /** Everything is known as it is now: no change until now is waited for. */
  settle(now: number): void {
    this.settledAt = now;
  }

  /** Whether there are any at this moment. */
  hasAny(ports: ProcessPorts): boolean {
    return this.at(ports).some(({ count }) => count > 0);
  }

  /**
   * Whether it has leaves, or undefined while that cannot be said.
   * @param since when it was first asked for: none can be missed before
   */
  has(ports: ProcessPorts, since: number, now: number): boolean | undefined {
    const places = this.at(ports);
    const changedAt = places.reduce((latest, place) => Math.max(latest, place.changedAt), since);
    const isSure = changedAt <= this.settledAt || now - changedAt >= this.graceMs;
    return isSure ? places.some(({ count }) => count > 0) : undefined;
  }

  /** What its leaves say of it, those of a moment ago while it has none; undefined when it has had none for long. */
  wordOf(ports: ProcessPorts): ProcessWord | undefined {
    const known = this.at(ports);
    const living = known.filter(({ count }) => count > 0);
    const words = (living.length > 0 ? living : known).sort((a, b) => compareWords(a.word, b.word));
    const [first] = words;
    if (first === undefined) return undefined;
    return { tag: first.word.slice(1), traffic: trafficOf(first.word), traits: first.traits };
  }

  /** Forgets what has had none for so long that it says nothing. Returns when to do so again. */
  prune(now: number): number {
    let nextAt = Infinity;
    this.empty = this.empty.filter((process) => {
      const { application, address, port } = process;
      const places = this.places.get(application);
      const place = this.find(application, address, port);
      if (places === undefined || place === undefined || place.count > 0) return false;
      if (now - place.changedAt < this.graceMs) {
        nextAt = Math.min(nextAt, place.changedAt + this.graceMs);
        return true;
      }
      places.delete(placeKey(address, port));
      if (places.size === 0) this.places.delete(application);
      if (place.word !== plain || place.traits.parameters !== undefined) this.wordChanged(process);
      if (place.word !== plain) this.countOdd(application, -1);
      return false;
    });
    return nextAt;
  }

  private placeOf({ application, address, port, traits }: ProcessLeaf, now: number): Place {
    let places = this.places.get(application);
    if (places === undefined) {
      places = new Map<string, Place>();
      this.places.set(application, places);
    }
    const key = placeKey(address, port);
    let place = places.get(key);
    if (place === undefined) {
      place = { count: 0, changedAt: now, plainCount: 0, others: undefined, word: plain, traits };
      places.set(key, place);
    }
    return place;
  }

  private find(application: string, address: string, port: number): Place | undefined {
    return this.places.get(application)?.get(placeKey(address, port));
  }

  private at({ application, address, ports }: ProcessPorts): Place[] {
    const places = ports.map((port) => this.find(application, address, port));
    return places.filter((place) => place !== undefined);
  }

  private count(place: Place, { tag, traits }: ProcessLeaf, by: 1 | -1): void {
    const word = `${markOf(traits)}${tag}`;
    if (word === plain) {
      place.plainCount += by;
      return;
    }
    place.others ??= new Map();
    const count = (place.others.get(word) ?? 0) + by;
    if (count > 0) place.others.set(word, count);
    else place.others.delete(word);
  }

  private hasOddOnes(application: string): boolean {
    return this.oddOnes.has(application);
  }

  private countOdd(application: string, by: number): void {
    if (by === 0) return;
    const count = (this.oddOnes.get(application) ?? 0) + by;
    if (count > 0) this.oddOnes.set(application, count);
    else this.oddOnes.delete(application);
  }

  private settleWord(
    place: Place,
    { application, address, port }: Process,
    isOther: boolean,
  ): void {
    const [other] =
      place.plainCount > 0 ? [] : [...(place.others?.keys() ?? [])].sort(compareWords);
    const word = other ?? plain;
    if (word === place.word && !isOther) return;
    this.countOdd(application, Number(word !== plain) - Number(place.word !== plain));
    place.word = word;
    this.wordChanged({ application, address, port });
  }
}

/** Which process: an application at an address and a port. */
export interface Process {
  readonly application: string;
  readonly address: string;
  readonly port: number;
}

/** A leaf, and what it says of its process. */
export interface ProcessLeaf extends Process {
  /** Empty when it has none. */
  readonly tag: string;
  readonly traits: DubboTraits;
}

/** A process that is known by several ports. */
export interface ProcessPorts {
  readonly application: string;
  readonly address: string;
  readonly ports: readonly number[];
}

/** What goes for a process since it goes for all its services. */
export interface ProcessWord {
  /** Empty when one of its services that takes traffic has none. */
  readonly tag: string;
  /** Of the service that takes it before all others. */
  readonly traffic: Traffic;
  /** Of one of its services. */
  readonly traits: DubboTraits;
}

interface Place {
  count: number;
  /** When the count became zero, or more than zero. */
  changedAt: number;
  /** Of those leaves that take traffic and have no tag. */
  plainCount: number;
  /** Of all others: how many by their word. */
  others: Map<string, number> | undefined;
  word: string;
  traits: DubboTraits;
}

/** Whether traffic is taken, by what was registered. */
export type Traffic = 'taken' | 'weightless' | 'disabled';

/** A word is one of these, in their order, and a tag. */
const marks: Readonly<Record<Traffic, string>> = { taken: '+', weightless: '-', disabled: '=' };
const plain = marks.taken;

/** By what was registered. */
export function trafficBy({ isDisabled, weight }: DubboTraits): Traffic {
  if (isDisabled) return 'disabled';
  return (weight ?? 1) <= 0 ? 'weightless' : 'taken';
}

function markOf(traits: DubboTraits): string {
  return marks[trafficBy(traits)];
}

function trafficOf(word: string): Traffic {
  if (word.startsWith(marks.taken)) return 'taken';
  return word.startsWith(marks.weightless) ? 'weightless' : 'disabled';
}

/** Who takes traffic goes before who does not, who has no tag before who has. */
function compareWords(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function placeKey(address: string, port: number): string {
  return `${port} ${address}`;
}
