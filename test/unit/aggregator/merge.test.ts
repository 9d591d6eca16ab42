import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { mergeService } from '../../../aggregator/merge.ts';
import type { Member, RegistryAttributes } from '../../../aggregator/merge.ts';
import type { Instance } from '../../../common/instance.ts';
import { instance, registryId } from './samples.ts';

const host = 'orders.tributary.internal';

function registry(id: string, changes: Partial<RegistryAttributes> = {}): RegistryAttributes {
  return { id: registryId(id), priority: 100, network: '', defaultLocality: '', ...changes };
}

const main = registry('dc1/main');
const other = registry('dc2/other');

function member(changes: Partial<Instance> = {}, from = main): Member {
  const merged = instance('a', changes);
  const [port] = merged.ports;
  return { registry: from, instance: merged, protocol: port?.protocol ?? 'http', port };
}

test('an endpoint has what its instance says', () => {
  const service = mergeService(host, [
    member(
      { labels: { a: '1' }, locality: 'r/z', weight: 7 },
      registry('dc1/main', { network: 'n1' }),
    ),
  ]);
  assert.deepEqual(service, {
    host,
    protocol: 'http',
    endpoints: [
      {
        address: '10.0.0.1',
        port: 8080,
        network: 'n1',
        locality: 'r/z',
        weight: 7,
        labels: { a: '1' },
        provenance: [{ registry: 'dc1/main', instance: 'a' }],
      },
    ],
    names: { 'tributary.io/application': 'orders' },
    withheld: {},
    conflicts: [],
    conflictCount: 0,
  });
});

test('an endpoint lives while any registry vouches for it', () => {
  const up = member({ id: 'b' }, other);
  const service = mergeService(host, [member({ status: 'DOWN' }), up]);
  assert.deepEqual(
    service.endpoints.map(({ provenance }) => provenance),
    [[{ registry: 'dc2/other', instance: 'b' }]],
  );
  assert.deepEqual(service.withheld, { DOWN: 1 });
  const both = mergeService(host, [member(), up]);
  assert.deepEqual(both.endpoints[0]?.provenance, [
    { registry: 'dc1/main', instance: 'a' },
    { registry: 'dc2/other', instance: 'b' },
  ]);
});

test('what is no endpoint is withheld and counted by why', () => {
  const service = mergeService(host, [
    member({ id: '1', status: 'STARTING' }),
    member({ id: '2', status: 'GONE' }),
    member({ id: '3', ports: [] }),
    { ...member({ id: '11' }), port: undefined },
    { ...member({ id: '12', status: 'DOWN' }), port: undefined },
    member({ id: '4', address: 'host.example.com' }),
    member({ id: '5', address: '0.0.0.0' }),
    member({ id: '6', address: 'fe80::1%eth0' }),
    member({ id: '7', address: '224.0.0.1' }),
    member({ id: '8', address: 'ff02::1' }),
    member({ id: '9', address: '::' }),
    member({ id: '10', ports: [{ protocol: 'http', number: 0 }] }),
  ]);
  assert.deepEqual(service.endpoints, []);
  assert.deepEqual(service.withheld, {
    STARTING: 1,
    GONE: 1,
    'no-port': 2,
    tagged: 1,
    DOWN: 1,
    'not-an-ip': 1,
    'unusable-address': 5,
  });
});

test('two spellings of an address are one endpoint', () => {
  const service = mergeService(host, [
    member({ id: '1', address: 'FD00:0:0::1' }),
    member({ id: '2', address: 'fd00::1' }),
    member({ id: '3', address: '::ffff:10.0.0.9' }),
    member({ id: '4', address: '10.0.0.9' }),
  ]);
  assert.deepEqual(
    service.endpoints.map(({ address, provenance }) => [address, provenance.length]),
    [
      ['10.0.0.9', 2],
      ['fd00::1', 2],
    ],
  );
});

test("a host's own application goes before those that it is an alias of", () => {
  const named = (name: string, changes: Partial<Instance> = {}): Partial<Instance> => ({
    service: { kind: 'application', name, group: '', version: '' },
    ...changes,
  });
  const first = registry('dc0/first', { priority: 1 });
  const alias = (changes: Partial<Instance>): Member => ({
    ...member(changes, first),
    isAlias: true,
  });
  const borrowed = [
    alias(named('zebra', { id: '1', labels: { a: 'z' } })),
    alias(named('billing', { id: '2', address: '10.0.0.2' })),
  ];
  const shared = mergeService(host, borrowed);
  assert.deepEqual(shared.names, { 'tributary.io/application': 'billing' });
  assert.equal(shared.endpoints.length, 2);
  const own = member(named('orders', { id: '9', labels: { a: 'o' } }), main);
  const service = mergeService(host, [...borrowed, own]);
  assert.deepEqual(service.names, { 'tributary.io/application': 'orders' });
  assert.deepEqual(service.endpoints[0]?.labels, { a: 'o' });
  assert.deepEqual(service.endpoints[0].provenance, [
    { registry: 'dc1/main', instance: '9' },
    { registry: 'dc0/first', instance: '1' },
  ]);
});

test('equal addresses in different networks are different endpoints', () => {
  const service = mergeService(host, [
    member({}, registry('dc1/main', { network: 'n1' })),
    member({}, registry('dc2/other', { network: 'n2' })),
  ]);
  assert.deepEqual(
    service.endpoints.map(({ network }) => network),
    ['n1', 'n2'],
  );
});

