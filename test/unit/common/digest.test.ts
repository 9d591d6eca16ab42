import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { Digest, DigestedSet, hashInstance } from '../../../common/digest.ts';

test('the digest of one instance is the first 8 bytes of its SHA-256', () => {
  const bytes = Buffer.from('one');
  const digest = new Digest();
  digest.add(hashInstance(bytes));
  const expected = createHash('sha256').update(bytes).digest().subarray(0, 8);
  assert.deepStrictEqual(digest.bytes(), expected);
});

test('a set that was built by any history has the digest of what is in it', () => {
  const step = fc.record({ id: fc.nat(40), value: fc.option(fc.nat(5)) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (history) => {
      const set = new DigestedSet();
      const model = new Map<string, string>();
      for (const { id, value } of history) {
        if (value === null) {
          set.delete(`${id}`);
          model.delete(`${id}`);
        } else {
          set.put(`${id}`, hashInstance(Buffer.from(`${id} ${value}`)));
          model.set(`${id}`, `${id} ${value}`);
        }
      }
      const digest = new Digest();
      for (const text of model.values()) digest.add(hashInstance(Buffer.from(text)));
      assert.deepStrictEqual(set.bytes(), digest.bytes());
      assert.equal(set.size, model.size);
      for (const id of model.keys()) assert.ok(set.has(id));
    }),
  );
});
