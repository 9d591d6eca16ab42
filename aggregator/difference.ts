import type { Activation } from '../common/guard-holds.ts';
import type { Census, Guard, Loss } from '../common/guard.ts';
import { serviceKeyText } from '../common/instance.ts';
import type { Instance, InstanceStatus } from '../common/instance.ts';
import type { Pause } from '../common/yielding.ts';
import { encodeInstance } from '../proto/instance-codec.ts';

/** Several agents' instances; together they are what a registry consists of. */
export type InstanceMaps = readonly Map<string, Instance>[];

/** What the guard is to know of a registry. */
export interface Beliefs {
  readonly census: Census;
  readonly doubt: string | undefined;
  /** Why no loss at all is believed, if none is. */
  readonly suspicion: string | undefined;
}

const guardChunk = 1000;

const statusRank: Readonly<Record<InstanceStatus, number>> = {
  UP: 0,
  OUT_OF_SERVICE: 1,
  DOWN: 2,
  STARTING: 3,
  UNKNOWN: 4,
  GONE: 5,
};

/**
 * The record that holds for an instance of which there may be several: the one that is UP if any is, then
 * by a total order of their contents, so that it does not matter which came first or from whom.
 */
export function resolve(maps: InstanceMaps, id: string): Instance | undefined {
  let chosen: Instance | undefined;
  for (const map of maps) {
    const candidate = map.get(id);
    if (candidate === undefined || candidate === chosen) continue;
    if (chosen === undefined || isBefore(candidate, chosen)) chosen = candidate;
  }
  return chosen;
}

function isBefore(a: Instance, b: Instance): boolean {
  const ranks = statusRank[a.status] - statusRank[b.status];
  return ranks !== 0 ? ranks < 0 : Buffer.compare(encodeInstance(a), encodeInstance(b)) < 0;
}

/**
 * What a switch from one set of maps to another does to a registry, worked out in slices before it happens.
 * Additions and changes pass. What is UP and would be withdrawn is a loss, for the guard.
 * Records of equal content are made one object, so that a repeated snapshot costs no memory.
 */
export class Difference {
  /** Instances for which something else will hold. */
  readonly changed: string[] = [];
  /** Among them those that the guard held so far. */
  readonly returned: string[] = [];
  /** What the guard is to hold from now on, as it is. */
  readonly held = new Map<string, Instance>();
  readonly activations: Activation[] = [];
  /** All that the guard was asked about. */
  readonly losses = new Map<string, Loss>();
  private readonly before: InstanceMaps;
  private readonly after: InstanceMaps;
  private readonly heldBefore: ReadonlyMap<string, Instance>;

  constructor(
    maps: { readonly before: InstanceMaps; readonly after: InstanceMaps },
    heldBefore: ReadonlyMap<string, Instance>,
  ) {
    this.before = maps.before;
    this.after = maps.after;
    this.heldBefore = heldBefore;
  }

  /** First step. */
  async compute(isGuarded: boolean, pause: Pause): Promise<void> {
    const added = this.after.filter((map) => !this.before.includes(map));
    const left = this.before.filter((map) => !this.after.includes(map));
    const [only] = added;
    if (only !== undefined && this.isFirst()) {
      for (const id of only.keys()) this.changed.push(id);
      return;
    }
    for (const map of added) {
      for (const id of map.keys()) {
        this.compare(id, added, isGuarded);
        if (pause.isDue()) await pause.turn();
      }
    }
    for (const map of left) {
      for (const id of map.keys()) {
        if (!added.some((other) => other.has(id))) this.compare(id, added, isGuarded);
        if (pause.isDue()) await pause.turn();
      }
    }
  }

  /** Second step: afterwards `changed` is complete. Doubt as in Guard.want. */
  async guard(guard: Guard, beliefs: Beliefs, pause: Pause): Promise<void> {
    const { census, doubt, suspicion } = beliefs;
    const losses = [...this.losses.values()];
    for (let start = 0; start < losses.length; start += guardChunk) {
      const chunk = losses.slice(start, start + guardChunk);
      const now = performance.now();
      const outcome =
        suspicion === undefined
          ? guard.want(chunk, census, now, doubt)
          : guard.suspect(chunk, now, suspicion);
      for (const { id } of outcome.held) {
        const instance = resolve(this.before, id);
        if (instance !== undefined) this.held.set(id, instance);
        if (pause.isDue()) await pause.turn();
      }
      for (const activation of outcome.activations) this.activations.push(activation);
      if (pause.isDue()) await pause.turn();
    }
    for (let start = 0; start < losses.length; start += guardChunk) {
      const chunk = losses.slice(start, start + guardChunk).map(({ id }) => id);
      const passing = chunk.filter((id) => !this.held.has(id));
      guard.confirm(passing, 'single');
      for (const id of passing) this.changed.push(id);
      if (pause.isDue()) await pause.turn();
    }
  }

  /** Nothing was in force, and one agent speaks: everything is new. */
  private isFirst(): boolean {
    return this.before.length === 0 && this.after.length === 1 && this.heldBefore.size === 0;
  }

  private compare(id: string, added: InstanceMaps, isGuarded: boolean): void {
    const wasHeld = this.heldBefore.get(id);
    const before = wasHeld ?? resolve(this.before, id);
    const after = resolve(this.after, id);
    if (before === after) return;
    if (before !== undefined && after !== undefined && isSame(before, after)) {
      for (const map of added) if (map.get(id) === after) map.set(id, before);
      if (wasHeld !== undefined) this.returned.push(id);
      return;
    }
    const loss = before && lossOf(before, after);
    if (loss !== undefined && wasHeld !== undefined) return;
    if (loss !== undefined && isGuarded) {
      this.losses.set(id, loss);
      return;
    }
    this.changed.push(id);
    if (wasHeld !== undefined) this.returned.push(id);
  }
}

function isSame(a: Instance, b: Instance): boolean {
  return encodeInstance(a).equals(encodeInstance(b));
}

/** OUT_OF_SERVICE is what an operator said to the registry: no loss. */
function lossOf(before: Instance, after: Instance | undefined): Loss | undefined {
  if (before.status !== 'UP') return undefined;
  const status = after?.status ?? 'GONE';
  if (status === 'UP' || status === 'OUT_OF_SERVICE') return undefined;
  const kind = status === 'GONE' ? 'removal' : 'demotion';
  return { id: before.id, service: serviceKeyText(before.service), kind };
}
