import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { TLSSocket } from 'node:tls';
import type { PeerCertificate } from 'node:tls';
import { pino } from 'pino';
import { EurekaClient } from '../../../../agent/eureka/client.ts';
import { describeResult } from '../../../../agent/eureka/fetch-result.ts';
import type { FetchResult } from '../../../../agent/eureka/fetch-result.ts';
import { plainAccess } from '../../../../agent/eureka/options.ts';
import type { EurekaAccess } from '../../../../agent/eureka/options.ts';
import { parseServiceUrl } from '../../../../agent/eureka/service-url.ts';
import { Certificates } from '../../../support/certificates.ts';

const folder = mkdtempSync(join(tmpdir(), 'tributary-secure-'));
const certificates = new Certificates();
const authority = certificates.authority();
const leaf = certificates.issue(authority);
const named = certificates.issue(authority, ['DNS:eureka.internal', 'IP:10.9.8.7']);
const never = new AbortController().signal;

interface Seen {
  readonly serial: string | undefined;
  readonly connection: string;
  readonly authorization: string | undefined;
}
const seen: Seen[] = [];
let status = 200;
let connections = 0;
const numbers = new WeakMap<object, number>();
const server = createServer(
  {
    cert: leaf.cert,
    key: leaf.key,
    ca: authority.cert,
    requestCert: true,
    rejectUnauthorized: false,
  },
  (request, response) => {
    const { socket } = request;
    assert.ok(socket instanceof TLSSocket);
    if (!numbers.has(socket)) numbers.set(socket, ++connections);
    seen.push({
      serial: (socket.getPeerCertificate() as Partial<PeerCertificate>).serialNumber,
      connection: String(numbers.get(socket)),
      authorization: request.headers.authorization,
    });
    response.writeHead(status).end('{}');
  },
);
let url = '';

before(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `https://127.0.0.1:${(server.address() as AddressInfo).port}/eureka/`;
});
after(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  certificates.remove();
  rmSync(folder, { recursive: true });
});

const clientWith = (access: Partial<EurekaAccess>, lines: string[] = []): EurekaClient =>
  new EurekaClient(
    {
      requestTimeoutMs: 2_000,
      bodyLimitBytes: 100_000,
      isCompact: false,
      regions: [],
      access: { ...plainAccess, ...access },
      environment: {},
    },
    { servers: [] },
    pino({ level: 'warn' }, { write: (line: string) => lines.push(line) }),
  );
const ask = (client: EurekaClient, at = url): Promise<FetchResult> =>
  client.get(parseServiceUrl(at), 'apps', never);

test("a server is checked by our authorities, else by the system's", async () => {
  const trusting = clientWith({ caFile: authority.certFile });
  assert.equal((await ask(trusting)).kind, 'ok');
  const strict = clientWith({});
  const result = await ask(strict);
  assert.ok(result.kind === 'failed');
  assert.equal(result.failure, 'unreachable');
  assert.match(describeResult(result), /certificate/);
  await Promise.all([trusting.close(), strict.close()]);
});

test('a server must have the name that is asked for, which may be an address', async () => {
  const other = createServer({ cert: named.cert, key: named.key }, (_, response) => {
    response.end('{}');
  });
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
  const at = `https://127.0.0.1:${(other.address() as AddressInfo).port}/`;
  for (const [serverName, kind] of [
    ['eureka.internal', 'ok'],
    ['10.9.8.7', 'ok'],
    ['10.9.8.6', 'failed'],
    ['other.internal', 'failed'],
    [undefined, 'failed'],
  ] as const) {
    const client = clientWith({ caFile: authority.certFile, serverName });
    const result = await ask(client, at);
    assert.equal(result.kind, kind, serverName);
    await client.close();
  }
  other.closeAllConnections();
  await new Promise((resolve) => other.close(resolve));
});

test('a client certificate that is replaced on disk is the one of the next request', async () => {
  const [first, second] = [certificates.issue(authority), certificates.issue(authority)];
  const [certFile, keyFile] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
  const put = ({ cert, key }: typeof first): void => {
    writeFileSync(certFile, cert);
    writeFileSync(keyFile, key);
  };
  put(first);
  const client = clientWith({ caFile: authority.certFile, certFile, keyFile });
  seen.length = 0;
  await ask(client);
  await ask(client);
  put(second);
  await ask(client);
  await ask(client);
  const [one, again, other, last] = seen;
  assert.ok(one?.serial !== undefined && other?.serial !== undefined);
  assert.equal(again?.connection, one.connection, 'a connection is used again');
  assert.equal(again.serial, one.serial);
  assert.notEqual(other.serial, one.serial);
  assert.notEqual(other.connection, one.connection);
  assert.equal(last?.connection, other.connection);
  await client.close();
});

test('requests under way are finished when certificates change', async () => {
  const certFile = join(folder, 'busy.pem');
  const keyFile = join(folder, 'busy.key');
  const put = (): void => {
    const { cert, key } = certificates.issue(authority);
    writeFileSync(certFile, cert);
    writeFileSync(keyFile, key);
  };
  put();
  const client = clientWith({ caFile: authority.certFile, certFile, keyFile });
  const early = [ask(client), ask(client), ask(client)];
  put();
  const results = await Promise.all([...early, ask(client), ask(client)]);
  assert.deepEqual(new Set(results.map(({ kind }) => kind)), new Set(['ok']));
  await client.close();
});

test('a broken file is told in the errors of failing requests, and the good ones go on', async () => {
  const tokenFile = join(folder, 'token');
  writeFileSync(tokenFile, 'hidden-token');
  const lines: string[] = [];
  const client = clientWith({ caFile: authority.certFile, tokenFile }, lines);
  seen.length = 0;
  assert.equal((await ask(client)).kind, 'ok');
  unlinkSync(tokenFile);
  assert.equal((await ask(client)).kind, 'ok');
  assert.equal(seen.at(-1)?.authorization, 'Bearer hidden-token');
  status = 401;
  const refused = await ask(client);
  status = 200;
  assert.ok(refused.kind === 'refused');
  assert.equal(refused.refusal, 'unauthorized');
  assert.match(describeResult(refused), /^401, credentials missing or refused \(ENOENT.*token/);
  const nobody = await ask(client, 'https://127.0.0.1:1/');
  assert.ok(nobody.kind === 'failed');
  assert.equal(nobody.failure, 'not-listening');
  assert.match(describeResult(nobody), /ECONNREFUSED.*; ENOENT/);
  assert.equal(lines.length, 1, 'logged once');
  assert.doesNotMatch([...lines, describeResult(refused)].join(), /hidden-token/);
  await client.close();
});

test('nothing is sent while a file has never been good', async () => {
  const client = clientWith({ caFile: join(folder, 'nowhere') });
  seen.length = 0;
  const result = await ask(client);
  assert.ok(result.kind === 'failed');
  assert.equal(result.failure, 'access');
  assert.match(describeResult(result), /ENOENT.*nowhere/);
  assert.equal(seen.length, 0);
  await client.close();
});
