import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  isNodeName,
  mappedApplications,
  metadataPath,
  readDefinition,
  readMetadataInfo,
} from '../../../../../../agent/zookeeper/dubbo/applications/metadata.ts';
import type {
  DubboService,
  MetadataInfo,
} from '../../../../../../agent/zookeeper/dubbo/applications/metadata.ts';
import { definition, dubbo, fixture, metadataInfo } from './registered.ts';

const origin = { application: 'orders', root: '/dubbo', wanted: dubbo.parameterKeys };

function info(value: unknown): MetadataInfo | undefined {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return readMetadataInfo(Buffer.from(text), origin);
}

function defined(text: string): DubboService | undefined {
  return readDefinition(Buffer.from(text), origin);
}

test('metadata of a real revision are understood wholly', () => {
  const nodes = fixture('dubbo-3.3.6-instance-remote');
  const data = nodes.find(({ path }) => /\/metadata\/orders3-app\/\w+$/.test(path))?.data ?? '';
  const found = info(data);
  assert.equal(found?.malformed, 0);
  assert.equal(found.services.length, 4);
  const demo = found.services.find(({ group, protocol }) => group === 'g1' && protocol === 'dubbo');
  assert.deepEqual(
    { ...demo, parameters: Object.fromEntries(demo?.parameters ?? []) },
    {
      root: '/dubbo',
      interfaceName: 'com.example.DemoService',
      group: 'g1',
      version: '1.0.0',
      protocol: 'dubbo',
      port: 20880,
      parameters: {
        application: 'orders3-app',
        'dubbo.tag': 'gray',
        group: 'g1',
        release: '3.3.6',
        version: '1.0.0',
        weight: '150',
      },
    },
  );
});

test('a service that cannot be understood is counted and costs the others nothing', () => {
  const found = info({
    services: {
      a: { name: 'a.B', protocol: 'dubbo' },
      b: null,
      c: { name: '', protocol: 'dubbo' },
      d: { name: 'a.B' },
      e: { name: 'a.B', protocol: 'no protocol' },
      f: { name: 'a.B', protocol: 'dubbo', version: 'x'.repeat(1025) },
    },
  });
  assert.deepEqual([found?.services.length, found?.malformed], [1, 5]);
});

test('what a service does not say itself its parameters say', () => {
  const params = { interface: 'a.B', group: 'g', version: 2 };
  const [service] = info({ services: { a: { protocol: 'TRI', params } } })?.services ?? [];
  assert.deepEqual(
    [service?.interfaceName, service?.group, service?.version, service?.protocol],
    ['a.B', 'g', '2', 'tri'],
  );
});

test('secrets are not kept', () => {
  const params = { token: 's3cret', 'user.password': 's3cret', weight: '5', methods: 'x' };
  const found = info({ services: { a: { name: 'a.B', protocol: 'dubbo', params } } });
  const [service] = found?.services ?? [];
  assert.deepEqual(Object.fromEntries(service?.parameters ?? []), {
    application: 'orders',
    weight: '5',
  });
});

test('what is no metadata is none', () => {
  for (const text of ['', '127.0.0.1', '[]', '{}', '{"services":[]}', '{"services":1}']) {
    assert.equal(info(text), undefined, text);
  }
  assert.equal(readMetadataInfo(null, origin), undefined);
  assert.deepEqual(info({ services: {} }), { services: [], malformed: 0 });
});

test('a definition says interface, group and version, but no protocol', () => {
  const text = definition('a.B', 'orders', { group: 'g', version: '1', token: 's3cret' });
  assert.deepEqual(defined(text), {
    root: '/dubbo',
    interfaceName: 'a.B',
    group: 'g',
    version: '1',
    protocol: '',
    port: 0,
    parameters: new Map([
      ['application', 'orders'],
      ['group', 'g'],
      ['version', '1'],
    ]),
  });
});

test('a consumer’s definition and other data are none', () => {
  assert.equal(defined(definition('a.B', 'orders', { side: 'consumer' })), undefined);
  assert.equal(defined(definition('', 'orders')), undefined);
  for (const text of ['', '127.0.0.1', '{}', '{"parameters":1}']) {
    assert.equal(defined(text), undefined, text);
  }
});

test('a mapping names applications', () => {
  assert.deepEqual(mappedApplications(Buffer.from('a, b,,c')), ['a', 'b', 'c']);
  assert.deepEqual(mappedApplications(null), []);
});

test('metadata lie below the root, by application and revision', () => {
  assert.equal(metadataPath('/dubbo', 'orders', 'r1'), '/dubbo/metadata/orders/r1');
  assert.equal(metadataPath('/', 'orders', 'r1'), '/metadata/orders/r1');
});

test('names that no node can have are not asked for', () => {
  for (const name of [
    '',
    '.',
    '..',
    'a/b',
    'a\0',
    'a\u001f',
    'a\u0080',
    '\ufff0',
    'x'.repeat(1025),
  ]) {
    assert.equal(isNodeName(name), false, JSON.stringify(name));
    assert.equal(metadataPath('/dubbo', name, 'r1'), undefined);
    assert.equal(metadataPath('/dubbo', 'orders', name), undefined);
  }
  for (const name of ['a', '...', 'a.b-c_d', 'ä', 'com.example.A$B']) assert.ok(isNodeName(name));
});

test('whatever the data, reading them does not throw', () => {
  const services = fc.dictionary(fc.string(), fc.anything());
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json(), services), (value) => {
      info(value);
      info({ services: value });
      defined(JSON.stringify({ parameters: value }));
    }),
  );
  assert.ok(info(metadataInfo('orders', 'r1', ['a.B'])) !== undefined);
});
