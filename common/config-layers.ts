import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { LineCounter, parseDocument } from 'yaml';
import { dashed, environmentNameOf, fileKeyOf } from './option-names.ts';
import { errorCode } from './option.ts';
import type { Option, Options } from './option.ts';
import { redactUserinfo } from './redact.ts';
import { closest, didYouMean } from './suggest.ts';

/**
 * The three layers of configuration that an operator writes, each read into values by option. What
 * is wrong is added to `problems`, under the name by which the operator gave it.
 */

/** A value as one layer holds it, with the name under which a problem with it is reported. */
export interface RawValue {
  readonly value: unknown;
  readonly name: string;
}

/** What one layer gives, by option. */
export type Layer = ReadonlyMap<string, RawValue>;

/** What stands on the command line. */
export interface Flags {
  readonly layer: Layer;
  readonly config: string | undefined;
  /** The words that are no options: help, version, print-config. */
  readonly words: ReadonlySet<string>;
}

const words = ['help', 'version', 'print-config'];

/** Reads the command line. */
export function readFlags(options: Options, argv: readonly string[], problems: string[]): Flags {
  const keys = new Map<string, string>();
  for (const [key, row] of Object.entries(options)) {
    if (row.shape !== 'structure') keys.set(dashed(key), key);
  }
  const texts = new Map<string, string[]>();
  const seen = new Set<string>();
  const known = [...keys.keys(), ...words, 'config'];
  let unknownAt = -2;
  for (const token of tokenize(options, keys, argv)) {
    if (token.kind === 'option-terminator') continue;
    if (token.kind === 'positional') {
      // Most likely the value of the unknown flag before it, which is a problem already.
      if (token.index === unknownAt + 1) continue;
      problems.push(
        `${JSON.stringify(redactUserinfo(token.value))}: unexpected argument${suggestFlag(token.value, known)}`,
      );
    } else if (words.includes(token.name)) seen.add(token.name);
    else if (!known.includes(token.name)) {
      unknownAt = token.index;
      problems.push(`${token.rawName}: unknown flag${suggestFlag(token.rawName, known)}`);
    } else collect(texts, token, options[keys.get(token.name) ?? ''], problems);
  }
  const layer = new Map<string, RawValue>();
  for (const [name, key] of keys) {
    const given = texts.get(name);
    const row = options[key];
    if (given !== undefined && row !== undefined) {
      layer.set(key, { value: fromTexts(row, given), name: `--${name}` });
    }
  }
  return { layer, config: texts.get('config')?.[0], words: seen };
}

function suggestFlag(text: string, known: readonly string[]): string {
  const candidate = closest(text.replace(/^-+/, ''), known);
  return candidate === undefined ? '' : `: did you mean --${candidate}?`;
}

function tokenize(options: Options, keys: ReadonlyMap<string, string>, argv: readonly string[]) {
  const declared: Record<string, { type: 'string' | 'boolean'; short?: string }> = {
    config: { type: 'string' },
    help: { type: 'boolean', short: 'h' },
    version: { type: 'boolean' },
    'print-config': { type: 'boolean' },
  };
  for (const [name, key] of keys) {
    declared[name] = { type: options[key]?.shape === 'switch' ? 'boolean' : 'string' };
  }
  return parseArgs({ args: [...argv], options: declared, strict: false, tokens: true }).tokens;
}

function collect(
  texts: Map<string, string[]>,
  token: {
    readonly name: string;
    readonly value?: string | undefined;
    readonly inlineValue?: boolean | undefined;
  },
  row: Option<unknown> | undefined,
  problems: string[],
): void {
  const flag = `--${token.name}`;
  const isSwitch = row?.shape === 'switch';
  const value = token.value ?? (isSwitch ? 'true' : undefined);
  const isNextFlag = token.inlineValue !== true && value?.startsWith('--') === true;
  if (value === undefined || isNextFlag) {
    problems.push(`${flag}: needs a value`);
    return;
  }
  const earlier = texts.get(token.name);
  if (earlier === undefined) texts.set(token.name, [value]);
  else if (row?.shape === 'list' || row?.shape === 'lists') earlier.push(value);
  else problems.push(`${flag}: given more than once`);
}

