import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { encodeResource } from '../../../aggregator/encode.ts';
import type { Endpoint, Service } from '../../../aggregator/merge.ts';
import { servicePort } from '../../../aggregator/protocols.ts';
import { renderService } from '../../../aggregator/render.ts';
import type { Resource } from '../../../aggregator/store-types.ts';
import { validate } from '../../../aggregator/validate.ts';
import { codec } from '../../../proto/load.ts';
import { serviceEntryErrors } from '../../support/istiod-validation.ts';
import type { ServiceEntrySpec } from '../../support/istiod-validation.ts';
import { anyText } from '../../support/any-text.ts';

const options = { namespace: 'tributary', vip: '240.1.2.3' };

interface AnyMessage {
  readonly type_url: string;
  readonly value: Uint8Array;
}

const response = codec<{ readonly resources: readonly AnyMessage[] }>(
  'envoy.service.discovery.v3.DiscoveryResponse',
);
const resourceMessage = codec<{
  readonly metadata: {
    readonly name: string;
    readonly createTime: { readonly seconds: number; readonly nanos: number };
    readonly version: string;
    readonly labels: Readonly<Record<string, string>>;
    readonly annotations: Readonly<Record<string, string>>;
  };
  readonly body: AnyMessage;
}>('istio.mcp.v1alpha1.Resource');
const entryMessage = codec<ServiceEntrySpec>('istio.networking.v1alpha3.ServiceEntry');

function endpoint(address: string, port: number, changes: Partial<Endpoint> = {}): Endpoint {
  const rest = { network: '', locality: '', weight: 0, labels: {}, provenance: [] };
  return { address, port, ...rest, ...changes };
}

function service(endpoints: readonly Endpoint[], changes: Partial<Service> = {}): Service {
  return {
    host: 'orders.tributary.internal',
    protocol: 'http',
    endpoints,
    names: { 'tributary.io/application': 'ORDERS' },
    withheld: {},
    conflicts: [],
    conflictCount: 0,
    ...changes,
  };
}

function decode({ field }: Resource) {
  const [any] = response.decode(field).resources;
  assert.equal(any?.type_url, 'type.googleapis.com/istio.mcp.v1alpha1.Resource');
  const { metadata, body } = resourceMessage.decode(any.value);
  assert.equal(body.type_url, 'type.googleapis.com/istio.networking.v1alpha3.ServiceEntry');
  return { metadata, entry: entryMessage.decode(body.value) };
}

const served = (endpoints: readonly Endpoint[], changes: Partial<Service> = {}) =>
  decode(encodeResource(renderService(service(endpoints, changes), options)));

test('a service arrives at istiod as it was meant', () => {
  const full = endpoint('10.0.0.1', 8080, {
    network: 'n1',
    locality: 'r/z',
    weight: 7,
    labels: { a: '1' },
  });
  const resource = encodeResource(renderService(service([full, endpoint('fd00::1', 81)]), options));
  assert.equal(resource.name, 'tributary/orders.tributary.internal');
  assert.match(resource.version, /^[0-9a-f]{16}$/);
  const { metadata, entry } = decode(resource);
  assert.deepEqual(metadata, {
    name: 'tributary/orders.tributary.internal',
    createTime: { seconds: Date.UTC(2100, 0, 1) / 1000, nanos: 0 },
    version: resource.version,
    labels: {},
    annotations: { 'tributary.io/application': 'ORDERS' },
  });
  assert.deepEqual(entry, {
    hosts: ['orders.tributary.internal'],
    addresses: ['240.1.2.3'],
    ports: [{ number: 80, protocol: 'HTTP', name: 'http', targetPort: 0 }],
    location: 1,
    resolution: 1,
    endpoints: [
      {
        address: '10.0.0.1',
        ports: { http: 8080 },
        labels: { a: '1' },
        network: 'n1',
        locality: 'r/z',
        weight: 7,
        serviceAccount: '',
      },
      {
        address: 'fd00::1',
        ports: { http: 81 },
        labels: {},
        network: '',
        locality: '',
        weight: 0,
        serviceAccount: '',
      },
    ],
    exportTo: [],
    subjectAltNames: [],
    workloadSelector: null,
  });
  assert.deepEqual(serviceEntryErrors(entry), []);
});

test('an empty service differs in a label and its create time', () => {
  const { metadata, entry } = served([]);
  assert.deepEqual(metadata.labels, { 'tributary.io/empty': 'true' });
  assert.equal(metadata.createTime.seconds, Date.UTC(2100, 0, 1) / 1000 + 1);
  assert.deepEqual(entry.endpoints, []);
  assert.deepEqual(serviceEntryErrors(entry), []);
});

