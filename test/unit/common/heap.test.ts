import assert from 'node:assert/strict';
import { PerformanceObserver } from 'node:perf_hooks';
import { mock, test } from 'node:test';
import { limitYoungHeap, tidyHeapAfter } from '../../../common/heap.ts';
import { eventually } from '../../support/eventually.ts';

test('waiting for the young heap ends with the signal', async () => {
  await limitYoungHeap(AbortSignal.abort());
  const stop = new AbortController();
  const waiting = limitYoungHeap(stop.signal);
  stop.abort();
  await waiting;
});

test('a collection follows a large snapshot, and none a small one', async () => {
  let collections = 0;
  const observer = new PerformanceObserver((list) => {
    collections += list.getEntries().filter(isForced).length;
  });
  observer.observe({ entryTypes: ['gc'] });
  mock.timers.enable({ apis: ['setTimeout'] });
  tidyHeapAfter(10);
  mock.timers.tick(60_000);
  tidyHeapAfter(100_000);
  tidyHeapAfter(100_000);
  mock.timers.tick(60_000);
  mock.timers.reset();
  await eventually(() => assert.equal(collections, 1));
  observer.disconnect();
});

/** NODE_PERFORMANCE_GC_FLAGS_FORCED */
const forced = 4;

function isForced(entry: object): boolean {
  const detail: unknown = 'detail' in entry ? entry.detail : undefined;
  if (typeof detail !== 'object' || detail === null || !('flags' in detail)) return false;
  return (Number(detail.flags) & forced) !== 0;
}
