import assert from 'node:assert/strict';
import { afterEach, describe, test } from 'node:test';
import { pino } from 'pino';
import { GrpcServer } from '../../../aggregator/mcp/grpc-http2.ts';
import type { GrpcServerOptions } from '../../../aggregator/mcp/grpc-http2.ts';
import type { GrpcCall, GrpcMethod } from '../../../aggregator/mcp/grpc-types.ts';
import { codec } from '../../../proto/load.ts';
import { eventually } from '../../support/eventually.ts';
import { profileOf } from '../../support/istiod-profile.ts';
import { TestIstiod } from '../../support/istiod.ts';
import { IstiodStore } from '../../support/istiod-store.ts';
import { serviceEntryErrors } from '../../support/istiod-validation.ts';
import type { ServiceEntrySpec } from '../../support/istiod-validation.ts';
import { encodeAny } from '../../support/resource.ts';
import type { ResourceParts } from '../../support/resource.ts';

const typeUrl = 'networking.istio.io/v1/ServiceEntry';

const shell: GrpcServerOptions = {
  host: '127.0.0.1',
  port: 0,
  tls: undefined,
  requestBytesMax: 1024 * 1024,
  requestRate: { perSecond: 1_000, burst: 1_000 },
  sessionsMax: 10,
  streamsMax: 10,
  streamsPerSessionMax: 10,
  keepalive: { idleMs: 10_000, timeoutMs: 10_000 },
  handshakeMs: 10_000,
  unusedMs: 10_000,
  ageMs: Infinity,
  ageGraceMs: 1_000,
  ageJitter: 0,
  stopMs: 1_000,
};

function storeOf(version: Parameters<typeof profileOf>[0] = '1.24', revision = ''): IstiodStore {
  return new IstiodStore(profileOf(version), revision);
}

/** The events of a response, as `kind name`. */
function apply(store: IstiodStore, ...parts: (ResourceParts | Buffer)[]): string[] {
  const resources = parts.map((part) => (Buffer.isBuffer(part) ? part : encodeAny(part)));
  return store.apply(typeUrl, resources).map(({ kind, name }) => `${kind} ${name}`);
}

const invalid = { hosts: ['under_score.example'] };

describe('profiles', () => {
  test('each release asks for its own number of types', () => {
    const counts = (['1.9', '1.11', '1.12', '1.13', '1.20', '1.24', '1.30'] as const).map(
      (version) => profileOf(version).types.length,
    );
    assert.deepEqual(counts, [11, 12, 13, 14, 14, 14, 15]);
  });

  test('types are alphabetical by kind from 1.18 on, and v1 from 1.24 on', () => {
    const kinds = profileOf('1.30').types.map((type) => type.split('/')[2]);
    assert.deepEqual(kinds, [...kinds].sort());
    assert.equal(kinds[0], 'AuthorizationPolicy');
    assert.ok(profileOf('1.24').types.includes('networking.istio.io/v1/ServiceEntry'));
    assert.ok(profileOf('1.20').types.includes('networking.istio.io/v1alpha3/ServiceEntry'));
  });
});

