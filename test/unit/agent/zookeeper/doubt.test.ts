import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { TreeEvent } from '../../../../agent/zookeeper/client/tree.ts';
import { Doubts, zooKeeperHoldMs } from '../../../../agent/zookeeper/doubt.ts';
import type { Instance } from '../../../../common/instance.ts';

const second = 1000;
const lost: TreeEvent = { kind: 'lost', reason: 'closed' };
const nodes = new Map<string, null>();
const snapshot: TreeEvent = { kind: 'snapshot', hasParts: false, nodes, observedAt: 0 };
const confirmed: TreeEvent = { kind: 'confirmed', observedAt: 0 };
const part: TreeEvent = { kind: 'part', isFirst: true, nodes };

/** A view that was read first at time 0, with a process at each of so many addresses. */
function followed(addresses: number, sessionTimeoutMs = 10 * second): Doubts {
  const doubts = new Doubts(sessionTimeoutMs);
  doubts.heard(snapshot, 0);
  for (let number = 0; number < addresses; number++) {
    for (const each of endpoints(number)) doubts.processes.said(undefined, each);
  }
  return doubts;
}

function endpoints(number: number): Instance[] {
  return ['a', 'b', 'c'].map((name) => ({
    id: `${name}${number}`,
    service: { kind: 'dubbo', name, group: '', version: '' },
    address: `10.0.${number >> 8}.${number & 255}`,
    ports: [{ protocol: 'dubbo', number: 20_880 }],
    labels: {},
    locality: '',
    weight: 0,
    status: 'UP',
  }));
}

function vanish(doubts: Doubts, from: number, to: number, now: number): void {
  for (let number = from; number < to; number++) {
    for (const each of endpoints(number)) doubts.processes.leaving(each, now);
  }
}

test('a registry that is read without a gap is not doubted', () => {
  const doubts = followed(20);
  for (let now = 0; now < 600 * second; now += 3 * second) doubts.heard(confirmed, now);
  assert.equal(doubts.current(600 * second), undefined);
});

test('a short switch of servers is nothing special', () => {
  const doubts = followed(20);
  doubts.heard(confirmed, 10 * second);
  doubts.heard(lost, 11 * second);
  doubts.heard(snapshot, 12 * second);
  doubts.resynced(12 * second);
  assert.equal(doubts.current(12 * second), undefined);
});

test('after an outage there is doubt for two session timeouts', () => {
  const doubts = followed(20);
  doubts.heard(confirmed, 10 * second);
  doubts.heard(lost, 16 * second);
  doubts.heard(lost, 30 * second);
  assert.equal(doubts.current(50 * second), undefined);
  doubts.heard(snapshot, 51 * second);
  assert.equal(
    doubts.current(63 * second),
    'the ensemble was away for 41 s and has been back for 12 s',
  );
  doubts.heard(confirmed, 100 * second);
  assert.ok(doubts.current(130 * second) !== undefined);
  assert.equal(doubts.current(131 * second), undefined);
});

test('an outage begins with the last sign of the ensemble, not when it is noticed', () => {
  const doubts = followed(20);
  doubts.heard({ kind: 'changed', path: '/a', data: null, observedAt: 0 }, 10 * second);
  doubts.heard(lost, 19 * second);
  doubts.heard(snapshot, 20 * second);
  assert.match(doubts.current(20 * second) ?? '', /away for 10 s/);
});

test('a slow snapshot is no outage, one that fails does not end an outage', () => {
  const doubts = followed(20);
  doubts.heard(lost, second);
  doubts.heard(part, 2 * second);
  doubts.heard({ kind: 'removed', path: '/a', observedAt: 0 }, 15 * second);
  doubts.heard(snapshot, 30 * second);
  assert.equal(doubts.current(30 * second), undefined);
  doubts.heard(lost, 100 * second);
  doubts.heard(part, 101 * second);
  doubts.heard(lost, 130 * second);
  doubts.heard(part, 131 * second);
  doubts.heard(snapshot, 140 * second);
  assert.match(doubts.current(140 * second) ?? '', /away for 101 s/);
});

test('several short outages without time between them are one', () => {
  const doubts = followed(20);
  for (let now = second; now < 13 * second; now += 3 * second) {
    doubts.heard(lost, now);
    doubts.heard(snapshot, now + 2 * second);
  }
  assert.match(doubts.current(12 * second) ?? '', /away for 12 s/);
});

test('short outages with time between them are not added up', () => {
  const doubts = followed(20);
  for (let now = second; now < 100 * second; now += 15 * second) {
    doubts.heard(lost, now);
    doubts.heard(snapshot, now + 2 * second);
    doubts.heard(confirmed, now + 14 * second);
    assert.equal(doubts.current(now + 14 * second), undefined);
  }
});

