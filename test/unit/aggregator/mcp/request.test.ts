import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodeDiscoveryRequest } from '../../../../aggregator/mcp/request.ts';
import { ProtocolError } from '../../../../common/errors.ts';
import { codec } from '../../../../proto/load.ts';

const requests = codec<Record<string, unknown>>('envoy.service.discovery.v3.DiscoveryRequest');

test('a request as istiod sends it is understood', () => {
  const bytes = requests.encode({
    typeUrl: 'networking.istio.io/v1/ServiceEntry',
    versionInfo: 'v',
    responseNonce: 'n',
    resourceNames: ['a', 'b'],
    node: { id: 'sidecar~1', metadata: { fields: { GENERATOR: { stringValue: 'api' } } } },
    errorDetail: { code: 3, message: 'bad' },
  });
  assert.deepEqual(decodeDiscoveryRequest(bytes), {
    typeUrl: 'networking.istio.io/v1/ServiceEntry',
    versionInfo: 'v',
    responseNonce: 'n',
    node: 'sidecar~1',
    error: 'bad',
  });
});

test('absent fields are told from empty ones where it matters', () => {
  assert.deepEqual(decodeDiscoveryRequest(Buffer.alloc(0)), {
    typeUrl: '',
    versionInfo: '',
    responseNonce: '',
    node: undefined,
    error: undefined,
  });
  const bytes = requests.encode({ node: {}, errorDetail: {} });
  assert.deepEqual(decodeDiscoveryRequest(bytes), {
    typeUrl: '',
    versionInfo: '',
    responseNonce: '',
    node: '',
    error: '',
  });
});

test('unknown fields, also with a known number and another type, are skipped', () => {
  const bytes = Buffer.from('2005' + '78ffffffff0f' + '2201' + '61', 'hex');
  assert.equal(decodeDiscoveryRequest(bytes).typeUrl, 'a');
});

test('bytes that are no request are an error of the protocol, whatever they are', () => {
  assert.throws(() => decodeDiscoveryRequest(Buffer.from('22ff', 'hex')), ProtocolError);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      try {
        decodeDiscoveryRequest(bytes);
      } catch (error) {
        assert.ok(error instanceof ProtocolError);
      }
    }),
  );
});

test('deeply nested groups are an error of the protocol', () => {
  const bytes = Buffer.alloc(1024 * 1024, 0x7b);
  assert.throws(() => decodeDiscoveryRequest(bytes), ProtocolError);
});
