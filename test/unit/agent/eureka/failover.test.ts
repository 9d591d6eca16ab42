import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { candidates, failed, startFailover, succeeded } from '../../../../agent/eureka/failover.ts';

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
