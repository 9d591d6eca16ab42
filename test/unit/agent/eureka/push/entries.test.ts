import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { entriesOf } from '../../../../../agent/eureka/push/entries.ts';
import { ProtocolError } from '../../../../../common/errors.ts';

const slices = (text: string): readonly string[] =>
  Array.from(entriesOf(Buffer.from(text)))
    .filter((slice) => slice !== undefined)
    .map((slice) => slice.toString());

test('the entries are those that JSON.parse finds', () => {
  fc.assert(
    fc.property(
      fc.array(fc.jsonValue()),
      fc.dictionary(fc.string(), fc.jsonValue()),
      fc.constantFrom('', ' ', '\n  '),
      (list, others, space) => {
        delete others['replicationList'];
        for (const value of [
          { ...others, replicationList: list },
          { replicationList: list, ...others },
        ]) {
          const found = slices(JSON.stringify(value, null, space)).map((text): unknown =>
            JSON.parse(text),
          );
          assert.deepEqual(found, JSON.parse(JSON.stringify(list)));
        }
      },
    ),
  );
});

test('a body that is cut short anywhere is no batch', () => {
  const text = '{"a":[{"b":"\\"}"}],"replicationList":[{"x":"y]"},-1.5e3,true,"z"],"c":null}';
  assert.deepEqual(slices(text), ['{"x":"y]"}', '-1.5e3', 'true', '"z"']);
  for (let length = 0; length < text.length; length += 1) {
    assert.throws(() => slices(text.slice(0, length)), ProtocolError, text.slice(0, length));
  }
});

test('what is no batch is refused', () => {
  for (const text of [
    '[]',
    '{}',
    '{"list":[]}',
    '{"replicationList":7}',
    '{"replicationList":"a"}',
    '{"replicationList":[}',
    '{"replicationList":[,]}',
    '{"replicationList":[1,]}',
    '{"replicationList":[1 2]}',
    '{"replicationList":[]]}',
    '{"replicationList":[]}{}',
    '{"replicationList" []}',
    `{"replicationList":[${'1'.repeat(200)}]}`,
    '<html></html>',
  ]) {
    assert.throws(() => slices(text), ProtocolError, text);
  }
});

test('a lone entry, none at all, a byte order mark', () => {
  assert.deepEqual(slices('{"replicationList":{"a":1}}'), ['{"a":1}']);
  assert.deepEqual(slices('{"replicationList":null}'), []);
  assert.deepEqual(slices('\uFEFF{"replicationList":[1]}'), ['1']);
});

test('a long value has moments to pause', () => {
  const text = `{"skipped":"${'\\"'.repeat(100_000)}","replicationList":["${'x'.repeat(200_000)}"]}`;
  const found = Array.from(entriesOf(Buffer.from(text)));
  assert.ok(found.filter((slice) => slice === undefined).length >= 5);
  assert.equal(found.at(-1)?.length, 200_002);
});
