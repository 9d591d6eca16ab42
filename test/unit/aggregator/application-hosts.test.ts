import assert from 'node:assert/strict';
import { test } from 'node:test';
import { explainMembers } from '../../../aggregator/views.ts';
import type { Member, Service } from '../../../aggregator/merge.ts';
import { servicePort } from '../../../aggregator/protocols.ts';
import type { Instance } from '../../../common/instance.ts';
import { instance, registryId } from './samples.ts';
import { addresses, servicesOf } from './served.ts';

const domain = 'x';
const http: Partial<Instance> = {};

/** A process of the Dubbo 3 application `orders`. */
function dubboProcess(
  id: string,
  protocols: readonly string[],
  changes: Partial<Instance> = {},
): Instance {
  return instance(id, {
    service: { kind: 'dubbo-application', name: 'orders', group: '', version: '' },
    address: `10.0.1.${id}`,
    ports: protocols.map((protocol, index) => ({ protocol, number: 20_880 + index })),
    ...changes,
  });
}

/** An instance of the application `orders` of Spring Cloud. */
function web(id: string, changes = http): Instance {
  return instance(id, { address: `10.0.0.${id}`, ...changes });
}

const of = (...instances: readonly Instance[]): Readonly<Record<string, Service>> =>
  servicesOf({ 'dc1/main': instances }, { domain });

const shown = (service: Service | undefined): string =>
  service === undefined
    ? 'unknown'
    : [servicePort(service.protocol).number, ...(addresses(service) ?? [])].join(' ');

test('an application of Dubbo 3 has a host of its own, and one for each protocol', () => {
  const found = of(dubboProcess('1', ['dubbo', 'tri']));
  assert.equal(shown(found['orders.x']), '20880 10.0.1.1');
  assert.equal(shown(found['dubbo.orders.x']), '20880 10.0.1.1');
  assert.equal(shown(found['tri.orders.x']), '50051 10.0.1.1');
  assert.equal(found['orders.x']?.names['tributary.io/application'], 'orders');
});

test('it takes nothing from an application of the same name, in one registry or in two', () => {
  const alone = of(web('1'))['orders.x'];
  const together = of(web('1'), dubboProcess('2', ['dubbo']));
  assert.equal(shown(alone), '80 10.0.0.1');
  assert.equal(shown(together['orders.x']), '80 10.0.0.1');
  assert.deepEqual(together['orders.x']?.withheld, { 'other-protocol': 1 });
  assert.deepEqual(together['orders.x'].conflicts, []);
  assert.equal(shown(together['dubbo.orders.x']), '20880 10.0.1.2');
  const apart = servicesOf(
    { 'dc1/a': [dubboProcess('2', ['dubbo'])], 'dc1/b': [web('1')] },
    { domain },
  );
  assert.equal(shown(apart['orders.x']), '80 10.0.0.1');
});

test('the host stays with who has it while its instances are down or remembered', () => {
  const dubbo = dubboProcess('2', ['dubbo']);
  for (const status of ['DOWN', 'GONE'] as const) {
    assert.equal(shown(of(web('1', { status }), dubbo)['orders.x']), '80', status);
  }
});

test('a registry that the operator puts first has the host', () => {
  const registries = { 'dc1/a': [web('1')], 'dc1/zk': [dubboProcess('2', ['dubbo'])] };
  const found = servicesOf(registries, { domain, priorities: { 'dc1/zk': 1 } });
  assert.equal(shown(found['orders.x']), '20880 10.0.1.2');
  assert.deepEqual(found['orders.x']?.withheld, { 'other-protocol': 1 });
});

test('an alias comes behind whoever has the name', () => {
  const vip = web('1', {
    service: { kind: 'application', name: 'shop', group: '', version: '' },
    aliases: [{ name: 'orders', ports: 'all' }],
  });
  assert.equal(shown(of(vip)['orders.x']), '80 10.0.0.1');
  assert.equal(shown(of(vip, dubboProcess('2', ['dubbo']))['orders.x']), '20880 10.0.1.2');
});

test('while processes speak different protocols nobody is sent to one that does not speak his', () => {
  const old = dubboProcess('1', ['dubbo', 'tri']);
  const both = of(old, dubboProcess('2', ['tri']));
  assert.equal(shown(both['orders.x']), '20880 10.0.1.1');
  assert.equal(shown(both['dubbo.orders.x']), '20880 10.0.1.1');
  assert.equal(shown(both['tri.orders.x']), '50051 10.0.1.1 10.0.1.2');
  const later = of({ ...old, status: 'OUT_OF_SERVICE' }, dubboProcess('2', ['tri']));
  assert.equal(shown(later['orders.x']), '20880', 'the port stays while there is such a process');
  assert.equal(shown(of(dubboProcess('2', ['tri']))['orders.x']), '50051 10.0.1.2');
});

test('a tagged process stands under the hosts of its tag only', () => {
  const found = of(
    dubboProcess('1', ['dubbo']),
    dubboProcess('2', ['dubbo'], { labels: { 'dubbo.tag': 'gray' } }),
  );
  for (const host of ['orders.x', 'dubbo.orders.x']) {
    assert.equal(shown(found[host]), '20880 10.0.1.1');
    assert.deepEqual(found[host]?.withheld, { tagged: 1 });
    const gray = found[`gray--t.${host}`];
    assert.equal(shown(gray), '20880 10.0.1.2');
    assert.equal(gray?.names['tributary.io/tag'], 'gray');
  }
});

test('explain tells who is withheld since the host belongs to others', () => {
  const registry = {
    id: registryId('dc1/a'),
    priority: 100,
    network: '',
    defaultLocality: '',
  };
  const member = (one: Instance, mark: Partial<Member>): Member => {
    const [port] = one.ports;
    return { registry, instance: one, protocol: port?.protocol ?? '', port, ...mark };
  };
  const members = new Set([
    member(web('1'), {}),
    member(dubboProcess('2', ['dubbo']), { isGuest: true }),
  ]);
  assert.deepEqual(
    explainMembers({ host: 'orders.x', members }).map(({ verdict }) => verdict),
    ['served', 'other-protocol'],
  );
});

test('who cannot be an endpoint does not decide whose the host is', () => {
  const tri = ['1', '2', '3'].map((id) => dubboProcess(id, ['tri']));
  const canary = dubboProcess('4', ['dubbo'], { labels: { 'dubbo.tag': 'gray' } });
  const found = of(...tri, canary);
  assert.equal(shown(found['orders.x']), '50051 10.0.1.1 10.0.1.2 10.0.1.3');
  assert.equal(shown(found['gray--t.orders.x']), '20880 10.0.1.4');
  assert.equal(shown(of(canary)['orders.x']), '20880', 'unless there is nobody else');
});

test('a host of a protocol that another application has is its own too', () => {
  const ports = [
    { protocol: 'grpc', number: 9090 },
    { protocol: 'http', number: 8080 },
  ];
  const found = of(web('1', { ports }), dubboProcess('2', ['grpc', 'https']));
  assert.equal(shown(found['grpc.orders.x']), '50051 10.0.0.1');
  assert.equal(shown(found['https.orders.x']), '443 10.0.1.2');
  assert.equal(found['secure.orders.x'], undefined);
});
