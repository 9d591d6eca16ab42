import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  candidates,
  failed,
  relisted,
  startFailover,
  succeeded as succeededAt,
} from '../../../../agent/eureka/failover.ts';
import type { Failover } from '../../../../agent/eureka/failover.ts';

const minute = 60_000;
const succeeded = (state: Failover, server: string, now = 0, random = 0.5): Failover =>
  succeededAt(state, server, now, random);

test('the last good server is asked first, and stays so when an earlier one is well again', () => {
  let state = startFailover(['a', 'b', 'c', 'a']);
  assert.deepEqual(candidates(state, 0), ['a', 'b', 'c']);
  state = succeeded(failed(state, 'a', 0), 'b');
  assert.deepEqual(candidates(state, 1), ['b', 'c']);
  assert.deepEqual(candidates(state, 10_000), ['b', 'a', 'c']);
});

test('a server that fails again is left alone for longer, up to five minutes', () => {
  let state = startFailover(['a', 'b', 'c']);
  const until: (number | undefined)[] = [];
  for (let strike = 0; strike < 7; strike += 1) {
    state = failed(state, 'a', 0);
    until.push(state.quarantine.get('a')?.until);
  }
  assert.deepEqual(until, [10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000]);
});

test('failures are forgiven with time, and by a success', () => {
  const once = failed(startFailover(['a', 'b', 'c']), 'a', 0);
  const twice = failed(once, 'a', 1_000);
  assert.equal(twice.quarantine.get('a')?.strikes, 2);
  assert.equal(failed(twice, 'a', 601_000).quarantine.get('a')?.strikes, 1);
  assert.equal(succeeded(twice, 'a').quarantine.size, 0);
});

test('when most servers are in quarantine all of them are asked', () => {
  let state = failed(startFailover(['a', 'b', 'c']), 'a', 0);
  assert.deepEqual(candidates(state, 1), ['b', 'c']);
  state = failed(state, 'b', 0);
  assert.deepEqual(candidates(state, 1), ['a', 'b', 'c']);
  assert.deepEqual(candidates(failed(startFailover(['a']), 'a', 0), 1), ['a']);
});

test('nothing changes when the current server answers again', () => {
  const state = succeeded(startFailover(['a', 'b']), 'a');
  assert.equal(succeeded(state, 'a'), state);
});

test('somebody can always be asked, whatever has failed', () => {
  const event = fc.tuple(fc.constantFrom('a', 'b', 'c', 'd'), fc.boolean(), fc.nat(60_000));
  fc.assert(
    fc.property(fc.array(event), (events) => {
      let state = startFailover(['a', 'b', 'c', 'd']);
      let now = 0;
      for (const [server, isGood, ms] of events) {
        now += ms;
        state = isGood ? succeeded(state, server) : failed(state, server, now);
        const asked = candidates(state, now);
        assert.ok(asked.length > 0);
        assert.equal(new Set(asked).size, asked.length);
        if (isGood) assert.equal(asked[0], server);
      }
    }),
  );
});

test('a server of another zone is left for one of the own zone after 20 minutes, half as much more or less', () => {
  const own = new Set(['a', 'b']);
  for (const [random, dueAt] of [
    [0, 10],
    [0.5, 20],
    [0.75, 25],
  ] as const) {
    const away = succeeded(startFailover(['a', 'b', 'c'], own), 'c', 0, random);
    assert.deepEqual(candidates(away, dueAt * minute - 1), ['c', 'a', 'b']);
    assert.deepEqual(candidates(away, dueAt * minute), ['a', 'c', 'b']);
    const back = succeeded(away, 'a', dueAt * minute);
    assert.equal(back.returnAt, undefined);
    assert.deepEqual(candidates(back, 1000 * minute), ['a', 'b', 'c']);
  }
});

