import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RegistryHealth } from '../../../agent/registry-health.ts';

test('a registry is live from its first snapshot on, and again after each word of it', () => {
  const health = new RegistryHealth();
  assert.deepStrictEqual([health.state, health.ageMs(5)], ['waiting', undefined]);
  assert.equal(health.note({ kind: 'changes', changes: [], observedAt: 1 }), false);
  assert.equal(health.note({ kind: 'lost', reason: 'away' }), true);
  assert.equal(health.note({ kind: 'lost', reason: 'still away' }), false);
  assert.deepStrictEqual([health.state, health.reason], ['lost', 'still away']);
  assert.equal(health.note({ kind: 'snapshot', instances: new Map(), observedAt: 10 }), true);
  assert.deepStrictEqual([health.state, health.reason, health.ageMs(15)], ['live', '', 5]);
  assert.equal(health.note({ kind: 'suspect', reason: 'empty' }), true);
  assert.equal(health.ageMs(20), 10);
  assert.equal(health.note({ kind: 'changes', changes: [], observedAt: 30 }), true);
  assert.equal(health.ageMs(31), 1);
});

test('a registry of which parts are suspect is followed', () => {
  const health = new RegistryHealth();
  assert.equal(health.isFollowed, false);
  health.note({ kind: 'snapshot', instances: new Map(), observedAt: 1 });
  assert.equal(health.isFollowed, true);
  assert.equal(health.note({ kind: 'suspect', reason: 'hidden', isPartial: true }), true);
  assert.deepStrictEqual([health.state, health.isFollowed], ['suspect', true]);
  health.note({ kind: 'suspect', reason: 'empty' });
  assert.equal(health.isFollowed, false);
  health.note({ kind: 'suspect', reason: 'hidden', isPartial: true });
  health.note({ kind: 'lost', reason: 'away' });
  assert.equal(health.isFollowed, false);
});

test('a registry of which parts could not be read at all is suspect in parts', () => {
  const health = new RegistryHealth();
  const snapshot = { kind: 'snapshot', instances: new Map(), observedAt: 1 } as const;
  assert.equal(health.note({ ...snapshot, unread: 'hidden' }), true);
  assert.deepStrictEqual(
    [health.state, health.reason, health.isFollowed],
    ['suspect', 'hidden', true],
  );
  assert.equal(health.ageMs(3), 2);
  assert.equal(health.note(snapshot), true);
  assert.equal(health.state, 'live');
});
