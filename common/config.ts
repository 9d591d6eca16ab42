import { stringify } from 'yaml';
import type { z } from 'zod';
import { readEnvironment, readFile, readFlags } from './config-layers.ts';
import type { Layer, RawValue } from './config-layers.ts';
import { ConfigurationError } from './errors.ts';
import { fileKeyOf, flagOf } from './option-names.ts';
import type { Options, Values } from './option.ts';

/** A binary as its configuration knows it. */
export interface Program<O extends Options> {
  /** As the operator starts it: `tributary-agent`. */
  readonly name: string;
  /** A paragraph for the head of `--help`. */
  readonly summary: string;
  readonly examples: readonly string[];
  readonly options: O;
  /** Checks that concern several options. Returns one line a problem. */
  check(given: Given<O>): readonly string[];
}

/** What was given, for the checks over several options. */
export interface Given<O extends Options> {
  readonly values: Values<O>;
  /** Whether all of these options passed their own checks, so that their values may be looked at. */
  readonly isValid: (...keys: readonly (keyof O & string)[]) => boolean;
  /** Where the operator gave the option, or would: `--eureka`, `TRIBUTARY_EUREKA`, `a.yaml: eureka`. */
  readonly nameOf: (key: keyof O & string) => string;
}

/** What the command line asks for. */
export type Loaded<O extends Options> =
  | { readonly kind: 'help' | 'version' }
  | {
      readonly kind: 'values';
      readonly values: Values<O>;
      /** Not wrong, but probably not meant. */
      readonly warnings: readonly string[];
      /** The operator wants to see the configuration, not to run. */
      readonly isPrintOnly: boolean;
    };

/** Where configuration comes from. */
export interface Inputs {
  /** Without the program's own name. */
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
}

/**
 * Reads the configuration: flags before environment before file before defaults; a list given in
 * one of them replaces the others' list. Throws ConfigurationError with every problem of all
 * three, each under the name by which the operator gave it.
 */
export function loadConfiguration<O extends Options>(
  program: Program<O>,
  inputs: Inputs,
): Loaded<O> {
  const problems: string[] = [];
  const flags = readFlags(program.options, inputs.argv, problems);
  if (flags.words.has('help')) return { kind: 'help' };
  if (flags.words.has('version')) return { kind: 'version' };
  const environment = readEnvironment(program.options, inputs.env);
  const path = flags.config ?? inputs.env.TRIBUTARY_CONFIG ?? '';
  const fromFile =
    path === '' ? new Map<string, RawValue>() : readFile(program.options, path, problems);
  const layers = [fromFile, environment.layer, flags.layer];
  const values = merge(program, layers, problems);
  if (problems.length > 0) throw new ConfigurationError(problems);
  return {
    kind: 'values',
    values,
    warnings: environment.warnings,
    isPrintOnly: flags.words.has('print-config'),
  };
}

/** The effective configuration as a file would hold it; secrets are replaced by `***`. */
export function printConfiguration<O extends Options>(
  program: Program<O>,
  values: Values<O>,
): string {
  const shown: Record<string, unknown> = {};
  for (const [key, row] of Object.entries(program.options)) {
    const value: unknown = values[key];
    if (value !== undefined) shown[fileKeyOf(key)] = row.format(value);
  }
  return stringify(shown, { lineWidth: 0 });
}

function merge<O extends Options>(
  program: Program<O>,
  layers: readonly Layer[],
  problems: string[],
): Values<O> {
  const values: Record<string, unknown> = {};
  const names = new Map<string, string>();
  const invalid = new Set<string>();
  for (const [key, row] of Object.entries(program.options)) {
    values[key] = row.fallback;
    let isGiven = false;
    for (const layer of layers) {
      const raw = layer.get(key);
      if (raw === undefined) continue;
      isGiven = true;
      names.set(key, raw.name);
      const parsed = row.schema.safeParse(raw.value);
      if (parsed.success) values[key] = parsed.data;
      else {
        invalid.add(key);
        problems.push(...parsed.error.issues.map((issue) => describeIssue(raw.name, issue)));
      }
    }
    if (!isGiven && row.requiredText !== undefined) {
      invalid.add(key);
      problems.push(`${flagOf(key)}: ${row.requiredText}`);
    }
  }
  const given: Given<O> = {
    values: values as Values<O>,
    isValid: (...keys) => !keys.some((key) => invalid.has(key)),
    nameOf: (key) => names.get(key) ?? flagOf(key),
  };
  problems.push(...program.check(given));
  return given.values;
}

function describeIssue(name: string, issue: z.core.$ZodIssue): string {
  let path = name;
  for (const part of issue.path) {
    path += typeof part === 'number' ? `[${part}]` : `.${String(part)}`;
  }
  const cause = issue.code === 'invalid_key' ? (issue.issues[0] ?? issue) : issue;
  return `${path}: ${cause.message.replace(/^Invalid input: /, '')}`;
}