test('an ensemble that could not be reached for long after the start is doubted', () => {
  const doubts = new Doubts(10 * second);
  doubts.heard(lost, 0);
  doubts.heard(lost, 20 * second);
  doubts.heard(snapshot, 25 * second);
  assert.match(doubts.current(25 * second) ?? '', /away for 25 s/);
});

test('a view that is current again without a new snapshot ends an outage too', () => {
  const doubts = followed(20);
  doubts.heard(lost, 5 * second);
  doubts.heard(confirmed, 30 * second);
  assert.match(doubts.current(31 * second) ?? '', /away for 30 s/);
});

test('what counts as an outage follows our own session timeout, within limits', () => {
  for (const [sessionTimeoutMs, awayMs] of [
    [1, 5],
    [10, 10],
    [60, 20],
  ] as const) {
    const hasDoubt = (ms: number): boolean => {
      const doubts = followed(20, sessionTimeoutMs * second);
      doubts.heard(lost, 1);
      doubts.heard(snapshot, ms);
      return doubts.current(ms) !== undefined;
    };
    assert.deepStrictEqual(
      [hasDoubt(awayMs * second - 1), hasDoubt(awayMs * second)],
      [false, true],
    );
  }
});

test('servers that are behind what was seen are doubted', () => {
  const doubts = followed(20);
  doubts.heard(lost, second);
  doubts.heard({ ...snapshot, isFromBehind: true }, 2 * second);
  assert.match(doubts.current(3 * second) ?? '', /behind what was seen/);
  assert.equal(doubts.current(82 * second), undefined);
});

test('many processes that vanish within seconds are a burst', () => {
  const doubts = followed(40);
  vanish(doubts, 0, 4, second);
  assert.equal(doubts.current(second), undefined);
  vanish(doubts, 4, 6, 12 * second);
  assert.equal(
    doubts.current(12 * second),
    '6 of 40 processes at 6 addresses vanished within 15 s',
  );
  assert.ok(doubts.current(51 * second) !== undefined);
  assert.equal(doubts.current(52 * second), undefined);
});

test('hosts that go one after another are no burst', () => {
  const doubts = followed(20);
  for (let number = 0; number < 20; number++) {
    const now = number * 5 * second;
    vanish(doubts, number, number + 1, now);
    assert.equal(doubts.current(now), undefined);
    for (const each of endpoints(number)) doubts.processes.gone(each);
    for (const each of endpoints(100 + number)) doubts.processes.said(undefined, each);
  }
});

test('a few hosts of many are no burst', () => {
  const doubts = followed(100);
  vanish(doubts, 0, 9, second);
  assert.equal(doubts.current(second), undefined);
  vanish(doubts, 9, 10, second);
  assert.ok(doubts.current(second) !== undefined);
});

test('a resync that lacks several hosts is doubted, one that lacks two is not', () => {
  const doubts = followed(20);
  doubts.heard(lost, second);
  doubts.heard(snapshot, 2 * second);
  vanish(doubts, 0, 2, 2 * second);
  doubts.resynced(2 * second);
  assert.equal(doubts.current(2 * second), undefined);
  doubts.heard(confirmed, 59 * second);
  doubts.heard(lost, 60 * second);
  doubts.heard(snapshot, 61 * second);
  vanish(doubts, 2, 5, 61 * second);
  doubts.resynced(61 * second);
  assert.equal(
    doubts.current(62 * second),
    '3 of 20 processes at 3 addresses vanished after a reconnect',
  );
});

test('what comes back was no burst', () => {
  const doubts = followed(20);
  vanish(doubts, 0, 10, second);
  for (let number = 0; number < 10; number++) {
    for (const each of endpoints(number)) doubts.processes.staying(each);
  }
  assert.equal(doubts.current(second), undefined);
});

test('losses are held for two session timeouts of providers at least', () => {
  assert.equal(zooKeeperHoldMs(10 * second), 80 * second);
  assert.equal(zooKeeperHoldMs(60 * second), 120 * second);
});

test('doubt follows from an outage of some length only, and always ends', () => {
  const event = fc.record({
    event: fc.constantFrom(lost, snapshot, confirmed, part),
    afterMs: fc.nat(20 * second),
  });
  fc.assert(
    fc.property(fc.array(event, { maxLength: 60 }), (history) => {
      const doubts = followed(20);
      let now = 0;
      for (const { event, afterMs } of history) {
        now += afterMs;
        doubts.heard(event, now);
        if (!history.some((each) => each.event.kind === 'lost')) {
          assert.equal(doubts.current(now), undefined);
        }
      }
      doubts.heard(snapshot, now);
      assert.equal(doubts.current(now + 80 * second), undefined);
    }),
  );
});
