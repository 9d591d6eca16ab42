import { describeServiceKey } from './instance.ts';
import type { Census, GuardLimits, GuardPolicy, Loss, LossKind } from './guard.ts';

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
    const key = scopeKey(service, kind);
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
    return this.tallies.get(scopeKey(service, kind));
  }
}

/** What judges counts of losses. */
export interface Judgement {
  readonly tallies: Tallies;
  readonly windowMs: number;
  /** Of a service, or of the registry (empty). */
  readonly limitsOf: (service: string) => GuardLimits;
  readonly census: Census;
  /** Why the registry's losses are doubted now, if they are. */
  readonly doubt: string | undefined;
}

/** The scopes (`scopeKey`) of these losses of which a mass was lost, each with the evidence for the operator. */
export function findMasses(
  losses: readonly Loss[],
  { tallies, windowMs, limitsOf, census, doubt }: Judgement,
): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  const seen = new Set<string>();
  const look = (service: string, kind: LossKind): void => {
    const key = scopeKey(service, kind);
    if (seen.has(key)) return;
    seen.add(key);
    const tally = tallies.get(service, kind);
    if (tally === undefined) return;
    const policy = { ...limitsOf(service), windowMs };
    const upNow = service === '' ? census.registry : census.service(service);
    const evidence = massEvidence({ service, kind, upNow, doubt }, tally, policy);
    if (evidence !== undefined) found.set(key, evidence);
  };
  for (const { kind, service } of losses) {
    look('', kind);
    look(service, kind);
  }
  return found;
}

/** Names a scope and a way of being lost. */
export function scopeKey(service: string, kind: LossKind): string {
  return `${kind} ${service}`;
}

interface Scope {
  /** Empty: the registry. */
  readonly service: string;
  readonly kind: LossKind;
  readonly upNow: number;
  readonly doubt: string | undefined;
}

/** Whether what was lost of a scope is a mass: the evidence for the operator, or undefined. */
function massEvidence(scope: Scope, tally: Tally, policy: GuardPolicy): string | undefined {
  const { service, kind, doubt } = scope;
  if (policy.fraction >= 1) return undefined;
  const { wanted } = tally;
  const upBefore = scope.upNow + tally.passed;
  const limit = limitOf(kind, upBefore, policy);
  const isMass = wanted >= policy.minimum && wanted > limit;
  const isDoubted = doubt !== undefined && kind === 'removal';
  if (!isMass && !(isDoubted && isTooMuchInDoubt(service, wanted, { upBefore, policy }))) {
    return undefined;
  }
  const what = kind === 'demotion' ? 'no longer UP' : 'removed';
  const where = service === '' ? 'registry' : `service ${describeServiceKey(service)}`;
  const facts = `${where}: ${wanted} of ${upBefore} UP instances ${what} within ${policy.windowMs / 1000} s`;
  return isDoubted ? `${facts}; in doubt: ${doubt}` : `${facts}, limit ${limit}`;
}

function limitOf(kind: LossKind, upBefore: number, { fraction }: GuardPolicy): number {
  return kind === 'demotion' ? upBefore - 1 : Math.ceil(fraction * upBefore - 1e-9);
}

/**
 * What a registry says in doubt is held from the minimum on, whatever the fraction; and all of a service however
 * small it is: where nobody else could take the traffic, keeping what may be gone costs nothing.
 */
function isTooMuchInDoubt(
  service: string,
  wanted: number,
  { upBefore, policy }: { readonly upBefore: number; readonly policy: GuardPolicy },
): boolean {
  return wanted >= policy.minimum || (service !== '' && wanted >= upBefore);
}
