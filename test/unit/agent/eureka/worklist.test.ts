import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Worklist } from '../../../../agent/eureka/worklist.ts';
import type { SourceEvent } from '../../../../agent/source.ts';

const event: SourceEvent = { kind: 'lost', reason: 'x' };

test('work is done one piece at a time, in order, and only what comes of it is read', async () => {
  const worklist = new Worklist();
  const { signal } = new AbortController();
  const done: string[] = [];
  const first = worklist.put(() => {
    done.push('a');
    return Promise.resolve(undefined);
  });
  void worklist.put(() => {
    done.push('b');
    return Promise.resolve(event);
  });
  assert.equal(await worklist.next(signal), event);
  await first;
  assert.deepEqual(done, ['a', 'b']);
  const later = worklist.next(signal);
  void worklist.put(() => Promise.resolve(event));
  assert.equal(await later, event);
});

test('an end, a failed piece and a failed task reach the reader', async () => {
  const worklist = new Worklist();
  const abort = new AbortController();
  const failing = worklist.put(() => Promise.reject(new Error('defect')));
  await assert.rejects(worklist.next(abort.signal), /defect/);
  await failing;
  worklist.fail(new Error('cannot listen'));
  await assert.rejects(worklist.next(abort.signal), /cannot listen/);
  abort.abort();
  const quiet = new Worklist();
  assert.equal(await quiet.next(abort.signal), undefined);
  const dropped = quiet.put(() => assert.fail('nobody reads any more'));
  quiet.close();
  await dropped;
  await quiet.put(() => assert.fail('closed'));
});