describe('the store', () => {
  test('creates, updates, and deletes what is missing', () => {
    const store = storeOf();
    assert.deepEqual(apply(store, { name: 'n/a' }, { name: 'n/b' }), ['added n/a', 'added n/b']);
    assert.deepEqual(apply(store, { name: 'n/a' }, { name: 'n/b' }), []);
    const changed = { name: 'n/b', spec: { addresses: ['240.9.9.9'] } };
    assert.deepEqual(apply(store, changed, { name: 'n/c' }), [
      'updated n/b',
      'added n/c',
      'deleted n/a',
    ]);
    assert.deepEqual([...store.entries.keys()], ['n/b', 'n/c']);
    assert.deepEqual(store.entries.get('n/b')?.spec.addresses, ['240.9.9.9']);
    assert.equal(store.entries.get('n/b')?.createTime, 4_102_444_800_000);
    assert.deepEqual(apply(store), ['deleted n/b', 'deleted n/c']);
  });

  test('ignores other content under an equal version', () => {
    const store = storeOf();
    apply(store, { name: 'n/a', version: '1' });
    const other = { name: 'n/a', version: '1', spec: { addresses: ['240.9.9.9'] } };
    assert.deepEqual(apply(store, other), ['skipped n/a']);
    assert.deepEqual(store.entries.get('n/a')?.spec.addresses, ['240.1.2.3']);
  });

  test('takes an empty version as an update every time', () => {
    const store = storeOf();
    apply(store, { name: 'n/a', version: '' });
    assert.deepEqual(apply(store, { name: 'n/a', version: '' }), ['updated n/a']);
  });

  test('keeps the old version of what has become invalid', () => {
    const store = storeOf();
    apply(store, { name: 'n/a' });
    assert.deepEqual(apply(store, { name: 'n/a', spec: invalid }), ['rejected n/a']);
    assert.deepEqual(store.entries.get('n/a')?.spec.hosts, ['a.tributary.internal']);
    assert.deepEqual(apply(store, { name: 'n/a' }, { name: 'n/b', spec: invalid }), [
      'rejected n/b',
    ]);
  });

  for (const [what, bytes] of [
    ['is no Any', Buffer.from('0aff', 'hex')],
    ['is no mcp Resource', Buffer.from('0a0161', 'hex')],
    ['has no body', encodeAny({ name: 'n/a', body: null })],
    [
      'has an unknown body',
      encodeAny({ name: 'n/a', body: { type_url: 'x/istio.y.Z', value: Buffer.alloc(0) } }),
    ],
    [
      'has a body of another API version',
      encodeAny({
        name: 'n/a',
        body: {
          type_url: 'type.googleapis.com/istio.networking.v1beta1.ServiceEntry',
          value: Buffer.alloc(0),
        },
      }),
    ],
    [
      'has a body that cannot be decoded',
      encodeAny({
        name: 'n/a',
        body: {
          type_url: 'type.googleapis.com/istio.networking.v1alpha3.ServiceEntry',
          value: Buffer.from('0aff', 'hex'),
        },
      }),
    ],
    [
      'has text that is not UTF-8',
      encodeAny({
        name: 'n/a',
        body: {
          type_url: 'type.googleapis.com/istio.networking.v1alpha3.ServiceEntry',
          value: Buffer.from('0a01ff', 'hex'),
        },
      }),
    ],
    ['has a name without namespace', encodeAny({ name: 'a' })],
    ['has a name of three parts', encodeAny({ name: 'n/a/b' })],
  ] as const) {
    test(`drops a resource that ${what}, which deletes the old one`, () => {
      const store = storeOf();
      apply(store, { name: 'n/a' });
      const events = apply(store, bytes).map((event) => event.split(' ')[0]);
      assert.deepEqual(events, ['dropped', 'deleted']);
    });
  }

  test('rejects a body of another kind and a resource without metadata', () => {
    const store = storeOf();
    const type_url = 'type.googleapis.com/istio.networking.v1alpha3.Sidecar';
    const body = { type_url, value: Buffer.alloc(0) };
    assert.deepEqual(apply(store, { name: 'n/a', body }), ['rejected n/a']);
    const resource = 'type.googleapis.com/istio.mcp.v1alpha1.Resource';
    const any = Buffer.concat([Buffer.from([0x0a, resource.length]), Buffer.from(resource)]);
    assert.deepEqual(apply(store, any), ['rejected ']);
  });

  test('applies duplicates in order', () => {
    const store = storeOf();
    const second = { name: 'n/a', spec: { addresses: ['240.9.9.9'] } };
    assert.deepEqual(apply(store, { name: 'n/a' }, second), ['added n/a', 'updated n/a']);
    assert.deepEqual(apply(store, { name: 'n/a' }, second), ['updated n/a', 'updated n/a']);
  });

  test('drops resources of another revision from 1.13 on', () => {
    const labels = { 'istio.io/rev': 'canary' };
    assert.deepEqual(apply(storeOf('1.20', 'stable'), { name: 'n/a', labels }), ['dropped n/a']);
    assert.deepEqual(apply(storeOf('1.20', 'canary'), { name: 'n/a', labels }), ['added n/a']);
    assert.deepEqual(apply(storeOf('1.20'), { name: 'n/a', labels }), ['added n/a']);
    assert.deepEqual(apply(storeOf('1.12', 'stable'), { name: 'n/a', labels }), ['added n/a']);
  });

  test('needs a create time up to 1.13', () => {
    const parts = { name: 'n/a', createTime: null };
    assert.deepEqual(apply(storeOf('1.13'), parts), ['dropped n/a']);
    const store = storeOf('1.14');
    assert.deepEqual(apply(store, parts), ['added n/a']);
    assert.equal(store.entries.get('n/a')?.createTime, 0);
  });

  test('does not validate from 1.10 to 1.13', () => {
    assert.deepEqual(apply(storeOf('1.12'), { name: 'n/a', spec: invalid }), ['added n/a']);
    assert.deepEqual(apply(storeOf('1.9'), { name: 'n/a', spec: invalid }), ['rejected n/a']);
  });

  test('of 1.11 fails each update of what has a version', () => {
    const store = storeOf('1.11');
    apply(store, { name: 'n/a', version: '1' });
    assert.deepEqual(apply(store, { name: 'n/a', version: '2' }), ['rejected n/a']);
    const other = storeOf('1.11');
    apply(other, { name: 'n/a', version: '' });
    assert.deepEqual(apply(other, { name: 'n/a', version: '' }), ['updated n/a']);
  });

  test('rejects a dry run', () => {
    const annotations = { 'istio.io/dry-run': 'true' };
    assert.deepEqual(apply(storeOf(), { name: 'n/a', annotations }), ['rejected n/a']);
  });
});

