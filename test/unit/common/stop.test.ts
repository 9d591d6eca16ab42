import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import { stopOnSignals } from '../../../common/stop.ts';

function started(deadlineMs = 1000) {
  const stops: string[] = [];
  const forced: string[] = [];
  const stop = stopOnSignals({
    deadlineMs,
    onStop: (signal) => void stops.push(signal),
    onForced: (why) => void forced.push(why),
  });
  return { stop, stops, forced };
}

test('the first signal aborts, the second forces', () => {
  const { stop, stops, forced } = started();
  try {
    assert.equal(stop.signal.aborted, false);
    process.emit('SIGTERM', 'SIGTERM');
    assert.equal(stop.signal.aborted, true);
    assert.deepEqual([stops, forced], [['SIGTERM'], []]);
    process.emit('SIGINT', 'SIGINT');
    assert.deepEqual([stops, forced], [['SIGTERM'], ['SIGINT came again']]);
  } finally {
    stop.release();
  }
});

test('a stop that takes too long is forced', () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  const { stop, forced } = started(1000);
  try {
    process.emit('SIGINT', 'SIGINT');
    mock.timers.tick(999);
    assert.deepEqual(forced, []);
    mock.timers.tick(1);
    assert.deepEqual(forced, ['not stopped within 1000 ms']);
  } finally {
    stop.release();
    mock.timers.reset();
  }
});

test('a released stop leaves no handler and no timer', () => {
  const before = process.listenerCount('SIGTERM');
  mock.timers.enable({ apis: ['setTimeout'] });
  const { stop, forced } = started(1000);
  assert.equal(process.listenerCount('SIGTERM'), before + 1);
  process.emit('SIGTERM', 'SIGTERM');
  stop.release();
  assert.equal(process.listenerCount('SIGTERM'), before);
  mock.timers.tick(5000);
  assert.deepEqual(forced, []);
  mock.timers.reset();
});
