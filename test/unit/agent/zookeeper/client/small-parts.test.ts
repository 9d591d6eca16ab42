import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Backoff } from '../../../../../agent/zookeeper/client/backoff.ts';
import {
  describeErrorCode,
  isKnownErrorCode,
  isSessionOver,
} from '../../../../../agent/zookeeper/client/error-codes.ts';
import { PathQueue } from '../../../../../agent/zookeeper/client/path-queue.ts';
import { ZxidFloor } from '../../../../../agent/zookeeper/client/zxid-floor.ts';

void test('delays double up to their bound, are drawn from zero, and start over after a reset', () => {
  const backoff = new Backoff({ minMs: 50, maxMs: 10_000, random: () => 0.5 });
  const drawn = Array.from({ length: 10 }, () => backoff.next());
  assert.deepEqual(drawn, [25, 50, 100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
  backoff.reset();
  assert.equal(backoff.next(), 25);
  assert.equal(new Backoff({ minMs: 50, maxMs: 100, random: () => 0 }).next(), 0);
});

void test('error codes have names, and a few end the session', () => {
  assert.equal(describeErrorCode(-102), 'NO_AUTH (-102)');
  assert.equal(describeErrorCode(-999), 'unknown (-999)');
  assert.ok(isKnownErrorCode(-124));
  assert.ok(!isKnownErrorCode(-999));
  assert.deepEqual([-112, -115, -118, -124].map(isSessionOver), [true, true, true, true]);
  assert.deepEqual([0, -6, -101, -102, -999].map(isSessionOver), [
    false,
    false,
    false,
    false,
    false,
  ]);
});

void test('no more reads run than allowed, and the last reading begins after the last request', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 3 }),
      fc.array(fc.oneof(fc.constantFrom('a', 'b', 'c', 'd'), fc.constant(null)), { maxLength: 60 }),
      (limit, steps) => {
        const running: { readonly path: string; readonly done: () => void }[] = [];
        const state = new Map<string, number>();
        const read = new Map<string, number>();
        const queue = new PathQueue(limit, (path, done) => {
          const seen = state.get(path) ?? 0;
          running.push({
            path,
            done: () => {
              read.set(path, seen);
              done();
            },
          });
        });
        for (const step of steps) {
          if (step === null) {
            running.shift()?.done();
          } else {
            state.set(step, (state.get(step) ?? 0) + 1);
            queue.request(step);
          }
          assert.ok(running.length <= limit);
          assert.equal(new Set(running.map((one) => one.path)).size, running.length);
        }
        while (running.length > 0) running.shift()?.done();
        assert.ok(queue.isIdle);
        assert.deepEqual(queue.paths, []);
        assert.deepEqual([...read].sort(), [...state].sort());
      },
    ),
  );
});

void test('reads that are answered at once do not go round in circles', () => {
  const seen: string[] = [];
  const queue = new PathQueue(2, (path, done) => {
    seen.push(path);
    done();
  });
  for (const path of ['a', 'b', 'a']) queue.request(path);
  assert.deepEqual(seen, ['a', 'b', 'a']);
});

void test('servers that are behind are refused until nothing else was found for long enough', () => {
  const floor = new ZxidFloor(1_000);
  assert.equal(floor.refused(0), false);
  floor.seen(10n);
  floor.seen(7n);
  assert.equal(floor.value, 10n);
  assert.equal(floor.refused(100), false);
  assert.equal(floor.refused(1_000), false);
  floor.seen(11n);
  assert.equal(floor.refused(2_000), false);
  assert.equal(floor.refused(2_999), false);
  assert.equal(floor.refused(3_000), true);
  assert.equal(floor.value, 0n);
});
