import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { after, before, beforeEach, test } from 'node:test';
import { pino } from 'pino';
import { EurekaClient } from '../../../../agent/eureka/client.ts';
import { describeResult } from '../../../../agent/eureka/fetch-result.ts';
import type { FetchResult } from '../../../../agent/eureka/fetch-result.ts';
import { plainAccess } from '../../../../agent/eureka/options.ts';
import type { EurekaAccess } from '../../../../agent/eureka/options.ts';
import type { Environment } from '../../../../agent/eureka/proxies.ts';
import { parseServiceUrl } from '../../../../agent/eureka/service-url.ts';
import { Certificates } from '../../../support/certificates.ts';
import { startProxyStub } from '../../../support/proxy-stub.ts';
import type { ProxyStub } from '../../../support/proxy-stub.ts';

const certificates = new Certificates();
const authority = certificates.authority();
const leaf = certificates.issue(authority);
const plain = createServer((_, response) => response.end('{}'));
const secure = createTlsServer({ cert: leaf.cert, key: leaf.key }, (_, response) =>
  response.end('{}'),
);
const never = new AbortController().signal;
let proxy: ProxyStub;

before(async () => {
  proxy = await startProxyStub();
  for (const server of [plain, secure]) {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  }
});
after(async () => {
  await proxy.stop();
  for (const server of [plain, secure]) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
  certificates.remove();
});
beforeEach(() => {
  proxy.status = undefined;
});

const portOf = (server: typeof plain): number => (server.address() as AddressInfo).port;

async function get(
  url: string,
  environment: Environment,
  access: Partial<EurekaAccess> = {},
): Promise<FetchResult> {
  const client = new EurekaClient(
    {
      requestTimeoutMs: 2_000,
      bodyLimitBytes: 100_000,
      isCompact: false,
      regions: [],
      access: { ...plainAccess, ...access },
      environment,
    },
    { servers: [] },
    pino({ level: 'silent' }),
  );
  try {
    return await client.get(parseServiceUrl(url), 'apps', never);
  } finally {
    await client.close();
  }
}

const both = (userinfo = ''): Environment => ({
  http_proxy: `http://${userinfo}127.0.0.1:${proxy.port}`,
  https_proxy: `http://${userinfo}127.0.0.1:${proxy.port}`,
});

test('plain requests are forwarded, with the credentials of the proxy', async () => {
  const url = `http://127.0.0.1:${portOf(plain)}/eureka/`;
  const result = await get(url, both('proxy%40user:word@'));
  assert.ok(result.kind === 'ok');
  assert.equal(result.servedBy, url);
  assert.equal(proxy.requests.at(-1), `GET ${url}apps`);
  const expected = Buffer.from('proxy@user:word').toString('base64');
  assert.equal(proxy.authorization, `Basic ${expected}`);
});

test('TLS goes through a tunnel, checked by our own authorities', async () => {
  const url = `https://localhost:${portOf(secure)}/eureka/`;
  const result = await get(url, both(), { caFile: authority.certFile });
  assert.equal(result.kind, 'ok');
  assert.equal(proxy.requests.at(-1), `CONNECT localhost:${portOf(secure)}`);
  const unchecked = await get(url, both());
  assert.ok(unchecked.kind === 'failed');
  assert.match(describeResult(unchecked), /certificate/);
  const misnamed = await get(url, both(), { caFile: authority.certFile, serverName: 'other' });
  assert.ok(misnamed.kind === 'failed');
  assert.match(describeResult(misnamed), /altnames/);
});

test('hosts that are excepted and sorts of URL without a proxy are reached straight', async () => {
  const url = `http://127.0.0.1:${portOf(plain)}/eureka/`;
  const before = proxy.requests.length;
  for (const environment of [
    { ...both(), no_proxy: 'localhost,127.0.0.1' },
    { ...both(), no_proxy: '*' },
    { HTTPS_PROXY: both()['https_proxy'] },
    {},
  ]) {
    assert.equal((await get(url, environment)).kind, 'ok');
  }
  const secured = `https://127.0.0.1:${portOf(secure)}/eureka/`;
  const only = { HTTP_PROXY: both()['http_proxy'] };
  assert.equal((await get(secured, only, { caFile: authority.certFile })).kind, 'ok');
  assert.equal(proxy.requests.length, before);
});

test('what the proxy says is not what the server says', async () => {
  const tunnel = `https://127.0.0.1:${portOf(secure)}/eureka/`;
  const forward = `http://127.0.0.1:${portOf(plain)}/eureka/`;
  const cases: readonly [number, string, string][] = [
    [407, tunnel, 'unauthorized'],
    [407, forward, 'unauthorized'],
    [404, tunnel, 'unexpected'],
    [403, tunnel, 'unexpected'],
    [503, tunnel, 'unavailable'],
    [503, forward, 'unavailable'],
  ];
  for (const [status, url, refusal] of cases) {
    proxy.status = status;
    const result = await get(url, both('user:hidden@'));
    assert.ok(result.kind === 'refused', `${status} ${url}: ${JSON.stringify(result)}`);
    assert.equal(result.status, status);
    assert.equal(result.refusal, refusal);
    assert.doesNotMatch(describeResult(result), /hidden/);
  }
});

test('a proxy that is not there does not mean that the server is not there', async () => {
  const closed = await startProxyStub();
  await closed.stop();
  for (const url of ['http://127.0.0.1:1/eureka/', 'https://127.0.0.1:1/eureka/']) {
    const environment = {
      http_proxy: `http://user:hidden@127.0.0.1:${closed.port}`,
      https_proxy: `http://user:hidden@127.0.0.1:${closed.port}`,
    };
    const result = await get(url, environment);
    assert.ok(result.kind === 'failed');
    assert.equal(result.failure, 'unreachable');
    assert.doesNotMatch(describeResult(result), /hidden/);
  }
  const straight = await get('http://127.0.0.1:1/eureka/', { ...both(), no_proxy: '127.0.0.1' });
  assert.ok(straight.kind === 'failed');
  assert.equal(straight.failure, 'not-listening');
});

test('a proxy may be one of TLS, trusted by the same authorities', async () => {
  const secured = await startProxyStub({ cert: leaf.cert, key: leaf.key });
  const environment = {
    http_proxy: `https://localhost:${secured.port}`,
    https_proxy: `https://localhost:${secured.port}`,
  };
  for (const [scheme, server] of [
    ['http', plain],
    ['https', secure],
  ] as const) {
    const url = `${scheme}://localhost:${portOf(server)}/eureka/`;
    const result = await get(url, environment, { caFile: authority.certFile });
    assert.equal(result.kind, 'ok', JSON.stringify(result));
    const untrusted = await get(url, environment);
    assert.ok(untrusted.kind === 'failed');
    assert.match(describeResult(untrusted), /certificate/);
  }
  assert.deepEqual(
    secured.requests.map((request) => request.split(' ')[0]),
    ['GET', 'CONNECT'],
  );
  await secured.stop();
});

test('a proxy that is no URL is told, and nothing is sent past it', async () => {
  const url = `http://127.0.0.1:${portOf(plain)}/eureka/`;
  const result = await get(url, { HTTP_PROXY: 'http://u:hidden@p:x' });
  assert.ok(result.kind === 'failed');
  assert.match(describeResult(result), /^HTTP_PROXY: expected the URL of a proxy/);
});
