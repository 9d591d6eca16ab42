import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { createDubboReading } from '../../../../../agent/zookeeper/dubbo/dubbo.ts';
import type { NodeReading } from '../../../../../agent/zookeeper/reading.ts';
import { wantNothing } from '../../../../../agent/zookeeper/reading.ts';
import { Sharing } from '../../../../../agent/zookeeper/sharing.ts';
import { defaultZooKeeperOptions } from '../../../../../agent/zookeeper/options.ts';
import type { Instance } from '../../../../../common/instance.ts';

const options = {
  roots: ['/dubbo', '/mygroup'],
  hiddenInterfaces: defaultZooKeeperOptions.hiddenInterfaces,
  labelKeys: ['application', 'dubbo.tag', 'release', 'token', 'password'],
};
const reading = createDubboReading(options, new Sharing());

function read(url: string, directory = '/dubbo/com.example.A'): NodeReading {
  return reading.read(`${directory}/providers/${encodeURIComponent(url)}`, null);
}

function instanceOf(url: string, directory?: string): Instance {
  const said = read(url, directory);
  assert.ok(said.kind === 'endpoint', JSON.stringify(said));
  return said.instance;
}

test('only the leaves below providers are wanted, and the providers are found by name', () => {
  const children = { node: false, data: false, children: true };
  assert.deepEqual(reading.want('/dubbo'), children);
  assert.deepEqual(reading.want('/dubbo/com.example.A'), {
    node: false,
    data: false,
    children: ['providers'],
  });
  assert.deepEqual(reading.want('/dubbo/com.example.A/providers'), children);
  assert.deepEqual(reading.want('/mygroup/com.example.A/providers/dubbo%3A%2F%2Fh'), {
    node: true,
    data: false,
    children: false,
  });
});

test('nothing else in the tree is wanted', () => {
  const paths = [
    '/',
    '/other',
    '/dubbox/com.example.A/providers/leaf',
    '/dubbo/config',
    '/dubbo/metadata',
    '/dubbo/mapping',
    '/dubbo/config/providers',
    '/dubbo/metadata/providers/app',
    '/dubbo/mapping/providers',
    '/dubbo/com.example.A/consumers',
    '/dubbo/com.example.A/consumers/consumer%3A%2F%2Fh',
    '/dubbo/com.example.A/configurators/override%3A%2F%2Fh',
    '/dubbo/com.example.A/providersx',
    '/dubbo/com.example.A/providersx/leaf',
    '/dubbo/com.example.A/providers/leaf/below',
    '/dubbo/org.apache.dubbo.metadata.MetadataService',
    '/dubbo/org.apache.dubbo.metadata.MetadataService/providers/leaf',
    '/dubbo/com%2Ealibaba.dubbo.monitor.MonitorService',
  ];
  for (const path of paths) assert.deepEqual(reading.want(path), wantNothing, path);
});

test('a root of / has its interfaces at the top', () => {
  const atTop = createDubboReading({ ...options, roots: ['/'] }, new Sharing());
  assert.equal(atTop.want('/').children, true);
  assert.deepEqual(atTop.want('/com.example.A').children, ['providers']);
  const leaf = `/com.example.A/providers/${encodeURIComponent('dubbo://192.0.2.1:1/x')}`;
  assert.equal(atTop.want(leaf).node, true);
  const said = atTop.read(leaf, null);
  assert.equal(
    said.kind === 'endpoint' && said.instance.id,
    'dubbo:/com.example.A:::dubbo://192.0.2.1:1',
  );
});

test('a provider becomes an instance of its interface, group and version', () => {
  assert.deepEqual(
    instanceOf(
      'dubbo://192.0.2.2:20880/other.Path?application=demo&dubbo.tag=gray&group=g1&interface=x&release=3.1.11&version=1.0.0&weight=150&timestamp=7',
    ),
    {
      id: 'dubbo:/dubbo/com.example.A:g1:1.0.0:dubbo://192.0.2.2:20880',
      service: { kind: 'dubbo', name: 'com.example.A', group: 'g1', version: '1.0.0' },
      address: '192.0.2.2',
      ports: [{ protocol: 'dubbo', number: 20880 }],
      labels: { application: 'demo', 'dubbo.tag': 'gray', release: '3.1.11' },
      locality: '',
      weight: 150,
      status: 'UP',
    },
  );
});

test('the interface is decoded from the name of its directory', () => {
  const { id, service } = instanceOf('dubbo://192.0.2.2:1/a', '/dubbo/com.example.Outer%24In+ner');
  assert.equal(service.name, 'com.example.Outer$In ner');
  assert.equal(id, 'dubbo:/dubbo/com.example.Outer$In ner:::dubbo://192.0.2.2:1');
});

test('every scheme of a provider is a protocol', () => {
  for (const scheme of [
    'dubbo',
    'tri',
    'rest',
    'hessian',
    'grpc',
    'rmi',
    'http',
    'thrift',
    'webservice',
  ]) {
    assert.deepEqual(instanceOf(`${scheme}://192.0.2.2:9/a`).ports, [
      { protocol: scheme, number: 9 },
    ]);
  }
});

test('leaves that are no provider are ignored, not dropped', () => {
  const urls = [
    'empty://0.0.0.0/a',
    'consumer://192.0.2.2/a',
    'override://192.0.2.2:1/a',
    'route://192.0.2.2:1/a',
    'provider://192.0.2.2:1/a',
    'dubbo://192.0.2.2:1/a?category=configurators',
  ];
  for (const url of urls)
    assert.deepEqual(read(url), { kind: 'ignored', what: 'not-a-provider' }, url);
  assert.equal(instanceOf('dubbo://192.0.2.2:1/a?category=providers').status, 'UP');
});

