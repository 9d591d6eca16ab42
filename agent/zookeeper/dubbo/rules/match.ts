import { AddressSet } from './address-set.ts';
import type { DocumentMap } from './document.ts';
import { isMap, textOf } from './document.ts';
import type { Condition } from './target.ts';
import type { TextTest } from './text-match.ts';
import { readTextTest } from './text-match.ts';

/**
 * The conditions of Dubbo 3's rules: `match` of a config (an object of address, providerAddress,
 * service, app and param) and of a tag (a list of parameters). Undefined when one of them is not
 * understood: the rule would concern more than it should. What is absent asks for nothing.
 */
export function readMatch(value: unknown): readonly Condition[] | undefined {
  if (value === undefined || value === null) return [];
  if (!isMap(value)) return undefined;
  const conditions: Condition[] = [];
  for (const [key, part] of value) {
    const read = readPart(key, part);
    if (read === undefined) return undefined;
    conditions.push(...read);
  }
  return conditions;
}

/** The conditions on parameters. Undefined when one of them is not understood. */
export function readParameterMatches(value: unknown): readonly Condition[] | undefined {
  if (!Array.isArray(value)) return undefined;
  const conditions: Condition[] = [];
  for (const entry of value as unknown[]) {
    if (!isMap(entry)) return undefined;
    const key = textOf(entry.get('key'));
    const words: unknown = entry.get('value');
    const test = isMap(words) ? readTextTest(words) : undefined;
    if (key === undefined || test === undefined) return undefined;
    conditions.push({ kind: 'parameter', key, test });
  }
  return conditions;
}

function readPart(key: unknown, part: unknown): readonly Condition[] | undefined {
  if (part === null) return [];
  switch (key) {
    case 'address':
    case 'providerAddress':
      return isMap(part) ? one(addressCondition(part)) : undefined;
    case 'service':
      return isMap(part) ? one(oneOf('service', part)) : undefined;
    case 'app':
      return isMap(part) ? one(oneOf('application', part)) : undefined;
    case 'param':
      return readParameterMatches(part);
    default:
      return undefined;
  }
}

function one(condition: Condition | undefined): readonly Condition[] | undefined {
  return condition === undefined ? undefined : [condition];
}

/** `cird` is how Dubbo spells it. */
function addressCondition(words: DocumentMap): Condition | undefined {
  const subnet = textOf(words.get('cird')) ?? textOf(words.get('cidr'));
  if (subnet !== undefined) {
    return { kind: 'subnet', addresses: new AddressSet([subnet], 'patterns') };
  }
  const wildcard = textOf(words.get('wildcard'));
  if (wildcard !== undefined) {
    return { kind: 'address', pattern: wildcard === '0.0.0.0' ? '*' : wildcard, isGlob: true };
  }
  const exact = textOf(words.get('exact'));
  return exact === undefined ? undefined : { kind: 'address', pattern: exact, isGlob: false };
}

function oneOf(kind: 'service' | 'application', words: DocumentMap): Condition | undefined {
  const list: unknown = words.get('oneof');
  if (!Array.isArray(list)) return undefined;
  const tests: TextTest[] = [];
  for (const entry of list as unknown[]) {
    const test = isMap(entry) ? readTextTest(entry) : undefined;
    if (test === undefined) return undefined;
    tests.push(test);
  }
  return { kind, tests };
}
