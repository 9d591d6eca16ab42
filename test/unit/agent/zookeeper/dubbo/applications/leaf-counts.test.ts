import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LeafCounts } from '../../../../../../agent/zookeeper/dubbo/applications/leaf-counts.ts';

const place = ['orders', '192.0.2.1'] as const;

test('only the first leaf and the last one are news', () => {
  const leaves = new LeafCounts(1000);
  assert.equal(leaves.seen(...place, 0), true);
  assert.equal(leaves.seen(...place, 0), false);
  assert.equal(leaves.gone(...place, 1), false);
  assert.equal(leaves.gone(...place, 1), true);
  assert.equal(leaves.gone(...place, 1), false);
  assert.equal(leaves.gone('other', '192.0.2.1', 1), false);
});

test('that there are none can be said once it has lasted', () => {
  const leaves = new LeafCounts(1000);
  assert.equal(leaves.has(...place, 500, 1499), undefined);
  assert.equal(leaves.has(...place, 500, 1500), false);
});

test('leaves that come and go count once that has lasted', () => {
  const leaves = new LeafCounts(1000);
  leaves.seen(...place, 0);
  assert.equal(leaves.has(...place, 0, 999), undefined);
  assert.equal(leaves.hasAny(...place), true);
  assert.equal(leaves.has(...place, 0, 1000), true);
  leaves.gone(...place, 2000);
  assert.equal(leaves.hasAny(...place), false);
  assert.equal(leaves.has(...place, 0, 2999), undefined);
  assert.equal(leaves.has(...place, 0, 3000), false);
});

test('nothing is waited for when everything is known', () => {
  const leaves = new LeafCounts(1000);
  leaves.seen(...place, 10);
  leaves.settle(20);
  assert.equal(leaves.has(...place, 15, 21), true);
  assert.equal(leaves.has('other', '192.0.2.1', 15, 21), false);
  leaves.gone(...place, 30);
  assert.equal(leaves.has(...place, 15, 40), undefined);
});

test('what has been none for long is forgotten, what came back is not', () => {
  const leaves = new LeafCounts(1000);
  leaves.seen('a', '192.0.2.1', 0);
  leaves.seen('b', '192.0.2.1', 0);
  leaves.gone('a', '192.0.2.1', 10);
  leaves.gone('b', '192.0.2.1', 10);
  leaves.seen('b', '192.0.2.1', 20);
  leaves.prune(500);
  assert.equal(leaves.has('a', '192.0.2.1', 0, 500), undefined);
  leaves.prune(2000);
  leaves.prune(2000);
  assert.equal(leaves.has('a', '192.0.2.1', 0, 2000), false);
  assert.equal(leaves.has('b', '192.0.2.1', 0, 2000), true);
});
