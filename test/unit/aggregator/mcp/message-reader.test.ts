import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { GrpcError, grpcCode } from '../../../../aggregator/mcp/grpc-status.ts';
import { MessageReader } from '../../../../aggregator/mcp/message-reader.ts';

function frame(body: Uint8Array, flag = 0): Buffer {
  const header = Buffer.alloc(5);
  header.writeUInt8(flag, 0);
  header.writeUInt32BE(body.length, 1);
  return Buffer.concat([header, body]);
}

function drain(reader: MessageReader): string[] {
  const messages: string[] = [];
  for (let message = reader.next(); message !== undefined; message = reader.next()) {
    messages.push(message.toString('hex'));
  }
  return messages;
}

test('messages come out whole however they are cut', () => {
  const bodies = fc.array(fc.uint8Array({ maxLength: 40_000, size: 'max' }), { maxLength: 6 });
  fc.assert(
    fc.property(bodies, fc.array(fc.integer({ min: 1, max: 30_000 })), (sent, cuts) => {
      const bytes = Buffer.concat(sent.map((body) => frame(body)));
      const reader = new MessageReader(40_000);
      const received: string[] = [];
      let start = 0;
      for (const cut of [...cuts, bytes.length]) {
        reader.push(bytes.subarray(start, start + cut));
        start += cut;
        received.push(...drain(reader));
      }
      assert.deepEqual(
        received,
        sent.map((body) => Buffer.from(body).toString('hex')),
      );
      assert.equal(reader.hasPartial(), false);
    }),
    { numRuns: 100 },
  );
});

test('messages survive single bytes, and chunks that are pushed before the last was read', () => {
  const bytes = Buffer.concat([frame(Buffer.from('hello')), frame(Buffer.alloc(0))]);
  const reader = new MessageReader(10);
  for (const byte of bytes) reader.push(Buffer.from([byte]));
  assert.deepEqual(drain(reader), [Buffer.from('hello').toString('hex'), '']);
});

test('a message in parts is partial until it is whole', () => {
  const reader = new MessageReader(10);
  assert.equal(reader.hasPartial(), false);
  reader.push(frame(Buffer.from('hello')).subarray(0, 7));
  assert.equal(reader.next(), undefined);
  assert.equal(reader.hasPartial(), true);
});

for (const [name, bytes, code] of [
  ['a compressed message', frame(Buffer.from('x'), 1), grpcCode.unimplemented],
  ['a flag that does not exist', frame(Buffer.from('x'), 7), grpcCode.internal],
  ['a message above the limit', frame(Buffer.alloc(11)), grpcCode.resourceExhausted],
  ['a length of 4 GiB', Buffer.from('00ffffffff', 'hex'), grpcCode.resourceExhausted],
] as const) {
  test(`${name} ends the stream`, () => {
    const reader = new MessageReader(10);
    reader.push(bytes);
    assert.throws(
      () => reader.next(),
      (error) => error instanceof GrpcError && error.status.code === code,
    );
  });
}
