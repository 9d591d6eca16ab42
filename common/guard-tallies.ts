import { describeServiceKey } from './instance.ts';
import type { GuardPolicy, LossKind } from './guard.ts';

/** What was lost of one scope, in one way, within the window. */
export interface Tally {
  readonly key: string;
  wanted: number;
  passed: number;
}

/** Counts of losses by scope (the registry: an empty `service`) and kind, for the time of a window. */
export class Tallies {
  private readonly tallies = new Map<string, Tally>();

  /** The count to add to; it must be `leave`d as often as it was taken. */
  enter(service: string, kind: LossKind): Tally {
    const key = `${kind} ${service}`;
    let tally = this.tallies.get(key);
    if (tally === undefined) {
      tally = { key, wanted: 0, passed: 0 };
      this.tallies.set(key, tally);
    }
    tally.wanted += 1;
    return tally;
  }

  leave(tally: Tally, hasPassed: boolean): void {
    tally.wanted -= 1;
    if (hasPassed) tally.passed -= 1;
    if (tally.wanted === 0) this.tallies.delete(tally.key);
  }

  get(service: string, kind: LossKind): Tally | undefined {
    return this.tallies.get(`${kind} ${service}`);
  }
}

/** Whether what was lost of a scope is a mass: the evidence for the operator, or undefined. */
export function massEvidence(
  scope: { readonly service: string; readonly kind: LossKind; readonly upNow: number },
  { wanted, passed }: Tally,
  { fraction, minimum, windowMs }: GuardPolicy,
): string | undefined {
  const { service, kind, upNow } = scope;
  if (wanted < minimum || fraction >= 1) return undefined;
  const upBefore = upNow + passed;
  const limit = kind === 'demotion' ? upBefore - 1 : Math.ceil(fraction * upBefore - 1e-9);
  if (wanted <= limit) return undefined;
  const what = kind === 'demotion' ? 'no longer UP' : 'removed';
  const where = service === '' ? 'registry' : `service ${describeServiceKey(service)}`;
  return `${where}: ${wanted} of ${upBefore} UP instances ${what} within ${windowMs / 1000} s, limit ${limit}`;
}