describe('validation', () => {
  const valid: ServiceEntrySpec = {
    hosts: ['a.example'],
    addresses: ['240.1.2.3'],
    ports: [{ number: 80, protocol: 'HTTP', name: 'http', targetPort: 0 }],
    location: 1,
    resolution: 1,
    endpoints: [],
    exportTo: [],
    subjectAltNames: [],
    workloadSelector: null,
  };
  const endpoint = {
    address: '192.0.2.1',
    ports: { http: 8080 },
    labels: {},
    network: '',
    locality: '',
    weight: 0,
    serviceAccount: '',
  };
  const port = { number: 80, protocol: 'HTTP', name: 'http', targetPort: 0 };
  const selector = { labels: { app: 'a' } };

  const good: Record<string, Partial<ServiceEntrySpec>> = {
    'no endpoints': {},
    'an endpoint': { endpoints: [endpoint] },
    'an IPv6 endpoint': { endpoints: [{ ...endpoint, address: '2001:db8::1' }] },
    'a socket': { endpoints: [{ ...endpoint, address: 'unix:///a/b', ports: {} }] },
    'an abstract socket': { endpoints: [{ ...endpoint, address: 'unix://@a', ports: {} }] },
    'an endpoint of another network': {
      endpoints: [{ ...endpoint, address: '', network: 'n' }],
    },
    'a wildcard host': { hosts: ['*.a.example'] },
    'a wildcard label': { hosts: ['*-b.a.example'] },
    'a trailing dot': { hosts: ['a.example.'] },
    'a CIDR': { addresses: ['10.0.0.0/8'] },
    'no protocol': { ports: [{ ...port, protocol: '' }] },
    'protocols in any case': { ports: [{ ...port, protocol: 'GRPC-Web' }] },
    labels: {
      endpoints: [{ ...endpoint, labels: { 'a.b/c': 'd_e.f', x: '', Y_z: '1' } }],
    },
    'two hosts with HTTP': { hosts: ['a.example', 'b.example'] },
    exportTo: { exportTo: ['.', 'b'] },
    'a selector': { workloadSelector: selector },
    DNS: { resolution: 2, endpoints: [{ ...endpoint, address: 'b.example' }] },
    'DNS without endpoints': { resolution: 2 },
    NONE: {
      resolution: 0,
      hosts: ['a.example', 'b.example'],
      ports: [{ ...port, protocol: 'TCP' }],
    },
  };
  for (const [name, spec] of Object.entries(good)) {
    test(`takes ${name}`, () => assert.deepEqual(serviceEntryErrors({ ...valid, ...spec }), []));
  }

  const bad: Record<string, Partial<ServiceEntrySpec>> = {
    'no hosts': { hosts: [] },
    'the host *': { hosts: ['*'] },
    'an underscore': { hosts: ['a_b.example'] },
    'an address as host': { hosts: ['192.0.2.1'] },
    'an empty label': { hosts: ['a..example'] },
    'a long label': { hosts: [`${'a'.repeat(64)}.example`] },
    'a long host': { hosts: [`${'a.'.repeat(128)}a`] },
    'an empty host': { hosts: [''] },
    'a selector with endpoints': { workloadSelector: selector, endpoints: [endpoint] },
    'an empty selector key': { workloadSelector: { labels: { '': 'a' } } },
    'a wildcard selector': { workloadSelector: { labels: { a: '*' } } },
    'a host name as address': { addresses: ['a.example'] },
    'a CIDR with DNS': { addresses: ['10.0.0.0/8'], resolution: 2 },
    'a CIDR that is too wide': { addresses: ['10.0.0.0/33'] },
    'no port name': { ports: [{ ...port, name: '' }] },
    'a port name twice': { ports: [port, { ...port, number: 81 }] },
    'a port number twice': { ports: [port, { ...port, name: 'b' }] },
    'port 0': { ports: [{ ...port, number: 0 }] },
    'port 65536': { ports: [{ ...port, number: 65536 }] },
    'target port 65536': { ports: [{ ...port, targetPort: 65536 }] },
    'an unknown protocol': { ports: [{ ...port, protocol: 'dubbo' }] },
    'endpoints with NONE': { resolution: 0, endpoints: [endpoint] },
    'a host name as static endpoint': { endpoints: [{ ...endpoint, address: 'b.example' }] },
    'no address': { endpoints: [{ ...endpoint, address: '' }] },
    'leading zeros': { endpoints: [{ ...endpoint, address: '192.0.2.01' }] },
    'an unknown port of an endpoint': { endpoints: [{ ...endpoint, ports: { grpc: 1 } }] },
    'endpoint port 0': { endpoints: [{ ...endpoint, ports: { http: 0 } }] },
    'a socket that is a folder': { endpoints: [{ ...endpoint, address: 'unix:///a/', ports: {} }] },
    'a socket with ports': { endpoints: [{ ...endpoint, address: 'unix:///a' }] },
    'a socket of two ports': {
      ports: [port, { ...port, name: 'b', number: 81 }],
      endpoints: [{ ...endpoint, address: 'unix:///a', ports: {} }],
    },
    'a bad label key': { endpoints: [{ ...endpoint, labels: { 'a b': '' } }] },
    'a label key of three parts': { endpoints: [{ ...endpoint, labels: { 'a/b/c': '' } }] },
    'a bad label value': { endpoints: [{ ...endpoint, labels: { a: '-' } }] },
    'an unknown resolution': { resolution: 4 },
    'a wildcard with DNS and no endpoints': { resolution: 2, hosts: ['*.a.example'] },
    'a socket with DNS': { resolution: 2, endpoints: [{ ...endpoint, address: 'unix:///a' }] },
    'two endpoints with DNS_ROUND_ROBIN': { resolution: 3, endpoints: [endpoint, endpoint] },
    'two hosts with TCP': {
      hosts: ['a.example', 'b.example'],
      ports: [{ ...port, protocol: 'TCP' }],
    },
    'exportTo twice': { exportTo: ['a', 'a'] },
    'exportTo * and more': { exportTo: ['*', 'a'] },
    'exportTo nonsense': { exportTo: ['a b'] },
  };
  for (const [name, spec] of Object.entries(bad)) {
    test(`rejects ${name}`, () => {
      assert.notDeepEqual(serviceEntryErrors({ ...valid, ...spec }), []);
    });
  }
});

