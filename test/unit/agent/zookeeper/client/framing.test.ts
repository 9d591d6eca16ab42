import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { FrameReader } from '../../../../../agent/zookeeper/client/framing.ts';
import { ProtocolError } from '../../../../../common/errors.ts';

function framed(content: Uint8Array): Buffer {
  const length = Buffer.alloc(4);
  length.writeInt32BE(content.length);
  return Buffer.concat([length, content]);
}

void test('frames come out whole, however the stream was cut', () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 20 }),
      fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 30 }),
      (contents, cuts) => {
        const stream = Buffer.concat(contents.map(framed));
        const reader = new FrameReader();
        const got: Buffer[] = [];
        let at = 0;
        for (let turn = 0; at < stream.length; turn += 1) {
          const size = cuts[turn % cuts.length] ?? 1;
          reader.push(stream.subarray(at, at + size), (content) => got.push(Buffer.from(content)));
          at += size;
        }
        assert.deepEqual(
          got,
          contents.map((content) => Buffer.from(content)),
        );
        assert.equal(reader.unfinished, undefined);
      },
    ),
  );
});

void test('a frame larger than any chunk is put together', () => {
  const content = Buffer.alloc(3_000_000, 7);
  const stream = framed(content);
  const reader = new FrameReader();
  const got: number[] = [];
  for (let at = 0; at < stream.length; at += 65_536) {
    assert.equal(got.length, 0);
    reader.push(stream.subarray(at, at + 65_536), (frame) => got.push(frame.length));
  }
  assert.deepEqual(got, [content.length]);
});

void test('an impossible length is a protocol error', () => {
  for (const length of [-1, 65 * 1024 * 1024, 0x48545450]) {
    const header = Buffer.alloc(4);
    header.writeInt32BE(length);
    assert.throws(() => {
      new FrameReader().push(header, () => undefined);
    }, ProtocolError);
  }
});

void test('half a frame is known as such', () => {
  const reader = new FrameReader();
  const push = (...bytes: number[]): unknown => {
    reader.push(Buffer.from(bytes), () => undefined);
    return reader.unfinished;
  };
  assert.equal(push(), undefined);
  assert.notEqual(push(0, 0), undefined);
  const frame = push(0, 3, 1);
  assert.partialDeepStrictEqual(frame, { bytes: 3 });
  assert.equal(push(1), frame);
  assert.equal(push(1), undefined);
  const next = push(0, 0, 0, 3);
  assert.ok(next !== undefined && next !== frame);
});
