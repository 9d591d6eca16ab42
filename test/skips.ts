/** One skipped (or postponed) test of a run. */
export interface Skipped {
  readonly name: string;
  readonly file: string;
  readonly reason: string;
}

/** Begins the reason of every skip that is due to a missing Java or Maven. */
export const NO_RIGS = 'no real rigs here';

/**
 * What a run says about its skipped tests, just above its closing lines. In CI each is named, since there none may be
 * skipped; elsewhere the tests of real registries that could not be run are counted in one loud line.
 */
export function skipLines(skipped: readonly Skipped[], isCi: boolean): string[] {
  if (skipped.length === 0) return [];
  if (isCi) {
    const list = skipped.map(({ name, file, reason }) => `  ${file}: ${name} (${reason})`);
    return [`FAILED: ${skipped.length} skipped, and in CI no test may be:`, ...list];
  }
  const rigs = skipped.filter(({ reason }) => reason.startsWith(NO_RIGS));
  const others = skipped.length - rigs.length;
  return [
    ...rigs
      .slice(0, 1)
      .map(
        (first) => `!!!! ${rigs.length} TESTS WITH REAL REGISTRIES SKIPPED: ${first.reason} !!!!`,
      ),
    ...(others === 0 ? [] : [`${others} other tests skipped (the reasons stand beside them)`]),
  ];
}
