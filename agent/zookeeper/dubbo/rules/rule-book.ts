import { isDeepStrictEqual } from 'node:util';
import type { Instance } from '../../../../common/instance.ts';
import { tagKey } from '../dubbo-instance.ts';
import type { DubboTraits } from '../traits.ts';
import { concerns, evaluate } from './projection.ts';
import type { Entry } from './projection.ts';
import type { DubboRule } from './rule.ts';
import { anything } from './service-name.ts';

export { concerns };

/**
 * All rules of a registry. What it makes of a provider depends on the rules that are known and not on
 * the order in which they came. A provider that no rule can concern costs a few look-ups.
 */
export class RuleBook {
  private readonly nodes = new Map<string, { rules: readonly DubboRule[]; entries: Entry[] }>();
  /** Rules for one interface. */
  private readonly byInterface = new Map<string, Shelf>();
  /** Rules for all interfaces of an application. */
  private readonly byApplication = new Map<string, Shelf>();
  /** All others. */
  private readonly others = new Shelf();
  private readonly tagged = new WeakMap<Instance['labels'], Map<string, Instance['labels']>>();

  /** Replaces what the node at this path says. Returns the rules that changed, old ones and new ones. */
  set(path: string, rules: readonly DubboRule[]): readonly DubboRule[] {
    const before = this.nodes.get(path)?.rules ?? [];
    if (isDeepStrictEqual(before, rules)) return [];
    this.delete(path);
    if (rules.length === 0) return before;
    const entries = rules.map((rule, index) => ({ rule, path, index }));
    this.nodes.set(path, { rules, entries });
    for (const entry of entries) {
      for (const shelf of this.shelvesOf(entry.rule)) shelf.add(entry);
    }
    return [...before, ...rules];
  }

  /** The node at this path says nothing any more. Returns the rules that it had. */
  delete(path: string): readonly DubboRule[] {
    const node = this.nodes.get(path);
    if (node === undefined) return [];
    this.nodes.delete(path);
    for (const entry of node.entries) this.takeOut(entry);
    return node.rules;
  }

  /** The nodes that have rules. */
  paths(): Iterable<string> {
    return this.nodes.keys();
  }

  /**
   * The provider, given as it registered, as Dubbo's rules leave it: its weight, its status
   * (OUT_OF_SERVICE when it is disabled or its weight is 0) and its label `dubbo.tag`. The same
   * object when that changes nothing.
   */
  project(instance: Instance, traits: DubboTraits): Instance {
    const found: Entry[] = [];
    if (instance.service.kind === 'dubbo') {
      this.byInterface.get(instance.service.name)?.collect(instance, traits, found);
    }
    this.byApplication.get(traits.application)?.collect(instance, traits, found);
    this.others.collect(instance, traits, found);
    if (found.length === 0) return instance;
    const { weight, status, tag } = evaluate(found, instance, traits);
    const isTagged = tag === undefined || instance.labels[tagKey] === tag;
    if (weight === instance.weight && status === instance.status && isTagged) return instance;
    const labels = isTagged ? instance.labels : this.labelled(instance.labels, tag);
    return { ...instance, weight, status, labels };
  }

  /** Many instances share their labels; their tagged labels are shared as well. */
  private labelled(labels: Instance['labels'], tag: string): Instance['labels'] {
    const byTag = this.tagged.get(labels) ?? new Map<string, Instance['labels']>();
    this.tagged.set(labels, byTag);
    const known = byTag.get(tag);
    if (known !== undefined) return known;
    const entries = Object.entries({ ...labels, [tagKey]: tag });
    const made = Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
    byTag.set(tag, made);
    return made;
  }

  private shelvesOf(rule: DubboRule): readonly Shelf[] {
    if (rule.kind === 'tag-router') return [shelfOf(this.byApplication, rule.application)];
    const { service, applications } = rule.target;
    if (service.interfaceName !== anything) {
      return [shelfOf(this.byInterface, service.interfaceName)];
    }
    if (applications === undefined) return [this.others];
    return [...new Set(applications)].map((name) => shelfOf(this.byApplication, name));
  }

  private takeOut(entry: Entry): void {
    for (const shelf of this.shelvesOf(entry.rule)) shelf.delete(entry);
    for (const shelves of [this.byInterface, this.byApplication]) {
      for (const name of namesOf(entry.rule)) {
        if (shelves.get(name)?.isEmpty === true) shelves.delete(name);
      }
    }
  }
}

function namesOf(rule: DubboRule): readonly string[] {
  if (rule.kind === 'tag-router') return [rule.application];
  return [rule.target.service.interfaceName, ...(rule.target.applications ?? [])];
}

function shelfOf(shelves: Map<string, Shelf>, name: string): Shelf {
  const known = shelves.get(name);
  if (known !== undefined) return known;
  const made = new Shelf();
  shelves.set(name, made);
  return made;
}

/** Rules that have their interface or application in common, those for single hosts by these. */
class Shelf {
  private readonly general = new Set<Entry>();
  private readonly byHost = new Map<string, Set<Entry>>();

  get isEmpty(): boolean {
    return this.general.size === 0 && this.byHost.size === 0;
  }

  add(entry: Entry): void {
    const hosts = hostsOf(entry.rule);
    if (hosts === undefined) this.general.add(entry);
    for (const host of hosts ?? []) {
      const known = this.byHost.get(host);
      if (known === undefined) this.byHost.set(host, new Set([entry]));
      else known.add(entry);
    }
  }

  delete(entry: Entry): void {
    this.general.delete(entry);
    for (const host of hostsOf(entry.rule) ?? []) {
      const known = this.byHost.get(host);
      known?.delete(entry);
      if (known?.size === 0) this.byHost.delete(host);
    }
  }

  /** Adds those that concern the provider. */
  collect(instance: Instance, traits: DubboTraits, found: Entry[]): void {
    for (const entry of this.general) {
      if (concerns(entry.rule, instance, traits)) found.push(entry);
    }
    for (const entry of this.byHost.get(instance.address) ?? []) {
      if (concerns(entry.rule, instance, traits)) found.push(entry);
    }
  }
}

function hostsOf(rule: DubboRule): ReadonlySet<string> | undefined {
  return rule.kind === 'tag-router' ? undefined : rule.target.addresses[0]?.singleHosts;
}
