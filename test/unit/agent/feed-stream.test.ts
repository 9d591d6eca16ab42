import assert from 'node:assert/strict';
import { test } from 'node:test';
import { feedStreamLimits, FeedStream } from '../../../agent/feed-stream.ts';
import { Outbox } from '../../../agent/outbox.ts';
import type { OutboxLimits } from '../../../agent/outbox.ts';
import { ProtocolError } from '../../../common/errors.ts';
import { decodeAgentMessage, encodeAggregatorMessage } from '../../../proto/feed.ts';
import type { AgentMessage, AggregatorMessage } from '../../../proto/feed.ts';
import { eventually } from '../../support/eventually.ts';
import { entryOf, instanceWith } from '../../support/outbox-entry.ts';
import { rawHello } from '../../support/feed-agent.ts';

type Outgoing = Exclude<AggregatorMessage, { kind: 'unknown' }>;

class Bench {
  readonly outbox: Outbox;
  readonly sent: AgentMessage[] = [];
  readonly lags: number[] = [];
  readonly roundTrips: number[] = [];
  readonly stream: FeedStream;
  /** Whether what is written leaves at once. */
  isFlowing = true;
  private flushes: (() => void)[] = [];

  constructor(limits: Partial<OutboxLimits> = {}) {
    this.outbox = new Outbox(limits);
    const write = (message: Buffer, flushed: () => void): void => {
      this.sent.push(decodeAgentMessage(message));
      if (this.isFlowing) queueMicrotask(flushed);
      else this.flushes.push(flushed);
    };
    const health = () =>
      ({ state: 'live', reason: '', registryAgeMs: 1, hiddenDelayMs: 0, heldRemovals: 0 }) as const;
    this.stream = new FeedStream(
      { hello: rawHello(), outbox: this.outbox, health },
      { write },
      {
        welcomed: () => undefined,
        observedToSent: (seconds) => void this.lags.push(seconds),
        roundTrip: (seconds) => void this.roundTrips.push(seconds),
        sent: () => undefined,
        resync: () => undefined,
      },
    );
  }

  put(id: string, text: string | number = ''): void {
    this.outbox.put(entryOf(instanceWith(id, `${text}`)));
    this.outbox.commit(performance.now());
  }

  flow(): void {
    this.isFlowing = true;
    for (const flushed of this.flushes.splice(0)) flushed();
  }

  answer(message: Outgoing): void {
    this.stream.receive(encodeAggregatorMessage(message));
  }

  welcome(sequence = 0): void {
    const resume = sequence > 0;
    const welcome = { protocolVersion: 1, resume, sequence, served: true, aggregator: 'a' };
    this.answer({ kind: 'welcome', welcome });
  }

  kinds(): string {
    return this.sent.map(({ kind }) => kind).join(' ');
  }

  deltas(): [number, number][] {
    return this.sent.flatMap((message): [number, number][] =>
      message.kind === 'delta' ? [[message.delta.firstSequence, message.delta.sequence]] : [],
    );
  }
}

async function settle(): Promise<void> {
  for (let turn = 0; turn < 30; turn++) await Promise.resolve();
}

test('before the registry was read there are only hello and heartbeats', async () => {
  const bench = new Bench();
  bench.stream.start();
  bench.welcome();
  bench.stream.beat();
  assert.equal(bench.kinds(), 'hello heartbeat heartbeat');
  bench.outbox.open();
  await settle();
  assert.equal(bench.kinds(), 'hello heartbeat heartbeat chunk');
  bench.stream.stop();
});

test('a change is written in the turn in which it is committed', async () => {
  const bench = new Bench();
  bench.outbox.open();
  bench.stream.start();
  bench.welcome();
  await settle();
  bench.put('a');
  assert.deepStrictEqual(bench.deltas(), [[2, 2]]);
  assert.equal(bench.lags.length, 1);
  bench.stream.stop();
});

test('what has to wait is merged into one Delta', async () => {
  const bench = new Bench();
  bench.outbox.open();
  bench.stream.start();
  bench.welcome();
  await settle();
  bench.isFlowing = false;
  for (let index = 0; index < 50; index++) bench.put('a', index);
  assert.equal(bench.deltas().length, feedStreamLimits.unflushedMax);
  bench.flow();
  await settle();
  assert.deepStrictEqual(bench.deltas().at(-1), [6, 51]);
  bench.stream.stop();
});

