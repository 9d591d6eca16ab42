import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { HostOptions } from '../../../aggregator/host.ts';
import type { Service } from '../../../aggregator/merge.ts';
import { renderService } from '../../../aggregator/render.ts';
import type { RenderedService } from '../../../aggregator/service-entry.ts';
import { validate } from '../../../aggregator/validate.ts';
import type { Instance } from '../../../common/instance.ts';
import { serviceEntryErrors } from '../../support/istiod-validation.ts';
import { instance } from './samples.ts';
import { addresses, servicesOf } from './served.ts';
import { anyText } from '../../support/any-text.ts';

const domain = 'tributary.internal';
const plain = `com.example.demo.dubbo.${domain}`;
const gray = `gray.${plain}`;

function provider(id: string, changes: Partial<Instance> = {}): Instance {
  return instance(id, {
    service: { kind: 'dubbo', name: 'com.example.Demo', group: '', version: '' },
    address: `10.0.0.${id}`,
    ports: [{ protocol: 'dubbo', number: 20880 }],
    ...changes,
  });
}

const tagged = (tag: string): Partial<Instance> => ({ labels: { 'dubbo.tag': tag } });

/** What is served of these instances, by host. */
const services = (
  instances: readonly Instance[],
  options?: HostOptions,
): Readonly<Record<string, Service>> => servicesOf({ 'dc1/main': instances }, { domain, options });

test('a caller of the plain host never reaches a tagged provider', () => {
  const found = services([provider('1'), provider('2', tagged('gray'))]);
  assert.deepEqual(Object.keys(found).sort(), [plain, gray]);
  assert.deepEqual(addresses(found[plain]), ['10.0.0.1']);
  assert.deepEqual(found[plain]?.withheld, { tagged: 1 });
  assert.deepEqual(addresses(found[gray]), ['10.0.0.2']);
  assert.equal(found[gray]?.names['tributary.io/tag'], 'gray');
  assert.equal(found[plain].names['tributary.io/tag'], undefined);
});

test('an interface whose providers are all tagged has an empty plain host', () => {
  const found = services([provider('2', tagged('gray'))]);
  assert.deepEqual(addresses(found[plain]), []);
  assert.equal(found[plain]?.names['tributary.io/tag'], undefined);
  assert.deepEqual(addresses(found[gray]), ['10.0.0.2']);
});

test('tags that are labels leave every provider under the plain host', () => {
  const found = services([provider('1'), provider('2', tagged('gray'))], { dubboTags: 'label' });
  assert.deepEqual(Object.keys(found), [plain]);
  assert.deepEqual(
    found[plain]?.endpoints.map(({ labels }) => labels['dubbo.tag']),
    [undefined, 'gray'],
  );
  assert.deepEqual(found[plain].withheld, {});
  const alone = services([provider('2', tagged('gray'))], { dubboTags: 'label' });
  assert.deepEqual(alone[plain]?.names, found[plain].names, 'the names say nothing of the tag');
});

test('a port that speaks two protocols stands under the host of each, tagged or not', () => {
  const ports = ['dubbo', 'tri'].map((protocol) => ({ protocol, number: 20880 }));
  const found = services([provider('1', { ports }), provider('2', { ports, ...tagged('gray') })]);
  assert.deepEqual(
    Object.entries(found)
      .map(([host, service]) => `${host} ${service.protocol} ${addresses(service)?.join() ?? ''}`)
      .sort(),
    [
      `${plain} dubbo 10.0.0.1`,
      `${gray} dubbo 10.0.0.2`,
      `gray.tri.${plain} tri 10.0.0.2`,
      `tri.${plain} tri 10.0.0.1`,
    ],
  );
});

test("the port of a host is its protocol's, whatever port providers listen on", () => {
  const portsOf = (number: number, protocol: string): unknown => {
    const [service] = Object.values(services([provider('1', { ports: [{ protocol, number }] })]));
    assert.ok(service !== undefined);
    const { entry } = renderService(service, { namespace: 'x', vip: '240.1.2.3' });
    return [entry.ports, entry.endpoints[0]?.ports];
  };
  const dubbo = { number: 20880, protocol: 'TCP', name: 'tcp-dubbo' };
  assert.deepEqual(portsOf(20880, 'dubbo'), [[dubbo], { 'tcp-dubbo': 20880 }]);
  assert.deepEqual(portsOf(1, 'dubbo'), [[dubbo], { 'tcp-dubbo': 1 }]);
});

