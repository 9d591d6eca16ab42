import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  childPath,
  fromServerPath,
  isWithin,
  nodeName,
  normalizeChroot,
  parentPath,
  toServerPath,
  isListedAt,
  wantAt,
} from '../../../../../agent/zookeeper/client/paths.ts';
import type { TreeInterest } from '../../../../../agent/zookeeper/client/tree.ts';
import { exampleInterest } from '../../../../support/tree-recorder.ts';

void test('parents, children and names', () => {
  assert.equal(childPath('/', 'a'), '/a');
  assert.equal(childPath('/a', 'b'), '/a/b');
  assert.equal(parentPath('/a/b'), '/a');
  assert.equal(parentPath('/a'), '/');
  assert.equal(parentPath('/'), '/');
  assert.equal(nodeName('/a/b'), 'b');
});

void test('a path is within itself and its parents, not within one with the same beginning', () => {
  assert.ok(isWithin('/', '/a'));
  assert.ok(isWithin('/a', '/a'));
  assert.ok(isWithin('/a', '/a/b'));
  assert.ok(!isWithin('/a', '/ab'));
  assert.ok(!isWithin('/a/b', '/a'));
});

void test('a chroot is put in front and taken away', () => {
  for (const [written, chroot] of [
    ['', ''],
    ['/', ''],
    ['/a/b/', '/a/b'],
    ['a', '/a'],
  ] as const) {
    assert.equal(normalizeChroot(written), chroot);
    for (const path of ['/', '/x', '/x/y']) {
      assert.equal(fromServerPath(chroot, toServerPath(chroot, path)), path);
    }
  }
  assert.equal(toServerPath('/a', '/'), '/a');
  assert.equal(fromServerPath('/a', '/ab'), undefined);
  assert.equal(fromServerPath('/a', '/'), undefined);
});

void test('what a walk would not come by is not wanted of events either', () => {
  const wanted = (path: string): boolean => wantAt(exampleInterest, path) !== undefined;
  assert.ok(wanted('/dubbo/i/providers/p'));
  assert.ok(wanted('/services/s/i'));
  assert.ok(!wanted('/dubbo/i/providers'));
  assert.ok(!wanted('/dubbo/i/consumers/c'));
  assert.ok(!wanted('/dubbo/metadata/providers/m'));
  assert.ok(!wanted('/other/s/i'));
});

void test('directories that a walk lists are those of which events are noted', () => {
  const listed = (path: string): boolean => isListedAt(exampleInterest, path);
  for (const path of ['/dubbo', '/dubbo/i/providers', '/services/s']) assert.ok(listed(path), path);
  const others = ['/dubbo/i', '/dubbo/i/providers/p', '/dubbo/i/consumers', '/other', '/other/s'];
  for (const path of others) assert.ok(!listed(path), path);
});

void test('the root of everything can be a root', () => {
  const interest: TreeInterest = {
    roots: ['/'],
    want: (path) => ({ node: path !== '/', data: false, children: path === '/' ? ['a'] : false }),
  };
  assert.ok(wantAt(interest, '/a') !== undefined);
  assert.equal(wantAt(interest, '/b'), undefined);
  assert.equal(wantAt(interest, '/a/b'), undefined);
});
