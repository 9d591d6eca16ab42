import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { test } from 'node:test';
import { pino } from 'pino';
import type { HostPort } from '../../../common/address.ts';
import { HttpError, HttpServer, isTrustedHost, json, plain } from '../../../common/http-server.ts';
import type { HttpServerOptions, Route } from '../../../common/http-server.ts';
import { ListenError } from '../../../common/listening.ts';

const silent = pino({ level: 'silent' });
const listen = { host: '127.0.0.1', port: 0 };

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

interface Asked {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

async function ask(address: HostPort, path: string, asked: Asked = {}): Promise<Answer> {
  const { method = 'GET', headers = {}, body } = asked;
  const sent = request({ ...address, path, method, headers: { ...headers } });
  sent.end(body);
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  let text = '';
  for await (const chunk of response) text += String(chunk);
  return { status: response.statusCode ?? 0, headers: response.headers, body: text };
}

async function serving(
  options: Partial<HttpServerOptions> & { readonly routes: readonly Route[] },
  use: (address: HostPort) => Promise<void>,
): Promise<void> {
  const controller = new AbortController();
  const server = new HttpServer({ listen, flag: '--admin-listen', ...options }, silent);
  const listening = Promise.withResolvers<HostPort>();
  const done = server.run(controller.signal, listening.resolve);
  try {
    await use(await listening.promise);
  } finally {
    controller.abort();
    await done;
  }
}

const routes: readonly Route[] = [
  { method: 'GET', path: '/', handle: () => plain('home') },
  {
    method: 'GET',
    path: '/a/:x/:y',
    handle: ({ parameters, query }) => json({ parameters, q: query.get('q') }),
  },
  { method: 'POST', path: '/a/:x/:y', handle: ({ body }) => plain(body) },
  {
    method: 'GET',
    path: '/teapot',
    handle: () => {
      throw new HttpError(418, 'short and stout');
    },
  },
  {
    method: 'GET',
    path: '/broken',
    handle: () => Promise.reject(new Error('secret detail')),
  },
];

test('routes are found by method and path, parts and query are decoded', async () => {
  await serving({ routes }, async (address) => {
    assert.equal((await ask(address, '/')).body, 'home');
    const found = await ask(address, '/a/dc1%2F/b%20c?q=%3Cx%3E');
    assert.deepEqual(JSON.parse(found.body), { parameters: { x: 'dc1/', y: 'b c' }, q: '<x>' });
    assert.equal(found.headers['x-content-type-options'], 'nosniff');
    assert.equal(found.headers['cache-control'], 'no-store');
    const posted = await ask(address, '/a/1/2', { method: 'POST', body: 'hello' });
    assert.equal(posted.body, 'hello');
  });
});

test('HEAD has the headers of GET and no body', async () => {
  await serving({ routes }, async (address) => {
    const head = await ask(address, '/', { method: 'HEAD' });
    assert.equal(head.status, 200);
    assert.equal(head.headers['content-length'], '4');
    assert.equal(head.body, '');
  });
});

test('errors are JSON, tell nothing internal and reflect nothing', async () => {
  await serving({ routes }, async (address) => {
    const table: readonly (readonly [string, Asked, number, string])[] = [
      ['/none/<script>', {}, 404, 'not found'],
      ['/', { method: 'POST' }, 405, 'method not allowed'],
      ['/', { method: 'DELETE' }, 405, 'method not allowed'],
      ['/teapot', {}, 418, 'short and stout'],
      ['/broken', {}, 500, 'internal error'],
      ['/a/%zz/b', {}, 400, 'bad percent-encoding in the path: URI malformed'],
      ['//', {}, 404, 'not found'],
    ];
    for (const [path, asked, status, error] of table) {
      const answer = await ask(address, path, asked);
      assert.equal(answer.status, status, path);
      assert.deepEqual(JSON.parse(answer.body), { error }, path);
      assert.match(String(answer.headers['content-type']), /^application\/json/);
    }
    const refused = await ask(address, '/', { method: 'PUT' });
    assert.equal(refused.headers['allow'], 'GET, HEAD, POST');
  });
});

test('a body over the limit is refused', async () => {
  await serving({ routes }, async (address) => {
    const body = 'x'.repeat(64 * 1024);
    assert.equal((await ask(address, '/a/1/2', { method: 'POST', body })).status, 200);
    const more = await ask(address, '/a/1/2', { method: 'POST', body: `${body}x` });
    assert.equal(more.status, 413);
  });
});

test('a body that is announced as huge is refused before it has come', async () => {
  await serving({ routes }, async (address) => {
    const sent = request({
      ...address,
      path: '/a/1/2',
      method: 'POST',
      headers: { 'content-length': 1e9 },
    });
    sent.on('error', () => undefined);
    sent.write('x'.repeat(65 * 1024));
    const [response] = (await once(sent, 'response')) as [IncomingMessage];
    assert.equal(response.statusCode, 413);
    assert.equal(response.headers.connection, 'close');
    sent.destroy();
  });
});

test('a client that goes away in the middle of its body leaves no line in the log', async () => {
  const lines: string[] = [];
  const log = pino({ level: 'trace' }, { write: (line: string) => void lines.push(line) });
  const controller = new AbortController();
  const listening = Promise.withResolvers<HostPort>();
  const server = new HttpServer({ listen, flag: '--admin-listen', routes }, log);
  const done = server.run(controller.signal, listening.resolve);
  const { port } = await listening.promise;
  const socket = connect(port, '127.0.0.1');
  socket.write('POST /a/1/2 HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nxx', () =>
    socket.destroy(),
  );
  await once(socket, 'close');
  assert.equal((await ask({ host: '127.0.0.1', port }, '/')).status, 200);
  controller.abort();
  await done;
  assert.deepEqual(lines, []);
});

test('what is no HTTP is refused, and the listener goes on', async () => {
  await serving({ routes }, async (address) => {
    const refused = ['\u0016\u0003\u0001hello\r\n\r\n', 'GET http://[ HTTP/1.1\r\nHost: a\r\n\r\n'];
    for (const text of refused) {
      const socket = connect(address.port, address.host);
      let answer = '';
      socket.on('data', (chunk) => (answer += String(chunk)));
      socket.end(text);
      await once(socket, 'close');
      assert.match(answer, /^HTTP\/1\.1 400 /, text);
    }
    assert.equal((await ask(address, '/')).status, 200);
  });
});

test('a guarded listener answers only to addresses, localhost and the names it was told', async () => {
  await serving({ routes, allowedHosts: ['admin.example'] }, async (address) => {
    for (const host of [
      '127.0.0.1:9905',
      'localhost',
      '[::1]:9905',
      '10.0.0.1',
      'ADMIN.example:1',
    ]) {
      assert.equal((await ask(address, '/', { headers: { host } })).status, 200, host);
    }
    for (const host of ['attacker.example', 'localhost.attacker.example', 'admin.example.evil:1']) {
      const answer = await ask(address, '/', { headers: { host } });
      assert.equal(answer.status, 403, host);
      assert.match(answer.body, /--admin-hosts/);
    }
  });
  assert.equal(isTrustedHost('', ['a']), false);
});

test('an open listener does not look at the host', async () => {
  await serving({ routes }, async (address) => {
    assert.equal((await ask(address, '/', { headers: { host: 'x.example' } })).status, 200);
  });
});

test('a guarded listener takes a POST only from where a foreign page cannot send one', async () => {
  await serving({ routes, allowedHosts: [] }, async (address) => {
    const post = async (headers: Record<string, string>): Promise<number> =>
      (await ask(address, '/a/1/2', { method: 'POST', headers })).status;
    const host = `127.0.0.1:${address.port}`;
    const mark = { 'x-tributary-request': '1' };
    assert.equal(await post({ 'content-type': 'application/json; charset=utf-8' }), 200);
    assert.equal(await post(mark), 200);
    assert.equal(await post({ ...mark, origin: `http://${host}`, host }), 200);
    assert.equal(await post({ ...mark, 'sec-fetch-site': 'same-origin' }), 200);
    assert.equal(await post({}), 415);
    assert.equal(await post({ 'content-type': 'text/plain' }), 415);
    assert.equal(await post({ 'content-type': 'application/x-www-form-urlencoded' }), 415);
    assert.equal(await post({ ...mark, origin: 'http://attacker.example' }), 403);
    assert.equal(await post({ ...mark, origin: 'null' }), 403);
    assert.equal(await post({ ...mark, 'sec-fetch-site': 'cross-site' }), 403);
  });
});

test('a port in use is an error that names the flag', async () => {
  await serving({ routes }, async (address) => {
    const second = new HttpServer({ listen: address, flag: '--metrics-listen', routes }, silent);
    await assert.rejects(second.run(new AbortController().signal), (error: unknown) => {
      assert.ok(error instanceof ListenError);
      assert.match(error.message, /^--metrics-listen: cannot listen on 127\.0\.0\.1:\d+: the port/);
      return true;
    });
  });
});

test('a server that is told to stop ends although a client holds its connection', async () => {
  const controller = new AbortController();
  const server = new HttpServer({ listen, flag: '--admin-listen', routes }, silent);
  const listening = Promise.withResolvers<HostPort>();
  const done = server.run(controller.signal, listening.resolve);
  const { port } = await listening.promise;
  const socket = connect(port, '127.0.0.1');
  await once(socket, 'connect');
  socket.write('GET / HTTP/1.1\r\nHost: a\r\n');
  const closed = once(socket, 'close');
  socket.on('error', () => undefined);
  controller.abort();
  await done;
  await closed;
});

test('a server that is told to stop before it starts does not listen', async () => {
  const server = new HttpServer({ listen, flag: '--admin-listen', routes }, silent);
  await server.run(AbortSignal.abort(), () => assert.fail('it listens'));
});
