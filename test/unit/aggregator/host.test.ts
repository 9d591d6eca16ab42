import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { hostOf, HostNames } from '../../../aggregator/host.ts';
import { encodeLabel } from '../../../aggregator/host-label.ts';
import type { Alias, ServiceKey } from '../../../common/instance.ts';
import { instance } from './samples.ts';
import { anyText } from '../../support/any-text.ts';

const domain = 'tributary.internal';

const application = (name: string): ServiceKey => ({
  kind: 'application',
  name,
  group: '',
  version: '',
});

const dubbo = (name: string, group = '', version = ''): ServiceKey => ({
  kind: 'dubbo',
  name,
  group,
  version,
});

const host = (service: ServiceKey, prefix = '', tag = ''): string =>
  hostOf(service, { prefix, tag }, domain);

for (const [name, expected] of [
  ['orders', 'orders'],
  ['ORDERS', 'orders'],
  ['order-service', 'order-service'],
  ['order.service', 'order.service'],
  ['ORDER_SERVICE', 'order--5f--service'],
  ['order--service', 'order--2d2d--service'],
  ['-orders', 'x--2d--orders'],
  ['orders-', 'orders--2d'],
  ['_', 'x--5f'],
  ['x', 'x'],
  ['x_y', 'x--785f--y'],
  ['xn_y', 'x--786e5f--y'],
  ['a/b', 'a--2f--b'],
  ['a..b', 'a--2e2e--b'],
  ['Заказ', 'x--d0b7d0b0d0bad0b0d0b7'],
  ['dubbo', 'x--64--ubbo'],
  ['a.dubbo', 'a.x--64--ubbo'],
  ['secure.x', 'x--73--ecure.x'],
  ['http.x', 'x--68--ttp.x'],
  ['secure', 'secure'],
] as const) {
  test(`the application ${name} is ${expected}`, () => {
    assert.equal(host(application(name)), `${expected}.${domain}`);
  });
}

for (const [service, expected] of [
  [dubbo('com.example.DemoService'), 'com.example.demoservice'],
  [dubbo('com.example.DemoService', 'g1', '1.0.0'), 'com.example.demoservice.g-g1.v-1-0-0'],
  [dubbo('com.example.DemoService', '', '1.0.0'), 'com.example.demoservice.v-1-0-0'],
  [dubbo('com.example.DemoService', 'DEV'), 'com.example.demoservice.g-dev--u7'],
  [dubbo('com.example.DemoService', '', '1-0'), 'com.example.demoservice.v-1--2e--0'],
  [dubbo('com.example.Outer$Inner'), 'com.example.outer--24--inner'],
  [dubbo('DemoService'), 'demoservice'],
  [dubbo('a.g-b'), 'a.x--672d--b'],
  [dubbo('gray.com.X'), 'x--67--ray.com.x'],
  [dubbo('rest.Foo'), 'x--72--est.foo'],
  [dubbo('demo.api.Foo'), 'demo.api.foo'],
] as const) {
  test(`the interface ${service.group}/${service.name}:${service.version} is ${expected}`, () => {
    assert.equal(host(service), `${expected}.dubbo.${domain}`);
  });
}

test('protocols and tags stand in front', () => {
  const service = dubbo('com.example.DemoService');
  assert.equal(host(application('orders'), 'https'), `secure.orders.${domain}`);
  assert.equal(host(application('orders'), 'grpc'), `grpc.orders.${domain}`);
  assert.equal(host(application('orders'), 'secure'), `secure--p.orders.${domain}`);
  assert.equal(host(service, 'tri'), `tri.com.example.demoservice.dubbo.${domain}`);
  assert.equal(host(service, 'avro'), `avro--p.com.example.demoservice.dubbo.${domain}`);
  assert.equal(host(service, '', 'gray'), `gray.com.example.demoservice.dubbo.${domain}`);
  assert.equal(host(service, 'tri', 'gray'), `gray.tri.com.example.demoservice.dubbo.${domain}`);
  assert.equal(host(service, '', 'com'), `com--t.com.example.demoservice.dubbo.${domain}`);
  assert.equal(host(dubbo('demo.Foo'), '', 'gray'), `gray--t.demo.foo.dubbo.${domain}`);
  const process: ServiceKey = { ...application('orders'), kind: 'dubbo-application' };
  assert.equal(host(process), `orders.${domain}`);
  assert.equal(host(process, 'tri', 'gray'), `gray--t.tri.orders.${domain}`);
});

