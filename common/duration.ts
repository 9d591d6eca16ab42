import { z } from 'zod';

const unitMs: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** Milliseconds of a text like `150ms`, `5s`, `1.5m`, `2h` or `1d`; undefined if it is none. */
export function parseDuration(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text.trim());
  if (match === null) return undefined;
  const ms = Number(match[1]) * (unitMs[match[2] ?? ''] ?? Number.NaN);
  return Number.isSafeInteger(ms) ? ms : undefined;
}

/** The shortest text that `parseDuration` turns back into these milliseconds (whole ones). */
export function formatDuration(ms: number): string {
  for (const unit of ['d', 'h', 'm', 's']) {
    const size = unitMs[unit] ?? 1;
    if (ms >= size && ms % size === 0) return `${ms / size}${unit}`;
  }
  return `${ms}ms`;
}

/** How a person reads a time span: two units at most, rounded down (`3.2 s`, `4 min 10 s`). */
export function describeDuration(ms: number): string {
  if (ms < 1000) return `${Math.floor(ms)} ms`;
  if (ms < 10_000) return `${(Math.floor(ms / 100) / 10).toFixed(1)} s`;
  const seconds = Math.floor(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return twoUnits([minutes, 'min'], [seconds % 60, 's']);
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return twoUnits([hours, 'h'], [minutes % 60, 'min']);
  return twoUnits([Math.floor(hours / 24), 'd'], [hours % 24, 'h']);
}

function twoUnits(large: readonly [number, string], small: readonly [number, string]): string {
  const text = `${large[0]} ${large[1]}`;
  return small[0] === 0 ? text : `${text} ${small[0]} ${small[1]}`;
}

/**
 * A duration in configuration: text with a unit (a bare number would leave the unit to guessing),
 * within the limits. The parsed value is in milliseconds.
 */
export function durationSchema(minMs: number, maxMs: number): z.ZodType<number> {
  const range = `between ${formatDuration(minMs)} and ${formatDuration(maxMs)}`;
  return z.unknown().transform((value, context) => {
    const ms = typeof value === 'string' ? parseDuration(value) : undefined;
    if (ms !== undefined && ms >= minMs && ms <= maxMs) return ms;
    context.addIssue({
      code: 'custom',
      message: `expected a duration ${range}, like ${formatDuration(minMs > 5000 ? minMs : Math.min(5000, maxMs))}`,
    });
    return z.NEVER;
  });
}
