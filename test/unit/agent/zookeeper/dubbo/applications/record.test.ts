import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  portOf,
  readDubboInstance,
} from '../../../../../../agent/zookeeper/dubbo/applications/record.ts';
import { fixture, parse, recordOf, registration, sharing } from './registered.ts';

const context = { labelKeys: ['release', 'zone'], zones: { z1: 'eu' }, sharing };

function read(text: string): ReturnType<typeof readDubboInstance> {
  return readDubboInstance(parse(text), context);
}

test('a registration of Dubbo 3.3.6 with local metadata is understood', () => {
  const [node] = fixture('dubbo-3.3.6-instance-local').filter(({ path }) =>
    path.endsWith(':20880'),
  );
  assert.deepEqual(read(node?.data ?? ''), {
    application: 'orders3-app',
    address: '192.0.2.11',
    port: 20880,
    protocols: [{ protocol: 'dubbo', port: 20880 }],
    revision: '0531eb37d533f49c694ed2b0ea692d7e',
    isLegacy: false,
    storage: 'local',
    metadataVersion: '1.0.0',
    metadataService: { protocol: 'dubbo', port: 20880 },
    timestamp: 1795364618520,
    labels: [],
    locality: '',
    weight: 0,
  });
});

for (const [name, expected] of [
  ['dubbo-3.2.16-all', ['local', '', 'dubbo:20880', ['dubbo:20880', 'tri:50051']]],
  ['dubbo-3.3.6-all', ['local', '2.0.0', 'tri:50051', ['dubbo:20880', 'tri:50051']]],
  ['dubbo-3.3.6-instance-remote', ['remote', '2.0.0', '', ['dubbo:20880', 'tri:50051']]],
  ['dubbo-3.3.6-ext-protocol', ['local', '1.0.0', 'dubbo:20880', ['dubbo:20880', 'tri:20880']]],
  ['dubbo-3.3.6-simplified', ['local', '1.0.0', 'dubbo:20880', ['dubbo:20880']]],
  ['dubbo-3.3.6-group', ['local', '1.0.0', 'dubbo:20880', ['dubbo:20880']]],
] as const) {
  test(`the registration of ${name} says its protocols and where its metadata are`, () => {
    const [node] = fixture(name).filter(({ path }) => /-app\/[^/]+:\d+$/.test(path));
    const record = recordOf(node?.data ?? '');
    const { metadataService: service } = record;
    assert.deepEqual(
      [
        record.storage,
        record.metadataVersion,
        service === undefined ? '' : `${service.protocol}:${service.port}`,
        record.protocols.map(({ protocol, port }) => `${protocol}:${port}`),
      ],
      expected,
    );
  });
}

test('an empty revision and none at all export nothing', () => {
  assert.equal(recordOf(registration({ revision: '0' })).revision, '');
  assert.equal(recordOf(registration({ revision: undefined })).revision, '');
  assert.equal(recordOf(registration({ revision: undefined })).isLegacy, false);
});

test('a registration of Dubbo 2.7.5 is told by its own revision key', () => {
  const metadata = { 'dubbo.exported-services.revision': 'abc' };
  const record = recordOf(registration({ revision: undefined, metadata }));
  assert.deepEqual([record.revision, record.isLegacy], ['', true]);
});

test('labels, zone and weight come from its metadata, secrets do not', () => {
  const metadata = { zone: 'z1', weight: '30', release: '3.3.6', token: 's3cret' };
  const record = read(registration({ metadata }));
  assert.ok(typeof record !== 'string');
  assert.deepEqual(record.labels, [
    ['release', '3.3.6'],
    ['zone', 'z1'],
  ]);
  assert.deepEqual([record.locality, record.weight], ['eu/z1', 30]);
  assert.ok(!JSON.stringify(record).includes('s3cret'));
});

test('the last of equal protocols counts, and what is none is left out', () => {
  const endpoints = [
    { port: 1, protocol: 'DUBBO' },
    { port: 0, protocol: 'rest' },
    { port: 2, protocol: 'dubbo' },
    { port: 3, protocol: 'no protocol' },
  ];
  assert.deepEqual(recordOf(registration({ endpoints })).protocols, [
    { protocol: 'dubbo', port: 2 },
  ]);
});

for (const [what, record, reason] of [
  ['a name', { address: '192.0.2.1', port: 1 }, 'service'],
  ['a short name', { name: 'x'.repeat(513), address: '192.0.2.1', port: 1 }, 'service'],
  ['an address', { name: 'a', port: 1 }, 'address'],
  ['an address to dial', { name: 'a', address: '0.0.0.0', port: 1 }, 'address'],
  ['a port', { name: 'a', address: '192.0.2.1', port: 0 }, 'port'],
  ['a possible port', { name: 'a', address: '192.0.2.1', port: 65_536 }, 'port'],
] as const) {
  test(`a registration without ${what} is left out`, () => {
    assert.equal(read(JSON.stringify(record)), reason);
  });
}

test('metadata that are no JSON say nothing', () => {
  const metadata = { 'dubbo.endpoints': '[{', 'dubbo.metadata-service.url-params': 'x' };
  const record = recordOf(registration({ metadata }));
  assert.deepEqual([record.protocols, record.metadataService], [[], undefined]);
});

test('a port may be written as text', () => {
  assert.deepEqual(['20880', 20880, '', '-1', '1e3', null, 1.5].map(portOf), [
    ...[20880, 20880, 0, 0, 0, 0, 0],
  ]);
});

test('whatever the record, reading it does not throw', () => {
  const texts = fc.oneof(fc.string(), fc.json());
  const record = fc.record(
    {
      name: fc.anything(),
      address: fc.oneof(fc.ipV4(), fc.string()),
      port: fc.anything(),
      payload: fc.record({
        metadata: fc.dictionary(
          fc.constantFrom('dubbo.endpoints', 'dubbo.metadata-service.url-params', 'timestamp'),
          texts,
        ),
      }),
    },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(record, (value) => {
      readDubboInstance(value, context);
    }),
  );
});
