import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  claimsOf,
  noServices,
} from '../../../../../../agent/zookeeper/dubbo/applications/claims.ts';
import type {
  Claims,
  ClaimsContext,
  Resolution,
} from '../../../../../../agent/zookeeper/dubbo/applications/claims.ts';
import type { ProcessWord } from '../../../../../../agent/zookeeper/dubbo/applications/process-leaves.ts';
import type { Claim } from '../../../../../../agent/zookeeper/description.ts';
import {
  readDefinition,
  readMetadataInfo,
} from '../../../../../../agent/zookeeper/dubbo/applications/metadata.ts';
import type { Instance } from '../../../../../../common/instance.ts';
import {
  dubbo,
  fixture,
  leafIds,
  leafOf,
  originOf,
  recordOf,
  registration,
  shown,
} from './registered.ts';
import type { FixtureNode } from './registered.ts';

const context = { dubbo, hiddenInterfaces: new Set<string>(), hasApplicationHosts: false };

function claimsFor(
  text: string,
  resolution: Resolution,
  words: {
    readonly path?: string;
    readonly word?: ProcessWord;
    readonly context?: Partial<ClaimsContext>;
  } = {},
): Claims {
  const { path = '/services/orders/x', word } = words;
  const record = recordOf(text);
  return claimsOf({ path, record, resolution, word }, { ...context, ...words.context });
}

function instancesOf(text: string, resolution: Resolution): Instance[] {
  const { claims, dropped } = claimsFor(text, resolution);
  assert.deepEqual(dropped, []);
  return claims.map(({ instance }) => instance);
}

function idsOf(text: string, resolution: Resolution): string[] {
  return instancesOf(text, resolution)
    .map(({ id }) => id)
    .sort();
}

function exactly(services: Readonly<Record<string, unknown>>): Resolution {
  const data = Buffer.from(JSON.stringify({ services }));
  const info = readMetadataInfo(data, originOf('orders'));
  assert.ok(info !== undefined);
  return { services: info.services, isInferred: false };
}

/** What the definitions of a recorded tree say. */
function inferred(nodes: readonly FixtureNode[]): Resolution {
  const services = nodes.flatMap(({ path, data }) => {
    const match = /\/metadata\/.*\/provider\/([^/]+)$/.exec(path);
    const found = readDefinition(Buffer.from(data), originOf(match?.[1] ?? ''));
    return match === null || found === undefined ? [] : [found];
  });
  return { services, isInferred: true };
}

function registered(nodes: readonly FixtureNode[]): string {
  return nodes.find(({ path }) => /-app\/[^/]+:\d+$/.test(path))?.data ?? '';
}

test('metadata of a revision give one endpoint for each service and protocol', () => {
  const nodes = fixture('dubbo-3.3.6-instance-remote');
  const metadata = nodes.find(({ path }) => /\/metadata\/orders3-app\/\w+$/.test(path))?.data;
  const services = (JSON.parse(metadata ?? '') as { services: Record<string, unknown> }).services;
  const instances = instancesOf(registered(nodes), exactly(services));
  assert.deepEqual(instances.map(({ id }) => id).sort(), [
    'dubbo:com.example.DemoService:g1:1.0.0:dubbo://192.0.2.11:20880',
    'dubbo:com.example.DemoService:g1:1.0.0:tri://192.0.2.11:50051',
    'dubbo:com.example.OtherService:::dubbo://192.0.2.11:20880',
    'dubbo:com.example.OtherService:::tri://192.0.2.11:50051',
  ]);
  const demo = instances.find(({ id }) => id.includes('g1') && id.includes('tri'));
  assert.deepEqual(demo, {
    id: 'dubbo:com.example.DemoService:g1:1.0.0:tri://192.0.2.11:50051',
    service: { kind: 'dubbo', name: 'com.example.DemoService', group: 'g1', version: '1.0.0' },
    address: '192.0.2.11',
    ports: [{ protocol: 'tri', number: 50051 }],
    labels: { application: 'orders3-app', 'dubbo.tag': 'gray', release: '3.3.6' },
    locality: '',
    weight: 150,
    status: 'UP',
  });
});

for (const [name, root] of [
  ['dubbo-3.2.16-all', '/dubbo'],
  ['dubbo-3.3.6-all', '/dubbo'],
  ['dubbo-3.3.6-ext-protocol', '/dubbo'],
  ['dubbo-3.3.6-simplified', '/dubbo'],
  ['dubbo-3.3.6-group', '/mygroup'],
] as const) {
  test(`what is inferred of ${name} has the ids of its leaves`, () => {
    const nodes = fixture(name);
    const leaves = leafIds(nodes, root);
    assert.ok(leaves.length > 0);
    assert.deepEqual(idsOf(registered(nodes), inferred(nodes)), leaves);
  });
}

