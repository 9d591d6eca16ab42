import assert from 'node:assert/strict';
import { test } from 'node:test';
import { convertRecord } from '../../../../agent/eureka/convert.ts';
import { defaultEurekaOptions } from '../../../../agent/eureka/options.ts';
import type { PortPolicy } from '../../../../agent/eureka/options.ts';
import { instanceKey, parseInstanceKey } from '../../../../agent/eureka/record.ts';
import type { EurekaRecord } from '../../../../agent/eureka/record.ts';

function record(fields: Partial<EurekaRecord> = {}, metadata: object = {}): EurekaRecord {
  return {
    app: 'ORDERS',
    id: 'h1:orders:8080',
    hostName: 'h1',
    ipAddr: '10.0.0.1',
    status: 'UP',
    action: 'ADDED',
    port: { number: 8080, enabled: true },
    securePort: { number: 443, enabled: false },
    vipAddress: '',
    secureVipAddress: '',
    metadata: new Map(Object.entries(metadata)),
    dataCenter: new Map(),
    registeredAt: 1,
    leaseEndsAt: 2,
    updatedAt: 3,
    dirtyAt: 4,
    ...fields,
  };
}

const options = {
  ...defaultEurekaOptions.conversion,
  labelKeys: ['version', 'group', 'db.password', 'zone'],
  zones: { 'az 1': 'r1' },
};
const convert = (fields: Partial<EurekaRecord> = {}, metadata: object = {}) =>
  convertRecord(record(fields, metadata), options);

test('a record becomes an instance of its application, lower case', () => {
  assert.deepEqual(
    convert({}, { version: '1.10', weight: '010', zone: 'eu-west-1a', other: 'x' }),
    {
      id: 'ORDERS/h1:orders:8080',
      service: { kind: 'application', name: 'orders', group: '', version: '' },
      address: '10.0.0.1',
      ports: [{ protocol: 'http', number: 8080 }],
      labels: { version: '1.10', zone: 'eu-west-1a' },
      locality: 'eu-west-1/eu-west-1a',
      weight: 10,
      status: 'UP',
    },
  );
});

test('the address is the IP without brackets, else the host name', () => {
  assert.equal(convert({ ipAddr: '[2001:db8::1]' }).address, '2001:db8::1');
  assert.equal(convert({ ipAddr: ' 10.0.0.9 ' }).address, '10.0.0.9');
  assert.equal(convert({ ipAddr: '' }).address, 'h1');
  assert.equal(convert({ ipAddr: '2001:DB8:0:0::1' }).address, '2001:db8::1');
  assert.equal(convert({ ipAddr: '::ffff:10.0.0.9' }).address, '10.0.0.9');
});

test('what is no address gives way to the host name, and is no endpoint without one', () => {
  const address = (ipAddr: string, hostName: string): string =>
    convert({ ipAddr, hostName }).address;
  assert.equal(address('0.0.0.0', '10.0.0.7'), '10.0.0.7');
  assert.equal(address('null', 'web-1.example.com'), 'web-1.example.com');
  assert.equal(address('web-1.example.com', '10.0.0.7'), '10.0.0.7');
  assert.equal(address('fe80::1%eth0', ''), 'fe80::1%eth0');
  assert.equal(address('10.0.0.1:8080', 'null'), '10.0.0.1:8080');
  assert.equal(address('0.0.0.0', '::'), '0.0.0.0');
  assert.equal(address('http://user:pass@host/', ''), '');
  assert.equal(address('', 'user:pass@host'), '');
  assert.equal(address('x'.repeat(256), ''), '');
  assert.equal(address(' ', ' '), '');
});

test('the listed statuses take traffic, the others keep their word', () => {
  const upStatuses = ['UP', 'OUT_OF_SERVICE'] as const;
  const status = (given: EurekaRecord['status']): string =>
    convertRecord(record({ status: given }), { ...options, upStatuses }).status;
  assert.deepEqual((['UP', 'OUT_OF_SERVICE', 'STARTING', 'DOWN', 'UNKNOWN'] as const).map(status), [
    'UP',
    'UP',
    'STARTING',
    'DOWN',
    'UNKNOWN',
  ]);
});

test('VIP addresses become aliases unless the operator does not want them', () => {
  const given = record({ vipAddress: 'pay', secureVipAddress: 'ORDERS' });
  assert.deepEqual(convertRecord(given, options).aliases, [{ name: 'pay', ports: 'plain' }]);
  assert.ok(!('aliases' in convertRecord(given, { ...options, hasVipAliases: false })));
  assert.ok(!('aliases' in convert({ vipAddress: 'orders', secureVipAddress: 'orders' })));
});

