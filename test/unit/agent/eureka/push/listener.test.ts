import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { Readable } from 'node:stream';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { pino } from 'pino';
import { Agent, request } from 'undici';
import type { PushOptions } from '../../../../../agent/eureka/options.ts';
import type { PushedItem } from '../../../../../agent/eureka/push/item.ts';
import { PushListener } from '../../../../../agent/eureka/push/listener.ts';
import type { HostPort } from '../../../../../common/address.ts';
import { ConfigurationError } from '../../../../../common/errors.ts';
import { ListenError } from '../../../../../common/listening.ts';
import { Certificates } from '../../../../support/certificates.ts';
import { eventually } from '../../../../support/eventually.ts';

const open: PushOptions = {
  listen: { host: '127.0.0.1', port: 0 },
  userFile: undefined,
  certFile: undefined,
  keyFile: undefined,
  clientCaFile: undefined,
};
const json = { 'content-type': 'application/json' };
const replicated = { ...json, 'x-netflix-discovery-replication': 'true' };
const cancelBody = JSON.stringify({
  replicationList: [{ appName: 'A', id: '1', action: 'Cancel' }],
});

let folder: string;
let taken: PushedItem[];
let outcomes: string[];
let lines: string[];
let known: boolean;
let stop: () => Promise<void>;
let base: string;

async function start(
  options: Partial<PushOptions> = {},
  take = (items: readonly PushedItem[]): void => void taken.push(...items),
): Promise<HostPort> {
  const abort = new AbortController();
  const log = pino({ level: 'debug' }, { write: (line: string) => lines.push(line) });
  const listener = new PushListener(
    { ...open, ...options },
    { isKnown: () => known, take },
    {
      pushRequest: (outcome) => outcomes.push(outcome),
      pushItems: () => undefined,
      pushPeer: () => undefined,
    },
    log,
  );
  const listening = Promise.withResolvers<HostPort>();
  const running = listener.run(abort.signal, listening.resolve);
  running.catch(listening.reject);
  stop = async () => {
    abort.abort();
    await running;
  };
  const address = await listening.promise;
  const scheme = options.certFile === undefined ? 'http' : 'https';
  base = `${scheme}://127.0.0.1:${address.port}/eureka/`;
  return address;
}

async function call(
  method: 'GET' | 'POST' | 'PUT' | 'DELETE',
  path: string,
  body?: string | Buffer,
  headers: Readonly<Record<string, string>> = json,
): Promise<{ readonly status: number; readonly text: string }> {
  const response = await request(`${base}${path}`, { method, headers, body: body ?? null });
  return { status: response.statusCode, text: await response.body.text() };
}

const push = (body: string | Buffer, headers?: Readonly<Record<string, string>>) =>
  call('POST', 'peerreplication/batch/', body, headers);

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tributary-push-'));
  taken = [];
  outcomes = [];
  lines = [];
  known = true;
  stop = () => Promise.resolve();
});

afterEach(async () => {
  await stop();
  rmSync(folder, { recursive: true });
});

test('a batch is answered entry by entry and then taken', async () => {
  await start();
  const { status, text } = await push(cancelBody);
  assert.equal(status, 200);
  assert.deepEqual(JSON.parse(text), { responseList: [{ statusCode: 200 }] });
  await eventually(() => assert.deepEqual(taken, [{ kind: 'cancel', key: 'A/1' }]));
  assert.deepEqual(outcomes, ['taken']);
});

test('single calls that are passed on are taken; a heartbeat of a stranger asks for the whole of him', async () => {
  await start();
  const instance = { app: 'A', instanceId: '1', ipAddr: '10.0.0.1', status: 'UP' };
  assert.equal(
    (await call('POST', 'apps/A', JSON.stringify({ instance }), replicated)).status,
    200,
  );
  known = false;
  assert.equal((await call('PUT', 'apps/A/1?status=UP', undefined, replicated)).status, 404);
  known = true;
  assert.equal((await call('PUT', 'apps/A/1?status=UP', undefined, replicated)).status, 200);
  assert.equal(
    (await call('PUT', 'apps/A/1/status?value=DOWN', undefined, replicated)).status,
    200,
  );
  assert.equal((await call('DELETE', 'apps/A/1/status', undefined, replicated)).status, 200);
  assert.equal((await call('DELETE', 'apps/A/1', undefined, replicated)).status, 200);
  assert.equal(
    (await call('PUT', 'asg/x/status?value=ENABLED', undefined, replicated)).status,
    200,
  );
  await eventually(() =>
    assert.deepEqual(
      taken.map(({ kind }) => kind),
      ['register', 'heartbeat', 'heartbeat', 'status', 'status', 'cancel'],
    ),
  );
});