function fromTexts(row: Option<unknown>, texts: readonly string[]): unknown {
  const first = texts[0] ?? '';
  switch (row.shape) {
    case 'switch':
      return first === 'true' ? true : first === 'false' ? false : first;
    case 'number':
      return /^-?\d+(\.\d+)?$/.test(first) ? Number(first) : first;
    case 'list':
      return texts.flatMap((text) => text.split(',')).map((item) => item.trim());
    case 'lists':
      return texts.flatMap((text) => text.split(/\s+/)).filter((item) => item !== '');
    case 'text':
    case 'structure':
      return first;
  }
}

/** Reads the environment; empty variables count as not given, unknown ones are warnings. */
export function readEnvironment(
  options: Options,
  env: Readonly<Record<string, string | undefined>>,
): { readonly layer: Layer; readonly warnings: readonly string[] } {
  const layer = new Map<string, RawValue>();
  const known = new Map<string, string>();
  for (const [key, row] of Object.entries(options)) {
    if (row.shape !== 'structure') known.set(environmentNameOf(key), key);
  }
  const warnings: string[] = [];
  for (const [name, value] of Object.entries(env)) {
    if (!name.startsWith('TRIBUTARY_') || value === undefined || value === '') continue;
    const key = known.get(name);
    const row = key === undefined ? undefined : options[key];
    if (key !== undefined && row !== undefined)
      layer.set(key, { value: fromTexts(row, [value]), name });
    else if (name !== 'TRIBUTARY_CONFIG' && !isInjected(name)) {
      warnings.push(`${name}: unknown, ignored${didYouMean(name, known.keys())}`);
    }
  }
  return { layer, warnings };
}

/** Kubernetes sets variables like TRIBUTARY_MCP_PORT_9902_TCP for a Service of such a name. */
function isInjected(name: string): boolean {
  return /_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_\d+_(TCP|UDP)(_(ADDR|PORT|PROTO))?)?)$/.test(
    name,
  );
}

/** Reads the YAML file. */
export function readFile(options: Options, path: string, problems: string[]): Layer {
  const layer = new Map<string, RawValue>();
  const content = parseFile(path, problems);
  if (content === undefined) return layer;
  const keys = new Map(Object.keys(options).map((key) => [fileKeyOf(key), key]));
  for (const [name, value] of Object.entries(content)) {
    const key = keys.get(name);
    if (key === undefined)
      problems.push(`${path}: ${name}: unknown key${didYouMean(name, keys.keys())}`);
    else if (value !== null) {
      const row = options[key];
      layer.set(key, { value: fromFile(row, value), name: `${path}: ${name}` });
    }
  }
  return layer;
}

function fromFile(row: Option<unknown> | undefined, value: unknown): unknown {
  const isListed = row?.shape === 'list' || row?.shape === 'lists';
  return isListed && typeof value === 'string' ? fromTexts(row, [value]) : value;
}

function parseFile(
  path: string,
  problems: string[],
): Readonly<Record<string, unknown>> | undefined {
  try {
    const lineCounter = new LineCounter();
    const document = parseDocument(readFileSync(path, 'utf8'), {
      prettyErrors: false,
      lineCounter,
    });
    for (const error of document.errors) {
      const { line, col } = lineCounter.linePos(error.pos[0]);
      problems.push(`${path}: line ${line}, column ${col}: ${error.message}`);
    }
    if (document.errors.length > 0) return undefined;
    const content: unknown = document.toJS({ maxAliasCount: 100 });
    if (content === null || content === undefined) return {};
    if (typeof content === 'object' && !Array.isArray(content))
      return content as Record<string, unknown>;
    problems.push(`${path}: expected keys and values`);
  } catch (error) {
    problems.push(`${path}: cannot be read: ${errorCode(error)}`);
  }
  return undefined;
}
