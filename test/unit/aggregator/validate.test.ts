import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RenderedService, WorkloadEntry } from '../../../aggregator/service-entry.ts';
import { validate } from '../../../aggregator/validate.ts';

const port = { number: 80, protocol: 'HTTP', name: 'http' };
const endpoint: WorkloadEntry = { address: '10.0.0.1', ports: { http: 8080 } };

function rendered(
  entry: Partial<RenderedService['entry']> = {},
  name = 'tributary/a.tributary.internal',
): RenderedService {
  return {
    metadata: { name, createTime: 1, labels: {}, annotations: {} },
    entry: {
      hosts: ['a.tributary.internal'],
      addresses: ['240.0.0.1'],
      ports: [port],
      location: 1,
      resolution: 1,
      endpoints: [endpoint],
      ...entry,
    },
  };
}

const withEndpoint = (changes: Partial<WorkloadEntry>): RenderedService =>
  rendered({ endpoints: [{ ...endpoint, ...changes }] });

test('what is in order passes', () => {
  assert.equal(validate(rendered()), undefined);
  assert.equal(validate(rendered({ endpoints: [] })), undefined);
  const labels = { 'example.com/a': '', b: 'c' };
  assert.equal(validate(withEndpoint({ labels, weight: 5, address: 'fd00::1' })), undefined);
});

for (const [reason, invalid] of [
  ['metadata-name', rendered({}, 'a')],
  ['metadata-name', rendered({}, '/a')],
  ['metadata-name', rendered({}, 'a/b/c')],
  ['host', rendered({ hosts: [] })],
  ['host', rendered({ hosts: ['a', 'b'] })],
  ['host', rendered({ hosts: ['a_b.c'] })],
  ['host', rendered({ hosts: ['a..c'] })],
  ['host', rendered({ hosts: ['*.c'] })],
  ['host', rendered({ hosts: ['10.0.0.1'] })],
  ['host', rendered({ hosts: [`${'a'.repeat(64)}.c`] })],
  ['host', rendered({ hosts: [`${'a.'.repeat(128)}c`] })],
  ['address', rendered({ addresses: [] })],
  ['address', rendered({ addresses: ['10.0.0.1', '10.0.0.2'] })],
  ['address', rendered({ addresses: ['x'] })],
  ['port', rendered({ ports: [] })],
  ['port', rendered({ ports: [port, { ...port, number: 81, name: 'b' }] })],
  ['port', rendered({ ports: [{ ...port, name: 'a_b' }] })],
  ['port', rendered({ ports: [{ ...port, number: 0 }] })],
  ['protocol', rendered({ ports: [{ ...port, protocol: 'DUBBO' }] })],
  ['endpoint-address', withEndpoint({ address: 'name' })],
  ['endpoint-port', withEndpoint({ ports: {} })],
  ['endpoint-port', withEndpoint({ ports: { other: 1 } })],
  ['endpoint-port', withEndpoint({ ports: { http: 70_000 } })],
  ['endpoint-weight', withEndpoint({ weight: 0 })],
  ['endpoint-weight', withEndpoint({ weight: 2 ** 32 })],
  ['endpoint-weight', withEndpoint({ weight: 1.5 })],
  ['endpoint-label', withEndpoint({ labels: { 'a b': 'c' } })],
  ['endpoint-label', withEndpoint({ labels: { 'A/b': 'c' } })],
  ['endpoint-label', withEndpoint({ labels: { 'a/': 'c' } })],
  ['endpoint-label', withEndpoint({ labels: { a: '-c' } })],
  ['duplicate-endpoint', rendered({ endpoints: [endpoint, endpoint] })],
] as const) {
  test(`refused: ${reason} of ${JSON.stringify(invalid.entry).slice(0, 150)}`, () => {
    assert.equal(validate(invalid)?.reason, reason);
  });
}
