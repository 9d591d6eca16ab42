import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import {
  bodyBytesMax,
  BodyBudget,
  heldBytesMax,
  usePushBody,
} from '../../../../../agent/eureka/push/body.ts';
import type { BodySource } from '../../../../../agent/eureka/push/body.ts';

const mebibyte = Buffer.alloc(1024 * 1024, ' ');

function bodyOf(chunks: Iterable<Buffer>, headers: BodySource['headers'] = {}): BodySource {
  return {
    headers,
    async *[Symbol.asyncIterator]() {
      for (const chunk of chunks) yield await Promise.resolve(chunk);
    },
  };
}

const lengthOf = async (source: BodySource, budget = new BodyBudget()) =>
  usePushBody(source, budget, (body) => Promise.resolve(body.length));

function* endless(): Generator<Buffer> {
  for (;;) yield mebibyte;
}

test('a body is used whole, inflated where it is gzipped', async () => {
  assert.equal(await lengthOf(bodyOf([])), 0);
  assert.equal(await lengthOf(bodyOf([Buffer.from('ab'), Buffer.from('c')])), 3);
  const gzip = { 'content-encoding': 'GZIP' };
  assert.equal(await lengthOf(bodyOf([gzipSync('abc')], gzip)), 3);
});

test('what cannot be used is told by its status', async () => {
  const gzip = { 'content-encoding': 'gzip' };
  const bomb = gzipSync(Buffer.alloc(bodyBytesMax + 1));
  assert.deepEqual(await lengthOf(bodyOf([bomb], gzip)), { status: 413 });
  assert.deepEqual(await lengthOf(bodyOf([bomb.subarray(0, 999)], gzip)), { status: 400 });
  assert.deepEqual(await lengthOf(bodyOf([], { 'content-encoding': 'br' })), { status: 415 });
  const announced = { 'content-length': String(bodyBytesMax + 1) };
  assert.deepEqual(await lengthOf(bodyOf([], announced)), { status: 413 });
});

test('a body that is too large is read to its end, so that its sender hears so', async () => {
  let read = 0;
  function* large(): Generator<Buffer> {
    for (; read < 20; read += 1) yield mebibyte;
  }
  assert.deepEqual(await lengthOf(bodyOf(large())), { status: 413 });
  assert.equal(read, 20);
  assert.deepEqual(await lengthOf(bodyOf(endless())), { status: 413 });
});

test('a body that breaks off is none', async () => {
  const source: BodySource = {
    headers: {},
    async *[Symbol.asyncIterator]() {
      yield await Promise.resolve(mebibyte);
      throw new Error('aborted');
    },
  };
  assert.deepEqual(await lengthOf(source), { status: 400 });
});

test('bodies share a budget, and give back what they held however they end', async () => {
  const budget = new BodyBudget();
  assert.ok(budget.take(heldBytesMax - 10));
  assert.deepEqual(await lengthOf(bodyOf([mebibyte]), budget), { status: 503 });
  const gzip = { 'content-encoding': 'gzip' };
  assert.deepEqual(await lengthOf(bodyOf([gzipSync('')], gzip), budget), { status: 503 });
  assert.equal(await lengthOf(bodyOf([Buffer.from('abc')]), budget), 3);
  const failing = usePushBody(bodyOf([Buffer.from('abc')]), budget, () =>
    Promise.reject(new Error('defect')),
  );
  await assert.rejects(failing, /defect/);
  assert.ok(budget.take(10));
  assert.ok(!budget.take(1));
});
