import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LaterReads, laterReadsPolicy } from '../../../../agent/eureka/later-reads.ts';
import type { SuspectedLoss } from '../../../../agent/source.ts';
import type { Instance } from '../../../../common/instance.ts';

function losses(...ids: string[]): readonly SuspectedLoss[] {
  return ids.map((id) => ({ instance: { id } as Instance, kind: 'removal' }));
}

function idsOf(found: readonly SuspectedLoss[]): string[] {
  return found.map(({ instance }) => instance.id);
}

test('what three reads miss, half a minute apart, is sure', () => {
  const reads = new LaterReads(laterReadsPolicy);
  for (const now of [0, 30_000]) reads.note(losses('a', 'b'), now);
  assert.deepEqual(reads.sure(losses('a', 'b')), []);
  reads.note(losses('a', 'b'), 60_000);
  assert.deepEqual(idsOf(reads.sure(losses('a', 'b', 'c'))), ['a', 'b']);
});

test('reads within the interval count as one', () => {
  const reads = new LaterReads({ count: 2, intervalMs: 1000 });
  reads.note(losses('a'), 0);
  assert.equal(reads.isDue(999), false);
  reads.note(losses('a'), 999);
  assert.deepEqual(reads.sure(losses('a')), []);
  assert.ok(reads.isDue(1000));
  reads.note(losses('a'), 1000);
  assert.deepEqual(idsOf(reads.sure(losses('a'))), ['a']);
});

test('what a read has again starts anew', () => {
  const reads = new LaterReads({ count: 2, intervalMs: 1000 });
  reads.note(losses('a', 'b'), 0);
  reads.note(losses('b'), 1000);
  reads.note(losses('a', 'b'), 2000);
  assert.deepEqual(idsOf(reads.sure(losses('a', 'b'))), ['b']);
});

test('a read that does not count makes everything start anew', () => {
  const reads = new LaterReads({ count: 2, intervalMs: 1000 });
  reads.note(losses('a'), 0);
  reads.reset();
  assert.ok(reads.isDue(1));
  reads.note(losses('a'), 1);
  assert.deepEqual(reads.sure(losses('a')), []);
});
