import type { Instance, InstanceStatus } from '../../../../common/instance.ts';
import { tagKey } from '../dubbo-instance.ts';
import type { DubboTraits } from '../traits.ts';
import type { Configurator, DubboRule } from './rule.ts';
import { configuratorLevels } from './rule.ts';
import { includes } from './target.ts';

/** A rule and where it stands. */
export interface Entry {
  readonly rule: DubboRule;
  readonly path: string;
  /** Among the rules of its node. */
  readonly index: number;
}

/** What rules decide of a provider. */
export interface Projection {
  /** 0: nothing is said of it. */
  readonly weight: number;
  readonly status: InstanceStatus;
  /** Undefined: the one it registered with, if any. */
  readonly tag: string | undefined;
}

/** Whether the rule concerns the provider, given as it registered. */
export function concerns(rule: DubboRule, instance: Instance, traits: DubboTraits): boolean {
  return rule.kind === 'configurator'
    ? includes(rule.target, instance, traits)
    : verdictOf(rule, instance, traits) !== undefined;
}

/** What the rules, all of which concern the provider, make of it; their order does not matter. */
export function evaluate(
  entries: readonly Entry[],
  instance: Instance,
  traits: DubboTraits,
): Projection {
  const sorted = entries.length > 1 ? [...entries].sort(compareEntries) : entries;
  const verdicts = sorted.flatMap(({ rule }) => verdictOf(rule, instance, traits) ?? []);
  const tag = verdicts.find((verdict) => verdict !== nobody)?.tag;
  const configurators = sorted
    .map(({ rule }) => rule)
    .filter((rule) => rule.kind === 'configurator');
  const { weight, status } = trafficOf(withoutVoid(configurators), instance, traits);
  const isForNobody = tag === undefined && verdicts.includes(nobody);
  return { weight, status: isForNobody ? statusOf(status, true) : status, tag };
}

/** It registered with a tag that the router has given to others: whoever asks for that tag is sent to them alone. */
const nobody = { tag: undefined };

/** What a router makes of the provider: the first tag that it gives it, `nobody`, or nothing. */
function verdictOf(
  rule: DubboRule,
  instance: Instance,
  traits: DubboTraits,
): { readonly tag: string } | typeof nobody | undefined {
  if (rule.kind === 'configurator') return undefined;
  const found = rule.tags.find(({ target }) => includes(target, instance, traits));
  if (found !== undefined) return { tag: found.name };
  const own = instance.labels[tagKey];
  const isTheirs =
    rule.application === traits.application &&
    (rule.root === undefined || traits.root === '' || rule.root === traits.root);
  return isTheirs && rule.tags.some(({ name }) => name === own) ? nobody : undefined;
}

/** An `empty` rule makes void all others of its level. */
function withoutVoid(rules: readonly Configurator[]): readonly Configurator[] {
  const cleared = new Set(
    rules.filter((rule) => rule.scheme === 'empty').map(({ level }) => level),
  );
  return cleared.size === 0 ? rules : rules.filter(({ level }) => !cleared.has(level));
}

/**
 * The rules applied one after the other. A provider is out of service when it is disabled or its
 * weight is 0. `disabled` decides alone where a rule sets it; `enabled` in a rule can take a provider
 * out of service, but cannot bring back one that registered as disabled.
 */
function trafficOf(
  rules: readonly Configurator[],
  instance: Instance,
  traits: DubboTraits,
): Omit<Projection, 'tag'> {
  const { weight, status } = instance;
  if (rules.length === 0) return { weight, status };
  let { weight: ruledWeight, disabled, enabled } = unset;
  for (const { scheme, settings } of rules) {
    const isAbsent = scheme === 'absent';
    if (!isAbsent || (ruledWeight ?? traits.weight) === undefined) {
      ruledWeight = settings.weight ?? ruledWeight;
    }
    if (!isAbsent || (disabled === undefined && !traits.isDisabled)) {
      disabled = settings.disabled ?? disabled;
    }
    enabled = settings.enabled ?? enabled;
  }
  const isDisabled = disabled ?? (traits.isDisabled || enabled === false);
  const isWeightless = (ruledWeight ?? traits.weight ?? 1) <= 0;
  return {
    weight: ruledWeight ?? weight,
    status: statusOf(status, isDisabled || isWeightless),
  };
}

const unset: { weight?: number; disabled?: boolean; enabled?: boolean } = {};

/** Rules have no say in a status that is none of theirs. */
function statusOf(status: InstanceStatus, isOut: boolean): InstanceStatus {
  if (status !== 'UP' && status !== 'OUT_OF_SERVICE') return status;
  return isOut ? 'OUT_OF_SERVICE' : 'UP';
}

/** Level, then those for all before those for one address, then priority; then the place decides. */
function compareEntries(a: Entry, b: Entry): number {
  return (
    rankOf(a.rule) - rankOf(b.rule) ||
    priorityOf(a.rule) - priorityOf(b.rule) ||
    (a.path === b.path ? a.index - b.index : a.path < b.path ? -1 : 1)
  );
}

function rankOf(rule: DubboRule): number {
  if (rule.kind === 'tag-router') return 0;
  return configuratorLevels.indexOf(rule.level) * 2 + (rule.isForAll ? 0 : 1);
}

function priorityOf(rule: DubboRule): number {
  return rule.kind === 'tag-router' ? 0 : rule.priority;
}
