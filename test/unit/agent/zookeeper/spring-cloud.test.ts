import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { NodeReading } from '../../../../agent/zookeeper/reading.ts';
import { wantNothing } from '../../../../agent/zookeeper/reading.ts';
import { Sharing } from '../../../../agent/zookeeper/sharing.ts';
import { createSpringCloudReading } from '../../../../agent/zookeeper/spring-cloud.ts';
import type { Instance } from '../../../../common/instance.ts';

const reading = createSpringCloudReading(
  {
    roots: ['/services'],
    labelKeys: ['cluster', 'group', 'profile', 'version', 'user.password'],
    zones: { az1: 'eu-west' },
  },
  new Sharing(),
);
const springClass = 'org.springframework.cloud.zookeeper.discovery.ZookeeperInstance';
const dubboClass = 'org.apache.dubbo.registry.zookeeper.ZookeeperInstance';

function read(record: unknown, path = '/services/orders/orders-1'): NodeReading {
  const text = typeof record === 'string' ? record : JSON.stringify(record);
  return reading.read(path, Buffer.from(text));
}

function record(metadata: unknown = {}, more: object = {}): object {
  return {
    name: 'Orders',
    id: 'orders-1',
    address: '192.0.2.5',
    port: 8080,
    sslPort: null,
    payload: { '@class': springClass, id: 'orders', name: 'orders', metadata },
    serviceType: 'DYNAMIC',
    uriSpec: null,
    ...more,
  };
}

function instanceOf(value: unknown, path?: string): Instance {
  const said = read(value, path);
  assert.ok(said.kind === 'endpoint', JSON.stringify(said));
  return said.instance;
}

test('applications are listed, and nodes below them read with what is below', () => {
  const listed = { node: false, data: false, children: true };
  const node = { node: true, data: true, children: true };
  assert.deepEqual(reading.want('/services'), listed);
  assert.deepEqual(reading.want('/services/orders'), listed);
  assert.deepEqual(reading.want('/services/orders/orders-1'), node);
  assert.deepEqual(reading.want('/services/team/orders/orders-1'), node);
});

test('nothing is looked for below what can only be an instance', () => {
  const leaf = { node: true, data: true, children: false };
  for (const name of ['4410342d-8748-476b-9ad8-69711bf8e3df', '192.0.2.11:20880', '[fd00::1]:80']) {
    assert.deepEqual(reading.want(`/services/orders/${name}`), leaf, name);
  }
  assert.deepEqual(reading.want(`/services${'/a'.repeat(10)}`), leaf);
  assert.deepEqual(reading.want(`/services${'/a'.repeat(11)}`), wantNothing);
  assert.deepEqual(reading.want('/servicesx/a'), wantNothing);
});

test('a record becomes an instance of the lower-cased application', () => {
  const metadata = { group: 'g', version: '2', cluster: 'c', profile: 'p', weight: '30', x: 'y' };
  assert.deepEqual(instanceOf(record(metadata)), {
    id: 'spring-cloud:/services/orders/orders-1',
    service: { kind: 'application', name: 'orders', group: '', version: '' },
    address: '192.0.2.5',
    ports: [{ protocol: 'http', number: 8080 }],
    labels: { cluster: 'c', group: 'g', profile: 'p', version: '2' },
    locality: '',
    weight: 30,
    status: 'UP',
  });
});

test('the name comes from the record, not from the depth of its node', () => {
  const { id, service } = instanceOf(
    record({}, { name: 'Team/Orders' }),
    '/services/Team/Orders/orders-1',
  );
  assert.equal(service.name, 'team/orders');
  assert.equal(id, 'spring-cloud:/services/Team/Orders/orders-1');
});

test('slashes stand between the parts of a name only', () => {
  for (const name of ['team/orders', '/team/orders', 'team//orders/', ' /Team/Orders ']) {
    assert.equal(instanceOf(record({}, { name })).service.name, 'team/orders', name);
  }
});

