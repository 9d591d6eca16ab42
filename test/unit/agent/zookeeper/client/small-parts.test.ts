import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Backoff } from '../../../../../agent/zookeeper/client/backoff.ts';
import {
  describeErrorCode,
  isKnownErrorCode,
  isSessionOver,
} from '../../../../../agent/zookeeper/client/error-codes.ts';
import { Liveness } from '../../../../../agent/zookeeper/client/liveness.ts';
import { PathQueue, restAfter } from '../../../../../agent/zookeeper/client/path-queue.ts';
import { PendingRequests } from '../../../../../agent/zookeeper/client/pending-requests.ts';
import { ZxidFloor } from '../../../../../agent/zookeeper/client/zxid-floor.ts';
import { eventually } from '../../../../support/eventually.ts';

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
        const start = (path: string, done: (bytes: number) => void): void => {
          const seen = state.get(path) ?? 0;
          running.push({
            path,
            done: () => {
              read.set(path, seen);
              done(0);
            },
          });
        };
        const queue = new PathQueue(limit, start, () => 0);
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
  const start = (path: string, done: (bytes: number) => void): void => {
    seen.push(path);
    done(0);
  };
  const queue = new PathQueue(2, start, () => 0);
  for (const path of ['a', 'b', 'a']) queue.request(path);
  assert.deepEqual(seen, ['a', 'b', 'a']);
});

void test('a path that was just read rests, others do not, and what it was asked for is read later', async () => {
  const seen: string[] = [];
  const queue = new PathQueue(2, (path, done) => {
    seen.push(path);
    done(200_000);
  });
  for (const path of ['a', 'a', 'b', 'a']) queue.request(path);
  assert.deepEqual(seen, ['a', 'b']);
  assert.deepEqual(queue.paths, ['a']);
  await eventually(() => assert.deepEqual(seen, ['a', 'b', 'a']));
  assert.ok(queue.isIdle);
  queue.request('a');
  queue.close();
  assert.ok(queue.isIdle);
});

void test('the more a reading brought, the longer its path rests, within bounds', () => {
  assert.deepEqual([0, 600, 80_000, 600_000, 1e9].map(restAfter), [5, 5, 10, 75, 1_000]);
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

void test('a ping is due every third of the session timeout, and every three seconds at least', () => {
  const dueAt = (sessionTimeoutMs: number): number[] => {
    const liveness = new Liveness(sessionTimeoutMs, 60_000, 0);
    const due: number[] = [];
    for (let now = 0; now < 10_000; now += liveness.tickMs) {
      liveness.received(now, undefined);
      if (liveness.look(now, false).isPingDue) due.push(now);
    }
    return due;
  };
  assert.deepEqual(dueAt(6_000).slice(0, 3), [1_500, 3_000, 4_500]);
  assert.deepEqual(dueAt(120_000).slice(0, 3), [2_250, 4_500, 6_750]);
});

void test('a silent peer is given up after two thirds of the session timeout, but not after a stall of our own', () => {
  const liveness = new Liveness(6_000, 60_000, 0);
  for (let now = 0; now <= 4_000; now += 500) {
    assert.equal(liveness.look(now, false).failure, undefined);
  }
  assert.equal(liveness.look(4_500, false).failure, 'nothing received for 4500 ms');
  const stalled = new Liveness(6_000, 60_000, 0);
  assert.equal(stalled.look(5_000, false).failure, undefined);
  stalled.received(5_001, undefined);
  assert.equal(stalled.look(5_500, false).failure, undefined);
});

void test('a request that makes no progress is given up although pings are answered', () => {
  const liveness = new Liveness(3_000, 2_000, 0);
  const failures = [];
  for (let now = 0; now <= 2_500; now += 250) {
    liveness.received(now, undefined);
    if (now === 250) liveness.progressed(now);
    failures.push(liveness.look(now, now > 250).failure);
  }
  const wrong = 'a request was not answered within 2000 ms';
  assert.deepEqual(
    failures.filter((one) => one !== undefined),
    [wrong],
  );
  assert.equal(new Liveness(3_000, 2_000, 0).look(250, false).failure, undefined);
});

void test('a frame that does not come to its end is given up, after the longer the larger it is', () => {
  const failedAt = (bytes: number, isWaiting: boolean): number => {
    const liveness = new Liveness(3_000, 2_000, 0);
    const frame = { bytes };
    for (let now = 0; ; now += 250) {
      liveness.received(now, frame);
      const { failure } = liveness.look(now, isWaiting);
      if (failure === undefined) continue;
      assert.match(
        failure,
        new RegExp(`^a message of ${bytes} bytes did not come to its end within`),
      );
      return now;
    }
  };
  assert.deepEqual([failedAt(0, false), failedAt(512_000, true)], [2_250, 4_250]);
  const liveness = new Liveness(3_000, 2_000, 0);
  for (let now = 0; now < 10_000; now += 250) {
    liveness.received(now, now % 1_000 === 0 ? undefined : { bytes: 7 });
    assert.equal(liveness.look(now, false).failure, undefined, 'each is another one');
  }
});

void test('requests are taken in their order, however many there are', () => {
  const pending = new PendingRequests();
  const request = (xid: number): Parameters<PendingRequests['add']>[0] => ({
    xid,
    onReply: () => undefined,
    onEnd: undefined,
  });
  for (let xid = 0; xid < 5_000; xid += 1) pending.add(request(xid));
  for (let xid = 0; xid < 3_000; xid += 1) assert.equal(pending.take()?.xid, xid);
  assert.equal(pending.isEmpty, false);
  assert.deepEqual(pending.drain().map(({ xid }) => xid)[0], 3_000);
  assert.equal(pending.isEmpty, true);
  assert.equal(pending.take(), undefined);
  pending.add(request(7));
  assert.equal(pending.take()?.xid, 7);
});
