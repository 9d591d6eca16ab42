import type { Want } from '../client/tree.ts';
import type { NodeReading } from '../reading.ts';
import { wantNothing } from '../reading.ts';
import { decodeNodeName } from './dubbo-url.ts';
import { isRuleName, readConfiguratorLeaf, readRuleNode, visibleRules } from './rules/rule.ts';
import type { RuleReading } from './rules/rule.ts';

/**
 * Where rules stand below a root of Dubbo's registry: URLs below `<interface>/configurators` and
 * `<interface>/routers`, documents below `config/<group>`. Of documents that are only counted, no data is
 * read.
 */

/** What stands beside `providers` and says rules. */
export const ruleCategories: readonly string[] = ['configurators', 'routers'];
/** The child of a root that holds documents. */
export const configName = 'config';

/** Groups of documents that are rules: Dubbo's own, and those of its migration to applications. */
const groups: ReadonlySet<string> = new Set([
  'dubbo',
  'DUBBO_SERVICEDISCOVERY_MIGRATION',
  'MIGRATION',
]);
const readDocuments = /\.(?:configurators|tag-router)$/;
const wantChildren: Want = { node: false, data: false, children: true };
const wantNode: Want = { node: true, data: false, children: false };
const wantData: Want = { node: true, data: true, children: false };

/** What is wanted of a path below a root, by its parts: `config/...`, or `<interface>/<category>/...`. */
export function wantOfRule(parts: readonly string[]): Want {
  const [first, second = ''] = parts;
  const last = parts.at(-1) ?? '';
  if (first === configName) {
    if (parts.length === 1) return wantChildren;
    if (!groups.has(second)) return wantNothing;
    if (parts.length === 2) return wantChildren;
    if (parts.length > 3 || !isRuleName(last)) return wantNothing;
    return readDocuments.test(last) ? wantData : wantNode;
  }
  if (!ruleCategories.includes(second)) return wantNothing;
  if (parts.length === 2) return wantChildren;
  return parts.length === 3 ? wantNode : wantNothing;
}

/** Whether a wanted node below a root is a rule, by its parts. */
export function isRule(parts: readonly string[]): boolean {
  const [first, second = ''] = parts;
  return first === configName || ruleCategories.includes(second);
}

/** Where a rule stands, and what can be seen from there. */
export interface RulePlace {
  /** The parts of its path below the root. */
  readonly parts: readonly string[];
  readonly root: string;
  /** For the operator. */
  readonly directory: string;
  /** See `visibleRules`. */
  readonly isSeen: (key: string) => boolean;
}

/** What a rule says. */
export function readRule(
  { parts, root, directory, isSeen }: RulePlace,
  data: Buffer | null,
): NodeReading {
  const [first = '', second = '', name = ''] = parts;
  const said = first === configName ? readRuleNode(second, name, data, root) : ofLeaf();
  switch (said.kind) {
    case 'rules': {
      const rules = visibleRules(said.rules, isSeen);
      return rules.length === 0 && said.rules.length > 0
        ? { kind: 'ignored', what: 'unsupported-condition' }
        : { kind: 'fact', fact: { kind: 'rules', rules } };
    }
    case 'ignored':
      return said;
    case 'dropped':
      return { ...said, record: first === configName ? `${directory}/${name}` : directory };
  }

  function ofLeaf(): RuleReading {
    if (second === 'routers') return { kind: 'ignored', what: 'route-leaf' };
    const interfaceName = decodeNodeName(first);
    return interfaceName === undefined || interfaceName === ''
      ? { kind: 'dropped', reason: 'name' }
      : readConfiguratorLeaf(interfaceName, name, root);
  }
}