test('endpoints that share an address carry a label that changes with their ports', () => {
  const labels = (...ports: number[]): (string | undefined)[] =>
    served([
      ...ports.map((port) => endpoint('10.0.0.1', port)),
      endpoint('10.0.0.2', 1),
    ]).entry.endpoints.map((found) => found.labels['tributary.io/port-group']);
  const [a, b, alone] = labels(80, 81);
  assert.match(a ?? '', /^[0-9a-f]{10}$/);
  assert.equal(a, b);
  assert.equal(alone, undefined);
  assert.notEqual(labels(80, 82)[0], a);
  assert.equal(labels(81, 80)[0], a);
  assert.deepEqual(labels(80), [undefined, undefined]);
});

for (const [protocol, expected] of [
  ['http', [80, 'HTTP', 'http']],
  ['https', [443, 'HTTPS', 'https']],
  ['dubbo', [20880, 'TCP', 'tcp-dubbo']],
  ['tri', [50051, 'GRPC', 'grpc-tri']],
  ['grpc', [50051, 'GRPC', 'grpc']],
  ['rest', [80, 'HTTP', 'http-rest']],
  ['http2', [80, 'HTTP2', 'http2']],
  ['avro', [9000, 'TCP', 'tcp-avro']],
  ['Odd_Name ', [9000, 'TCP', 'tcp-odd-name']],
  ['__', [9000, 'TCP', 'tcp']],
] as const) {
  test(`the port of ${protocol} is ${expected.join(' ')}`, () => {
    const { number, protocol: mesh, name } = servicePort(protocol);
    assert.deepEqual([number, mesh, name], expected);
  });
}

test('every service port is valid for every istiod', () => {
  const known = 'http https http2 grpc grpc-web tri rest hessian webservice dubbo rmi thrift tcp';
  for (const protocol of [
    ...known.split(' '),
    'tls',
    'udp',
    'mongo',
    'redis',
    'mysql',
    'x'.repeat(80),
  ]) {
    assert.deepEqual(serviceEntryErrors(served([], { protocol }).entry), [], protocol);
  }
});

test('equal services have equal bytes, other ones another version', () => {
  const encode = (endpoints: readonly Endpoint[], vip = '240.1.2.3', names = {}): Resource =>
    encodeResource(renderService(service(endpoints, { names }), { ...options, vip }));
  const one = [endpoint('10.0.0.1', 1)];
  const first = encode(one);
  assert.deepEqual(encode(one), first);
  const versions = [
    first,
    encode([endpoint('10.0.0.1', 2)]),
    encode([endpoint('10.0.0.1', 1, { weight: 1 })]),
    encode([endpoint('10.0.0.1', 1, { labels: { a: 'b' } })]),
    encode([]),
    encode(one, '240.1.2.4'),
    encode(one, '240.1.2.3', { interface: 'X' }),
  ].map(({ version }) => version);
  assert.equal(new Set(versions).size, versions.length);
});

test('the bytes of a resource are the same for ever', () => {
  const { version } = encodeResource(renderService(service([endpoint('10.0.0.1', 8080)]), options));
  assert.equal(version, 'c561b9581ae70431');
});

test('whatever registries say, what is rendered is valid, here and in istiod', () => {
  const text = anyText({ maxLength: 80 });
  const arbitrary = fc.record({
    address: fc.oneof(fc.ipV4(), fc.ipV6()),
    port: fc.integer({ min: 1, max: 65_535 }),
    network: text,
    locality: text,
    weight: fc.integer({ min: 0, max: 10_000 }),
    labels: fc.dictionary(text, text),
    provenance: fc.constant([]),
  });
  fc.assert(
    fc.property(
      fc.uniqueArray(arbitrary, { selector: ({ address }) => address }),
      text,
      fc.dictionary(text, text),
      (endpoints, protocol, names) => {
        const rendered = renderService(service(endpoints, { protocol, names }), options);
        assert.equal(validate(rendered), undefined);
        const { entry, metadata } = decode(encodeResource(rendered));
        assert.deepEqual(serviceEntryErrors(entry), []);
        assert.deepEqual({ ...metadata.annotations }, { ...names });
        assert.deepEqual(
          entry.endpoints.map(({ address, ports }) => [address, ...Object.values(ports)]),
          endpoints.map(({ address, port }) => [address, port]),
        );
      },
    ),
  );
});
