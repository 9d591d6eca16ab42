import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HiddenPaths } from '../../../../agent/zookeeper/hidden-paths.ts';

test('a hidden path covers itself and what is below it', () => {
  const hidden = new HiddenPaths();
  assert.equal(hidden.covers('/a/b'), false);
  hidden.add('/a/b');
  for (const path of ['/a/b', '/a/b/c', '/a/b/c/d']) assert.equal(hidden.covers(path), true, path);
  for (const path of ['/', '/a', '/a/bb', '/c']) assert.equal(hidden.covers(path), false, path);
  hidden.add('/');
  assert.equal(hidden.covers('/c'), true);
});

test('a path stays hidden over the snapshot that it was reported for, and no longer', () => {
  const hidden = new HiddenPaths();
  hidden.add('/a');
  hidden.renew();
  assert.equal(hidden.covers('/a'), true);
  hidden.add('/b');
  hidden.renew();
  assert.equal(hidden.covers('/a'), false);
  assert.equal(hidden.covers('/b'), true);
});

test('what was reported before something else was said is not reported for the next snapshot', () => {
  const hidden = new HiddenPaths();
  hidden.add('/a');
  hidden.age();
  hidden.add('/b');
  assert.equal(hidden.covers('/a'), true, 'until it comes');
  hidden.renew();
  assert.equal(hidden.covers('/a'), false);
  assert.equal(hidden.covers('/b'), true);
});

test('a node that has been read says nothing of what is above it', () => {
  const hidden = new HiddenPaths();
  hidden.add('/a');
  hidden.add('/b/x');
  hidden.delete('/a/x');
  hidden.delete('/b/x');
  assert.equal(hidden.covers('/a'), true);
  assert.equal(hidden.covers('/b/x'), false);
  assert.equal(hidden.size, 1);
});

test('it is described without the names of leaves', () => {
  const hidden = new HiddenPaths();
  assert.equal(hidden.describe(), '');
  hidden.add('/dubbo/a/providers/dubbo%3A%2F%2Fu%3Asecret%40h');
  assert.equal(hidden.describe(), 'zookeeper: no permission to read /dubbo/a/providers');
  hidden.add('/services');
  assert.equal(hidden.describe(), 'zookeeper: no permission to read /dubbo/a/providers and 1 more');
});
