import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Reading } from '../../../../agent/zookeeper/reading.ts';
import { combineInterest, wantNothing } from '../../../../agent/zookeeper/reading.ts';
import { ConfigurationError } from '../../../../common/errors.ts';

function reading(...roots: readonly string[]): Reading {
  return {
    roots,
    want: () => ({ node: true, data: roots.includes('/b'), children: false }),
    read: () => ({ kind: 'ignored', what: 'directory' }),
  };
}

test('each path is asked of the reading whose root it lies below', () => {
  const interest = combineInterest([reading('/a', '/x/y'), reading('/b')]);
  assert.deepEqual(interest.roots, ['/a', '/x/y', '/b']);
  assert.equal(interest.want('/a/1').data, false);
  assert.equal(interest.want('/b').data, true);
  for (const path of ['/', '/c', '/x', '/ab', '/bb/c']) {
    assert.deepEqual(interest.want(path), wantNothing, path);
  }
});

test('roots that are equal, nested or malformed are refused together', () => {
  const readings = [reading('/a', '/a'), reading('/a/b', 'c', '/d/', '')];
  assert.throws(
    () => combineInterest(readings),
    (error: unknown) => {
      assert.ok(error instanceof ConfigurationError);
      assert.deepEqual(error.problems, [
        'root /a: must not be the root /a, nor above or below it',
        'root /a/b: must not be the root /a, nor above or below it',
        'root /a/b: must not be the root /a, nor above or below it',
        'root c: expected an absolute path without a slash at its end',
        'root /d/: expected an absolute path without a slash at its end',
        'root : expected an absolute path without a slash at its end',
      ]);
      return true;
    },
  );
  assert.throws(() => combineInterest([reading('/'), reading('/b')]), ConfigurationError);
});

test('without any root there is nothing to read', () => {
  assert.throws(() => combineInterest([reading()]), /at least one root/);
});
