import type { SourceEvent } from '../../agent/source.ts';
import type { Instance } from '../../common/instance.ts';

/** Whether a node exists: `unsure` while a write is under way, or after one whose answer was lost. */
export type Presence = 'present' | 'absent' | 'unsure';

/**
 * Judges what a source says of endpoints against what the registry has held. An endpoint lives as long as one of the
 * nodes that vouch for it does. A source may say of it only what was so at some moment, never going back: so none is
 * taken back that lived all the time, and none is told that was not there.
 */
export class EndpointWitness {
  /** What was said wrongly. */
  readonly faults: string[] = [];
  /** What follows from all that was said. */
  readonly view = new Map<string, Instance>();
  /** Of each kind of event, how many have come. */
  readonly counts: Record<SourceEvent['kind'], number> = {
    snapshot: 0,
    changes: 0,
    lost: 0,
    suspect: 0,
  };
  /** How many endpoints were taken back. */
  removals = 0;
  private readonly vouching: ReadonlyMap<string, (presenceOf: PresenceOf) => Presence>;
  private readonly nodes = new Map<string, Presence>();
  private readonly histories = new Map<string, Period[]>();
  private readonly moments = new Map<string, number>();
  private moment = 0;

  /** @param vouching by endpoint id: whether it is there, by what is known of nodes; others are not judged */
  constructor(vouching: ReadonlyMap<string, (presenceOf: PresenceOf) => Presence>) {
    this.vouching = vouching;
    for (const id of vouching.keys()) this.histories.set(id, [{ since: 0, presence: 'absent' }]);
  }

  /** The nodes are so from here on: all at once. */
  note(nodes: Iterable<string>, presence: Presence): void {
    this.moment += 1;
    for (const node of nodes) this.nodes.set(node, presence);
    for (const [id, judge] of this.vouching) {
      const now = judge((node) => this.nodes.get(node) ?? 'absent');
      const periods = this.histories.get(id) ?? [];
      if (periods.at(-1)?.presence === now) continue;
      periods.push({ since: this.moment, presence: now });
    }
  }

  heard(event: SourceEvent): void {
    this.counts[event.kind] += 1;
    if (event.kind === 'snapshot') {
      for (const id of this.view.keys()) if (!event.instances.has(id)) this.remove(id);
      for (const instance of event.instances.values()) this.upsert(instance);
    } else if (event.kind === 'changes') {
      for (const change of event.changes) {
        if (change.kind === 'upsert') this.upsert(change.instance);
        else this.remove(change.id);
      }
    }
  }

  private upsert(instance: Instance): void {
    this.claim(instance.id, 'present');
    this.view.set(instance.id, instance);
  }

  private remove(id: string): void {
    this.removals += 1;
    this.claim(id, 'absent');
    this.view.delete(id);
  }

  private claim(id: string, presence: Presence): void {
    const periods = this.histories.get(id);
    if (periods === undefined) return;
    const from = this.moments.get(id) ?? 0;
    for (const [index, period] of periods.entries()) {
      const until = periods[index + 1]?.since ?? Infinity;
      if (until <= from || (period.presence !== presence && period.presence !== 'unsure')) continue;
      this.moments.set(id, Math.max(from, period.since));
      return;
    }
    this.faults.push(`${id} was said to be ${presence}, and never was since moment ${from}`);
  }
}

export type PresenceOf = (node: string) => Presence;

/** Vouched for by any of these nodes. */
export function anyOf(presences: readonly Presence[]): Presence {
  if (presences.includes('present')) return 'present';
  return presences.includes('unsure') ? 'unsure' : 'absent';
}

interface Period {
  readonly since: number;
  readonly presence: Presence;
}