test('long labels and long hosts are cut with a hash', () => {
  const long = host(application('a'.repeat(64)));
  assert.match(long, /^a{36}--z[0-9a-f]{24}\.tributary\.internal$/);
  assert.notEqual(long, host(application('a'.repeat(65))));
  const nested = host(dubbo(`com.${'abcdefgh.'.repeat(40)}X`));
  assert.match(nested, /^com-abcdefgh.*--z[0-9a-f]{24}\.dubbo\.tributary\.internal$/);
  assert.ok(nested.length < 100);
});

test('the primary port of an application stands under the plain host', () => {
  const names = new HostNames(domain);
  const hosts = (...protocols: string[]): string[] =>
    names
      .placements(
        instance('i', {
          service: application('a'),
          ports: protocols.map((protocol) => ({ protocol, number: 1 })),
        }),
      )
      .map((placement) => placement.host.slice(0, -domain.length - 1));
  assert.deepEqual(hosts('http'), ['a']);
  assert.deepEqual(hosts('http', 'https'), ['a', 'secure.a']);
  assert.deepEqual(hosts('https'), ['secure.a']);
  assert.deepEqual(hosts('grpc'), ['a']);
  assert.deepEqual(hosts('grpc', 'http'), ['grpc.a', 'a']);
  assert.deepEqual(hosts('grpc', 'tcp'), ['a', 'tcp.a']);
  assert.deepEqual(hosts(), ['a']);
});

test('a process of Dubbo 3 is a guest under each of its protocols and under the plain host', () => {
  const names = new HostNames(domain);
  const service: ServiceKey = { ...application('a'), kind: 'dubbo-application' };
  const hosts = (...protocols: string[]): string[] =>
    names
      .placements(
        instance('i', { service, ports: protocols.map((protocol) => ({ protocol, number: 1 })) }),
      )
      .map(({ host: found, protocol, port, isGuest }) => {
        assert.equal(isGuest, true);
        const name = found.slice(0, -domain.length - 1);
        return `${name} ${protocol}${port === undefined ? ' no port' : ''}`;
      });
  assert.deepEqual(hosts('dubbo'), ['dubbo.a dubbo', 'a dubbo']);
  assert.deepEqual(hosts('rest', 'tri'), ['rest.a rest', 'tri.a tri', 'a tri']);
  assert.deepEqual(hosts('avro', 'dubbo'), ['avro--p.a avro', 'dubbo.a dubbo', 'a dubbo']);
  assert.deepEqual(hosts('https'), ['https.a https', 'a https']);
  assert.deepEqual(hosts(), ['a dubbo no port']);
});

test('a tagged provider is an endpoint under its tag only, an application ignores it', () => {
  const names = new HostNames(domain);
  const labels = { 'dubbo.tag': ' gray ' };
  const ports = [{ protocol: 'dubbo', number: 20880 }];
  const tagged = instance('i', { service: dubbo('com.example.X'), labels, ports });
  const [port] = ports;
  const plain = `com.example.x.dubbo.${domain}`;
  assert.deepEqual(names.placements(tagged), [
    { host: `gray.${plain}`, protocol: 'dubbo', port, isTagged: true },
    { host: plain, protocol: 'dubbo', port: undefined },
  ]);
  assert.deepEqual(new HostNames(domain, { dubboTags: 'label' }).placements(tagged), [
    { host: plain, protocol: 'dubbo', port },
  ]);
  const other = instance('i', { service: application('a'), labels });
  assert.deepEqual(
    names.placements(other).map((placement) => placement.host),
    [`a.${domain}`],
  );
  assert.deepEqual(names.placements(instance('i', { service: application('') })), []);
});

test('an alias stands where an application of its name and ports would', () => {
  const names = new HostNames(domain);
  const hosts = (aliases: readonly Alias[], ...protocols: string[]): string[] =>
    names
      .placements(
        instance('i', {
          service: application('a'),
          ports: protocols.map((protocol) => ({ protocol, number: 1 })),
          aliases,
        }),
      )
      .filter(({ isAlias }) => isAlias === true)
      .map(({ host: found, port }) => {
        const text = found.slice(0, -domain.length - 1);
        return port === undefined ? `${text} (no port)` : `${text} ${port.protocol}`;
      });
  const all: Alias = { name: 'v.x', ports: 'all' };
  const plain: Alias = { name: 'v', ports: 'plain' };
  const secure: Alias = { name: 's', ports: 'secure' };
  assert.deepEqual(hosts([all], 'http', 'https'), ['v.x http', 'secure.v.x https']);
  assert.deepEqual(hosts([plain], 'http', 'https'), ['v http']);
  assert.deepEqual(hosts([plain], 'grpc', 'http'), ['grpc.v grpc', 'v http']);
  assert.deepEqual(hosts([plain], 'https'), ['secure.v https']);
  assert.deepEqual(hosts([secure], 'http', 'https'), ['secure.s https']);
  assert.deepEqual(hosts([secure], 'http', 'tls'), ['s tls']);
  assert.deepEqual(hosts([secure], 'http'), []);
  assert.deepEqual(hosts([plain, secure, all]), ['v (no port)', 'v.x (no port)']);
  assert.deepEqual(hosts([{ name: 'A', ports: 'all' }], 'http'), []);
  assert.deepEqual(hosts([{ name: '', ports: 'all' }], 'http'), []);
});

