import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StreamAdmission, TokenBucket } from '../../../../aggregator/mcp/admission.ts';

const rate = { perSecond: 10, burst: 2 };

test('a bucket gives its burst, then its rate', () => {
  const bucket = new TokenBucket(rate, 0);
  assert.deepEqual([bucket.take(0), bucket.take(0), bucket.take(0)], [true, true, false]);
  assert.equal(bucket.waitMs(0), 100);
  assert.equal(bucket.take(99), false);
  assert.equal(bucket.take(101), true);
  assert.equal(bucket.isFull(101), false);
  assert.equal(bucket.waitMs(1000), 0);
  assert.equal(bucket.isFull(1000), true);
});

test('a clock that goes back gives nothing', () => {
  const bucket = new TokenBucket({ perSecond: 10, burst: 1 }, 100);
  assert.equal(bucket.take(100), true);
  assert.equal(bucket.take(0), false);
});

test('a peer above its rate leaves the others their share', () => {
  const admission = new StreamAdmission(
    { perPeer: { perSecond: 1, burst: 2 }, total: { perSecond: 1, burst: 3 } },
    0,
  );
  assert.equal(admission.admit('a', 0), true);
  assert.equal(admission.admit('a', 0), true);
  for (let i = 0; i < 100; i++) assert.equal(admission.admit('a', 0), false);
  assert.equal(admission.admit('b', 0), true);
  assert.equal(admission.admit('c', 0), false);
});

test('any number of peers costs a limited memory, and quiet ones are forgotten first', () => {
  const admission = new StreamAdmission(
    { perPeer: { perSecond: 1, burst: 1 }, total: { perSecond: 1e6, burst: 1e6 } },
    0,
  );
  assert.equal(admission.admit('busy', 0), true);
  for (let i = 0; i < 9_999; i++) admission.admit(`peer ${i}`, 0);
  assert.equal(admission.admit('one more', 1), true);
  assert.equal(admission.admit('one more', 1), false);
  for (let i = 0; i < 20_000; i++) assert.equal(admission.admit(`later ${i}`, 5_000), true);
});
