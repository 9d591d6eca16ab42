import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { NO_RIGS } from '../skips.ts';
import { missingForRigs } from './build.ts';
import type { RigSet } from './modules.ts';

/** Whether this run is meant to have every rig: CI, or `RIGS=all`. */
export function isWholeSetWanted(): boolean {
  return isCi() || process.env['RIGS'] === 'all';
}

/** Whether nothing may be skipped. */
export function isCi(): boolean {
  return process.env['CI'] === 'true';
}

/**
 * Options for a `describe` or `test` that needs rigs of a set: says why to skip, or false. In CI never a reason: there
 * a rig that cannot start fails its test.
 */
export function requireRigs(set: RigSet): { readonly skip: string | false } {
  if (isCi()) return { skip: false };
  if (set === 'ci' && !isWholeSetWanted()) return { skip: 'of the CI set (RIGS=all)' };
  const missing = missingForRigs(set);
  return { skip: missing === undefined ? false : `${NO_RIGS}: ${missing}` };
}

/** Declares a test that needs rigs of a set; it has three minutes unless told otherwise. */
export function rigTest(
  name: string,
  set: RigSet,
  fn: (context: TestContext) => Promise<void>,
  options: { readonly timeout?: number } = {},
): void {
  void test(name, { timeout: 180_000, ...options, ...requireRigs(set) }, fn);
}
