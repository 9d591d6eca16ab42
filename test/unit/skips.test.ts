import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NO_RIGS, skipLines } from '../skips.ts';

const withoutJava = (name: string) => ({ name, file: 'a.test.ts', reason: `${NO_RIGS}: no java` });
const other = { name: 'later', file: 'b.test.ts', reason: 'of the CI set' };

test('a run without skipped tests says nothing about them', () => {
  assert.deepEqual(skipLines([], false), []);
  assert.deepEqual(skipLines([], true), []);
});

test('tests that lack real registries are counted in one loud line', () => {
  assert.deepEqual(skipLines([withoutJava('one'), withoutJava('two')], false), [
    '!!!! 2 TESTS WITH REAL REGISTRIES SKIPPED: no real rigs here: no java !!!!',
  ]);
});

test('other skipped tests are counted apart', () => {
  assert.deepEqual(skipLines([withoutJava('one'), other], false), [
    '!!!! 1 TESTS WITH REAL REGISTRIES SKIPPED: no real rigs here: no java !!!!',
    '1 other tests skipped (the reasons stand beside them)',
  ]);
});

test('in CI every skipped test is named as a failure', () => {
  assert.deepEqual(skipLines([withoutJava('one'), other], true), [
    'FAILED: 2 skipped, and in CI no test may be:',
    '  a.test.ts: one (no real rigs here: no java)',
    '  b.test.ts: later (of the CI set)',
  ]);
});