describe('the client', () => {
  interface Request {
    readonly typeUrl: string;
    readonly versionInfo: string;
    readonly responseNonce: string;
    readonly node: { readonly id: string; readonly metadata: unknown } | null;
    readonly resourceNames: readonly string[];
    readonly errorDetail: unknown;
  }
  const requestCodec = codec<Request>('envoy.service.discovery.v3.DiscoveryRequest');
  const responseCodec = codec<Record<string, unknown>>(
    'envoy.service.discovery.v3.DiscoveryResponse',
  );
  const stops: (() => Promise<void>)[] = [];
  afterEach(async () => {
    for (const stop of stops.splice(0)) await stop();
  });

  /** A server that answers what it is told to. */
  class Script {
    readonly streams: { readonly call: GrpcCall; readonly requests: Request[] }[] = [];
    address = '';

    async start(): Promise<void> {
      const method: GrpcMethod = (call) => {
        const stream = { call, requests: [] as Request[] };
        this.streams.push(stream);
        return {
          message: (bytes) => void stream.requests.push(requestCodec.decode(bytes)),
          closed: () => undefined,
        };
      };
      const reports = { events: { rejected: () => undefined }, log: pino({ level: 'silent' }) };
      const gate = { admitConnection: () => true, admitStream: () => undefined };
      const path =
        '/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources';
      const server = new GrpcServer(shell, new Map([[path, method]]), gate, reports);
      const aborter = new AbortController();
      const listening = Promise.withResolvers<{ port: number }>();
      const done = server.run(aborter.signal, listening.resolve);
      this.address = `127.0.0.1:${(await listening.promise).port}`;
      stops.push(async () => {
        aborter.abort();
        await done;
      });
    }

    requests(stream = 0): readonly Request[] {
      return this.streams[stream]?.requests ?? [];
    }

    /** Resolves when the socket has it. */
    answer(fields: Record<string, unknown>, stream = 0): Promise<void> {
      const bytes = Buffer.from(responseCodec.encode(fields));
      return new Promise((resolve) => {
        const message = { slices: [bytes], byteLength: bytes.length };
        this.streams[stream]?.call.send(message, resolve);
      });
    }
  }

  async function scripted(
    options: Partial<ConstructorParameters<typeof TestIstiod>[0]> = {},
  ): Promise<{ readonly script: Script; readonly istiod: TestIstiod; readonly count: number }> {
    const script = new Script();
    await script.start();
    const istiod = new TestIstiod({ address: script.address, ...options });
    const aborter = new AbortController();
    const done = istiod.run(aborter.signal);
    stops.unshift(async () => {
      aborter.abort();
      await done;
    });
    const count = istiod.requestedTypes().length;
    await eventually(() => assert.equal(script.requests().length, count));
    return { script, istiod, count };
  }

  /** Time for what has been written to be read and acted upon, if it were. */
  async function turns(): Promise<void> {
    for (let i = 0; i < 100; i++) await new Promise((resolve) => setImmediate(resolve));
  }

  function anyOf(parts: ResourceParts): unknown {
    return anys.decode(encodeAny(parts));
  }
  const anys = codec<unknown>('google.protobuf.Any');

  test('asks for all types at once, with the node on the first and garbage nonces', async () => {
    const { script, istiod } = await scripted({ podName: 'a', podNamespace: 'b', revision: 'c' });
    const requests = script.requests();
    assert.deepEqual(
      requests.map((request) => request.typeUrl),
      istiod.requestedTypes(),
    );
    assert.equal(requests[0]?.typeUrl, 'core/v1alpha1/MeshConfig');
    assert.equal(requests[0].node?.id, 'sidecar~192.0.2.1~a.b~b.svc.cluster.local');
    for (const [index, request] of requests.entries()) {
      assert.match(request.responseNonce, /^\d{4}-.* m=\+/);
      assert.equal(request.versionInfo, '');
      assert.deepEqual(request.resourceNames, []);
      assert.equal(request.node === null, index > 0);
    }
  });

  test('acknowledges what it has processed, with its node, and never refuses', async () => {
    const { script, istiod, count } = await scripted();
    const resources = [anyOf({ name: 'n/a' }), anyOf({ name: 'n/b', spec: invalid })];
    void script.answer({ typeUrl, versionInfo: 'v1', nonce: '7', resources });
    await eventually(() => assert.equal(script.requests().length, count + 1));
    const acknowledgement = script.requests().at(-1);
    assert.equal(acknowledgement?.typeUrl, typeUrl);
    assert.equal(acknowledgement.versionInfo, 'v1');
    assert.equal(acknowledgement.responseNonce, '7');
    assert.equal(acknowledgement.errorDetail, null);
    assert.notEqual(acknowledgement.node, null);
    assert.deepEqual([...istiod.serviceEntries().keys()], ['n/a']);
  });

  test('acknowledges types that it does not know, and stores nothing of them', async () => {
    const { script, istiod, count } = await scripted();
    const other = 'networking.istio.io/v1alpha3/ServiceEntry';
    void script.answer({ typeUrl: other, nonce: '1', resources: [anyOf({ name: 'n/a' })] });
    await eventually(() => assert.equal(script.requests().length, count + 1));
    assert.equal(istiod.serviceEntries().size, 0);
  });

  test('is ready when every type but MeshConfig was answered', async () => {
    const { script, istiod } = await scripted();
    const types = istiod.requestedTypes().slice(1);
    for (const type of types.slice(1)) void script.answer({ typeUrl: type, nonce: '1' });
    await eventually(() => assert.equal(istiod.pushes.length, types.length - 1));
    assert.equal(istiod.hasSynced(), false);
    void script.answer({ typeUrl: types[0], nonce: '1' });
    await eventually(() => assert.equal(istiod.hasSynced(), true));
  });

  test('does not acknowledge a MeshConfig, and of 1.9 dies of an empty one', async () => {
    const { script, istiod, count } = await scripted({ profile: '1.9' });
    const meshConfig = 'core/v1alpha1/MeshConfig';
    const networking = 'networking.istio.io/v1alpha3/ServiceEntry';
    void script.answer({ typeUrl: meshConfig, nonce: '1', resources: [{ type_url: 'x' }] });
    void script.answer({ typeUrl: networking, nonce: '2' });
    await eventually(() => assert.equal(script.requests().length, count + 1));
    assert.equal(script.requests().at(-1)?.responseNonce, '2');
    void script.answer({ typeUrl: meshConfig, nonce: '3' });
    await script.answer({ typeUrl: networking, nonce: '4', resources: [anyOf({ name: 'n/a' })] });
    await turns();
    assert.equal(istiod.serviceEntries().size, 0);
    assert.equal(script.requests().length, count + 1);
  });

  test('comes back after each end, asks for everything, and keeps what it has', async () => {
    const { script, istiod, count } = await scripted();
    void script.answer({ typeUrl, nonce: '1', resources: [anyOf({ name: 'n/a' })] });
    await eventually(() => assert.equal(istiod.serviceEntries().size, 1));
    script.streams[0]?.call.end({ code: 0, message: '' });
    await eventually(() => assert.equal(script.requests(1).length, count));
    istiod.cutStream();
    await eventually(() => assert.equal(script.requests(2).length, count));
    assert.ok(script.requests(2).every(({ versionInfo }) => versionInfo === ''));
    assert.equal(istiod.serviceEntries().size, 1);
    assert.equal(istiod.endings[0], 'the stream ended');
  });

  test('tells its proxies after a time of quiet, once for many changes', async () => {
    const { script, istiod } = await scripted({ debounce: { quietMs: 60, maxMs: 10_000 } });
    for (const name of ['n/a', 'n/b', 'n/c']) {
      void script.answer({ typeUrl, nonce: name, resources: [anyOf({ name })] });
    }
    await eventually(() => assert.equal(istiod.meshPushes.length, 1));
    assert.deepEqual([...(istiod.meshPushes[0]?.names ?? [])].sort(), ['n/a', 'n/b', 'n/c']);
  });

  test('in light mode finds one resource and counts the others', async () => {
    const { script, istiod } = await scripted({ mode: 'light', find: 'n/b' });
    const resources = ['n/a', 'n/b', 'n/c'].map((name) => anyOf({ name, version: `of ${name}` }));
    const next = istiod.nextPush();
    void script.answer({ typeUrl, nonce: '1', versionInfo: 'v', resources });
    const push = await next;
    assert.equal(push.found?.version, 'of n/b');
    assert.equal(push.resources, 3);
    assert.equal(istiod.byteCount, push.byteLength);
    assert.equal(istiod.serviceEntries().size, 0);
  });

  test('processes nothing while it is paused', async () => {
    const { script, istiod, count } = await scripted();
    istiod.pause();
    await script.answer({ typeUrl, nonce: '1', resources: [anyOf({ name: 'n/a' })] });
    await turns();
    assert.equal(script.requests().length, count);
    istiod.resume();
    await eventually(() => assert.equal(script.requests().length, count + 1));
    assert.equal(istiod.serviceEntries().size, 1);
  });

  test('exits when it cannot reach its source at the start', async () => {
    const istiod = new TestIstiod({ address: '127.0.0.1:1', exitsIfUnreachable: true });
    await assert.rejects(istiod.run(new AbortController().signal), /MCP: failed running/);
  });
});
