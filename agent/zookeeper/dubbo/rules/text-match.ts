/**
 * What a rule of Dubbo 3 asks of a text (a parameter, an application, a service): `exact`, `prefix`,
 * `regex`, `wildcard`, `empty` or `noempty`, the first of these that is given.
 */
export type TextTest =
  | { readonly kind: 'exact' | 'prefix' | 'wildcard'; readonly text: string }
  | { readonly kind: 'regex'; readonly pattern: RegExp }
  | { readonly kind: 'empty' | 'noempty' };

/** A longer regular expression is not run. Characters. */
const regexLengthMax = 256;
/** To longer texts no regular expression is applied. Characters. */
const regexInputMax = 256;
const quantifiersMax = 2;
const groupsMax = 4;
const alternativesMax = 8;
const repetitionsMax = 100;

const textKinds = ['exact', 'prefix', 'regex', 'wildcard', 'empty', 'noempty'] as const;

/**
 * Reads a test from the words of a rule. Undefined when it asks for something that is not understood:
 * then nobody can say whom the rule concerns.
 */
export function readTextTest(words: ReadonlyMap<unknown, unknown>): TextTest | undefined {
  const kind = textKinds.find((name) => (words.get(name) ?? undefined) !== undefined);
  if (kind === undefined) return undefined;
  if (kind === 'empty' || kind === 'noempty') return { kind };
  const value = words.get(kind);
  if (typeof value !== 'string' && typeof value !== 'number' && typeof value !== 'boolean') {
    return undefined;
  }
  const text = String(value);
  if (kind !== 'regex') return { kind, text };
  const pattern = harmlessRegExp(text);
  return pattern === undefined ? undefined : { kind, pattern };
}

/** Whether the text is as asked. */
export function passes(test: TextTest, text: string): boolean {
  switch (test.kind) {
    case 'exact':
      return text === test.text;
    case 'prefix':
      return text.startsWith(test.text);
    case 'wildcard':
      return isGlobMatch(test.text, text);
    case 'regex':
      return text.length <= regexInputMax && test.pattern.test(text);
    case 'empty':
      return text === '';
    case 'noempty':
      return text !== '';
  }
}

/** Dubbo's wildcards: one star, the last one, stands for anything. */
export function isGlobMatch(pattern: string, text: string): boolean {
  const star = pattern.lastIndexOf('*');
  if (star < 0) return pattern === text;
  const prefix = pattern.slice(0, star);
  const suffix = pattern.slice(star + 1);
  return prefix === '*' || (text.startsWith(prefix) && text.endsWith(suffix));
}

/**
 * The regular expression, for a whole text, unless running it could take long: the registry's words
 * are not to be trusted with a machine that backtracks. Few quantifiers, none of a group, no
 * references to groups and no looking around leave it quadratic in the (short) text at worst.
 */
export function harmlessRegExp(source: string): RegExp | undefined {
  if (source.length > regexLengthMax || !isHarmless(source)) return undefined;
  try {
    return new RegExp(`^(?:${source})$`);
  } catch {
    // Not a regular expression, or one that only Java understands.
    return undefined;
  }
}

function isHarmless(source: string): boolean {
  const plain = source
    .replaceAll(/\\(?:[dwsDWSbB]|[^A-Za-z0-9])/g, 'x')
    .replaceAll(/\[\^?[^[\]]+\]/g, 'x')
    .replaceAll('(?:', '(');
  if (/[\\[\]]|\(\?|\)[*+?{]|[*+?}][*+?{]/.test(plain)) return false;
  const repetitions = [...plain.matchAll(/\{(\d*),?(\d*)\}/g)].flatMap(([, min = '', max = '']) => [
    Number(min),
    Number(max),
  ]);
  return (
    count(plain, /[*+?{]/g) <= quantifiersMax &&
    count(plain, /\(/g) <= groupsMax &&
    count(plain, /\|/g) <= alternativesMax &&
    repetitions.every((number) => number <= repetitionsMax)
  );
}

function count(text: string, pattern: RegExp): number {
  return [...text.matchAll(pattern)].length;
}