test('what is remembered of a service never mixes aliases up', () => {
  const names = new HostNames(domain);
  const service = application('a');
  const ports = [{ protocol: 'http', number: 1 }];
  const count = (aliases?: readonly Alias[]): number =>
    names.placements(instance('i', { service, ports, ...(aliases && { aliases }) })).length;
  assert.equal(count(), 1);
  assert.equal(count([{ name: 'v', ports: 'all' }]), 2);
  assert.equal(count(), 1);
});

const pieces = fc.constantFrom(
  ...['a', 'b', 'x', 'xn', 'com', 'org', 'gray', 'dubbo', 'secure', 'tri', 'http', 'avro', 'z0'],
  ...['g-a', 'v-1', '_', '-', '--', '$', '/', 'é', 'u7', '5f', 'p', 't', '', 'A'],
);
const name = fc
  .array(
    fc.array(pieces, { minLength: 1, maxLength: 3 }).map((list) => list.join('')),
    {
      minLength: 1,
      maxLength: 4,
    },
  )
  .map((labels) => labels.join('.'))
  .filter((text) => text !== '');
const word = fc.oneof(
  fc.constant(''),
  fc
    .array(fc.oneof(pieces, fc.constantFrom('.', 'B', '1', '0')), { maxLength: 4 })
    .map((list) => list.join('')),
);
const key = fc
  .record({
    kind: fc.constantFrom('dubbo-application' as const, 'dubbo' as const),
    name,
    group: word,
    version: word,
    prefix: fc.constantFrom('', 'https', 'tri', 'http', 'avro', 'secure', 'a_b', 'a'),
    tag: word,
  })
  .map((raw) => (raw.kind === 'dubbo' ? raw : { ...raw, group: '', version: '' }));

test('different keys have different hosts', () => {
  const seen = new Map<string, string>();
  fc.assert(
    fc.property(key, (raw) => {
      const text = JSON.stringify({ ...raw, name: raw.name.toLowerCase() });
      const found = host(raw, raw.prefix, raw.tag);
      const other = seen.get(found);
      seen.set(found, text);
      assert.ok(other === undefined || other === text, `${found}: ${other ?? ''} and ${text}`);
    }),
    { numRuns: 20_000 },
  );
});

test('every host is one that istiod accepts', () => {
  const text = anyText({ minLength: 1, maxLength: 90 });
  fc.assert(
    fc.property(text, text, text, fc.boolean(), (a, b, c, isDubbo) => {
      const service = isDubbo ? dubbo(a, b, c) : application(a);
      const found = host(service, isDubbo ? b : '', c);
      assert.ok(found.length <= 255);
      for (const label of found.split('.')) {
        assert.match(label, /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/, found);
        assert.ok(!label.startsWith('xn--'), found);
      }
    }),
  );
});

/** Reads a label back, by the rules at the head of host-label.ts. */
function decode(label: string): string {
  const parts = label.split('--');
  const isOther = parts[0] === 'x' && parts.length > 1;
  if (isOther) parts.shift();
  return parts
    .map((part, index) =>
      (index % 2 === 0) === isOther ? Buffer.from(part, 'hex').toString() : part,
    )
    .join('');
}

test('an escaped label can be read back', () => {
  const text = fc.oneof(
    anyText({ minLength: 1, maxLength: 5 }),
    fc.array(pieces, { minLength: 1, maxLength: 4 }).map((list) => list.join('')),
  );
  fc.assert(
    fc.property(
      text.filter((found) => found !== ''),
      fc.boolean(),
      (found, isForced) => {
        const label = encodeLabel(found, { isForced });
        if (!label.includes('--z')) assert.equal(decode(label), found.toLowerCase());
      },
    ),
  );
});
