import assert from 'node:assert/strict';
import { test } from 'node:test';
import { look, newLiveness } from '../../../../aggregator/mcp/liveness.ts';

const options = { idleMs: 30, timeoutMs: 20 };

test('a connection that sends is alive and not pinged', () => {
  let liveness = newLiveness(0);
  for (let now = 10; now < 200; now += 10) {
    const looked = look(liveness, now, now, options);
    assert.equal(looked.verdict, 'alive');
    liveness = looked.liveness;
  }
});

test('a silent connection is pinged once, and dead without an answer', () => {
  let liveness = newLiveness(0);
  const verdicts = [10, 29, 30, 40, 49, 50].map((now) => {
    const looked = look(liveness, 0, now, options);
    liveness = looked.liveness;
    return looked.verdict;
  });
  assert.deepEqual(verdicts, ['alive', 'alive', 'ping', 'alive', 'alive', 'dead']);
});

test('any byte after the ping saves the connection', () => {
  const pinged = look(newLiveness(0), 0, 30, options);
  const saved = look(pinged.liveness, 9, 51, options);
  assert.equal(saved.verdict, 'alive');
  assert.deepEqual(saved.liveness, { heardBytes: 9, heardAt: 51, pingedAt: undefined });
});
