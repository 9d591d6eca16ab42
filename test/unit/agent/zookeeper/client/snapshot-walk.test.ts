import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parentPath, nodeName, wantAt } from '../../../../../agent/zookeeper/client/paths.ts';
import { SnapshotWalk } from '../../../../../agent/zookeeper/client/snapshot-walk.ts';
import type { WalkRead } from '../../../../../agent/zookeeper/client/snapshot-walk.ts';
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
      const walk = new SnapshotWalk(exampleInterest, limits);
      while (!walk.isDone) {
        const batches = [walk.nextBatch(), walk.nextBatch()].filter((batch) => batch.length > 0);
        for (const batch of batches.reverse()) {
          assert.ok(batch.length <= operationsMax);
          walk.apply(
            batch,
            batch.map((read) => answer(tree, read)),
            500,
          );
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
    limits,
  );
  const first = walk.nextBatch();
  walk.apply(first, [{ error: 0, children: names, data: null }], 100);
  const second = walk.nextBatch();
  assert.ok(second.length > 5 && second.length < 50);
  walk.apply(
    second,
    second.map(() => ({ error: 0, children: [], data: null })),
    1_000_000,
  );
  assert.equal(walk.nextBatch().length, 1);
});

void test('what cannot be read is kept apart, and a walk that read nothing is blind', () => {
  const walk = new SnapshotWalk(exampleInterest);
  const batch = walk.nextBatch();
  walk.apply(
    batch,
    batch.map(() => ({ error: -102, children: [], data: null })),
    50,
  );
  assert.ok(walk.isDone);
  assert.ok(walk.isBlind);
  assert.deepEqual([...walk.unreadable.keys()].sort(), ['/dubbo', '/services']);
});

void test('a node wanted by name is found by reading it', () => {
  const walk = new SnapshotWalk({
    roots: ['/r'],
    want: (path) => ({
      node: path !== '/r',
      data: false,
      children: path === '/r' ? ['here', 'gone'] : false,
    }),
  });
  const batch = walk.nextBatch();
  const tree = new Map([['/r/here', Buffer.from('x')]]);
  walk.apply(
    batch,
    batch.map((read) => answer(tree, read)),
    50,
  );
  assert.deepEqual([...walk.nodes], [['/r/here', null]]);
});