test('the host of an interface has all its groups and versions, told apart by labels', () => {
  const of = (group: string, version: string): Partial<Instance> => ({
    service: { kind: 'dubbo', name: 'com.example.Demo', group, version },
  });
  const instances = [
    provider('1', of('g1', '1.0.0')),
    provider('2', { ...of('', '2.0.0'), labels: { 'dubbo.tag': 'gray' } }),
    provider('3'),
    provider('4', of('G 2', '')),
  ];
  assert.deepEqual(addresses(services(instances)[plain]), ['10.0.0.3'], 'not by default');
  const found = services(instances, { hasInterfaceHosts: true });
  assert.deepEqual(
    found[plain]?.endpoints.map(({ address, labels }) => [address, labels]),
    [
      ['10.0.0.1', { 'dubbo-group': 'g1', 'dubbo-version': '1.0.0' }],
      ['10.0.0.3', {}],
      ['10.0.0.4', { 'dubbo-group': 'G 2' }],
    ],
  );
  assert.deepEqual(found[plain].names, { interface: 'com.example.Demo' });
  assert.deepEqual(addresses(found[gray]), ['10.0.0.2']);
  assert.deepEqual(found[gray]?.names, {
    interface: 'com.example.Demo',
    'tributary.io/tag': 'gray',
  });
  const own = found[`com.example.demo.g-g1.v-1-0-0.dubbo.${domain}`];
  assert.deepEqual(own?.endpoints[0]?.labels, {});
  assert.deepEqual(Object.keys(own.names), [
    'interface',
    'tributary.io/group',
    'tributary.io/version',
  ]);
});

test('a port of two versions has the labels of one under the host of its interface', () => {
  const [one, two] = ['1.0.0', '2.0.0'].map((version) =>
    provider(version, {
      address: '10.0.0.1',
      service: { kind: 'dubbo', name: 'com.example.Demo', group: '', version },
    }),
  );
  assert.ok(one !== undefined && two !== undefined);
  const service = services([two, one], { hasInterfaceHosts: true })[plain];
  assert.deepEqual(
    service?.endpoints.map(({ labels }) => labels),
    [{ 'dubbo-version': '1.0.0' }],
  );
  assert.deepEqual(service.conflicts, [
    '10.0.0.1:20880: label dubbo-version 1.0.0, not 2.0.0 (dc1/main 2.0.0)',
  ]);
});

/** As istiod decodes it. */
function decoded({ entry }: RenderedService): Parameters<typeof serviceEntryErrors>[0] {
  return {
    ...entry,
    ports: entry.ports.map((port) => ({ ...port, targetPort: 0 })),
    endpoints: entry.endpoints.map((endpoint) => ({
      ...{ labels: {}, network: '', locality: '', weight: 0, serviceAccount: '' },
      ...endpoint,
    })),
    exportTo: [],
    subjectAltNames: [],
    workloadSelector: null,
  };
}

test('whatever a provider registers, istiod takes what is served of it', () => {
  const schemes = 'dubbo tri rest grpc hessian rmi http thrift webservice jsonrpc injvm a+b x.y';
  const text = fc.oneof(
    anyText({ maxLength: 80 }),
    fc.constantFrom('', 'gray', 'GRAY_1', 'com', 'tri', '灰度', '-', 'a.b', 'x'.repeat(100)),
  );
  fc.assert(
    fc.property(
      fc.record({
        name: text.filter((name) => name !== ''),
        group: text,
        version: text,
        tag: text,
        protocol: fc.constantFrom(...schemes.split(' ')),
        dubboTags: fc.constantFrom('own-host' as const, 'label' as const),
        hasInterfaceHosts: fc.boolean(),
      }),
      ({ name, group, version, tag, protocol, ...options }) => {
        const service = { kind: 'dubbo', name, group, version } as const;
        const ports = [{ protocol, number: 1 }];
        const found = services([provider('1', { service, ports, ...tagged(tag) })], options);
        for (const one of Object.values(found)) {
          const rendered = renderService(one, { namespace: 'tributary', vip: '240.1.2.3' });
          assert.deepEqual(serviceEntryErrors(decoded(rendered)), []);
          assert.equal(validate(rendered), undefined);
        }
      },
    ),
  );
});
