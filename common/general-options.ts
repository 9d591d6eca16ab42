import { z } from 'zod';
import type { GuardRow } from './guard-limits.ts';
import { durationSchema, formatDuration } from './duration.ts';
import { logLevels } from './logger.ts';
import { choice, list, option, registrySchema, structure, textSchema } from './option.ts';
import type { Option, Words } from './option.ts';

/** Options that both binaries have. */

const hour = 3_600_000;
const guard = 'Guard';
const fractionSchema = z.number().min(0, 'expected 0 to 1').max(1, 'expected 0 to 1');
const minimumSchema = z.int('expected a whole number').min(1, 'expected 1 or more');

/** A duration without a default: what it overrides depends on the kind of registry. */
function optionalDuration(words: Words, maxMs: number): Option<number | undefined> {
  return option<number | undefined>({
    shape: 'text',
    schema: durationSchema(0, maxMs).optional(),
    fallback: undefined,
    placeholder: 'DURATION',
    format: (value) => (value === undefined ? undefined : formatDuration(value)),
    ...words,
  });
}

/** A number without a default. */
function optionalNumber(
  words: Words & { readonly unit: string },
  schema: z.ZodType<number>,
): Option<number | undefined> {
  return option<number | undefined>({
    shape: 'number',
    schema: schema.optional(),
    fallback: undefined,
    placeholder: 'NUMBER',
    ...words,
  });
}

/** Guard limits by name, for a file. */
function guardRows(
  nameSchema: z.core.$ZodRecordKey,
  description: string,
): Option<Readonly<Record<string, GuardRow>>> {
  return option<Readonly<Record<string, GuardRow>>>({
    shape: 'structure',
    schema: z.record(
      nameSchema,
      structure({
        fraction: fractionSchema.optional(),
        minimum: minimumSchema.optional(),
        hold: durationSchema(0, 24 * hour).optional(),
      }),
    ),
    fallback: {},
    format: (rows) =>
      Object.fromEntries(
        Object.entries(rows).map(([name, { hold, ...row }]) => [
          name,
          hold === undefined ? row : { ...row, hold: formatDuration(hold) },
        ]),
      ),
    group: guard,
    description,
  });
}

/** The guard's limits; given ones replace the defaults of the registry's kind. */
export const guardOptions = {
  guardFraction: optionalNumber(
    {
      group: guard,
      unit: 'fraction',
      description:
        'share of the UP instances of a registry or service above which removals are held; 1 = never (0.15 Eureka, 0.5 ZooKeeper)',
    },
    fractionSchema,
  ),
  guardMinimum: optionalNumber(
    {
      group: guard,
      unit: 'instances',
      description: 'fewer removals than this are never held as a mass removal (5)',
    },
    minimumSchema,
  ),
  guardHold: optionalDuration(
    {
      group: guard,
      description: 'how long removals are held at most (6m Eureka, 80s ZooKeeper)',
    },
    24 * hour,
  ),
  guardServices: guardRows(
    z.string().min(1, 'expected a service name'),
    'guard limits of single services, by the name the registry gives them: { orders: { fraction: 0.5, hold: 1m }, batch: { fraction: 1 } }; 1 = never held',
  ),
};

/** Guard limits by registry id, for a file. */
export const guardByRegistry = guardRows(
  registrySchema,
  'guard limits of single registries: { dc1/orders: { fraction: 0.3, hold: 2m } }',
);

/** Host names under which an admin listener may be asked, and the log level: both binaries have them. */
export const generalOptions = {
  adminHosts: list(
    {
      group: 'Listeners',
      description: 'host names under which the admin listener may be asked, besides addresses',
    },
    textSchema,
  ),
  logLevel: choice({ group: 'Log', description: 'least level that is logged' }, logLevels, 'info'),
};