test('a record that cannot be an endpoint is dropped with its directory and no secret', () => {
  const cases: readonly (readonly [string, string])[] = [
    ['not a url', 'url'],
    ['dubbo://u:hidden@/a', 'address'],
    ['dubbo://0.0.0.0:1/a?token=hidden', 'address'],
    ['dubbo://fe80::1%eth0:20880/a', 'address'],
    ['dubbo://a b:20880/a', 'address'],
    ['dubbo://192.0.2.2/a', 'port'],
    ['dubbo://192.0.2.2:0/a', 'port'],
    ['dubbo://192.0.2.2:70000/a', 'port'],
    [`dubbo://192.0.2.2:1/a?group=${'g'.repeat(1_100)}`, 'too-long'],
  ];
  for (const [url, reason] of cases) {
    const record = '/dubbo/com.example.A/providers';
    assert.deepEqual(read(url), { kind: 'dropped', reason, record }, url);
  }
  assert.equal(read('dubbo://192.0.2.2:1/a', '/dubbo/%zz').kind, 'dropped');
});

test('an IPv6 address is canonical, with brackets in the id only', () => {
  for (const host of ['fd00:0:0:0:0:0:0:2', '[fd00::2]', 'FD00::2']) {
    const instance = instanceOf(`tri://${host}:50051/a`);
    assert.equal(instance.address, 'fd00::2');
    assert.equal(instance.id, 'dubbo:/dubbo/com.example.A:::tri://[fd00::2]:50051');
  }
});

test('a host name stays a host name', () => {
  assert.equal(instanceOf('dubbo://Orders-1.internal:1/a').address, 'orders-1.internal');
});

test('a weight that is given is passed on, and no weight is zero', () => {
  const weights: readonly (readonly [string, number, string])[] = [
    ['', 0, 'UP'],
    ['weight=', 0, 'UP'],
    ['weight=abc', 0, 'UP'],
    ['weight=1.5', 0, 'UP'],
    ['weight=1', 1, 'UP'],
    ['weight=100', 100, 'UP'],
    ['weight=99999999999', 0x7fff_ffff, 'UP'],
    ['default.weight=7', 7, 'UP'],
    ['weight=0', 0, 'OUT_OF_SERVICE'],
    ['weight=00', 0, 'OUT_OF_SERVICE'],
    ['weight=-5', 0, 'OUT_OF_SERVICE'],
  ];
  for (const [query, weight, status] of weights) {
    const instance = instanceOf(`dubbo://192.0.2.2:1/a?${query}`);
    assert.deepEqual([instance.weight, instance.status], [weight, status], query);
  }
});

test('disabled, where present, decides; else enabled does', () => {
  const cases: readonly (readonly [string, string])[] = [
    ['enabled=true', 'UP'],
    ['enabled=false', 'OUT_OF_SERVICE'],
    ['disabled=true', 'OUT_OF_SERVICE'],
    ['disabled=TRUE&enabled=true', 'OUT_OF_SERVICE'],
    ['disabled=false&enabled=false', 'UP'],
    ['disabled=&enabled=false', 'OUT_OF_SERVICE'],
    ['disabled=', 'UP'],
    ['enabled=', 'UP'],
  ];
  for (const [query, status] of cases) {
    assert.equal(instanceOf(`dubbo://192.0.2.2:1/a?${query}`).status, status, query);
  }
});

test('a port that speaks several protocols offers each of them', () => {
  assert.deepEqual(instanceOf('tri://192.0.2.2:5/a?ext.protocol=rest, Dubbo,tri,,b@d').ports, [
    { protocol: 'dubbo', number: 5 },
    { protocol: 'rest', number: 5 },
    { protocol: 'tri', number: 5 },
  ]);
});

test('secrets do not become labels, even when they are asked for', () => {
  const url = 'dubbo://u:p@192.0.2.2:1/a?application=a&token=t&password=p';
  assert.deepEqual(instanceOf(url).labels, { application: 'a' });
});

test('the registration time orders leaves; without one it is zero', () => {
  const orderOf = (query: string): number => {
    const said = read(`dubbo://192.0.2.2:1/a?${query}`);
    return said.kind === 'endpoint' ? said.order : -1;
  };
  assert.equal(orderOf('timestamp=1795344588412'), 1_795_344_588_412);
  assert.equal(orderOf(''), 0);
  assert.equal(orderOf('timestamp=soon'), 0);
});

test('different endpoints never share an id', () => {
  const part = fc.constantFrom('a', 'a:b', 'b', '', '%3A', ':', '/', 'a/b', '%', '1.0.0');
  const endpoint = fc.record({
    name: part,
    group: part,
    version: part,
    root: fc.constantFrom('/dubbo', '/mygroup'),
  });
  const idOf = (key: { name: string; group: string; version: string; root: string }): string =>
    instanceOf(
      `dubbo://192.0.2.2:1/a?group=${key.group}&version=${key.version}`,
      `${key.root}/${encodeURIComponent(`x${key.name}`)}`,
    ).id;
  fc.assert(
    fc.property(endpoint, endpoint, (one, other) => {
      const areEqual = JSON.stringify(one) === JSON.stringify(other);
      assert.equal(idOf(one) === idOf(other), areEqual);
    }),
  );
});

test('no leaf makes it throw', () => {
  const name = fc.string({ unit: 'binary' }).map((text) => text.replaceAll('/', ''));
  fc.assert(
    fc.property(name, name, (directory, leaf) => {
      const path = `/dubbo/${directory}/providers/${leaf}`;
      reading.want(path);
      reading.read(path, null);
    }),
  );
});