test('precedence settles conflicts, and each is told', () => {
  const first = registry('dc2/other', { priority: 1 });
  const service = mergeService(host, [
    member({
      weight: 1,
      locality: 'r/a',
      labels: { a: '1', b: '1' },
      ports: [{ protocol: 'grpc', number: 8080 }],
    }),
    member({ weight: 2, locality: 'r/b', labels: { a: '2', c: '2' } }, first),
  ]);
  const [endpoint] = service.endpoints;
  assert.equal(endpoint?.weight, 2);
  assert.equal(endpoint.locality, 'r/b');
  assert.deepEqual(endpoint.labels, { a: '2', b: '1', c: '2' });
  assert.equal(service.protocol, 'http');
  assert.deepEqual(service.conflicts, [
    '10.0.0.1:8080: weight 2, not 1 (dc1/main a)',
    '10.0.0.1:8080: locality r/b, not r/a (dc1/main a)',
    '10.0.0.1:8080: label a 2, not 1 (dc1/main a)',
    'protocol http, not grpc (1 instances)',
  ]);
});

test('conflicts are all counted, but not all written out', () => {
  const labels = (value: string): Record<string, string> =>
    Object.fromEntries(Array.from({ length: 30 }, (_, index) => [`k${index}`, value]));
  const service = mergeService(host, [
    member({ labels: labels('a') }),
    member({ labels: labels('b') }, other),
  ]);
  assert.equal(service.conflictCount, 30);
  assert.equal(service.conflicts.length, 20);
});

test('an instance that takes no traffic does not decide on the protocol', () => {
  const grpc = { protocol: 'grpc', number: 9 };
  const service = mergeService(host, [
    member({ id: '1', status: 'DOWN' }),
    member({ id: '2', ports: [grpc] }),
  ]);
  assert.equal(service.protocol, 'grpc');
  assert.deepEqual(service.conflicts, []);
  assert.equal(mergeService(host, [member({ status: 'DOWN', ports: [grpc] })]).protocol, 'grpc');
});

test('weights: none, or one for each endpoint', () => {
  const weights = (...given: number[]): number[] =>
    mergeService(
      host,
      given.map((weight, index) =>
        member({ id: `${index}`, address: `10.0.0.${index + 1}`, weight }),
      ),
    ).endpoints.map(({ weight }) => weight);
  assert.deepEqual(weights(0, 0), [0, 0]);
  assert.deepEqual(weights(0, 5), [100, 5]);
  assert.deepEqual(weights(2_000_000_000, 1), [10_000, 1]);
});

test('a locality without a region is none, and the default fills in', () => {
  const from = registry('dc1/main', { defaultLocality: 'r/z' });
  const locality = (text: string): string | undefined =>
    mergeService(host, [member({ locality: text }, from)]).endpoints[0]?.locality;
  assert.equal(locality(''), 'r/z');
  assert.equal(locality('/zone'), 'r/z');
  assert.equal(locality('region//rack'), 'region');
  assert.equal(locality('a/b/c/d'), 'a/b/c');
});

test('names keep what a host cannot say', () => {
  const service = { kind: 'dubbo', name: 'com.example.Demo', group: 'G', version: '1.0' } as const;
  const tagged = member({ service, labels: { 'dubbo.tag': 'gray' } });
  const names = {
    interface: 'com.example.Demo',
    'tributary.io/group': 'G',
    'tributary.io/version': '1.0',
  };
  assert.deepEqual(mergeService(host, [tagged]).names, names);
  assert.deepEqual(mergeService(host, [{ ...tagged, isTagged: true }]).names, {
    ...names,
    'tributary.io/tag': 'gray',
  });
  const plain = mergeService(host, [
    member({ service: { ...service, name: 'com.example.demo', group: '', version: '' } }),
    member({ id: 'b', service: { ...service, group: '', version: '' } }),
    member({ service: { ...service, name: 'A', group: '', version: '' } }, other),
  ]);
  assert.deepEqual(plain.names, { interface: 'com.example.Demo' });
});

const arbitraryMember = fc
  .record({
    from: fc.constantFrom(main, other, registry('dc3/x', { priority: 5, network: 'n' })),
    id: fc.constantFrom('a', 'b', 'c', 'd'),
    address: fc.constantFrom('10.0.0.1', '10.0.0.2', 'fd00::1', 'name'),
    port: fc.constantFrom(0, 80, 81),
    protocol: fc.constantFrom('http', 'grpc'),
    weight: fc.constantFrom(0, 0, 1, 2),
    locality: fc.constantFrom('', 'r/z', '/z'),
    labels: fc.dictionary(fc.constantFrom('a', 'b'), fc.constantFrom('1', '2')),
    status: fc.constantFrom('UP' as const, 'UP' as const, 'DOWN' as const),
    mark: fc.constantFrom({}, {}, { isGuest: true } as const, { isAlias: true } as const),
  })
  .map(({ from, port, protocol, mark, ...rest }) => ({
    ...member({ ...rest, ports: [{ protocol, number: port }] }, from),
    ...mark,
  }));

test('the order of the members does not matter', () => {
  const unique = fc.uniqueArray(arbitraryMember, {
    minLength: 1,
    maxLength: 12,
    selector: ({ registry: from, instance: merged }) => `${from.id} ${merged.id}`,
  });
  const shuffled = unique.chain((members) =>
    fc.tuple(
      fc.constant(members),
      fc.shuffledSubarray(members, { minLength: members.length, maxLength: members.length }),
    ),
  );
  fc.assert(
    fc.property(shuffled, ([members, others]) => {
      assert.deepEqual(mergeService(host, others), mergeService(host, members));
    }),
  );
});
