import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { createDubboReading } from '../../../../../agent/zookeeper/dubbo/dubbo.ts';
import type { NodeReading } from '../../../../../agent/zookeeper/reading.ts';
import { wantNothing } from '../../../../../agent/zookeeper/reading.ts';
import { Sharing } from '../../../../../agent/zookeeper/sharing.ts';
import { defaultZooKeeperOptions } from '../../../../../agent/zookeeper/options.ts';
import type { Instance } from '../../../../../common/instance.ts';
import { anyText } from '../../../../support/any-text.ts';

const options = {
  roots: ['/dubbo', '/mygroup'],
  hiddenInterfaces: defaultZooKeeperOptions.hiddenInterfaces,
  labelKeys: ['application', 'dubbo.tag', 'release', 'token', 'password'],
  metadataLabelKeys: [],
  zones: {},
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

const categories = ['configurators', 'routers', 'providers'];

test('leaves are wanted by name below providers and where rules stand', () => {
  const children = { node: false, data: false, children: true };
  assert.deepEqual(reading.want('/dubbo'), children);
  assert.deepEqual(reading.want('/dubbo/com.example.A'), {
    node: false,
    data: false,
    children: categories,
  });
  for (const category of categories) {
    assert.deepEqual(reading.want(`/dubbo/com.example.A/${category}`), children);
    assert.deepEqual(reading.want(`/dubbo/com.example.A/${category}/any%3A%2F%2Fh`), {
      node: true,
      data: false,
      children: false,
    });
    assert.deepEqual(reading.want(`/dubbo/com.example.A/${category}/any/below`), wantNothing);
  }
});

test('documents are wanted if they are rules, and read if they count', () => {
  const children = { node: false, data: false, children: true };
  for (const path of ['/dubbo/config', '/mygroup/config', '/dubbo/config/dubbo']) {
    assert.deepEqual(reading.want(path), children);
  }
  const cases = [
    ['com.example.A::.configurators', 'data'],
    ['orders-app.configurators', 'data'],
    ['orders-app.tag-router', 'data'],
    ['orders-app.condition-router', 'node'],
    ['orders-app.properties', 'nothing'],
    ['orders-app.tag-router/below', 'nothing'],
  ] as const;
  for (const [name, wanted] of cases) {
    const { node, data } = reading.want(`/dubbo/config/dubbo/${name}`);
    assert.deepEqual({ node, data }, { node: wanted !== 'nothing', data: wanted === 'data' }, name);
  }
});

test('rules are read where they stand', () => {
  const yaml = 'configVersion: v2.7\nscope: service\nkey: com.example.A\nenabled: true\n';
  const document = Buffer.from(`${yaml}configs:\n- side: provider\n  parameters:\n    weight: 7\n`);
  const path = '/dubbo/config/dubbo/com.example.A::.configurators';
  const said = reading.read(path, document);
  assert.ok(said.kind === 'fact' && said.fact.kind === 'rules');
  assert.equal(said.fact.rules.length, 1);
  const leaf = encodeURIComponent('override://0.0.0.0/com.example.A?weight=7');
  assert.equal(reading.read(`/dubbo/com.example.A/configurators/${leaf}`, null).kind, 'fact');
  assert.deepEqual(reading.read('/dubbo/com.example.A/routers/condition%3A%2F%2Fh', null), {
    kind: 'ignored',
    what: 'route-leaf',
  });
  assert.deepEqual(reading.read(path, Buffer.from('[')), {
    kind: 'dropped',
    reason: 'rule',
    record: path,
  });
  assert.deepEqual(reading.read('/dubbo/%zz/configurators/override%3A%2F%2Fh', null), {
    kind: 'dropped',
    reason: 'name',
    record: '/dubbo/%zz/configurators',
  });
});

test('nothing else in the tree is wanted', () => {
  const paths = [
    '/',
    '/other',
    '/dubbox/com.example.A/providers/leaf',
    '/dubbo/metadata',
    '/dubbo/mapping',
    '/dubbo/metadata/providers/app',
    '/dubbo/mapping/providers',
    '/dubbo/com.example.A/consumers',
    '/dubbo/com.example.A/consumers/consumer%3A%2F%2Fh',
    '/dubbo/com.example.A/providersx',
    '/dubbo/com.example.A/providersx/leaf',
    '/dubbo/com.example.A/providers/leaf/below',
    '/dubbo/org.apache.dubbo.metadata.MetadataService',
    '/dubbo/org.apache.dubbo.metadata.MetadataService/providers/leaf',
    '/dubbo/com%2Ealibaba.dubbo.monitor.MonitorService',
  ];
  for (const path of paths) assert.deepEqual(reading.want(path), wantNothing, path);
});

test('below the root of a group a name is an interface, an application or both', () => {
  const children = { node: false, data: false, children: true };
  const leaf = { node: true, data: false, children: false };
  const registration = { node: true, data: true, children: false };
  for (const name of ['com.example.A', 'orders-app', 'orders', 'a.b']) {
    assert.deepEqual(reading.want(`/mygroup/${name}`), children, name);
    assert.deepEqual(reading.want(`/mygroup/${name}/providers`), children);
    assert.deepEqual(reading.want(`/mygroup/${name}/providers/dubbo%3A%2F%2Fh`), leaf);
    for (const instance of ['192.0.2.11:20880', 'fd00:0:0:0:0:0:0:2:20880', '[fd00::2]:1', 'h:1']) {
      assert.deepEqual(reading.want(`/mygroup/${name}/${instance}`), registration, instance);
    }
    for (const below of ['consumers', '192.0.2.11', 'h:1/x', 'h:']) {
      assert.deepEqual(reading.want(`/mygroup/${name}/${below}`), wantNothing, below);
    }
  }
  for (const name of ['metadata', 'mapping', 'org.apache.dubbo.metadata.MetadataService']) {
    assert.deepEqual(reading.want(`/mygroup/${name}`), wantNothing);
    assert.deepEqual(reading.want(`/mygroup/${name}/h:1`), wantNothing);
  }
});

test('a group of documents that is named like a category holds no providers', () => {
  const leaf = `/dubbo/config/providers/${encodeURIComponent('dubbo://192.0.2.1:1/x')}`;
  assert.deepEqual(reading.want('/dubbo/config/providers'), wantNothing);
  assert.deepEqual(reading.want(leaf), wantNothing);
  assert.notEqual(reading.read(leaf, Buffer.from('x: [')).kind, 'endpoint');
});

test('below the usual root only names that are no class are listed', () => {
  const children = { node: false, data: false, children: true };
  for (const name of ['orders-app', 'orders', 'a..b', '%zz', '中.文']) {
    assert.deepEqual(reading.want(`/dubbo/${name}`), children, name);
    assert.equal(reading.want(`/dubbo/${name}/192.0.2.11:20880`).data, true);
  }
  for (const name of ['com.example.A', 'com.example.Outer%24Inner', 'a.B_c']) {
    assert.deepEqual(reading.want(`/dubbo/${name}`).children, categories, name);
    assert.deepEqual(reading.want(`/dubbo/${name}/192.0.2.11:20880`), wantNothing);
  }
});

test('an application-level registration below the root of a group is one', () => {
  const path = '/mygroup/orders-app/192.0.2.11:20880';
  const metadata = { 'dubbo.metadata.revision': 'r1' };
  const record = { name: 'orders-app', address: '192.0.2.11', port: 20880, payload: { metadata } };
  const said = reading.read(path, Buffer.from(JSON.stringify(record)));
  assert.ok(said.kind === 'fact' && said.fact.kind === 'application');
  assert.equal(said.fact.record.revision, 'r1');
  assert.deepEqual(reading.read(path, Buffer.from('{}')), {
    kind: 'ignored',
    what: 'not-a-provider',
  });
  assert.deepEqual(reading.read(path, Buffer.from('{')), {
    kind: 'dropped',
    reason: 'json',
    record: path,
  });
});

test('a root of / has its interfaces at the top', () => {
  const atTop = createDubboReading({ ...options, roots: ['/'] }, new Sharing());
  assert.equal(atTop.want('/').children, true);
  assert.deepEqual(atTop.want('/com.example.A').children, categories);
  const leaf = `/com.example.A/providers/${encodeURIComponent('dubbo://192.0.2.1:1/x')}`;
  assert.equal(atTop.want(leaf).node, true);
  const said = atTop.read(leaf, null);
  assert.equal(
    said.kind === 'endpoint' && said.instance.id,
    'dubbo:com.example.A:::dubbo://192.0.2.1:1',
  );
});

test('a provider becomes an instance of its interface, group and version', () => {
  assert.deepEqual(
    instanceOf(
      'dubbo://192.0.2.2:20880/other.Path?application=demo&dubbo.tag=gray&group=g1&interface=x&release=3.1.11&version=1.0.0&weight=150&timestamp=7',
    ),
    {
      id: 'dubbo:com.example.A:g1:1.0.0:dubbo://192.0.2.2:20880',
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
  assert.equal(id, 'dubbo:com.example.Outer$In ner:::dubbo://192.0.2.2:1');
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
    assert.equal(instance.id, 'dubbo:com.example.A:::tri://[fd00::2]:50051');
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

test('the tag is a label whatever the operator asks for, and a tag that could not be one drops the record', () => {
  const bare = createDubboReading({ ...options, labelKeys: [] }, new Sharing());
  const labelsOf = (tag: string): unknown => {
    const url = `dubbo://192.0.2.2:1/a?application=a&dubbo.tag=${tag}`;
    const said = bare.read(`/dubbo/com.example.A/providers/${encodeURIComponent(url)}`, null);
    return said.kind === 'endpoint' ? said.instance.labels : said;
  };
  assert.deepEqual(labelsOf('gray'), { 'dubbo.tag': 'gray' });
  assert.deepEqual(labelsOf(' gray '), { 'dubbo.tag': 'gray' });
  assert.deepEqual(labelsOf(''), {});
  assert.deepEqual(labelsOf(' '), {});
  const record = '/dubbo/com.example.A/providers';
  assert.deepEqual(labelsOf('x'.repeat(513)), { kind: 'dropped', reason: 'too-long', record });
  assert.deepEqual(labelsOf('token:a'), { kind: 'dropped', reason: 'secret', record });
});

test('what rules look at stands beside the instance, shared by equals', () => {
  const traitsOf = (query: string): unknown => {
    const said = read(`dubbo://192.0.2.2:1/a?${query}`);
    return said.kind === 'endpoint' ? said.traits : said;
  };
  const usual = {
    root: '/dubbo',
    application: '',
    weight: undefined,
    isDisabled: false,
    parameters: undefined,
  };
  const cases: readonly (readonly [string, object])[] = [
    ['', {}],
    ['application=a&weight=150', { application: 'a', weight: 150 }],
    ['application=a&weight=0', { application: 'a', weight: 0 }],
    ['weight=-7', { weight: -7 }],
    ['weight=x', {}],
    ['weight=999999999999999', { weight: 0x7fff_ffff }],
    ['disabled=true&enabled=true', { isDisabled: true }],
    ['enabled=false', { isDisabled: true }],
    [
      'zone=z&env=gray&password=p',
      {
        parameters: new Map([
          ['env', 'gray'],
          ['zone', 'z'],
        ]),
      },
    ],
  ];
  for (const [query, words] of cases) {
    assert.deepEqual(traitsOf(query), { ...usual, ...words }, query);
  }
  assert.equal(traitsOf('application=a&weight=1'), traitsOf('weight=1&application=a'));
  assert.equal(traitsOf('env=x&zone=z'), traitsOf('zone=z&env=x'));
  assert.notEqual(traitsOf('env=x'), traitsOf('env=y'));
  assert.notEqual(traitsOf('env=x'), traitsOf(''));
});

test('an endpoint has one id below every root', () => {
  const url = 'dubbo://192.0.2.2:1/a?group=g';
  assert.deepEqual(instanceOf(url), instanceOf(url, '/mygroup/com.example.A'));
});

test('the other address of a host stands in where the first cannot be dialled', () => {
  const addressOf = (host: string, query: string): unknown => {
    const said = read(`dubbo://${host}:1/a?${query}`);
    return said.kind === 'endpoint' ? said.instance.address : said.kind;
  };
  const ipv6 = 'ipv6=fd00:0:0:0:0:0:0:2';
  assert.equal(addressOf('192.0.2.2', ipv6), '192.0.2.2');
  assert.equal(addressOf('orders.internal', ipv6), 'orders.internal');
  assert.equal(addressOf('0.0.0.0', ipv6), 'fd00::2');
  assert.equal(addressOf('fe80::1%eth0', ipv6), 'fd00::2');
  assert.equal(addressOf('0.0.0.0', 'ipv6=fe80:0:0:0:0:0:0:2%25eth0'), 'dropped');
  assert.equal(addressOf('0.0.0.0', 'ipv6=192.0.2.3'), 'dropped');
  assert.equal(addressOf('0.0.0.0', ''), 'dropped');
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
  assert.equal(orderOf('timestamp=1795344588'), 1_795_344_588_000, 'as dubbo-go writes it');
  assert.equal(orderOf(''), 0);
  assert.equal(orderOf('timestamp=soon'), 0);
});

test('different endpoints never share an id', () => {
  const part = fc.constantFrom('a', 'a:b', 'b', '', '%3A', ':', '/', 'a/b', '%', '1.0.0');
  const endpoint = fc.record({ name: part, group: part, version: part });
  const idOf = (key: { name: string; group: string; version: string }): string =>
    instanceOf(
      `dubbo://192.0.2.2:1/a?group=${key.group}&version=${key.version}`,
      `/dubbo/${encodeURIComponent(`x${key.name}`)}`,
    ).id;
  fc.assert(
    fc.property(endpoint, endpoint, (one, other) => {
      const areEqual = JSON.stringify(one) === JSON.stringify(other);
      assert.equal(idOf(one) === idOf(other), areEqual);
    }),
  );
});

test('no leaf makes it throw', () => {
  const name = anyText().map((text) => text.replaceAll('/', ''));
  fc.assert(
    fc.property(name, name, (directory, leaf) => {
      const path = `/dubbo/${directory}/providers/${leaf}`;
      reading.want(path);
      reading.read(path, null);
    }),
  );
});
