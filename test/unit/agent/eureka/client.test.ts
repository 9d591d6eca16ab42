import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { after, before, beforeEach, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { pino } from 'pino';
import { openBody } from '../../../../agent/eureka/body.ts';
import type { RawBody } from '../../../../agent/eureka/body.ts';
import { EurekaClient } from '../../../../agent/eureka/client.ts';
import { describeResult } from '../../../../agent/eureka/fetch-result.ts';
import type { ClientOptions } from '../../../../agent/eureka/client.ts';
import type { FetchResult } from '../../../../agent/eureka/fetch-result.ts';
import { plainAccess } from '../../../../agent/eureka/options.ts';
import { parseServiceUrl } from '../../../../agent/eureka/service-url.ts';
import { ProtocolError } from '../../../../common/errors.ts';
import { registrationOf } from '../../../support/eureka-registration.ts';
import { startFakeEureka } from '../../../support/fake-eureka.ts';
import type { EurekaFault, FakeEureka, FakeEurekaNode } from '../../../support/fake-eureka.ts';

let fake: FakeEureka;
let node: FakeEurekaNode;
const newClient = (options: Partial<ClientOptions> = {}): EurekaClient =>
  new EurekaClient(
    {
      requestTimeoutMs: 10_000,
      bodyLimitBytes: 100_000,
      isCompact: false,
      regions: [],
      access: plainAccess,
      environment: {},
      ...options,
    },
    { servers: [] },
    pino({ level: 'silent' }),
  );
const client = newClient();
const never = new AbortController().signal;

before(async () => {
  fake = await startFakeEureka();
  const [first] = fake.nodes;
  assert.ok(first !== undefined);
  node = first;
});
after(async () => {
  await client.close();
  await fake.stop();
});
beforeEach(() => node.heal());

const get = (path = 'apps', signal = never): Promise<FetchResult> =>
  client.get(parseServiceUrl(node.serviceUrl), path, signal);

async function textOf(result: FetchResult): Promise<string> {
  assert.equal(result.kind, 'ok');
  const chunks: Buffer[] = [];
  for await (const chunk of openBody(result.body, 1_000_000)) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

test('a body arrives compressed and is inflated on demand', async () => {
  const result = await get();
  assert.ok(result.kind === 'ok');
  assert.equal(result.body.encoding, 'gzip');
  assert.match(await textOf(result), /^\{"applications":/);
  const again = await get();
  assert.ok(again.kind === 'ok');
  assert.equal(again.body.hash, result.body.hash);
  assert.ok(result.receivedAt <= performance.now());
});

test('requests carry a truthful identity and ask for JSON', async () => {
  await get('apps/delta');
  const headers = node.requests.at(-1)?.headers;
  assert.equal(headers?.accept, 'application/json');
  assert.equal(headers['accept-encoding'], 'gzip');
  assert.equal(headers['discoveryidentity-name'], 'tributary-agent');
  assert.equal(headers['x-eureka-accept'], 'full');
  assert.equal(headers.authorization, undefined);
});

test('userinfo becomes an Authorization header and appears nowhere else', async () => {
  const url = node.serviceUrl.replace('http://', 'http://us%40er:p%3Ass%2Fword@');
  const server = parseServiceUrl(url);
  assert.equal(server.url, node.serviceUrl);
  await client.get(server, 'apps', never);
  const sent = node.requests.at(-1);
  assert.equal(
    sent?.headers.authorization,
    `Basic ${Buffer.from('us@er:p:ss/word').toString('base64')}`,
  );
  assert.doesNotMatch(sent.path, /word/);
});

const meanings: readonly [EurekaFault, string, RegExp][] = [
  [{ kind: 'empty-body' }, 'empty-body', /empty body/],
  [{ kind: 'empty-body', encoding: 'gzip' }, 'empty-body', /empty body/],
  [{ kind: 'status', code: 204 }, 'empty-body', /204/],
  [
    { kind: 'status', code: 301, location: 'http://127.0.0.1:1/login?secret=x' },
    'redirect',
    /^301/,
  ],
  [{ kind: 'status', code: 302, location: '/eureka/v2/apps' }, 'redirect', /^302/],
  [{ kind: 'status', code: 307, location: '/eureka/v2/apps' }, 'redirect', /^307/],
  [{ kind: 'status', code: 307 }, 'unavailable', /^307/],
  [{ kind: 'status', code: 400 }, 'unexpected', /^400/],
  [{ kind: 'status', code: 401 }, 'unauthorized', /credentials/],
  [{ kind: 'status', code: 403 }, 'forbidden', /warming up/],
  [{ kind: 'status', code: 404 }, 'not-found', /no such path/],
  [{ kind: 'status', code: 406 }, 'not-acceptable', /^406/],
  [{ kind: 'status', code: 429 }, 'unavailable', /^429/],
  [{ kind: 'status', code: 500 }, 'unavailable', /^500/],
  [{ kind: 'status', code: 503 }, 'unavailable', /^503/],
];

for (const [fault, refusal, text] of meanings) {
  test(`${JSON.stringify(fault)} means ${refusal}`, async () => {
    node.fail(fault);
    const result = await get();
    assert.ok(result.kind === 'refused', result.kind);
    assert.equal(result.refusal, refusal);
    assert.match(describeResult(result), text);
    assert.doesNotMatch(describeResult(result), /secret/);
  });
}

test('a body that drips in has a deadline', async () => {
  node.fail({ kind: 'slow-loris' });
  const impatient = newClient({ requestTimeoutMs: 300 });
  const result = await impatient.get(parseServiceUrl(node.serviceUrl), 'apps', never);
  assert.ok(result.kind === 'failed');
  assert.equal(result.failure, 'timeout');
  assert.match(describeResult(result), /no whole answer in 300 ms/);
  await impatient.close();
});

test('a connection that is cut and a port where nobody listens are told apart', async () => {
  node.fail({ kind: 'reset' });
  const cut = await get();
  assert.ok(cut.kind === 'failed');
  assert.equal(cut.failure, 'unreachable');
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve));
  const { port } = probe.address() as AddressInfo;
  await new Promise((resolve) => probe.close(resolve));
  const nobody = parseServiceUrl(`http://user:hidden@127.0.0.1:${port}/eureka/`);
  const refused = await client.get(nobody, 'apps', never);
  assert.ok(refused.kind === 'failed');
  assert.equal(refused.failure, 'not-listening');
  assert.doesNotMatch(describeResult(refused), /hidden/);
});

test('an aborted request ends at once', async () => {
  node.fail({ kind: 'slow-loris' });
  assert.equal((await get('apps', AbortSignal.abort())).kind, 'failed');
  const abort = new AbortController();
  const pending = get('apps', abort.signal);
  abort.abort();
  const result = await pending;
  assert.ok(result.kind === 'failed');
  assert.equal(result.failure, 'unreachable');
});

test('a body beyond the limit is refused, on the wire and inflated', async () => {
  for (let index = 0; index < 400; index += 1) {
    const fields = { hostName: `h${Math.random()}` };
    node.registry.register(registrationOf('BIG', `i${index}-${Math.random()}`, fields));
  }
  const small = newClient({ requestTimeoutMs: 5_000, bodyLimitBytes: 5_000 });
  const result = await small.get(parseServiceUrl(node.serviceUrl), 'apps', never);
  await small.close();
  assert.ok(result.kind === 'failed');
  assert.equal(result.failure, 'too-large');
  const whole = await get();
  assert.ok(whole.kind === 'ok');
  await assert.rejects(async () => {
    for await (const chunk of openBody(whole.body, 10_000)) assert.ok(chunk.length > 0);
  }, /inflates to over 10000 bytes/);
});

test('a gzip body that is cut short or no gzip is an error', async () => {
  const drain = async (bytes: Buffer): Promise<void> => {
    const body: RawBody = { chunks: [bytes], encoding: 'gzip', hash: '' };
    for await (const chunk of openBody(body, 1_000)) assert.ok(chunk.length > 0);
  };
  const whole = gzipSync('{"applications":{}}');
  await drain(whole);
  await assert.rejects(drain(whole.subarray(0, whole.length - 9)), ProtocolError);
  await assert.rejects(drain(Buffer.from('{"applications":{}}')), ProtocolError);
});

test('lists have the remote regions in their query, small and sorted, single instances do not', async () => {
  const regional = newClient({ regions: ['us-West-2', 'eu-west-1', 'US-west-2', 'a&b', ' '] });
  for (const path of ['apps', 'apps/delta', 'apps/ORDERS/i1']) {
    await regional.get(parseServiceUrl(node.serviceUrl), path, never);
  }
  await regional.close();
  assert.deepEqual(
    node.requests.slice(-3).map(({ path }) => path),
    [
      '/eureka/apps?regions=a%26b,eu-west-1,us-west-2',
      '/eureka/apps/delta?regions=a%26b,eu-west-1,us-west-2',
      '/eureka/apps/ORDERS/i1',
    ],
  );
});

test('the short form is asked for in lists only', async () => {
  const compact = newClient({ isCompact: true });
  for (const path of ['apps', 'apps/delta', 'apps/ORDERS/i1']) {
    await compact.get(parseServiceUrl(node.serviceUrl), path, never);
  }
  await compact.close();
  assert.deepEqual(
    node.requests.slice(-3).map(({ headers }) => headers['x-eureka-accept']),
    ['compact', 'compact', 'full'],
  );
});

test('a kept-alive connection that breaks as it is used is tried once more', async () => {
  let requests = 0;
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.on('data', () => {
      requests += 1;
      if (requests === 2) socket.destroy();
      else socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const url = parseServiceUrl(`http://127.0.0.1:${port}/eureka/`);
  const other = newClient();
  assert.equal((await other.get(url, 'apps', never)).kind, 'ok');
  assert.equal((await other.get(url, 'apps', never)).kind, 'ok');
  assert.equal(requests, 3);
  await other.close();
  const late = await other.get(url, 'apps', never);
  assert.ok(late.kind === 'failed');
  assert.match(describeResult(late), /closed/);
  await new Promise((resolve) => server.close(resolve));
});