test('inferred endpoints are labelled as such', () => {
  const nodes = fixture('dubbo-3.3.6-instance-local');
  const instances = instancesOf(registered(nodes), inferred(nodes));
  assert.equal(instances.length, 2);
  for (const { labels } of instances) {
    assert.equal(labels['inferred'], 'true');
    assert.deepEqual(Object.keys(labels), Object.keys(labels).sort());
  }
  assert.equal(instances.find(({ id }) => id.includes('Demo'))?.weight, 150);
});

test('a port that speaks several protocols is one endpoint', () => {
  const service = { name: 'a.B', port: 20880, params: {} };
  const resolution = exactly({
    'a.B:tri': { ...service, protocol: 'tri', params: { isExtra: 'true' } },
    'a.B:dubbo': { ...service, protocol: 'dubbo', params: { 'ext.protocol': 'tri' } },
    'a.B:rest': { ...service, protocol: 'rest', port: 8080 },
  });
  const instances = instancesOf(registration({}), resolution);
  assert.deepEqual(
    instances.map(({ id, ports }) => [id, ports.map(({ protocol }) => protocol)]),
    [
      ['dubbo:a.B:::dubbo://192.0.2.1:20880', ['dubbo', 'tri']],
      ['dubbo:a.B:::rest://192.0.2.1:8080', ['rest']],
    ],
  );
});

test('a port is the service’s own, else that of its protocol, else that of the process', () => {
  const resolution = exactly({
    a: { name: 'own', protocol: 'tri', port: 1 },
    b: { name: 'byProtocol', protocol: 'tri' },
    c: { name: 'ofProcess', protocol: 'rest', port: 0 },
  });
  const endpoints = [{ port: 50051, protocol: 'tri' }];
  const instances = instancesOf(registration({ endpoints }), resolution);
  const ports = instances.map(({ service, ports }) => [service.name, ports[0]?.number]);
  assert.deepEqual(ports, [
    ['own', 1],
    ['byProtocol', 50051],
    ['ofProcess', 20880],
  ]);
});

test('a service that is hidden, or cannot be an endpoint, costs the others nothing', () => {
  const resolution = exactly({
    a: { name: 'org.Hidden', protocol: 'dubbo' },
    b: { name: 'x'.repeat(1000), group: 'y'.repeat(500), protocol: 'dubbo' },
    c: { name: 'a.B', protocol: 'dubbo' },
    d: { name: 'a.B', protocol: 'dubbo' },
  });
  const hiddenInterfaces = new Set(['org.Hidden']);
  const { claims, dropped } = claimsFor(registration({}), resolution, {
    context: { hiddenInterfaces },
  });
  assert.deepEqual(
    [claims.map(({ instance }) => instance.service.name), dropped],
    [['a.B'], ['too-long']],
  );
});

test('what rules look at is known as of a leaf', () => {
  const params = { weight: '0', disabled: 'true', env: 'gray' };
  const resolution = exactly({ a: { name: 'a.B', protocol: 'dubbo', params } });
  const [claim] = claimsFor(registration({}), resolution).claims;
  assert.deepEqual(claim?.traits, {
    ...{ root: '/dubbo', application: 'orders', weight: 0, isDisabled: true },
    parameters: new Map([['env', 'gray']]),
  });
  assert.equal(claim.instance.status, 'OUT_OF_SERVICE');
});

test('the zone of a process is that of its services', () => {
  const resolution = exactly({ a: { name: 'a.B', protocol: 'dubbo' } });
  const [instance] = instancesOf(
    registration({ metadata: { region: 'eu', zone: 'z' } }),
    resolution,
  );
  assert.equal(instance?.locality, 'eu/z');
});

/** The endpoint of the application, and what rules look at in it. */
function applicationClaim(
  text: string,
  resolution = noServices,
  word?: ProcessWord,
): Claim | undefined {
  const { claims } = claimsFor(text, resolution, {
    path: '/services/Orders/192.0.2.1:1',
    context: { hasApplicationHosts: true },
    ...(word === undefined ? {} : { word }),
  });
  return claims.find(({ instance }) => instance.service.kind === 'dubbo-application');
}

const applicationOf = (text: string): Instance | undefined => applicationClaim(text)?.instance;