test('no more than a bounded number of Deltas is sent without being accepted', async () => {
  const bench = new Bench();
  bench.outbox.open();
  bench.stream.start();
  bench.welcome();
  await settle();
  for (let index = 0; index < 200; index++) {
    bench.put('a', index);
    await settle();
  }
  assert.equal(bench.deltas().length, feedStreamLimits.unacceptedMax);
  bench.answer({ kind: 'accepted', sequence: 3 });
  assert.deepStrictEqual(bench.deltas().at(-1), [66, 201]);
  bench.stream.stop();
});

test('a stream that falls behind the log gets a snapshot', async () => {
  const bench = new Bench({ batchesMax: 5 });
  bench.outbox.open();
  bench.stream.start();
  bench.welcome();
  await settle();
  bench.isFlowing = false;
  for (let index = 0; index < 50; index++) bench.put('a', index);
  bench.flow();
  await settle();
  const last = bench.sent.at(-1);
  assert.ok(last?.kind === 'chunk');
  assert.equal(last.chunk.sequence, 51);
  bench.stream.stop();
});

test('a snapshot is cut into chunks, and changes meanwhile follow it', async () => {
  const bench = new Bench();
  for (let index = 0; index < 10; index++) bench.put(`${index}`, 'x'.repeat(100_000));
  bench.outbox.open();
  bench.stream.start();
  bench.isFlowing = false;
  bench.welcome();
  bench.put('later');
  bench.stream.beat();
  bench.flow();
  await eventually(() => assert.equal(bench.sent.at(-1)?.kind, 'delta'));
  const chunks = bench.sent.flatMap((message) => (message.kind === 'chunk' ? [message.chunk] : []));
  assert.deepStrictEqual(
    chunks.map(({ index, last, sequence }) => [index, last, sequence]),
    chunks.map((_, index) => [index, index === chunks.length - 1, 1]),
  );
  assert.ok(chunks.length > 1);
  assert.equal(chunks.at(-1)?.count, 10);
  const beat = bench.sent.findLast((message) => message.kind === 'heartbeat');
  assert.equal(beat?.heartbeat.sequence, 0);
  bench.stream.stop();
});

test('a resumed stream goes on with the next batch, an impossible one starts over', async () => {
  const bench = new Bench();
  bench.outbox.open();
  for (const id of ['a', 'b', 'c']) bench.put(id);
  bench.stream.start();
  bench.welcome(2);
  assert.deepStrictEqual(bench.deltas(), [[3, 4]]);
  bench.stream.beat();
  const beat = bench.sent.findLast((message) => message.kind === 'heartbeat');
  assert.deepStrictEqual(beat?.heartbeat.digest, bench.outbox.digestAt(4));
  bench.stream.stop();
  const other = new Bench();
  other.outbox.open();
  other.stream.start();
  other.welcome(7);
  await settle();
  assert.equal(other.sent.at(-1)?.kind, 'chunk');
  other.stream.stop();
});

test('a throttled agent sends heartbeats only until the pause is over', async () => {
  const bench = new Bench();
  bench.outbox.open();
  bench.stream.start();
  bench.welcome();
  await settle();
  bench.answer({ kind: 'throttle', pauseMs: 30 });
  bench.put('a');
  bench.stream.beat();
  assert.deepStrictEqual(bench.deltas(), []);
  await eventually(() => assert.deepStrictEqual(bench.deltas(), [[2, 2]]));
  bench.stream.stop();
});

test('echoes give round trips, each once', () => {
  const bench = new Bench();
  bench.stream.start();
  bench.welcome();
  bench.answer({ kind: 'echo', heartbeat: 1 });
  bench.answer({ kind: 'echo', heartbeat: 1 });
  bench.answer({ kind: 'echo', heartbeat: 99 });
  assert.equal(bench.roundTrips.length, 1);
  bench.stream.stop();
});

test('an aggregator that breaks the rules is a protocol error', () => {
  const first = new Bench();
  first.stream.start();
  assert.throws(() => first.answer({ kind: 'accepted', sequence: 1 }), ProtocolError);
  first.welcome();
  assert.throws(() => first.welcome(), ProtocolError);
  assert.throws(() => first.answer({ kind: 'accepted', sequence: 9 }), ProtocolError);
  first.stream.stop();
  const second = new Bench();
  second.stream.start();
  const welcome = { protocolVersion: 2, resume: false, sequence: 0, served: true, aggregator: '' };
  assert.throws(() => second.answer({ kind: 'welcome', welcome }), /speaks version 2/);
  second.stream.stop();
});

test('a stopped stream sends nothing and hears nothing', () => {
  const bench = new Bench();
  bench.outbox.open();
  bench.stream.start();
  bench.stream.stop();
  bench.put('a');
  bench.stream.beat();
  bench.welcome();
  assert.equal(bench.kinds(), 'hello');
});
