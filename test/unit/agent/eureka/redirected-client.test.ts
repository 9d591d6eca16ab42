import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { IncomingMessage, Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, beforeEach, test } from 'node:test';
import { pino } from 'pino';
import { EurekaClient } from '../../../../agent/eureka/client.ts';
import { describeResult } from '../../../../agent/eureka/fetch-result.ts';
import type { FetchResult } from '../../../../agent/eureka/fetch-result.ts';
import { plainAccess } from '../../../../agent/eureka/options.ts';
import { parseServiceUrl } from '../../../../agent/eureka/service-url.ts';
import type { ServiceUrl } from '../../../../agent/eureka/service-url.ts';

type Answer = number | { readonly to: string; readonly status?: number };

/** A server that answers what it is told to, and remembers what it was asked. */
class Station {
  answer: (request: IncomingMessage) => Answer = () => 200;
  readonly seen: { readonly path: string; readonly authorization: string | undefined }[] = [];
  private readonly server: Server = createServer((request, response) => {
    this.seen.push({
      path: request.url ?? '',
      authorization: request.headers.authorization,
    });
    const answer = this.answer(request);
    if (answer === 200) response.end('{"applications":{}}');
    else if (typeof answer === 'number') response.writeHead(answer).end('no');
    else response.writeHead(answer.status ?? 302, { location: answer.to }).end('elsewhere');
  });

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}/eureka/`;
  }

  async start(): Promise<void> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve));
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

const one = new Station();
const two = new Station();
const known: { servers: ServiceUrl[] } = { servers: [] };
const never = new AbortController().signal;
const client = new EurekaClient(
  {
    requestTimeoutMs: 2_000,
    bodyLimitBytes: 100_000,
    isCompact: false,
    regions: ['b', 'a'],
    access: plainAccess,
    environment: {},
  },
  known,
  pino({ level: 'silent' }),
);
before(() => Promise.all([one.start(), two.start()]));
after(() => Promise.all([client.close(), one.stop(), two.stop()]));
beforeEach(() => {
  for (const station of [one, two]) {
    station.answer = () => 200;
    station.seen.length = 0;
  }
  known.servers = [];
});

const withUser = (url: string, user: string): ServiceUrl =>
  parseServiceUrl(url.replace('http://', `http://${user}@`));
const get = (path = 'apps', server = withUser(one.url, 'u:p')): Promise<FetchResult> =>
  client.get(server, path, never);
const basic = (text: string): string => `Basic ${Buffer.from(text).toString('base64')}`;
const moved = (to: Station) => (request: IncomingMessage) => ({
  to: `${to.url}${request.url?.slice('/eureka/'.length)}`,
});

test('an answer names the server that gave it', async () => {
  const own = await get();
  assert.ok(own.kind === 'ok');
  assert.equal(own.servedBy, one.url);
  one.answer = moved(two);
  const other = await get('apps/delta');
  assert.ok(other.kind === 'ok');
  assert.equal(other.servedBy, two.url);
  assert.equal(two.seen[0]?.path, '/eureka/apps/delta?regions=a,b');
});

test('credentials stay with the origin they are for', async () => {
  one.answer = moved(two);
  await get();
  assert.equal(one.seen[0]?.authorization, basic('u:p'));
  assert.equal(two.seen[0]?.authorization, undefined);
});

test('a redirect within the origin keeps them', async () => {
  one.answer = ({ url }) => (url?.startsWith('/v2/') === true ? 200 : { to: '/v2/apps' });
  const result = await get();
  assert.ok(result.kind === 'ok');
  assert.equal(result.servedBy, one.url.replace('/eureka/', '/v2/'));
  assert.equal(one.seen[1]?.authorization, basic('u:p'));
});

test('a server that the operator named gets its own', async () => {
  known.servers = [withUser(one.url, 'u:p'), withUser(two.url, 'second:word')];
  one.answer = moved(two);
  await get();
  assert.equal(two.seen[0]?.authorization, basic('second:word'));
});

test('three redirects are followed, a fourth is refused', async () => {
  let hops = 0;
  const hopTo = (to: Station, hopsMax: number) => (request: IncomingMessage) =>
    ++hops > hopsMax ? 200 : moved(to)(request);
  one.answer = hopTo(two, 3);
  two.answer = hopTo(one, 3);
  assert.equal((await get()).kind, 'ok');
  hops = 0;
  one.answer = hopTo(two, 4);
  two.answer = hopTo(one, 4);
  const result = await get();
  assert.ok(result.kind === 'refused');
  assert.equal(result.refusal, 'redirect');
  assert.equal(hops, 4);
});

test('a login page is a refusal', async () => {
  one.answer = () => ({ to: `${two.url}login?secret=x` });
  const result = await get();
  assert.ok(result.kind === 'refused');
  assert.equal(result.refusal, 'redirect');
  assert.doesNotMatch(describeResult(result), /secret|login/);
  assert.equal(two.seen.length, 0);
});

test('only the server that serves the list can deny an instance', async () => {
  await get('apps');
  one.answer = () => 404;
  const own = await get('apps/A/i1');
  assert.ok(own.kind === 'refused');
  assert.deepEqual([own.status, own.refusal], [404, 'not-found']);

  one.answer = moved(two);
  two.answer = () => 404;
  const stranger = await get('apps/A/i1');
  assert.ok(stranger.kind === 'refused');
  assert.equal(stranger.refusal, 'unexpected');
  assert.match(describeResult(stranger), /another server than the one that serves the list/);

  two.answer = () => 200;
  await get('apps');
  two.answer = () => 404;
  const host = await get('apps/A/i1');
  assert.ok(host.kind === 'refused');
  assert.equal(host.refusal, 'not-found');

  one.answer = () => 200;
  await get('apps');
  one.answer = moved(two);
  const formerHost = await get('apps/A/i1');
  assert.ok(formerHost.kind === 'refused');
  assert.equal(formerHost.refusal, 'unexpected');
});
