import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { BodyCollector, openBody } from '../../../../agent/eureka/body.ts';
import type { RawBody } from '../../../../agent/eureka/body.ts';
import { ProtocolError } from '../../../../common/errors.ts';

const mebi = 1024 * 1024;

async function collect(chunks: readonly Buffer[], bytesMax = 64 * mebi): Promise<BodyCollector> {
  const collector = new BodyCollector(bytesMax);
  for (const chunk of chunks) assert.equal(await collector.add(chunk), true);
  return collector;
}

async function inflated(body: RawBody, bytesMax = 64 * mebi): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of openBody(body, bytesMax)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function cut(bytes: Buffer, length: number): readonly Buffer[] {
  const chunks: Buffer[] = [];
  for (let from = 0; from < bytes.length; from += length) {
    chunks.push(bytes.subarray(from, from + length));
  }
  return chunks;
}

const sizeOf = ({ chunks }: RawBody): number =>
  chunks.reduce((sum, chunk) => sum + chunk.length, 0);
const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
const large = Buffer.from(`{"applications":${'{"name":"ORDERS"}'.repeat(400_000)}}`);

test('a small body is held as it came', async () => {
  const bytes = Buffer.from('{"applications":{}}');
  const collector = await collect(cut(bytes, 7));
  assert.equal(collector.isEmpty, false);
  const body = await collector.body('identity');
  assert.equal(body.encoding, 'identity');
  assert.equal(body.hash, sha256(bytes));
  assert.deepEqual(await inflated(body), bytes);
});

test('a body without a byte is empty', async () => {
  assert.equal((await collect([])).isEmpty, true);
  assert.equal((await collect([Buffer.alloc(0)])).isEmpty, true);
});

test('a large body that is not compressed is compressed while it comes in', async () => {
  const body = await (await collect(cut(large, 65_536))).body('identity');
  assert.ok(sizeOf(body) < large.length / 20, `${sizeOf(body)} bytes are held`);
  assert.equal(body.hash, sha256(large), 'the hash is that of the bytes on the wire');
  assert.deepEqual(await inflated(body), large);
});

test('a large compressed body is held as it came', async () => {
  const bytes = gzipSync(randomBytes(5 * mebi));
  const body = await (await collect(cut(bytes, 65_536))).body('gzip');
  assert.equal(sizeOf(body), bytes.length);
  assert.equal(body.hash, sha256(bytes));
  assert.equal((await inflated(body)).length, 5 * mebi);
});

test('equal bytes have equal hashes, however they are cut', async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 997, max: 3 * mebi }), async (length) => {
      const body = await (await collect(cut(large, length))).body('identity');
      assert.equal(body.hash, sha256(large));
      assert.deepEqual(await inflated(body), large);
    }),
    { numRuns: 10 },
  );
});

test('a body over the limit is refused, at whichever chunk it goes over', async () => {
  const collector = new BodyCollector(10);
  assert.equal(await collector.add(Buffer.alloc(10)), true);
  assert.equal(await collector.add(Buffer.alloc(1)), false);
  assert.equal(await new BodyCollector(10).add(Buffer.alloc(11)), false);
});

test('a packed body that inflates beyond the limit is refused', async () => {
  const body = await (await collect(cut(large, 65_536))).body('identity');
  await assert.rejects(inflated(body, large.length - 1), ProtocolError);
});

test('bytes that are not what the encoding says are refused', async () => {
  for (const bytes of [large, Buffer.from('{}')]) {
    const body = await (await collect(cut(bytes, 65_536))).body('gzip');
    await assert.rejects(inflated(body), ProtocolError);
  }
});

test('a compressed body that is cut short is refused', async () => {
  const bytes = gzipSync(randomBytes(100_000));
  const body = await (await collect([bytes.subarray(0, 50_000)])).body('gzip');
  await assert.rejects(inflated(body), ProtocolError);
});
