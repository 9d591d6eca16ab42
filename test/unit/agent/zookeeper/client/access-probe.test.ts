import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AccessProbe } from '../../../../../agent/zookeeper/client/access-probe.ts';

test('all have their turn, none more often than allowed', () => {
  const probe = new AccessProbe(1000);
  assert.deepEqual(probe.next(2, 0), []);
  probe.replace(new Set(['/a', '/b', '/c']), 4000);
  assert.deepEqual(probe.next(2, 4999), [], 'they have just been read');
  assert.deepEqual(probe.next(2, 5000), ['/a', '/b']);
  assert.deepEqual(probe.next(2, 5001), ['/c']);
  assert.deepEqual(probe.next(2, 5999), []);
  assert.deepEqual(probe.next(3, 6000), ['/a', '/b', '/c']);
  assert.deepEqual(probe.next(3, 6001), [], 'the round was full, and is over');
  assert.deepEqual(probe.next(3, 6999), []);
  assert.deepEqual(probe.next(9, 7000), ['/a', '/b', '/c']);
});

test('what comes and goes in a round is in it or not', () => {
  const probe = new AccessProbe(1000);
  probe.replace(new Set(['/a', '/b', '/c']), 0);
  assert.deepEqual(probe.next(1, 1000), ['/a']);
  probe.delete('/b');
  probe.add('/d');
  assert.deepEqual(probe.next(9, 1001), ['/c', '/d']);
  probe.replace(new Set(['/e']), 1000);
  assert.deepEqual(probe.next(9, 2000), ['/e']);
});