test('an application has an endpoint of its own with all its ports', () => {
  const endpoints = [
    { port: 50051, protocol: 'tri' },
    { port: 20880, protocol: 'dubbo' },
  ];
  assert.deepEqual(applicationOf(registration({ application: 'Orders', endpoints })), {
    id: 'dubbo-app:/services/Orders/192.0.2.1%3A1',
    service: { kind: 'dubbo-application', name: 'orders', group: '', version: '' },
    address: '192.0.2.1',
    ports: [
      { protocol: 'dubbo', number: 20880 },
      { protocol: 'tri', number: 50051 },
    ],
    labels: {},
    locality: '',
    weight: 0,
    status: 'UP',
  });
});

test('an application that exports nothing has none', () => {
  assert.equal(applicationOf(registration({ revision: '0' })), undefined);
  assert.equal(applicationOf(registration({ revision: undefined })), undefined);
});

test('an application of Dubbo 2.7.5 has one', () => {
  const metadata = { 'dubbo.exported-services.revision': 'abc' };
  assert.ok(applicationOf(registration({ revision: undefined, metadata })) !== undefined);
});

test('a path that is too long for an id gives no endpoint of the application', () => {
  const path = `/services/${'x'.repeat(1024)}/192.0.2.1:1`;
  const options = { ...context, hasApplicationHosts: true };
  const { claims, dropped } = claimsFor(registration({}), noServices, { path, context: options });
  assert.deepEqual([claims, dropped], [[], ['too-long']]);
});

test('an application that names no protocol speaks one at its port', () => {
  const params = JSON.stringify({ port: '20880', protocol: 'tri' });
  const metadata = { 'dubbo.metadata-service.url-params': params };
  const portsOf = (text: string): unknown => applicationOf(text)?.ports;
  assert.deepEqual(portsOf(registration({ endpoints: [] })), [
    { protocol: 'dubbo', number: 20880 },
  ]);
  assert.deepEqual(portsOf(registration({ endpoints: [], metadata })), [
    { protocol: 'tri', number: 20880 },
  ]);
});

const services = (...params: readonly Readonly<Record<string, string>>[]): Resolution =>
  exactly(
    Object.fromEntries(
      params.map((own, i) => [`s${i}`, { name: `a.S${i}`, protocol: 'dubbo', params: own }]),
    ),
  );

test('what goes for all services of a process goes for its application', () => {
  const of = (resolution: Resolution, word?: ProcessWord): string => {
    const claim = applicationClaim(registration({ application: 'orders' }), resolution, word);
    assert.ok(claim !== undefined);
    return shown(claim.instance).split(' ').slice(1).join(' ');
  };
  assert.equal(of(services({})), '');
  assert.equal(of(services({ 'dubbo.tag': 'gray' }, { 'dubbo.tag': 'gray' })), 'gray');
  assert.equal(of(services({ 'dubbo.tag': 'gray' }, {})), '', 'one is for everybody');
  assert.equal(of(services({ 'dubbo.tag': 'gray' }, { weight: '0' })), 'gray');
  assert.equal(of(services({ disabled: 'true' }, { weight: '0' })), 'OUT_OF_SERVICE');
  assert.equal(of(services({ disabled: 'true' }, {})), '');
  const { traits } = leafOf();
  assert.equal(of(noServices, { tag: 'gray', traffic: 'taken', traits }), 'gray');
  assert.equal(of(noServices, { tag: '', traffic: 'disabled', traits }), 'OUT_OF_SERVICE');
  assert.equal(
    of(services({ 'dubbo.tag': 'gray' }), { tag: '', traffic: 'taken', traits }),
    'gray',
    'a simplified leaf does not say it',
  );
});

test('why its services take no traffic is known of an application: a rule may give them weight', () => {
  const traitsOf = (...params: readonly Readonly<Record<string, string>>[]): string => {
    const claim = applicationClaim(registration({}), services(...params));
    return `${claim?.traits?.weight ?? 'none'} ${claim?.traits?.isDisabled === true}`;
  };
  assert.equal(traitsOf({}), 'none false');
  assert.equal(traitsOf({ weight: '0' }, { weight: '-1' }), '0 false');
  assert.equal(traitsOf({ weight: '0' }, { disabled: 'true' }), '0 false');
  assert.equal(traitsOf({ disabled: 'true' }), 'none true');
});

test('rules for all services of an application find its endpoint', () => {
  const params = { 'dubbo.tag': 'gray', env: 'x' };
  const claim = applicationClaim(registration({ application: 'Orders' }), services(params));
  assert.deepEqual(claim?.traits, {
    ...{ root: '/dubbo', application: 'Orders', weight: undefined, isDisabled: false },
    parameters: new Map([['env', 'x']]),
  });
  const alone = applicationClaim(registration({ application: 'Orders' }));
  assert.deepEqual(alone?.traits, {
    ...{ root: '', application: 'Orders', weight: undefined, isDisabled: false },
    parameters: undefined,
  });
});
