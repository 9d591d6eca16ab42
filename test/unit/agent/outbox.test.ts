import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { Outbox } from '../../../agent/outbox.ts';
import type { Entry } from '../../../agent/outbox.ts';
import { eventually } from '../../support/eventually.ts';
import { Digest, hashInstance } from '../../../common/digest.ts';
import { decodeAgentMessage, encodeDelta } from '../../../proto/feed.ts';
import { decodeInstance, encodeInstance } from '../../../proto/instance-codec.ts';
import { entryOf, instanceWith } from '../../support/outbox-entry.ts';

function entry(id: string, value: string | number = 0): Entry {
  return entryOf(instanceWith(id, `${value}`));
}

function opened(limits: { batchesMax?: number; bytesMax?: number } = {}): Outbox {
  const outbox = new Outbox(limits);
  outbox.put(entry('first'));
  outbox.open();
  return outbox;
}

test('before it is opened there is nothing to send', () => {
  const outbox = new Outbox();
  outbox.put(entry('a'));
  outbox.commit(0);
  assert.equal(outbox.sequence, 0);
  assert.equal(outbox.snapshot(), undefined);
  assert.equal(outbox.batchesAfter(0), 'upToDate');
  outbox.open();
  assert.equal(outbox.sequence, 1);
  assert.equal(outbox.oldestSequence, 2);
  assert.equal(outbox.snapshot()?.size, 1);
  assert.equal(outbox.batchesAfter(0), 'overrun');
});

test('a commit without changes makes no batch and tells nobody', () => {
  const outbox = opened();
  let told = 0;
  const unsubscribe = outbox.subscribe(() => (told += 1));
  outbox.commit(0);
  outbox.remove('unknown');
  outbox.commit(0);
  assert.deepStrictEqual([outbox.sequence, told], [1, 0]);
  outbox.put(entry('a'));
  outbox.commit(0);
  assert.deepStrictEqual([outbox.sequence, told], [2, 1]);
  unsubscribe();
  outbox.put(entry('b'));
  outbox.commit(0);
  assert.equal(told, 1);
});

test('waiting batches come together, with the age of the oldest', () => {
  const outbox = opened();
  for (const [index, id] of ['a', 'b', 'c'].entries()) {
    outbox.put(entry(id));
    outbox.commit(100 + index);
  }
  const batches = outbox.batchesAfter(2);
  assert.ok(typeof batches === 'object');
  assert.deepStrictEqual(
    [batches.firstSequence, batches.sequence, batches.changes.length, batches.observedAt],
    [3, 4, 2, 101],
  );
  assert.deepStrictEqual(batches.digest, outbox.digestAt(4));
});

test('a snapshot does not change with what comes after it', () => {
  const outbox = opened();
  const before = outbox.snapshot();
  outbox.put(entry('first', 1));
  outbox.put(entry('a'));
  outbox.commit(0);
  assert.equal(before?.size, 1);
  assert.equal(before.sequence, 1);
  assert.deepEqual(before.encoded(0), encodeInstance(instanceWith('first', '0')));
  assert.throws(() => before.encoded(1), RangeError);
  assert.equal(outbox.snapshot()?.size, 2);
});

test('the log is bounded by batches and by bytes', () => {
  const few = opened({ batchesMax: 3 });
  for (let index = 0; index < 5000; index++) {
    few.put(entry('a', index));
    few.commit(0);
  }
  assert.equal(few.oldestSequence, few.sequence - 2);
  assert.equal(few.batchesAfter(few.sequence - 4), 'overrun');
  assert.ok(typeof few.batchesAfter(few.sequence - 3) === 'object');
  const small = opened({ bytesMax: 100 });
  small.put(entry('a', 'x'.repeat(200)));
  small.commit(0);
  assert.equal(small.oldestSequence, small.sequence + 1);
});

test('a batch too large for one message becomes several', () => {
  const outbox = opened();
  for (let index = 0; index < 40; index++) outbox.put(entry(`${index}`, 'x'.repeat(100_000)));
  outbox.commit(5);
  let position = 1;
  let changes = 0;
  for (;;) {
    const batches = outbox.batchesAfter(position);
    if (typeof batches === 'string') break;
    const message = encodeDelta({ ...batches, ageMs: 0 }, batches.changes);
    assert.ok(message.length < 1.1 * 1024 * 1024);
    const decoded = decodeAgentMessage(message);
    changes += decoded.kind === 'delta' ? decoded.delta.changes.length : 0;
    position = batches.sequence;
  }
  assert.equal(changes, 40);
  assert.ok(outbox.digestAt(outbox.sequence).length > 0);
  assert.equal(outbox.digestAt(2).length, 0);
});

test('the log replayed from any sequence leads to the set and its digest', () => {
  const step = fc.record({ id: fc.nat(8), value: fc.option(fc.nat(3)), commits: fc.boolean() });
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 60 }),
      fc.integer({ min: 1, max: 20 }),
      (steps, max) => {
        const outbox = opened({ batchesMax: max });
        const states = new Map<number, Map<string, string>>([[1, new Map([['first', '0']])]]);
        const model = new Map([['first', '0']]);
        for (const { id, value, commits } of steps) {
          if (value === null) {
            outbox.remove(`${id}`);
            model.delete(`${id}`);
          } else {
            outbox.put(entry(`${id}`, value));
            model.set(`${id}`, `${value}`);
          }
          if (!commits) continue;
          outbox.commit(0);
          states.set(outbox.sequence, new Map(model));
        }
        outbox.commit(0);
        states.set(outbox.sequence, new Map(model));
        for (let from = outbox.oldestSequence - 1; from <= outbox.sequence; from++) {
          const state = new Map(states.get(from));
          const digest = new Digest();
          for (const [id, text] of state) {
            digest.add(hashInstance(encodeInstance(instanceWith(id, text))));
          }
          assert.deepStrictEqual(outbox.digestAt(from), digest.bytes());
          for (let position = from; ;) {
            const batches = outbox.batchesAfter(position);
            if (typeof batches === 'string') break;
            position = batches.sequence;
            const message = decodeAgentMessage(
              encodeDelta({ ...batches, ageMs: 0 }, batches.changes),
            );
            assert.ok(message.kind === 'delta');
            for (const change of message.delta.changes) {
              if (change.kind === 'removal') state.delete(change.id);
              else {
                const { id, labels } = decodeInstance(change.bytes);
                state.set(id, labels['text'] ?? '');
              }
            }
          }
          assert.deepStrictEqual(
            new Map([...state].sort()),
            new Map([...(states.get(outbox.sequence) ?? [])].sort()),
          );
        }
      },
    ),
  );
});

test('batches that the log has dropped hold no memory', async () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const held = (): number => {
    collect();
    return process.memoryUsage().arrayBuffers;
  };
  const outbox = opened({ bytesMax: 1_000_000 });
  const before = held();
  for (let index = 0; index < 200; index += 1) {
    outbox.put(entry('large', `${index}`.padEnd(100_000, '.')));
    outbox.commit(index);
  }
  // 20 MB have passed; V8 frees the buffers in its own time.
  await eventually(() => {
    assert.ok(held() - before < 5_000_000, 'the log holds more than its limit');
  });
});
