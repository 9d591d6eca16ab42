import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { DirectoryAudit } from '../../../../../agent/zookeeper/client/directory-audit.ts';
import { parentPath, nodeName, wantAt } from '../../../../../agent/zookeeper/client/paths.ts';
import { SnapshotWalk } from '../../../../../agent/zookeeper/client/snapshot-walk.ts';
import type { WalkRead } from '../../../../../agent/zookeeper/client/snapshot-walk.ts';
import type { TreeInterest } from '../../../../../agent/zookeeper/client/tree.ts';
import type { ReadResult } from '../../../../../agent/zookeeper/client/wire.ts';
import { exampleInterest } from '../../../../support/tree-recorder.ts';

const segment = fc.constantFrom('a', 'b', 'providers', 'configurators', 'consumers', 'metadata');
const anyTree = fc
  .array(
    fc.tuple(fc.constantFrom('dubbo', 'services', 'other'), fc.array(segment, { maxLength: 4 })),
    { maxLength: 25 },
  )
  .map((leaves) => {
    const tree = new Map<string, Buffer | null>();
    for (const [root, rest] of leaves) {
      const parts = [root, ...rest];
      parts.forEach((_, depth) => {
        const path = `/${parts.slice(0, depth + 1).join('/')}`;
        tree.set(path, Buffer.from(path));
      });
    }
    return tree;
  });

function answer(tree: ReadonlyMap<string, Buffer | null>, { kind, path }: WalkRead): ReadResult {
  const data = tree.get(path);
  if (data === undefined) return { error: -101, children: [], data: null };
  const children = [...tree.keys()].filter((one) => parentPath(one) === path).map(nodeName);
  return kind === 'children'
    ? { error: 0, children, data: null }
    : { error: 0, children: [], data };
}

void test('a walk finds every wanted node of any tree, and no other', () => {
  fc.assert(
    fc.property(anyTree, fc.integer({ min: 1, max: 5 }), (tree, operationsMax) => {
      const limits = { operationsMax, requestBytesMax: 10_000, replyBytesTarget: 100_000 };
      const walk = new SnapshotWalk(exampleInterest, new DirectoryAudit(0), limits);
      while (!walk.isDone) {
        const batches = [walk.nextBatch(), walk.nextBatch()].filter((batch) => batch.length > 0);
        for (const batch of batches.reverse()) {
          assert.ok(batch.length <= operationsMax);
          const results = batch.map((read) => answer(tree, read));
          walk.apply(batch, { results, bytes: 500, zxid: 1n });
        }
      }
      const expected = [...tree]
        .map(([path, data]) => [path, wantAt(exampleInterest, path), data] as const)
        .filter(([, want]) => want !== undefined)
        .map(([path, want, data]) => [path, want?.data === true ? data : null] as const);
      assert.deepEqual([...walk.nodes].sort(), expected.sort());
      assert.equal(walk.isBlind, false);
    }),
  );
});

void test('batches shrink when replies are large and when paths are long', () => {
  const names = Array.from({ length: 50 }, (_, index) => `s${index}`);
  const limits = { operationsMax: 100, requestBytesMax: 1_000, replyBytesTarget: 10_000 };
  const walk = new SnapshotWalk(
    {
      roots: ['/r'],
      want: (path) => ({ node: false, data: false, children: path === '/r' || path.length < 8 }),
    },
    new DirectoryAudit(0),
    limits,
  );
  const first = walk.nextBatch();
  const results = [{ error: 0, children: names, data: null }];
  walk.apply(first, { results, bytes: 100, zxid: 1n });
  const second = walk.nextBatch();
  assert.ok(second.length > 5 && second.length < 50);
  const empty = second.map(() => ({ error: 0, children: [], data: null }));
  walk.apply(second, { results: empty, bytes: 1_000_000, zxid: 1n });
  assert.equal(walk.nextBatch().length, 1);
});

void test('what cannot be read is kept apart, and a walk that read nothing is blind', () => {
  const walk = new SnapshotWalk(exampleInterest, new DirectoryAudit(0));
  const batch = walk.nextBatch();
  const results = batch.map(() => ({ error: -102, children: [], data: null }));
  walk.apply(batch, { results, bytes: 50, zxid: 1n });
  assert.ok(walk.isDone);
  assert.ok(walk.isBlind);
  assert.deepEqual([...walk.unreadable.keys()].sort(), ['/dubbo', '/services']);
});

void test('a node wanted by name is found by reading it', () => {
  const interest: TreeInterest = {
    roots: ['/r'],
    want: (path) => ({
      node: path !== '/r',
      data: false,
      children: path === '/r' ? ['here', 'gone'] : false,
    }),
  };
  const walk = new SnapshotWalk(interest, new DirectoryAudit(0));
  const batch = walk.nextBatch();
  const tree = new Map([['/r/here', Buffer.from('x')]]);
  const results = batch.map((read) => answer(tree, read));
  walk.apply(batch, { results, bytes: 50, zxid: 1n });
  assert.deepEqual([...walk.nodes], [['/r/here', null]]);
});
