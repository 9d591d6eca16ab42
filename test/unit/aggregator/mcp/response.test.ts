import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeDiscoveryResponse, ResponseCache } from '../../../../aggregator/mcp/response.ts';
import type { CollectionState } from '../../../../aggregator/store-types.ts';
import { codec } from '../../../../proto/load.ts';

interface Decoded {
  readonly versionInfo: string;
  readonly typeUrl: string;
  readonly nonce: string;
  readonly resources: readonly { readonly type_url: string }[];
}
const responses = codec<Partial<Decoded>>('envoy.service.discovery.v3.DiscoveryResponse');

function stateOf(...typeUrls: string[]): CollectionState {
  const segments = typeUrls.map((typeUrl) =>
    Buffer.from(responses.encode({ resources: [{ type_url: typeUrl }] })),
  );
  const byteLength = segments.reduce((sum, { length }) => sum + length, 0);
  return { revision: 1, versionInfo: 'v', segments, byteLength, count: segments.length };
}

test('a response is a DiscoveryResponse around the very segments of the store', () => {
  const state = stateOf('a', 'b');
  const versionInfo = 'v'.repeat(300);
  const message = encodeDiscoveryResponse({ versionInfo, typeUrl: 't', nonce: '7', state });
  const [, first, second] = message.slices;
  assert.equal(first, state.segments[0]);
  assert.equal(second, state.segments[1]);
  const bytes = Buffer.concat(message.slices);
  assert.equal(bytes.length, message.byteLength);
  const decoded = responses.decode(bytes);
  assert.deepEqual(
    { ...decoded, resources: decoded.resources?.map((resource) => resource.type_url) },
    { versionInfo, typeUrl: 't', nonce: '7', resources: ['a', 'b'] },
  );
});

test('a response without a state has no resources', () => {
  const message = encodeDiscoveryResponse({
    versionInfo: 'v',
    typeUrl: 't',
    nonce: 'n',
    state: undefined,
  });
  const decoded = responses.decode(Buffer.concat(message.slices));
  assert.deepEqual(decoded, { versionInfo: 'v', typeUrl: 't', nonce: 'n', resources: [] });
});

test('the same state and type are encoded once', () => {
  const cache = new ResponseCache();
  const state = stateOf('a');
  const response = { versionInfo: 'v', typeUrl: 't', nonce: '1', state };
  assert.equal(cache.encode(response), cache.encode({ ...response }));
  assert.notEqual(cache.encode(response), cache.encode({ ...response, typeUrl: 'u' }));
  assert.notEqual(cache.encode(response), cache.encode({ ...response, state: stateOf('a') }));
  const empty = { ...response, state: undefined };
  assert.deepEqual(cache.encode(empty), cache.encode(empty));
});
