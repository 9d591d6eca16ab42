import { decodeNodeName } from '../dubbo-url.ts';
import { readConfiguratorDocument } from './configurator-document.ts';
import { readConfiguratorUrl } from './configurator-url.ts';
import { documentBytesMax, readDocument } from './document.ts';
import { noRules, notUnderstood, RuleDraft } from './draft.ts';
import { parseOwner } from './service-name.ts';
import type { Settings } from './settings.ts';
import { readTagRouter } from './tag-router.ts';
import { isVisible } from './target.ts';
import type { Target } from './target.ts';

/**
 * Dubbo's rules for providers, as they stand in ZooKeeper: configurators (URLs below an interface's
 * `configurators`, or documents below `config`) and the tag routers of applications. Of what they can
 * say only that is read which decides whether, and how much, traffic goes to a provider: weight,
 * disabled, enabled, and the tag. Everything else is a consumer's affair, and counted by kind.
 *
 * A provider told of a configurator may register anew with what it says (Dubbo 2.6 and 2.7 do so for
 * the URLs, Dubbo 3.3 for the documents too) or may not: then only its calls know. Projecting a rule on
 * a provider that shows it already changes nothing.
 */
export type DubboRule = Configurator | TagRouter;

/** Configurators are applied in this order; later ones win. */
export const configuratorLevels = ['leaf', 'application', 'service'] as const;
export type ConfiguratorLevel = (typeof configuratorLevels)[number];
/** Whether it overrides, fills in what is absent, or makes void all others of its level. */
export type ConfiguratorScheme = 'override' | 'absent' | 'empty';

/** Sets weight or traffic of providers. */
export interface Configurator {
  readonly kind: 'configurator';
  readonly level: ConfiguratorLevel;
  readonly scheme: ConfiguratorScheme;
  /** Those for all addresses come before those for one. */
  readonly isForAll: boolean;
  /** Among equals the larger one wins. */
  readonly priority: number;
  readonly settings: Settings;
  readonly target: Target;
}

/** Tags the providers of an application. */
export interface TagRouter {
  readonly kind: 'tag-router';
  /** Of several tags the first one counts. */
  readonly tags: readonly { readonly name: string; readonly target: Target }[];
  readonly application: string;
  readonly root: string | undefined;
}

/** What is left alone on purpose; a metric label. */
export type RuleKind =
  | 'affinity-router'
  | 'condition-router'
  /** A configurator for the consumers' side. */
  | 'consumer-configurator'
  | 'mesh-rule'
  | 'migration'
  /** A leaf of another category. */
  | 'route-leaf'
  | 'script-router'
  /** A configurator that sets nothing that matters here. */
  | 'unknown-parameters'
  /** It cannot be said whom it concerns. */
  | 'unsupported-condition';

/** What a node says. */
export type RuleReading =
  /** Maybe none: then it is there and changes nothing. */
  | { readonly kind: 'rules'; readonly rules: readonly DubboRule[] }
  | { readonly kind: 'ignored'; readonly what: RuleKind }
  | { readonly kind: 'dropped'; readonly reason: 'rule' | 'name' | 'too-long' };

const configurators = '.configurators';
const tagRouter = '.tag-router';
const ignoredSuffixes: readonly (readonly [string, RuleKind])[] = [
  ['.affinity-router', 'affinity-router'],
  ['.condition-router', 'condition-router'],
  ['.script-router', 'script-router'],
  ['.MESHAPPRULE', 'mesh-rule'],
  ['.migration', 'migration'],
];
const suffixes = [configurators, tagRouter, ...ignoredSuffixes.map(([suffix]) => suffix)];
const migrationGroups: ReadonlySet<string> = new Set([
  'DUBBO_SERVICEDISCOVERY_MIGRATION',
  'MIGRATION',
]);
/** Longer names are not looked at. Characters. */
const nameLengthMax = 65_536;

/**
 * Those of the rules of which it can be said whom they concern.
 * @param isSeen whether a parameter is looked at that is not part of a provider's identity
 */
export function visibleRules(
  rules: readonly DubboRule[],
  isSeen: (key: string) => boolean,
): readonly DubboRule[] {
  return rules.flatMap((rule): readonly DubboRule[] => {
    if (rule.kind === 'configurator') return isVisible(rule.target, isSeen) ? [rule] : [];
    const tags = rule.tags.filter(({ target }) => isVisible(target, isSeen));
    return tags.length === 0 ? [] : [{ ...rule, tags }];
  });
}

/**
 * A leaf below `/<root>/<interface>/configurators`. With a root, providers registered below another
 * one are not concerned. Never throws.
 */
export function readConfiguratorLeaf(
  interfaceName: string,
  leafName: string,
  root?: string,
): RuleReading {
  if (leafName.length > nameLengthMax) return { kind: 'dropped', reason: 'too-long' };
  const draft = new RuleDraft();
  const place = {
    level: 'leaf' as const,
    interfaceName,
    application: undefined,
    service: undefined,
    root,
  };
  if (readConfiguratorUrl(leafName, place, draft)) return draft.reading();
  const isUrl = /^[a-z][a-z0-9+.-]*:\/\//i.test(decodeNodeName(leafName) ?? '');
  return isUrl ? { kind: 'ignored', what: 'route-leaf' } : { kind: 'dropped', reason: 'name' };
}

/** Whether a node below `/<root>/config/<group>` is a rule. Others are not to be read. */
export function isRuleName(nodeName: string): boolean {
  return suffixes.some((suffix) => nodeName.endsWith(suffix));
}

/**
 * A node below `/<root>/config/<group>`, by its name a rule. With a root, providers registered below
 * another one are not concerned. Never throws.
 */
export function readRuleNode(
  group: string,
  nodeName: string,
  data: Buffer | null,
  root?: string,
): RuleReading {
  if (migrationGroups.has(group)) return { kind: 'ignored', what: 'migration' };
  const ignored = ignoredSuffixes.find(([suffix]) => nodeName.endsWith(suffix));
  if (ignored !== undefined) return { kind: 'ignored', what: ignored[1] };
  const suffix = suffixes.find((one) => nodeName.endsWith(one));
  if (suffix === undefined) return { kind: 'dropped', reason: 'name' };
  const base = nodeName.slice(0, -suffix.length);
  if (data === null || data.length === 0) return noRules;
  if (data.length > documentBytesMax) return { kind: 'dropped', reason: 'too-long' };
  const text = data.toString('utf8');
  if (text.trim() === '') return noRules;
  const document = readDocument(text);
  if (suffix === tagRouter) return readTagRouter(base, document, root);
  const owner = parseOwner(base);
  if (owner === undefined) return { kind: 'dropped', reason: 'name' };
  return document === undefined ? notUnderstood : readConfiguratorDocument(owner, document, root);
}
