import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { closest, didYouMean, editDistance } from '../../../common/suggest.ts';

test('the distance counts insertions, deletions and replacements', () => {
  assert.equal(editDistance('', 'abc'), 3);
  assert.equal(editDistance('kitten', 'sitting'), 3);
  assert.equal(editDistance('a', 'a'), 0);
  const word = fc.string({ maxLength: 8 });
  fc.assert(
    fc.property(word, word, word, (a, b, c) => {
      assert.equal(editDistance(a, b), editDistance(b, a));
      assert.ok(editDistance(a, c) <= editDistance(a, b) + editDistance(b, c));
    }),
  );
});

test('only what is close is suggested', () => {
  const flags = ['mcp-listen', 'feed-listen', 'expect'];
  assert.equal(closest('mcp-lisen', flags), 'mcp-listen');
  assert.equal(closest('fed-listen', flags), 'feed-listen');
  assert.equal(closest('expct', flags), 'expect');
  assert.equal(closest('zookeeper', flags), undefined);
  assert.equal(didYouMean('expct', flags), ': did you mean expect?');
  assert.equal(didYouMean('zookeeper', flags), '');
});
