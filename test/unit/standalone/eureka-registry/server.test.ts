import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { createEurekaRegistry } from '../../../../standalone/eureka-registry/registry.ts';
import type {
  EurekaRegistry,
  EurekaRegistryOptions,
} from '../../../../standalone/eureka-registry/registry.ts';
import { serveEurekaRegistry } from '../../../../standalone/eureka-registry/server.ts';
import { registrationOf } from '../../../support/eureka-registration.ts';
import { eventually } from '../../../support/eventually.ts';

let stop: AbortController;
let served: Promise<void>;
let registry: EurekaRegistry;
let base: string;

async function serve(options: EurekaRegistryOptions = {}): Promise<void> {
  registry = createEurekaRegistry({ readOnlyCacheMs: 0, ...options });
  await new Promise<void>((resolve, reject) => {
    served = serveEurekaRegistry(registry, { host: '127.0.0.1', port: 0 }, stop.signal, (at) => {
      base = `http://${at.host}:${at.port}`;
      resolve();
    });
    served.catch(reject);
  });
}

beforeEach(() => {
  stop = new AbortController();
});
afterEach(async () => {
  stop.abort();
  await served;
});

async function call(
  method: string,
  path: string,
  options: { readonly body?: unknown; readonly headers?: Record<string, string> } = {},
): Promise<{ status: number; text: string; headers: Headers }> {
  const { body, headers } = options;
  const response = await fetch(`${base}${path}`, {
    method,
    headers: { accept: 'application/json', ...headers },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  return { status: response.status, text: await response.text(), headers: response.headers };
}

const instance = {
  instanceId: 'a b/1',
  hostName: 'h',
  app: 'SHOP',
  ipAddr: '10.0.0.1',
  status: 'UP',
  dataCenterInfo: { '@class': 'x', name: 'MyOwn' },
};

test('the whole life of an instance, on both paths', async () => {
  await serve();
  for (const prefix of ['/eureka', '/eureka/v2']) {
    const path = `${prefix}/apps/shop/${encodeURIComponent('a b/1')}`;
    assert.equal((await call('PUT', path)).status, 404);
    assert.equal((await call('POST', `${prefix}/apps/shop`, { body: { instance } })).status, 204);
    assert.equal((await call('PUT', path)).status, 200);
    assert.match((await call('GET', `${prefix}/apps`)).text, /"apps__hashcode":"UP_1_"/);
    assert.match((await call('GET', `${prefix}/apps/`)).text, /"name":"SHOP"/);
    assert.match((await call('GET', `${prefix}/apps/delta`)).text, /"actionType":"ADDED"/);
    assert.match((await call('GET', `${prefix}/apps/Shop`)).text, /^\{"application":\{/);
    assert.match((await call('GET', path)).text, /^\{"instance":\{/);
    assert.match((await call('GET', `${prefix}/instances/a%20b%2F1`)).text, /^\{"instance":\{/);
    assert.equal((await call('PUT', `${path}/status?value=OUT_OF_SERVICE`)).status, 200);
    assert.match((await call('GET', path)).text, /"status":"OUT_OF_SERVICE"/);
    assert.equal((await call('PUT', `${path}/status?value=NAPPING`)).status, 500);
    assert.equal((await call('DELETE', `${path}/status?value=UP`)).status, 200);
    assert.equal((await call('PUT', `${path}/metadata?version=2`)).status, 200);
    assert.match((await call('GET', path)).text, /"version":"2"/);
    assert.equal((await call('DELETE', path)).status, 200);
    assert.equal((await call('GET', path)).status, 404);
    assert.equal((await call('DELETE', path)).status, 404);
  }
});

test('what cannot be answered has its code', async () => {
  await serve();
  const status = async (...args: Parameters<typeof call>): Promise<number> =>
    (await call(...args)).status;
  assert.equal(await status('GET', '/'), 404);
  assert.equal(await status('GET', '/eureka/nothing'), 404);
  assert.equal(await status('GET', '/eureka/apps/A/b/c'), 404);
  assert.equal(await status('GET', '/eureka/apps/NONE'), 404);
  assert.equal(await status('GET', '/eureka/instances/none'), 404);
  assert.equal(await status('GET', '/eureka/apps', { headers: { accept: '*/*' } }), 406);
  const identity = { 'accept-encoding': 'identity' };
  assert.equal(await status('GET', '/eureka/apps', { headers: identity }), 406);
  assert.equal(await status('POST', '/eureka/nothing'), 404);
  assert.equal(await status('POST', '/eureka/apps/A/b/c/d'), 404);
  assert.equal(await status('PUT', '/eureka/apps/A'), 405);
  assert.equal(await status('POST', '/eureka/apps/A/b'), 405);
  assert.equal(await status('GET', '/eureka/apps/%E0%A4%A'), 500);
  const bad = await call('POST', '/eureka/apps/A', { body: { instance: {} } });
  assert.deepEqual([bad.status, bad.text], [400, 'Missing app']);
  assert.equal(await status('POST', '/eureka/apps/A', { body: 'x'.repeat(1_100_000) }), 400);
});

test('a closed registry refuses lists but answers for single instances', async () => {
  await serve({ warmUpMs: 3_600_000 });
  await call('POST', '/eureka/apps/shop', { body: { instance } });
  assert.equal((await call('GET', '/eureka/apps')).status, 403);
  assert.equal((await call('GET', '/eureka/apps/delta')).status, 403);
  assert.equal((await call('GET', '/eureka/apps/shop')).status, 403);
  assert.equal((await call('GET', '/eureka/apps/shop/a%20b%2F1')).status, 200);
});

test('deltas can be switched off, and compact bodies asked for', async () => {
  await serve({ disableDelta: true });
  await call('POST', '/eureka/apps/shop', { body: { instance } });
  assert.equal((await call('GET', '/eureka/apps/delta')).status, 403);
  const compact = await call('GET', '/eureka/apps', { headers: { 'x-eureka-accept': 'compact' } });
  assert.doesNotMatch(compact.text, /leaseInfo/);
  assert.equal(compact.headers.get('content-encoding'), 'gzip');
});

test('the caches, the delta and the leases are kept going', async () => {
  await serve({
    readOnlyCacheMs: 20,
    deltaPurgeMs: 10,
    deltaRetentionMs: 50,
    evictionIntervalMs: 10,
    cacheExpiryMs: 10,
  });
  assert.match((await call('GET', '/eureka/apps')).text, /"apps__hashcode":""/);
  const leaseInfo = { durationInSecs: 1 };
  await call('POST', '/eureka/apps/shop', { body: { instance: { ...instance, leaseInfo } } });
  await eventually(async () => assert.match((await call('GET', '/eureka/apps')).text, /UP_1_/));
  await eventually(async () =>
    assert.doesNotMatch((await call('GET', '/eureka/apps/delta')).text, /ADDED/),
  );
  await eventually(() => assert.equal(registry.size, 0));
});

test('an address in use is an error', async () => {
  await serve();
  const port = Number(new URL(base).port);
  await assert.rejects(
    serveEurekaRegistry(registry, { host: '127.0.0.1', port }, stop.signal, () => undefined),
    /EADDRINUSE/,
  );
});

interface Listed {
  readonly applications: {
    readonly versions__delta: string;
    readonly apps__hashcode: string;
    readonly application: readonly { readonly instance: readonly { readonly app: string }[] }[];
  };
}

async function listed(path: string): Promise<{ version: string; census: string; size: number }> {
  const { status, text } = await call('GET', path);
  assert.equal(status, 200);
  const { versions__delta, apps__hashcode, application } = (JSON.parse(text) as Listed)
    .applications;
  const size = application.flatMap((app) => app.instance).length;
  return { version: versions__delta, census: apps__hashcode, size };
}

test('instances are found by their virtual addresses, and a miss is an empty list', async () => {
  await serve();
  const vips = { vipAddress: 'shop,store', secureVipAddress: 'shop-secure' };
  await call('POST', '/eureka/apps/shop', { body: { instance: { ...instance, ...vips } } });
  for (const path of ['vips/shop', 'vips/store', 'svips/shop-secure']) {
    assert.deepEqual(await listed(`/eureka/${path}`), { version: '-1', census: 'UP_1_', size: 1 });
  }
  for (const path of ['vips/sho', 'svips/shop', 'vips/none']) {
    assert.deepEqual(await listed(`/eureka/${path}`), { version: '-1', census: '', size: 0 });
  }
});

test('a closed registry refuses virtual addresses too', async () => {
  await serve({ warmUpMs: 3_600_000 });
  assert.equal((await call('GET', '/eureka/vips/shop')).status, 403);
});

test('the two makes of servers differ in their status page and in what they ask of clients', async () => {
  await serve();
  const status = await call('GET', '/eureka/status');
  assert.equal(status.status, 200);
  assert.match(status.text, /"registered-replicas"/);
  stop.abort();
  await served;
  stop = new AbortController();
  await serve({ flavour: 'spring' });
  assert.equal((await call('GET', '/eureka/status')).status, 500);
  const headers = { 'accept-encoding': 'identity' };
  assert.equal((await call('GET', '/eureka/apps', { headers })).status, 200);
});

test('another region is added when it is asked for, and refused until it was read once', async () => {
  await serve({ remoteRegions: ['us-west-2'] });
  await call('POST', '/eureka/apps/shop', { body: { instance } });
  const path = (list: string): string => `/eureka/apps${list}?regions=US-West-2,nowhere`;
  assert.equal((await call('GET', path(''))).status, 403);
  assert.equal((await call('GET', path('/delta'))).status, 403);
  assert.equal((await listed('/eureka/apps')).size, 1);
  const remote = createEurekaRegistry({ readOnlyCacheMs: 0 });
  remote.register(registrationOf('FAR', '1'));
  registry.setRegion('us-west-2', remote);
  for (const list of ['', '/delta']) {
    const { census, size } = await listed(path(list));
    assert.deepEqual([census, size], ['UP_2_', 2]);
  }
  assert.equal((await listed('/eureka/apps')).census, 'UP_1_');
  assert.equal((await listed('/eureka/apps?regions=nowhere')).census, 'UP_1_');
});

test('a heartbeat of a newer registration than is known must register', async () => {
  await serve();
  const body = { instance: { ...instance, lastDirtyTimestamp: '5' } };
  await call('POST', '/eureka/apps/shop', { body });
  const beat = `/eureka/apps/shop/${encodeURIComponent('a b/1')}`;
  assert.equal((await call('PUT', `${beat}?lastDirtyTimestamp=4`)).status, 200);
  assert.equal((await call('PUT', `${beat}?lastDirtyTimestamp=5`)).status, 200);
  assert.equal((await call('PUT', `${beat}?lastDirtyTimestamp=6`)).status, 404);
});