test('it is no registry: reads and writes of applications are sent on with 503', async () => {
  await start();
  assert.equal((await call('GET', 'apps')).status, 503);
  assert.equal((await call('POST', 'apps/A', '{}')).status, 503);
  assert.equal((await call('GET', 'nothing')).status, 404);
  assert.deepEqual(taken, []);
});

test('what is no batch is refused for good, and the connection goes on', async () => {
  await start();
  for (const body of ['', 'null', '{}', '<html>', '{"replicationList":']) {
    assert.equal((await push(body)).status, 400, body);
  }
  assert.equal((await push(cancelBody, { ...json, 'content-encoding': 'br' })).status, 415);
  assert.equal((await push(cancelBody, { ...json, 'content-encoding': 'gzip' })).status, 400);
  assert.equal((await push(cancelBody)).status, 200);
});

test('bodies have a limit, inflated ones too, and who exceeds it hears so', async () => {
  await start();
  const large = Buffer.alloc(17 * 1024 * 1024, ' ');
  assert.equal((await push(large)).status, 413);
  const chunked = await request(`${base}peerreplication/batch/`, {
    method: 'POST',
    headers: json,
    body: Readable.from([large, large]),
  });
  assert.equal(chunked.statusCode, 413);
  await chunked.body.dump();
  const gzip = { ...json, 'content-encoding': 'gzip' };
  assert.equal((await push(gzipSync(large), gzip)).status, 413);
  assert.equal((await push(gzipSync(cancelBody), gzip)).status, 200);
  assert.deepEqual(new Set(outcomes), new Set(['malformed', 'taken']));
});

test('a slow body keeps nobody waiting, and is taken when it is whole', async () => {
  const { port } = await start();
  const socket = connect(port, '127.0.0.1');
  const told: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => told.push(chunk));
  socket.write(
    `POST /eureka/peerreplication/batch/ HTTP/1.1\r\nHost: x\r\nContent-Length: ${cancelBody.length}\r\n\r\n`,
  );
  socket.write(cancelBody.slice(0, 9));
  assert.equal((await push(cancelBody)).status, 200);
  socket.write(cancelBody.slice(9));
  await eventually(() => assert.match(Buffer.concat(told).toString(), /^HTTP\/1\.1 200 /));
  await eventually(() => assert.equal(taken.length, 2));
  socket.destroy();
});

test('a server is answered whatever becomes of what it pushed', async () => {
  await start({}, () => {
    throw new Error('defect');
  });
  assert.equal((await push(cancelBody)).status, 200);
  await eventually(() => assert.match(lines.join(''), /pushed changes could not be taken/));
});

test('a connection lives on through answers of every kind', async () => {
  await start();
  const dispatcher = new Agent({ connections: 1 });
  let connects = 0;
  dispatcher.on('connect', () => (connects += 1));
  const steps = [
    ['POST', 'peerreplication/batch/', cancelBody, 200],
    ['POST', 'peerreplication/batch/', '<html>', 400],
    ['POST', 'apps/A', '{}', 503],
    ['GET', 'apps/delta', null, 503],
    ['GET', 'login', null, 404],
    ['POST', 'login', 'x'.repeat(1_000_000), 404],
    ['POST', 'peerreplication/batch', cancelBody, 200],
  ] as const;
  for (const [method, path, body, status] of steps) {
    const response = await request(`${base}${path}`, { method, headers: json, body, dispatcher });
    await response.body.dump();
    assert.equal(response.statusCode, status, path);
  }
  assert.equal(connects, 1);
  await dispatcher.close();
});

test('a server that is cut off amid its batch harms nobody', async () => {
  const { port } = await start();
  const socket = connect(port, '127.0.0.1');
  const path = '/eureka/peerreplication/batch/';
  const head = `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n`;
  await new Promise((resolve) => socket.write(`${head}{`, resolve));
  socket.destroy();
  assert.equal((await push(cancelBody)).status, 200);
});

