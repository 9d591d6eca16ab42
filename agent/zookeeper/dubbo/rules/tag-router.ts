import { isSecretValue } from '../../../secrets.ts';
import { AddressSet } from './address-set.ts';
import type { DocumentMap } from './document.ts';
import { flagOf, isMap, textOf, textsOf } from './document.ts';
import { noRules, notUnderstood, RuleDraft } from './draft.ts';
import { readParameterMatches } from './match.ts';
import type { RuleReading } from './rule.ts';
import type { Target } from './target.ts';
import { everybody } from './target.ts';

/** Longer names could not stand in a label. Characters. */
const tagLengthMax = 512;
const tagsMax = 1000;

/**
 * The tag router of an application, `<application>.tag-router`: for the addresses that it names
 * (or, since 3.0, for the providers whose parameters match) consumers know its tags and not the one
 * they registered with. Consumers of another tag, or of none, do not call them. Whether a consumer
 * may fall back on untagged providers (`force`) is no matter of the providers.
 */
export function readTagRouter(
  base: string,
  document: unknown,
  root: string | undefined,
): RuleReading {
  if (!isMap(document)) return notUnderstood;
  const application = base === '' ? (textOf(document.get('key')) ?? '') : base;
  if (application === '' || application.includes(':')) return { kind: 'dropped', reason: 'name' };
  if (!(flagOf(document.get('enabled')) ?? true)) return noRules;
  const list: unknown = document.get('tags') ?? [];
  if (!Array.isArray(list)) return notUnderstood;
  if (list.length > tagsMax) return { kind: 'dropped', reason: 'too-long' };
  const version = textOf(document.get('configVersion')) ?? '';
  const draft = new RuleDraft();
  const tags: { name: string; target: Target }[] = [];
  for (const entry of list as unknown[]) {
    const name = isMap(entry) ? textOf(entry.get('name')) : undefined;
    if (!isMap(entry) || name === undefined || !isTagName(name)) return notUnderstood;
    const target = targetOf(entry, application, version);
    if (target === 'unsupported') draft.leave('unsupported-condition');
    else if (target !== undefined) tags.push({ name, target: { ...target, root } });
  }
  if (tags.length > 0) draft.add({ kind: 'tag-router', application, root, tags });
  return draft.reading();
}

/** Whether it can be a label. */
function isTagName(name: string): boolean {
  return name !== '' && name.length <= tagLengthMax && !isSecretValue(name);
}

/** Undefined: the tag is for nobody now. */
function targetOf(
  tag: DocumentMap,
  application: string,
  version: string,
): Target | 'unsupported' | undefined {
  const own = { ...everybody, applications: [application] };
  const addresses = textsOf(tag.get('addresses')) ?? [];
  if (addresses.length > 0) return { ...own, addresses: [new AddressSet(addresses, 'patterns')] };
  const match: unknown = tag.get('match') ?? undefined;
  if (match === undefined) return undefined;
  const conditions = readParameterMatches(match);
  if (conditions === undefined) return 'unsupported';
  // Before 3.0 there was no such list: that an empty one is for everybody was said to newer ones only.
  return conditions.length === 0 && !version.startsWith('v3') ? undefined : { ...own, conditions };
}
