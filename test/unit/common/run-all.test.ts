import assert from 'node:assert/strict';
import { test } from 'node:test';
import { untilAborted } from '../../../common/until-aborted.ts';
import { runAll } from '../../../common/run-all.ts';
import type { Part } from '../../../common/run-all.ts';

function recorder(): { readonly events: string[]; readonly part: (name: string) => Part } {
  const events: string[] = [];
  return {
    events,
    part: (name) => async (signal) => {
      events.push(`${name} starts`);
      await untilAborted(signal);
      events.push(`${name} stops`);
      await new Promise((resolve) => setImmediate(resolve));
      events.push(`${name} stopped`);
    },
  };
}

test('groups stop one after the other, the first one first', async () => {
  const { events, part } = recorder();
  const controller = new AbortController();
  const done = runAll(controller.signal, [[part('a'), part('b')], [part('c')]]);
  controller.abort();
  await done;
  assert.deepEqual(events, [
    ...['a starts', 'b starts', 'c starts', 'a stops', 'b stops', 'a stopped', 'b stopped'],
    ...['c stops', 'c stopped'],
  ]);
});

test('the first rejection stops the others in order and is thrown', async () => {
  const { events, part } = recorder();
  const failing: Part = () => Promise.reject(new Error('first'));
  const later: Part = async (signal) => {
    await untilAborted(signal);
    throw new Error('second');
  };
  const running = runAll(new AbortController().signal, [
    [part('a'), later],
    [failing, part('b')],
  ]);
  await assert.rejects(running, /^Error: first$/);
  assert.deepEqual(events.slice(2), ['a stops', 'a stopped', 'b stops', 'b stopped']);
});

test('a part that ends by itself ends nothing else', async () => {
  const { events, part } = recorder();
  const controller = new AbortController();
  const done = runAll(controller.signal, [[() => Promise.resolve(), part('a')]]);
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(events, ['a starts']);
  controller.abort();
  await done;
});

test('what is told to stop before it starts stops', async () => {
  const { events, part } = recorder();
  await runAll(AbortSignal.abort(), [[part('a')]]);
  assert.equal(events.at(-1), 'a stopped');
});
