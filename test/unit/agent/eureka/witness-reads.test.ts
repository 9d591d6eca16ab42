import assert from 'node:assert/strict';
import { beforeEach, mock, test } from 'node:test';
import { parseServiceUrl } from '../../../../agent/eureka/service-url.ts';
import type { ReadResult } from '../../../../agent/eureka/session.ts';
import { RegistryView } from '../../../../agent/eureka/view.ts';
import { WitnessReads } from '../../../../agent/eureka/witness-reads.ts';
import type { WitnessReader } from '../../../../agent/eureka/witness-reads.ts';

const { signal } = new AbortController();
const server = parseServiceUrl('http://b:8761/eureka/');
const other = parseServiceUrl('http://c:8761/eureka/');
let now = 0;

/** A reader whose reads take as long as it is told, and find what it is told. */
class FakeReader implements WitnessReader {
  readMs = 100;
  isReadable = true;
  isChanged = false;
  sessions = 0;
  reads = 0;

  readOnce(): ReturnType<WitnessReader['readOnce']> {
    now += this.readMs;
    this.sessions += 1;
    if (!this.isReadable) return Promise.resolve(undefined);
    return Promise.resolve({
      view: new RegistryView(),
      memoryMs: 50_000,
      expectRestart: () => undefined,
      read: () => Promise.resolve(this.read()),
    });
  }

  private read(): ReadResult {
    now += this.readMs;
    this.reads += 1;
    if (!this.isReadable) return { kind: 'failed', reason: '', why: 'transient' };
    return { kind: 'read', observedAt: now, isFull: this.isChanged, isRestarted: false };
  }
}

beforeEach(() => {
  now = 1_000_000;
  mock.restoreAll();
  mock.method(performance, 'now', () => now);
});

test('a server is read once in a while, the same session again', async () => {
  const reader = new FakeReader();
  const reads = new WitnessReads(reader, 9_000);
  const first = await reads.read(server, signal);
  now += 1_000;
  assert.equal(await reads.read(server, signal), first);
  now += 1_000;
  assert.notEqual(await reads.read(server, signal), first);
  await reads.read(other, signal);
  assert.deepEqual([reader.sessions, reader.reads], [2, 1]);
});

test('reads that take long are further apart, up to the interval', async () => {
  const reader = new FakeReader();
  reader.readMs = 5_000;
  const reads = new WitnessReads(reader, 9_000);
  await reads.read(server, signal);
  now += 3_999;
  await reads.read(server, signal);
  assert.equal(reader.reads, 0);
  now += 1;
  await reads.read(server, signal);
  assert.equal(reader.reads, 1);
});

test('the memory of a server whose list is unchanged grows with time', async () => {
  const reader = new FakeReader();
  const reads = new WitnessReads(reader, 9_000);
  assert.equal((await reads.read(server, signal))?.memoryMs, 50_000);
  now += 59_900;
  assert.equal((await reads.read(server, signal))?.memoryMs, 110_000);
  reader.isChanged = true;
  now += 59_900;
  assert.equal((await reads.read(server, signal))?.memoryMs, 50_000);
});

test('who asks while a server is being read gets the same answer', async () => {
  const reader = new FakeReader();
  const reads = new WitnessReads(reader, 9_000);
  const [one, two] = await Promise.all([reads.read(server, signal), reads.read(server, signal)]);
  assert.equal(one, two);
  assert.equal(reader.sessions, 1);
});

test('a server that cannot be read is read anew the next time', async () => {
  const reader = new FakeReader();
  const reads = new WitnessReads(reader, 9_000);
  reader.isReadable = false;
  assert.equal(await reads.read(server, signal), undefined);
  reader.isReadable = true;
  assert.ok((await reads.read(server, signal)) !== undefined);
  reader.isReadable = false;
  now += 60_000;
  assert.equal(await reads.read(server, signal), undefined);
  reader.isReadable = true;
  assert.ok((await reads.read(server, signal)) !== undefined);
  assert.deepEqual([reader.sessions, reader.reads], [3, 1]);
});

test('what nobody asks for any more is forgotten', async () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  try {
    const reader = new FakeReader();
    const reads = new WitnessReads(reader, 9_000);
    await reads.read(server, signal);
    mock.timers.tick(60_000);
    await reads.read(server, signal);
    assert.deepEqual([reader.sessions, reader.reads], [2, 0]);
  } finally {
    mock.timers.reset();
  }
});
