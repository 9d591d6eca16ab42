import { z } from 'zod';
import { durationSchema, formatDuration } from './duration.ts';
import { logLevels } from './logger.ts';
import { choice, list, option, registrySchema, structure, textSchema } from './option.ts';
import type { Option, Words } from './option.ts';

/** Options that both binaries have. */

const hour = 3_600_000;
const guard = 'Guard';

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

/** The guard's limits; given ones replace the defaults of the registry's kind. */
export const guardOptions = {
  guardFraction: optionalNumber(
    {
      group: guard,
      unit: 'fraction',
      description:
        'share of the UP instances of a registry or service above which removals are held (0.15 Eureka, 0.5 ZooKeeper)',
    },
    z.number().min(0, 'expected 0 to 1').max(1, 'expected 0 to 1'),
  ),
  guardMinimum: optionalNumber(
    {
      group: guard,
      unit: 'instances',
      description: 'fewer removals than this are never held as a mass removal (5)',
    },
    z.int('expected a whole number').min(1, 'expected 1 or more'),
  ),
  guardHold: optionalDuration(
    {
      group: guard,
      description: 'how long removals are held at most (6m Eureka, 80s ZooKeeper)',
    },
    24 * hour,
  ),
};

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

/** Guard limits by registry id, for a file. */
export const guardByRegistry = option<
  Readonly<Record<string, { fraction?: number; minimum?: number; hold?: number }>>
>({
  shape: 'structure',
  schema: z.record(
    registrySchema,
    structure({
      fraction: z.number().min(0).max(1).optional(),
      minimum: z.int().min(1).optional(),
      hold: durationSchema(0, 24 * hour).optional(),
    }),
  ) as z.ZodType<Readonly<Record<string, { fraction?: number; minimum?: number; hold?: number }>>>,
  fallback: {},
  format: (rows) =>
    Object.fromEntries(
      Object.entries(rows).map(([id, row]) => [
        id,
        row.hold === undefined ? row : { ...row, hold: formatDuration(row.hold) },
      ]),
    ),
  group: guard,
  description: 'guard limits of single registries: { dc1/orders: { fraction: 0.3, hold: 2m } }',
});
