import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { JuteReader, JuteWriter } from '../../../../../agent/zookeeper/client/jute.ts';
import {
  decodeChildren,
  decodeConnectResponse,
  decodeData,
  decodeEvent,
  decodeMultiRead,
  decodeReplyHeader,
  encodeAddWatch,
  encodeBare,
  encodeConnectRequest,
  encodeDigestAuth,
  encodeMultiRead,
  encodeRead,
  encodeSync,
  opcodes,
} from '../../../../../agent/zookeeper/client/wire.ts';
import { ProtocolError } from '../../../../../common/errors.ts';
import { anyText } from '../../../../support/any-text.ts';

const content = (frame: Buffer): Buffer => {
  assert.equal(frame.readInt32BE(0), frame.length - 4);
  return frame.subarray(4);
};
const readerOf = (writer: JuteWriter): JuteReader => new JuteReader(content(writer.frame()));
const path = anyText({ maxLength: 600 }).map((text) => `/${text}`);
const data = fc.option(fc.uint8Array({ maxLength: 500 }).map((bytes) => Buffer.from(bytes)));
const stat = (writer: JuteWriter): JuteWriter => {
  for (let index = 0; index < 17; index += 1) writer.int(index);
  return writer;
};
const statRead = { changes: 9, children: 14, changedAt: (15n << 32n) | 16n };

void test('primitives read as they were written', () => {
  const record = fc.record({
    int: fc.maxSafeInteger().map((value) => value | 0),
    long: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
    bool: fc.boolean(),
    text: path,
    bytes: data,
    texts: fc.array(path, { maxLength: 10 }),
  });
  fc.assert(
    fc.property(record, ({ int, long, bool, text, bytes, texts }) => {
      const reader = readerOf(
        new JuteWriter().int(int).long(long).bool(bool).text(text).buffer(bytes).texts(texts),
      );
      assert.equal(reader.int(), int);
      assert.equal(reader.long(), long);
      assert.equal(reader.bool(), bool);
      assert.equal(reader.text(), Buffer.from(text).toString());
      assert.deepEqual(reader.buffer(), bytes);
      assert.deepEqual(
        reader.texts(),
        texts.map((one) => Buffer.from(one).toString()),
      );
      assert.equal(reader.remaining, 0);
    }),
  );
});

void test('null texts and vectors read as empty', () => {
  const reader = readerOf(new JuteWriter().int(-1).int(-1).int(-1));
  assert.equal(reader.text(), '');
  assert.deepEqual(reader.texts(), []);
  assert.equal(reader.buffer(), null);
});

void test('no bytes make a reader do anything but throw a protocol error', () => {
  const readings = [
    (reader: JuteReader) => decodeReplyHeader(reader),
    (reader: JuteReader) => decodeEvent(reader),
    (reader: JuteReader) => decodeData(reader),
    (reader: JuteReader) => decodeChildren(reader),
    (reader: JuteReader) => decodeMultiRead(reader, 3),
  ];
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.constantFrom(...readings), (bytes, read) => {
      try {
        read(new JuteReader(Buffer.from(bytes)));
      } catch (error) {
        assert.ok(error instanceof ProtocolError);
      }
    }),
  );
});

void test('a session request says what was seen and that read-only servers will not do', () => {
  const reader = new JuteReader(
    content(encodeConnectRequest({ lastZxidSeen: 77n, sessionTimeoutMs: 9_000 })),
  );
  assert.equal(reader.int(), 0);
  assert.equal(reader.long(), 77n);
  assert.equal(reader.int(), 9_000);
  assert.equal(reader.long(), 0n);
  assert.deepEqual(reader.buffer(), Buffer.alloc(16));
  assert.equal(reader.bool(), false);
  assert.equal(reader.remaining, 0);
});

void test('a session response without the read-only flag is understood', () => {
  const writer = new JuteWriter().int(0).int(4_000).long(5n).buffer(Buffer.alloc(16));
  assert.deepEqual(decodeConnectResponse(content(writer.frame())), {
    sessionTimeoutMs: 4_000,
    sessionId: 5n,
  });
});

void test('requests carry their xid, opcode and path', () => {
  const cases: readonly [Buffer, readonly unknown[]][] = [
    [encodeBare(-2, opcodes.ping), [-2, 11]],
    [encodeSync(3, '/a'), [3, 9, '/a']],
    [encodeRead(4, opcodes.getData, '/ä'), [4, 4, '/ä', false]],
    [encodeAddWatch(5, '/b'), [5, 106, '/b', 1]],
  ];
  for (const [frame, expected] of cases) {
    const reader = new JuteReader(content(frame));
    const read = expected.map((value) =>
      typeof value === 'string'
        ? reader.text()
        : typeof value === 'boolean'
          ? reader.bool()
          : reader.int(),
    );
    assert.deepEqual(read, expected);
    assert.equal(reader.remaining, 0);
  }
});

void test('the digest credential travels as it is', () => {
  const reader = new JuteReader(content(encodeDigestAuth('user:pass')));
  assert.deepEqual([reader.int(), reader.int(), reader.int()], [-4, 100, 0]);
  assert.equal(reader.text(), 'digest');
  assert.equal(reader.buffer()?.toString(), 'user:pass');
});

void test('a multiRead request lists its operations and an end mark', () => {
  const frame = encodeMultiRead(9, [
    { kind: 'children', path: '/a' },
    { kind: 'data', path: '/b' },
  ]);
  const reader = new JuteReader(content(frame));
  assert.deepEqual([reader.int(), reader.int()], [9, 22]);
  for (const [opcode, name] of [
    [8, '/a'],
    [4, '/b'],
  ]) {
    assert.deepEqual([reader.int(), reader.bool(), reader.int()], [opcode, false, -1]);
    assert.equal(reader.text(), name);
    assert.equal(reader.bool(), false);
  }
  assert.deepEqual([reader.int(), reader.bool(), reader.int()], [-1, true, -1]);
  assert.equal(reader.remaining, 0);
});

void test('a multiRead reply has one result for each operation, failed ones too', () => {
  const result = fc.oneof(
    fc.record({ kind: fc.constant('children'), names: fc.array(path, { maxLength: 5 }) }),
    fc.record({ kind: fc.constant('data'), bytes: data }),
    fc.record({ kind: fc.constant('error'), code: fc.integer({ min: -200, max: -1 }) }),
  );
  fc.assert(
    fc.property(fc.array(result, { maxLength: 8 }), (results) => {
      const writer = new JuteWriter();
      const expected = results.map((one) => {
        if ('names' in one) {
          writer.int(8).bool(false).int(0).texts(one.names);
          const children = one.names.map((name) => Buffer.from(name).toString());
          return { error: 0, children, data: null };
        }
        if ('bytes' in one) {
          stat(writer.int(4).bool(false).int(0).buffer(one.bytes));
          return { error: 0, children: [], data: one.bytes, stat: statRead };
        }
        writer.int(-1).bool(false).int(one.code).int(one.code);
        return { error: one.code, children: [], data: null };
      });
      writer.int(-1).bool(true).int(-1);
      const bytes = content(writer.frame());
      assert.deepEqual(decodeMultiRead(new JuteReader(bytes), results.length), expected);
      assert.throws(
        () => decodeMultiRead(new JuteReader(bytes), results.length + 1),
        ProtocolError,
      );
    }),
  );
});

void test('a multiRead result of an unknown type is a protocol error', () => {
  const writer = new JuteWriter().int(77).bool(false).int(0);
  assert.throws(() => decodeMultiRead(readerOf(writer), 1), ProtocolError);
});
