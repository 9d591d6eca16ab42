import { accessSync, constants, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { z } from 'zod';
import { durationSchema, formatDuration } from './duration.ts';
import { formatHostPort, hostPortSchema } from './address.ts';
import type { HostPort } from './address.ts';
import { registryIdSchema } from './registry.ts';
import type { RegistryId } from './registry.ts';
import { didYouMean } from './suggest.ts';

/**
 * One row of a binary's configuration table. From the table alone come the flag (`mcpListen` is
 * `--mcp-listen`), the environment name (`TRIBUTARY_MCP_LISTEN`), the key in the file
 * (`mcp_listen`), the checks, `--help` and the reference.
 */
export interface Option<T> {
  /**
   * How a text (flag, environment) becomes a value: `text` as it is, `switch` true or false,
   * `number`, `list` cut at commas (the flag may be repeated), `lists` cut at white space (the flag
   * may be repeated), `structure` not at all: it can stand in the file only.
   */
  readonly shape: 'text' | 'switch' | 'number' | 'list' | 'lists' | 'structure';
  /** Checks and converts what the file holds, or the value made of a text. */
  readonly schema: z.ZodType<T>;
  /** The value when nothing is given. */
  readonly fallback: T;
  /** How the reference writes the default; empty = none. */
  readonly fallbackText: string;
  /** What to write, for an option that must be given. */
  readonly requiredText: string | undefined;
  /** Stands for the value in `--help`: `FILE`, `HOST:PORT`. */
  readonly placeholder: string;
  /** Of a bare number: `instances`, `fraction`; empty where the value says it itself. */
  readonly unit: string;
  readonly group: string;
  readonly description: string;
  /** The value as the file would hold it, secrets replaced. */
  format(value: T): unknown;
}

/** A binary's table. */
export type Options = Readonly<Record<string, Option<unknown>>>;

/** The configuration that a table describes. */
export type Values<O extends Options> = {
  readonly [K in keyof O]: O[K] extends Option<infer T> ? T : never;
};

/** What every option says of itself. */
export interface Words {
  readonly group: string;
  readonly description: string;
  readonly placeholder?: string;
}

/** Any option; the helpers below cover the usual ones. */
export function option<T>(
  given: Partial<Option<T>> & Words & Pick<Option<T>, 'shape' | 'schema' | 'fallback'>,
): Option<T> {
  return {
    fallbackText: '',
    requiredText: undefined,
    placeholder: 'VALUE',
    unit: '',
    format: (value) => value,
    ...given,
  };
}

/** A duration between two limits, in milliseconds; absent without a default. */
export function duration(
  words: Words,
  fallbackMs: number,
  [minMs, maxMs]: readonly [number, number],
): Option<number> {
  return option({
    shape: 'text',
    schema: durationSchema(minMs, maxMs),
    fallback: fallbackMs,
    fallbackText: formatDuration(fallbackMs),
    placeholder: 'DURATION',
    format: formatDuration,
    ...words,
  });
}

/** A number between two limits. */
export function number(
  words: Words & { readonly unit: string; readonly isWhole: boolean },
  fallback: number,
  [min, max]: readonly [number, number],
): Option<number> {
  const message = `expected a ${words.isWhole ? 'whole ' : ''}number between ${min} and ${max}`;
  const base = words.isWhole ? z.int({ error: message }) : z.number({ error: message });
  return option({
    shape: 'number',
    schema: base.min(min, message).max(max, message),
    fallback,
    fallbackText: String(fallback),
    placeholder: 'NUMBER',
    ...words,
  });
}

/** Off unless given. */
export function toggle(words: Words): Option<boolean> {
  return option({
    shape: 'switch',
    schema: z.boolean({ error: 'expected true or false' }),
    fallback: false,
    fallbackText: 'false',
    placeholder: '',
    ...words,
  });
}

/** `host:port`. */
export function listen(words: Words, fallback: HostPort): Option<HostPort> {
  return option({
    shape: 'text',
    schema: hostPortSchema,
    fallback,
    fallbackText: formatHostPort(fallback),
    placeholder: 'HOST:PORT',
    format: formatHostPort,
    ...words,
  });
}

/** A text, absent unless given. */
export function text(words: Words, schema: z.ZodType<string>): Option<string | undefined> {
  return option({ shape: 'text', schema: schema.optional(), fallback: undefined, ...words });
}

/** A text with a default. */
export function textOr(words: Words, fallback: string, schema: z.ZodType<string>): Option<string> {
  return option({ shape: 'text', schema, fallback, fallbackText: fallback, ...words });
}

/** One of a few words. */
export function choice<const C extends string>(
  words: Words,
  choices: readonly [C, ...C[]],
  fallback: C,
): Option<C> {
  return option({
    shape: 'text',
    schema: z.enum(choices, { error: `expected one of ${choices.join(', ')}` }),
    fallback,
    fallbackText: fallback,
    placeholder: choices.join('|'),
    ...words,
  });
}

/** A list of texts, empty unless given. */
export function list<T = string>(
  words: Words & { readonly fallback?: readonly T[] },
  item: z.ZodType<T>,
): Option<readonly T[]> {
  const fallback = words.fallback ?? [];
  return option<readonly T[]>({
    shape: 'list',
    schema: z.array(item, { error: 'expected a list' }),
    placeholder: 'A,B,...',
    ...words,
    fallback,
    fallbackText: fallback.join(','),
  });
}

/** A file that must exist and be readable, absent unless given. The value is its path. */
export function file(words: Words): Option<string | undefined> {
  return option({
    shape: 'text',
    schema: readableFileSchema.optional(),
    fallback: undefined,
    placeholder: 'FILE',
    ...words,
  });
}

const nonEmpty = z.string({ error: 'expected a text' }).min(1, 'expected a text that is not empty');

/** A path of a file that this process can read. */
export const readableFileSchema: z.ZodType<string> = nonEmpty.superRefine((path, context) => {
  const problem = whyUnreadable(path);
  if (problem !== undefined) context.addIssue({ code: 'custom', message: problem });
});

function whyUnreadable(path: string): string | undefined {
  try {
    if (!statSync(path).isFile()) return `${path} is not a file`;
    accessSync(path, constants.R_OK);
    return undefined;
  } catch (error) {
    return `cannot read ${path} (${errorCode(error)})`;
  }
}

/** A directory that this process can write to, or can make. */
export const writableDirectorySchema: z.ZodType<string> = nonEmpty.superRefine((path, context) => {
  const problem = whyUnwritable(resolve(path));
  if (problem !== undefined) context.addIssue({ code: 'custom', message: problem });
});

function whyUnwritable(path: string): string | undefined {
  try {
    if (!statSync(path).isDirectory()) return `${path} is not a directory`;
    accessSync(path, constants.W_OK | constants.X_OK);
    return undefined;
  } catch (error) {
    const code = errorCode(error);
    // It will be made, so what counts is the directory above it.
    if (code === 'ENOENT') return whyUnwritable(dirname(path));
    return `cannot write to ${path} (${code})`;
  }
}

/** The system's code of an error (`ENOENT`), or what it says. */
export function errorCode(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return 'code' in error && typeof error.code === 'string' ? error.code : error.message;
}

/** A text with at least one character. */
export const textSchema: z.ZodType<string> = nonEmpty;

/** A DNS label: lower-case letters, digits and dashes. */
export const labelSchema: z.ZodType<string> = z
  .string({ error: 'expected a text' })
  .regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, 'expected lower-case letters, digits and dashes');

/** A DNS name of lower-case labels. */
export const domainSchema: z.ZodType<string> = z
  .string({ error: 'expected a domain' })
  .max(180, 'expected at most 180 characters')
  .regex(
    /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/,
    'expected a domain of lower-case letters, digits, dashes and dots',
  );

/** A registry id, with a message that says what one looks like. */
export const registrySchema: z.ZodType<RegistryId> = registryIdSchema;

/** An object of the file with exactly these keys; an unknown one is an error with a suggestion. */
export function structure<S extends z.ZodRawShape>(shape: S): z.ZodObject<S, z.core.$strict> {
  return z.strictObject(shape, {
    error: (issue) =>
      issue.code === 'unrecognized_keys'
        ? issue.keys
            .map(
              (key) => `unknown key ${JSON.stringify(key)}${didYouMean(key, Object.keys(shape))}`,
            )
            .join('; ')
        : 'expected keys and values',
  });
}
