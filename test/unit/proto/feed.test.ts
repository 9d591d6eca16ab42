import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ProtocolError } from '../../../common/errors.ts';
import {
  decodeAgentMessage,
  decodeAggregatorMessage,
  encodeAgentMessage,
  encodeAggregatorMessage,
  encodeChanges,
  encodeDelta,
} from '../../../proto/feed.ts';
import type { AggregatorMessage, Heartbeat } from '../../../proto/feed.ts';
import { rawHello } from '../../support/feed-agent.ts';

const heartbeat: Heartbeat = {
  heartbeat: 7,
  sequence: 2 ** 40,
  digest: Buffer.from('12345678'),
  state: 'suspect',
  reason: 'why',
  registryAgeMs: 5,
  hiddenDelayMs: 30_000,
  heldRemovals: 3,
  doubt: 'away for 41 s',
};

test('every message of an agent comes out as it went in', () => {
  const hello = rawHello();
  const chunk = {
    sequence: 3,
    index: 1,
    instances: [Buffer.from('a'), Buffer.from('bc')],
    last: true,
    digest: Buffer.from('12345678'),
    count: 2,
    ageMs: 1.5,
  };
  for (const message of [
    { kind: 'hello', hello },
    { kind: 'chunk', chunk },
    { kind: 'heartbeat', heartbeat },
  ] as const) {
    assert.deepStrictEqual(decodeAgentMessage(encodeAgentMessage(message)), message);
  }
});

test('a Delta holds the changes of its batches in order', () => {
  const one = encodeChanges([{ kind: 'upsert', bytes: Buffer.from('abc') }]);
  const two = encodeChanges([
    { kind: 'removal', id: 'x' },
    { kind: 'removal', id: '' },
  ]);
  const bytes = encodeDelta({ firstSequence: 4, sequence: 5, ageMs: 2.5 }, [one, two]);
  assert.deepStrictEqual(decodeAgentMessage(bytes), {
    kind: 'delta',
    delta: {
      firstSequence: 4,
      sequence: 5,
      ageMs: 2.5,
      changes: [
        { kind: 'upsert', bytes: Buffer.from('abc') },
        { kind: 'removal', id: 'x' },
        { kind: 'removal', id: '' },
      ],
    },
  });
});

test('a Delta without first_sequence holds one batch', () => {
  const bytes = encodeDelta({ firstSequence: 0, sequence: 9, ageMs: 0 }, []);
  const message = decodeAgentMessage(bytes);
  assert.equal(message.kind === 'delta' && message.delta.firstSequence, 9);
});

test('every message of an aggregator comes out as it went in', () => {
  const messages: Exclude<AggregatorMessage, { kind: 'unknown' }>[] = [
    {
      kind: 'welcome',
      welcome: { protocolVersion: 1, resume: true, sequence: 4, served: true, aggregator: 'a' },
    },
    { kind: 'accepted', sequence: 2 ** 33 },
    { kind: 'resync', reason: 'gap' },
    { kind: 'throttle', pauseMs: 100 },
    { kind: 'echo', heartbeat: 0 },
  ];
  for (const message of messages) {
    assert.deepStrictEqual(decodeAggregatorMessage(encodeAggregatorMessage(message)), message);
  }
});

test('a message of a kind of the future is skipped', () => {
  const future = Buffer.from([(15 << 3) | 2, 1, 0]);
  assert.deepStrictEqual(decodeAgentMessage(future), { kind: 'unknown' });
  assert.deepStrictEqual(decodeAggregatorMessage(future), { kind: 'unknown' });
});

test('a registry state of the future reads as suspect', () => {
  const bytes = encodeAgentMessage({
    kind: 'heartbeat',
    heartbeat: { ...heartbeat, state: 'live' },
  });
  const at = bytes.indexOf(Buffer.from([4 << 3, 1]));
  bytes[at + 1] = 9;
  const message = decodeAgentMessage(bytes);
  assert.equal(message.kind === 'heartbeat' && message.heartbeat.state, 'suspect');
});

test('bytes that are no message, and numbers that are none, are protocol errors', () => {
  assert.throws(() => decodeAgentMessage(Buffer.from([0xff, 0xff])), ProtocolError);
  assert.throws(() => decodeAggregatorMessage(Buffer.from([0x0a, 0x7f])), ProtocolError);
  for (const ageMs of [NaN, Infinity, -1]) {
    const bytes = encodeDelta({ firstSequence: 1, sequence: 1, ageMs }, []);
    assert.throws(() => decodeAgentMessage(bytes), ProtocolError);
  }
});