test('metadata, else a scheme written out in the URI specification, say what a port speaks', () => {
  const http = [{ value: 'http://', variable: false }];
  const spec = (value: unknown, variable: unknown = false): object => ({
    uriSpec: {
      parts: [
        { value, variable },
        { value: 'address', variable: true },
      ],
    },
  });
  const cases: readonly (readonly [object, object, string])[] = [
    [{ 'istio.protocol': 'grpc' }, {}, 'grpc:8080'],
    [{ 'istio.protocol': ' HTTP2 ' }, {}, 'http2:8080'],
    [{ 'istio.protocol': 'tcp' }, spec('https://'), 'tcp:8080'],
    [{ 'istio.protocol': 'dubbo' }, {}, 'http:8080'],
    [{ 'istio.protocol': 'tls' }, { sslPort: 8443 }, 'tls:8443'],
    [{ 'istio.protocol': 'grpc' }, { sslPort: 8443 }, 'https:8443'],
    [{}, spec('https://'), 'https:8080'],
    [{}, spec('HTTP2://10.0.0.1:9/ctx'), 'http2:8080'],
    [{}, spec('ftp://'), 'http:8080'],
    [{}, spec('scheme', true), 'http:8080'],
    [{}, spec('https'), 'http:8080'],
    [{}, spec(5), 'http:8080'],
    [{}, spec('https://', null), 'http:8080'],
    [{}, { uriSpec: { parts: {} } }, 'http:8080'],
    [{}, { uriSpec: { parts: [] } }, 'http:8080'],
    [{}, { uriSpec: http }, 'http:8080'],
    [{}, { ...spec('grpc://'), sslPort: 8443 }, 'https:8443'],
    [{ gRPC_port: '9090' }, {}, 'grpc:9090 http:8080'],
    [{ gRPC_port: '9090' }, { sslPort: 8443 }, 'grpc:9090 https:8443'],
    [{ gRPC_port: '9090' }, { port: null }, 'grpc:9090'],
    [{ gRPC_port: '9090', 'istio.protocol': 'grpc' }, {}, 'grpc:8080'],
    [{ gRPC_port: '0', 'management.port': '9091' }, {}, 'http:8080'],
  ];
  for (const [metadata, more, expected] of cases) {
    const { ports } = instanceOf(record(metadata, more));
    const text = ports.map(({ protocol, number }) => `${protocol}:${number}`).join(' ');
    assert.equal(text, expected, JSON.stringify([metadata, more]));
  }
});

test('a payload may come as a list of class and object', () => {
  const metadata = { version: '7', instance_status: 'DOWN' };
  const spring = instanceOf(record({}, { payload: [springClass, { metadata }] }));
  assert.deepEqual([spring.labels, spring.status], [{ version: '7' }, 'DOWN']);
  const typed = instanceOf(record({}, { payload: { metadata: ['java.util.HashMap', metadata] } }));
  assert.equal(typed.status, 'DOWN');
  assert.equal(read(record({}, { payload: [dubboClass, { metadata: {} }] })).kind, 'fact');
  for (const payload of [[springClass], [springClass, null], [1, 2], [springClass, 'x']]) {
    assert.equal(instanceOf(record({}, { payload })).status, 'UP');
  }
});

test('any type of registration is an instance, and no other URI or address than the host is used', () => {
  for (const serviceType of ['DYNAMIC', 'STATIC', 'PERMANENT', 'DYNAMIC_SEQUENTIAL', null]) {
    assert.equal(instanceOf(record({}, { serviceType })).address, '192.0.2.5');
  }
  assert.equal(instanceOf(record({}, { address: ' Host-1.Internal ' })).address, 'host-1.internal');
});

test('a secure port is the only port', () => {
  const cases: readonly (readonly [object, unknown])[] = [
    [{ sslPort: 8443 }, [{ protocol: 'https', number: 8443 }]],
    [{ port: null, sslPort: 8443 }, [{ protocol: 'https', number: 8443 }]],
    [{ port: '8081' }, [{ protocol: 'http', number: 8081 }]],
    [{ sslPort: 0 }, [{ protocol: 'http', number: 8080 }]],
    [{ port: null }, []],
    [{ port: 70_000 }, []],
    [{ port: '' }, []],
  ];
  for (const [more, ports] of cases) assert.deepEqual(instanceOf(record({}, more)).ports, ports);
});

test('only UP takes traffic, and no status means UP', () => {
  const cases: readonly (readonly [object, string])[] = [
    [{}, 'UP'],
    [{ instance_status: '' }, 'UP'],
    [{ instance_status: 'up' }, 'UP'],
    [{ instance_status: 'OUT_OF_SERVICE' }, 'OUT_OF_SERVICE'],
    [{ instance_status: 'DOWN' }, 'DOWN'],
    [{ instance_status: 'STARTING' }, 'STARTING'],
    [{ instance_status: 'weird' }, 'UNKNOWN'],
  ];
  for (const [metadata, status] of cases) assert.equal(instanceOf(record(metadata)).status, status);
  assert.equal(instanceOf(record({}, { enabled: false })).status, 'OUT_OF_SERVICE');
  assert.equal(instanceOf(record({}, { enabled: true })).status, 'UP');
});