test('enabled ports count, sorted by protocol, one of each', () => {
  const secure = { number: 8443, enabled: true };
  const off = { number: 1, enabled: false };
  const ports = (fields: Partial<EurekaRecord>, protocol = ''): string =>
    convert(fields, { 'istio.protocol': protocol })
      .ports.map((port) => `${port.protocol}:${port.number}`)
      .join(' ');
  assert.equal(ports({}), 'http:8080');
  assert.equal(ports({ securePort: secure }), 'http:8080 https:8443');
  assert.equal(ports({ port: off, securePort: secure }), 'https:8443');
  assert.equal(ports({ port: off, securePort: off }), '');
  assert.equal(ports({ port: undefined, securePort: undefined }), '');
  assert.equal(ports({}, 'GRPC'), 'grpc:8080');
  assert.equal(ports({}, 'carrier-pigeon'), 'http:8080');
  assert.equal(ports({ securePort: secure }, 'https'), 'https:8443');
  assert.equal(ports({ securePort: secure }, 'tcp'), 'https:8443 tcp:8080');
  assert.equal(ports({ securePort: secure }, 'tls'), 'tls:8443');
  assert.equal(ports({ port: off, securePort: secure }, 'tls'), 'tls:8443');
  assert.equal(ports({ port: off, securePort: secure }, 'grpc'), 'https:8443');
  for (const number of [0, -1, 65_536, 1.5, Number.NaN]) {
    assert.equal(ports({ port: { number, enabled: true } }), '');
  }
});

test('the policy says which ports are used', () => {
  const secure = { number: 8443, enabled: true };
  const off = { number: 1, enabled: false };
  const ports = (policy: PortPolicy, fields: Partial<EurekaRecord>): string =>
    convertRecord(record(fields, { 'grpc.port': '9090' }), { ...options, ports: policy })
      .ports.map((port) => `${port.protocol}:${port.number}`)
      .join(' ');
  assert.equal(ports('both', { securePort: secure }), 'grpc:9090 http:8080 https:8443');
  assert.equal(ports('prefer-secure', { securePort: secure }), 'grpc:9090 https:8443');
  assert.equal(ports('prefer-secure', { securePort: off }), 'grpc:9090 http:8080');
  assert.equal(ports('plain', { securePort: secure }), 'grpc:9090 http:8080');
  assert.equal(ports('plain', { port: off, securePort: secure }), 'grpc:9090');
  assert.equal(ports('secure', { securePort: secure }), 'https:8443');
  assert.equal(ports('secure', {}), '');
});

test('a gRPC port in metadata is one more port', () => {
  const ports = (metadata: object): string =>
    convert({}, metadata)
      .ports.map((port) => `${port.protocol}:${port.number}`)
      .join(' ');
  for (const key of ['gRPC_port', 'gRPC.port', 'grpc.port', 'grpc_port', 'grpcPort']) {
    assert.equal(ports({ [key]: ' 9090 ' }), 'grpc:9090 http:8080');
  }
  assert.equal(ports({ gRPC_port: '-1', 'grpc.port': '9091' }), 'grpc:9091 http:8080');
  assert.equal(ports({ 'istio.protocol': 'grpc', 'grpc.port': '9090' }), 'grpc:8080');
  for (const port of ['0', '65536', '9090.5', '', 'null', '0x10', '1e3', '${grpc.port}']) {
    assert.equal(ports({ gRPC_port: port }), 'http:8080', port);
  }
});

test('labels are what the list allows, never a secret, never null', () => {
  assert.deepEqual(
    convert({}, { version: 'null', group: 'g', 'db.password': 'x', token: 'y' }).labels,
    { group: 'g' },
  );
  const keys = [
    'user',
    'user.name',
    'user.password',
    'apiKey',
    'private-key',
    'my_token',
    'secret',
  ];
  const metadata = Object.fromEntries(keys.map((key) => [key, 'x']));
  const all = convertRecord(record({}, metadata), { ...options, labelKeys: keys });
  assert.deepEqual(all.labels, {});
  assert.deepEqual(
    convert({}, { version: 'http://a:b@c', group: 'x'.repeat(4097), zone: 'z' }).labels,
    { zone: 'z' },
  );
});

test('a weight is a positive integer or nothing', () => {
  const weights = ['5', '007', '0', '-1', '1.5', 'many', '', '99999999999'];
  assert.deepEqual(
    weights.map((weight) => convert({}, { weight }).weight),
    [5, 7, 0, 0, 0, 0, 0, 0],
  );
});

test('an availability zone of Amazon is the locality of an instance that says none', () => {
  const dataCenter = new Map([['availability-zone', 'us-east-1c']]);
  assert.equal(convert({ dataCenter }, {}).locality, 'us-east-1/us-east-1c');
  assert.equal(convert({ dataCenter }, { region: 'r', zone: 'z' }).locality, 'r/z');
});

test('an instance key can be taken apart again', () => {
  assert.equal(instanceKey('orders', 'a/b:1'), 'ORDERS/a/b:1');
  assert.deepEqual(parseInstanceKey('ORDERS/a/b:1'), { app: 'ORDERS', id: 'a/b:1' });
  assert.deepEqual(parseInstanceKey(instanceKey('a/b', 'c')), { app: 'A/B', id: 'c' });
  for (const text of ['', '/', 'A/', '/a', 'A']) assert.equal(parseInstanceKey(text), undefined);
});