test('a return that comes to nothing is not tried again before another 20 minutes', () => {
  const start = startFailover(['a', 'c'], new Set(['a']));
  let state = failed(succeeded(start, 'c', 0), 'a', 20 * minute);
  assert.deepEqual(candidates(state, 20 * minute), ['c'], 'quarantine comes first');
  state = succeeded(state, 'c', 20 * minute);
  assert.deepEqual(candidates(state, 39 * minute), ['c', 'a']);
  assert.deepEqual(candidates(state, 40 * minute), ['a', 'c']);
  assert.equal(succeeded(state, 'c', 30 * minute), state, 'nothing is put off by good reads');
});

test('moving between servers of other zones does not put off the return', () => {
  const start = startFailover(['a', 'c', 'd'], new Set(['a']));
  const state = succeeded(succeeded(start, 'c', 0), 'd', 15 * minute);
  assert.deepEqual(candidates(state, 20 * minute), ['a', 'd', 'c']);
});

test('nobody returns anywhere where no server is preferred, or all are', () => {
  for (const preferred of [new Set<string>(), new Set(['a', 'b'])]) {
    const state = succeeded(startFailover(['a', 'b'], preferred), 'b', 0);
    assert.deepEqual(candidates(state, 1000 * minute), ['b', 'a']);
  }
});

test('a list that changes keeps the current server and the quarantines of those that are still in it', () => {
  const state = failed(succeeded(startFailover(['a', 'b', 'c']), 'b'), 'c', 0);
  const all = { servers: ['d', 'c', 'b', 'e'], preferred: new Set(['d', 'c', 'b', 'e']) };
  const kept = relisted(state, all, 1, 0.5);
  assert.deepEqual(candidates(kept, 1), ['b', 'd', 'e']);
  assert.deepEqual(candidates(kept, 10_000), ['b', 'd', 'c', 'e']);
  const dropped = relisted(kept, { servers: ['d'], preferred: new Set(['d']) }, 1, 0.5);
  assert.deepEqual(candidates(dropped, 1), ['d']);
  assert.equal(dropped.quarantine.size, 0);
});

test('a current server that turns out to be of another zone is left in due time', () => {
  const state = succeeded(startFailover(['a', 'b']), 'b');
  const moved = relisted(state, { servers: ['a', 'b'], preferred: new Set(['a']) }, 0, 0.5);
  assert.deepEqual(candidates(moved, 19 * minute), ['b', 'a']);
  assert.deepEqual(candidates(moved, 20 * minute), ['a', 'b']);
  const again = relisted(moved, { servers: ['b', 'a'], preferred: new Set(['a']) }, minute, 0.5);
  assert.equal(again.returnAt, moved.returnAt);
});

test('whatever happens, the current server is a listed one and returns are ten minutes apart at least', () => {
  const lists = [
    ['a', 'b', 'c'],
    ['c', 'd'],
    ['d', 'c', 'a'],
  ];
  const event = fc.record({
    ms: fc.nat(15 * minute),
    random: fc.double({ min: 0, max: 0.999, noNaN: true }),
    isGood: fc.boolean(),
    list: fc.option(fc.constantFrom(...lists), { nil: undefined }),
  });
  fc.assert(
    fc.property(fc.array(event, { maxLength: 60 }), (events) => {
      const preferred = new Set(['a', 'b']);
      let state = startFailover(lists[0] ?? [], preferred);
      let now = 0;
      let returnedAt = -Infinity;
      for (const { ms, random, isGood, list } of events) {
        now += ms;
        if (list !== undefined) state = relisted(state, { servers: list, preferred }, now, random);
        const { current } = state;
        assert.ok(current === undefined || state.servers.includes(current));
        const [first, second] = candidates(state, now);
        assert.ok(first !== undefined);
        if (current !== undefined && second === current) {
          assert.ok(preferred.has(first) && !preferred.has(current));
          assert.ok(now - returnedAt >= 10 * minute);
          returnedAt = now;
        }
        const asked = isGood ? first : (second ?? first);
        if (!isGood) state = failed(state, first, now);
        state = succeeded(state, asked, now, random);
      }
    }),
  );
});
