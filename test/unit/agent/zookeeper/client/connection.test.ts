import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { test } from 'node:test';
import { Connection } from '../../../../../agent/zookeeper/client/connection.ts';
import type { ConnectionEnd } from '../../../../../agent/zookeeper/client/connection.ts';
import { JuteWriter } from '../../../../../agent/zookeeper/client/jute.ts';
import { encodeSync } from '../../../../../agent/zookeeper/client/wire.ts';
import { TransientError } from '../../../../../common/errors.ts';

const granted = new JuteWriter().int(0).int(5_000).long(7n).buffer(Buffer.alloc(16)).frame();
const reply = (xid: number, error = 0): Buffer =>
  new JuteWriter().int(xid).long(9n).int(error).frame();
const noCredentials = { tls: undefined, digest: undefined, sasl: undefined };

interface Outcome {
  readonly end: ConnectionEnd;
  readonly sessions: number;
  readonly unanswered: readonly Error[];
}

/** What becomes of a connection to a server that answers its first messages so; a request is sent when it can be. */
async function outcomeOf(
  answers: readonly (Buffer | 'close' | 'reset')[],
  digest?: string,
): Promise<Outcome> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    const rest = [...answers];
    socket.on('error', () => undefined);
    socket.on('data', () => {
      const answer = rest.shift();
      if (answer === 'close') socket.end();
      else if (answer === 'reset') socket.resetAndDestroy();
      else if (answer !== undefined) socket.write(answer);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const ended = Promise.withResolvers<ConnectionEnd>();
  const unanswered: Error[] = [];
  let sessions = 0;
  const connection = new Connection(
    {
      candidate: { server: `zk:${port}`, address: '127.0.0.1', port },
      sessionTimeoutMs: 5_000,
      connectTimeoutMs: 2_000,
      credentials: { ...noCredentials, digest },
      lastZxid: 0n,
    },
    {
      ready: () => {
        sessions += 1;
        connection.request(
          (xid) => encodeSync(xid, '/'),
          (error, body) => {
            if (error === 0) body.int();
          },
          (error) => unanswered.push(error),
        );
      },
      event: () => undefined,
      pong: () => undefined,
      ended: (end) => ended.resolve(end),
    },
  );
  connection.open();
  const end = await ended.promise;
  await connection.close();
  for (const socket of sockets) socket.destroy();
  await new Promise((resolve) => server.close(resolve));
  const shown = end.error.message.replaceAll(`${port}`, '1');
  const error = new TransientError(shown, { cause: end.error.cause });
  return { end: { ...end, error }, sessions, unanswered };
}

void test('each end has its kind and its words, and names the server', async () => {
  const http = Buffer.from('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n');
  const expired = new JuteWriter().int(0).int(0).long(0n).buffer(Buffer.alloc(16)).frame();
  for (const [answers, kind, text] of [
    [[expired], 'refused', /^zookeeper zk:1 \(127\.0\.0\.1:1\): the server granted no session$/],
    [['close'], 'refused', /: closed instead of granting a session: it has no quorum/],
    [['reset'], 'refused', /: closed instead of granting a session: it has no quorum/],
    [[http], 'protocol', /^zookeeper zk:1 .*: zookeeper: a frame of 1213486160 bytes/],
    [[Buffer.from([0x15, 3, 1, 0, 2, 2, 40])], 'refused', /: it speaks TLS on this port, and TLS/],
    [[granted, reply(4)], 'protocol', /: a reply to request 4, expected 1$/],
    [[granted, reply(1)], 'protocol', /: a field of 4 bytes where 0 are left$/],
    [[granted, 'close'], 'lost', /: closed by the server$/],
    [[granted, 'reset'], 'lost', /: the connection broke$/],
    [[granted, reply(1, -112)], 'lost', /: SESSION_EXPIRED \(-112\)$/],
    [
      [granted, reply(1, -115)],
      'refused',
      /: AUTH_FAILED \(-115\): the credential is not accepted$/,
    ],
  ] as const) {
    const { end, sessions, unanswered } = await outcomeOf(answers);
    assert.equal(end.kind, kind, end.error.message);
    assert.match(end.error.message, text);
    const hasSession = answers[0] === granted;
    assert.equal(sessions, hasSession ? 1 : 0);
    assert.equal(unanswered.length, sessions, 'a request is told of the end, once');
    for (const error of unanswered) assert.ok(error instanceof TransientError);
  }
});

void test('a digest credential that is not accepted is not told', async () => {
  const { end } = await outcomeOf([granted, reply(-4, -115)], 'user:secret');
  assert.equal(end.kind, 'refused');
  assert.match(end.error.message, /: the digest credential is not accepted: AUTH_FAILED \(-115\)$/);
});

void test('nobody listening is unreachable', async () => {
  const ended = Promise.withResolvers<ConnectionEnd>();
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  const connection = new Connection(
    {
      candidate: { server: `127.0.0.1:${port}`, address: '127.0.0.1', port },
      sessionTimeoutMs: 5_000,
      connectTimeoutMs: 2_000,
      credentials: noCredentials,
      lastZxid: 0n,
    },
    {
      ready: () => undefined,
      event: () => undefined,
      pong: () => undefined,
      ended: (end) => ended.resolve(end),
    },
  );
  connection.open();
  const { kind, error } = await ended.promise;
  assert.equal(kind, 'unreachable');
  assert.equal(error.message, `zookeeper 127.0.0.1:${port}: no connection`);
  assert.match(error.cause instanceof Error ? error.cause.message : '', /ECONNREFUSED/);
});
