import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Retention } from '../../../agent/retention.ts';

test('an empty service is due after its time, once', () => {
  const retention = new Retention(100);
  assert.ok(retention.keep('a', 'a1', 0));
  assert.ok(retention.keep('b', 'b1', 50));
  assert.deepStrictEqual(retention.takeDue(99), []);
  assert.deepStrictEqual(retention.takeDue(100), ['a1']);
  assert.deepStrictEqual(retention.takeDue(1000), ['b1']);
  assert.deepStrictEqual(retention.takeDue(1000), []);
});

test('a revived service names the record that stood for it, once', () => {
  const retention = new Retention(100);
  retention.keep('a', 'a1', 0);
  assert.equal(retention.revive('a'), 'a1');
  assert.equal(retention.revive('a'), undefined);
  assert.deepStrictEqual(retention.takeDue(1000), []);
});

test('with no time nothing is kept', () => {
  assert.equal(new Retention(0).keep('a', 'a1', 0), false);
});