test('who shows no password, or a wrong one, is refused before anything is read', async () => {
  const userFile = join(folder, 'users');
  writeFileSync(userFile, 'eureka:s3cret:%\n');
  await start({ userFile });
  const basic = (text: string) => ({
    ...json,
    authorization: `Basic ${Buffer.from(text).toString('base64')}`,
  });
  assert.equal((await push(cancelBody)).status, 401);
  assert.equal((await push(cancelBody, basic('eureka:wrong'))).status, 401);
  assert.equal((await push(cancelBody, { ...json, authorization: 'Bearer x' })).status, 401);
  assert.equal((await call('GET', 'apps')).status, 401);
  assert.equal((await push(cancelBody, basic('eureka:s3cret:%'))).status, 200);
  assert.ok(!lines.join('').includes('s3cret'));
});

test('over TLS servers show a certificate', async () => {
  const certificates = new Certificates();
  const authority = certificates.authority();
  const own = certificates.issue(authority);
  const client = certificates.issue(authority);
  const dispatchers: Agent[] = [];
  const pushWith = async (more: object): Promise<number> => {
    const dispatcher = new Agent({ connect: { ca: authority.cert, ...more } });
    dispatchers.push(dispatcher);
    const response = await request(`${base}peerreplication/batch/`, {
      method: 'POST',
      headers: json,
      body: cancelBody,
      dispatcher,
    });
    await response.body.dump();
    return response.statusCode;
  };
  try {
    await start({
      certFile: own.certFile,
      keyFile: own.keyFile,
      clientCaFile: authority.certFile,
    });
    assert.equal(await pushWith({ cert: client.cert, key: client.key }), 200);
    await assert.rejects(pushWith({}));
  } finally {
    await Promise.all(dispatchers.map((dispatcher) => dispatcher.close()));
    certificates.remove();
  }
});

test('a new certificate counts from the next look on', async (t) => {
  const certificates = new Certificates();
  t.after(() => certificates.remove());
  const [first, second] = [certificates.authority(), certificates.authority()];
  const [certFile, keyFile] = [join(folder, 'cert'), join(folder, 'key')];
  const put = (authority: typeof first): void => {
    const own = certificates.issue(authority);
    writeFileSync(certFile, own.cert);
    writeFileSync(keyFile, own.key);
  };
  const pushTrusting = async (authority: typeof first): Promise<number> => {
    const dispatcher = new Agent({ connect: { ca: authority.cert } });
    try {
      const url = `${base}peerreplication/batch/`;
      const options = { method: 'POST', headers: json, body: cancelBody, dispatcher } as const;
      const response = await request(url, options);
      await response.body.dump();
      return response.statusCode;
    } finally {
      await dispatcher.close();
    }
  };
  put(first);
  t.mock.timers.enable({ apis: ['setTimeout'] });
  await start({ certFile, keyFile });
  put(second);
  t.mock.timers.tick(10_000);
  t.mock.timers.reset();
  await eventually(async () => assert.equal(await pushTrusting(second), 200));
  await assert.rejects(pushTrusting(first));
  assert.match(lines.join(''), /certificate was replaced/);
});

test('it stops with connections open, and says goodbye in a way that brings servers back', async () => {
  const { port } = await start();
  const idle = connect(port, '127.0.0.1');
  const socket = connect(port, '127.0.0.1');
  const told: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => told.push(chunk));
  const closed = new Promise((resolve) => socket.once('close', resolve));
  socket.write(`POST /eureka/peerreplication/batch/ HTTP/1.1\r\nHost: x\r\nContent-`);
  await eventually(async () => assert.equal((await push(cancelBody)).status, 200));
  const stopping = stop();
  socket.write(`Length: ${cancelBody.length}\r\n\r\n${cancelBody}`);
  await Promise.all([stopping, closed]);
  assert.match(Buffer.concat(told).toString(), /^(HTTP\/1\.1 503 |$)/);
  assert.equal(taken.length, 1);
  idle.destroy();
});

test('a port that is taken, and a file that is missing, are told at the start', async () => {
  const { port } = await start();
  const first = stop;
  await assert.rejects(start({ listen: { host: '127.0.0.1', port } }), ListenError);
  await assert.rejects(start({ userFile: join(folder, 'none') }), ConfigurationError);
  stop = first;
});
