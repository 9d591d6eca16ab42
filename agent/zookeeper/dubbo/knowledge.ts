import type { Instance } from '../../../common/instance.ts';
import type { Claim } from '../description.ts';
import type { Fact } from '../reading.ts';
import type { DubboApplications } from './applications/applications.ts';
import type { ProcessLeaf } from './applications/process-leaves.ts';
import { tagKey } from './dubbo-instance.ts';
import type { DubboRule } from './rules/rule.ts';
import { concerns, RuleBook } from './rules/rule-book.ts';
import type { DubboTraits } from './traits.ts';

/** Of more rules at a time it is not asked whom each concerns: all are looked at. */
const checkedMax = 16;

/**
 * What nodes say of Dubbo's providers beside vouching for them: the rules that change weight, traffic
 * and tag of those that others vouch for, and the application-level registrations, whose endpoints are
 * found out with the help of metadata.
 *
 * Facts are known by a key, one for each node; the endpoints themselves stand in the endpoint table.
 */
export class DubboKnowledge {
  private readonly applications: DubboApplications;
  private readonly book = new RuleBook();
  /** By key: where it stands. */
  private readonly known = new Map<
    string,
    { readonly path: string; readonly kind: Fact['kind'] }
  >();
  private changedRules: DubboRule[] = [];

  constructor(applications: DubboApplications) {
    this.applications = applications;
  }

  /** The node with this key says this; it replaces what it said before. */
  set(key: string, path: string, fact: Fact): void {
    const { kind } = fact;
    if (this.known.get(key)?.kind !== kind) this.delete(key);
    this.known.set(key, { path, kind });
    if (kind === 'application') this.applications.set(path, fact.record);
    else this.changedRules.push(...this.book.set(path, fact.rules));
  }

  /** The node says nothing any more. */
  delete(key: string): void {
    const known = this.known.get(key);
    this.known.delete(key);
    if (known?.kind === 'application') this.applications.delete(known.path);
    else if (known !== undefined) this.changedRules.push(...this.book.delete(known.path));
  }

  /** A provider's own node vouches for it now. */
  joined(instance: Instance, traits: DubboTraits | undefined): void {
    if (traits !== undefined) this.applications.leafSeen(leafOf(instance, traits));
  }

  /** A provider's own node does not vouch for it any more. */
  left(instance: Instance, traits: DubboTraits | undefined): void {
    if (traits !== undefined) this.applications.leafGone(leafOf(instance, traits));
  }

  /** Whether rules have changed that were not taken yet. */
  get hasChangedRules(): boolean {
    return this.changedRules.length > 0;
  }

  /** Tells the endpoints that the rules which changed since the last call could concern. */
  takeConcerned(): (claim: Claim) => boolean {
    const rules = this.changedRules;
    this.changedRules = [];
    if (rules.length > checkedMax) return ({ traits }) => traits !== undefined;
    return ({ instance, traits }) =>
      traits !== undefined && rules.some((rule) => concerns(rule, instance, traits));
  }

  /** The instance as the rules leave it. */
  project({ instance, traits }: Claim): Instance {
    return traits === undefined ? instance : this.book.project(instance, traits);
  }
}

function leafOf({ address, ports, labels }: Instance, traits: DubboTraits): ProcessLeaf {
  const { application } = traits;
  return { application, address, port: ports[0]?.number ?? 0, tag: labels[tagKey] ?? '', traits };
}
