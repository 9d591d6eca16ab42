import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RecentLag } from '../../../aggregator/recent-lag.ts';
import { registryIdSchema } from '../../../common/registry.ts';

const id = registryIdSchema.parse('dc1/orders');

test('the lag of a registry that has none yet is not known', () => {
  assert.equal(new RecentLag().of(id), undefined);
});

test('only the latest lags count', () => {
  const lag = new RecentLag();
  for (let index = 0; index < 50; index += 1) lag.note(id, 10_000);
  for (let ms = 1; ms <= 200; ms += 1) lag.note(id, ms);
  assert.deepEqual(lag.of(id), { p50Ms: 100, p99Ms: 198, samples: 200 });
  lag.forget(id);
  assert.equal(lag.of(id), undefined);
});
