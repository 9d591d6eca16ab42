import assert from 'node:assert/strict';
import { test } from 'node:test';
import { targetOf } from '../../../../aggregator/mcp/types.ts';

for (const [typeUrl, target] of [
  ['networking.istio.io/v1/ServiceEntry', 'ServiceEntry'],
  ['networking.istio.io/v1beta1/ServiceEntry', 'ServiceEntry'],
  ['networking.istio.io/v1alpha3/ServiceEntry', 'ServiceEntry'],
  ['core/v1alpha1/MeshConfig', 'silent'],
  ['networking.istio.io/v1/WorkloadEntry', 'empty'],
  ['networking.istio.io/v2/ServiceEntry', 'empty'],
  ['some.example/v1/Kind', 'empty'],
  ['not a type', 'empty'],
  ['', 'empty'],
] as const) {
  test(`${JSON.stringify(typeUrl)} is answered: ${target}`, () => {
    assert.equal(targetOf(typeUrl), target);
  });
}