test('a locality has a region or is none', () => {
  const cases: readonly (readonly [object, string])[] = [
    [{ zone: 'az1' }, 'eu-west/az1'],
    [{ zone: 'az2' }, ''],
    [{ zone: 'az1', region: 'us' }, 'us/az1'],
    [{ zone: 'az2', region: 'us', subzone: 'r1' }, 'us/az2/r1'],
    [{ region: 'us', subzone: 'r1' }, 'us'],
    [{ 'istio.locality': 'a/b/c', zone: 'az1' }, 'a/b/c'],
    [{ 'istio.locality': '/b/c', zone: 'az1' }, 'eu-west/az1'],
    [{ 'istio.locality': 'a/b/c/d' }, ''],
    [{ 'istio.locality': 'a//c' }, 'a'],
    [{ zone: 'constructor' }, ''],
    [{ zone: 'a b', region: 'us' }, 'us/a b'],
    [{ zone: 'eu-west-1a' }, 'eu-west-1/eu-west-1a'],
  ];
  for (const [metadata, locality] of cases) {
    assert.equal(instanceOf(record(metadata)).locality, locality, JSON.stringify(metadata));
  }
});

test('values that are no text are written as one', () => {
  const { labels } = instanceOf(record({ version: 2, cluster: true, group: null, profile: {} }));
  assert.deepEqual(labels, { cluster: 'true', version: '2' });
});

test('secrets do not become labels, even when they are asked for', () => {
  assert.deepEqual(instanceOf(record({ 'user.password': 'p', version: '1' })).labels, {
    version: '1',
  });
});

test('a record without payload or with another class is usable', () => {
  for (const payload of [null, undefined, 'text', [], { '@class': 'com.example.Own' }]) {
    assert.equal(instanceOf(record({}, { payload })).status, 'UP');
  }
});

test('registrations of Dubbo applications are facts', () => {
  const endpoints = { 'dubbo.endpoints': '[]' };
  const payloads = [
    { '@class': dubboClass, metadata: {} },
    { metadata: endpoints },
    { '@class': 'com.example.Own', metadata: { 'dubbo.metadata.revision': '1' } },
    { metadata: { 'dubbo.exported-services.revision': '1' } },
  ];
  for (const payload of payloads) assert.equal(read(record({}, { payload })).kind, 'fact');
  assert.equal(
    instanceOf(record(endpoints)).status,
    'UP',
    'a Spring application that has Dubbo too',
  );
});

test('directories are ignored', () => {
  const directory = { kind: 'ignored', what: 'directory' };
  assert.deepEqual(reading.read('/services/team/orders', null), directory);
  for (const data of ['', '127.0.0.1', 'fd00::1']) assert.deepEqual(read(data), directory);
});

test('a record that cannot be understood is dropped by reason', () => {
  const cases: readonly (readonly [unknown, string])[] = [
    ['{"name":', 'json'],
    ['[]', 'json'],
    ['null', 'json'],
    ['"text"', 'json'],
    [{}, 'service'],
    [record({}, { name: ' ' }), 'service'],
    [record({}, { name: 5 }), 'service'],
    [record({}, { name: 'x'.repeat(600) }), 'service'],
    [record({}, { address: null }), 'address'],
    [record({}, { address: '0.0.0.0' }), 'address'],
    [`{"x":"${'x'.repeat(300_000)}"}`, 'too-long'],
  ];
  for (const [value, reason] of cases) {
    assert.deepEqual(read(value), { kind: 'dropped', reason, record: '/services/orders/orders-1' });
  }
  assert.equal(read(record(), `/services/orders/${'x'.repeat(1_100)}`).kind, 'dropped');
});

test('no data makes it throw', () => {
  fc.assert(
    fc.property(fc.oneof(fc.json(), fc.string()), (text) => {
      read(text);
    }),
  );
  fc.assert(
    fc.property(fc.anything(), fc.anything(), fc.anything(), (metadata, port, address) => {
      read(JSON.stringify(record(metadata, { port, address }), withoutBigInts));
    }),
  );
});

function withoutBigInts(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? String(value) : value;
}
