import { parseDocument } from 'yaml';

/** Data of a rule's node that is longer is not looked at. Bytes; real rules have a few hundred. */
export const documentBytesMax = 65_536;
/** How much larger aliases may make a document. */
const aliasCountMax = 100;
/** Words that begin like an anchor or an alias; looking one up takes a time linear in their number. */
const anchorsMax = 1000;
/** Brackets within brackets; real rules have two. */
const depthMax = 100;

/** Mappings are Maps, whatever their keys. */
export type DocumentMap = ReadonlyMap<unknown, unknown>;

/**
 * The one document of a rule, as Dubbo's parser reads it: YAML 1.1 (of which JSON is a part) with
 * merge keys, of repeated keys the last. Undefined for several documents, for what is no YAML and for
 * a document that its aliases would blow up. Never throws.
 */
export function readDocument(text: string): unknown {
  try {
    if (text.trimStart().startsWith('[')) return JSON.parse(text) as unknown;
  } catch {
    // A YAML list perhaps; that is seen below.
  }
  return isHarmless(text) ? parseYaml(text) : undefined;
}

function parseYaml(text: string): unknown {
  const { stackTraceLimit } = Error;
  try {
    // The parser collects an error for every character that it cannot place, and most of the time
    // would go into their stack traces.
    Error.stackTraceLimit = 0;
    const document = parseDocument(text, {
      version: '1.1',
      // Looking for repeated keys takes a time quadratic in their number.
      uniqueKeys: false,
      prettyErrors: false,
      logLevel: 'silent',
    });
    if (document.errors.length > 0) return undefined;
    return document.toJS({ mapAsMap: true, maxAliasCount: aliasCountMax }) as unknown;
  } catch {
    // Too many aliases, or nested too deeply.
    return undefined;
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
}

/** Whether the parser is done with it in good time: few anchors, and brackets not nested deeply. */
function isHarmless(text: string): boolean {
  const anchors = text.match(/(?<=^|[\s,[{:-])[&*](?=[^\s,[\]{}])/g) ?? [];
  let depth = 0;
  for (const [bracket] of text.matchAll(/[[\]{}]/g)) {
    depth += bracket === '[' || bracket === '{' ? 1 : -1;
    if (depth > depthMax) return false;
  }
  return anchors.length <= anchorsMax;
}

export function isMap(value: unknown): value is DocumentMap {
  return value instanceof Map;
}

/** A scalar as Java's `String.valueOf` writes it; undefined for everything else. */
export function textOf(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : undefined;
}

/** The texts of a list; empty when there is none; undefined when it is no list of scalars. */
export function textsOf(value: unknown): readonly string[] | undefined {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) return undefined;
  const texts = value.map(textOf);
  return texts.every((text) => text !== undefined) ? texts : undefined;
}

/** Java's `Boolean.parseBoolean` of what stands there; undefined when nothing does. */
export function flagOf(value: unknown): boolean | undefined {
  if (value === undefined || value === null) return undefined;
  return isTrue(textOf(value) ?? '');
}

/** `true` in any case; everything else is false. */
export function isTrue(text: string): boolean {
  return text.toLowerCase() === 'true';
}
