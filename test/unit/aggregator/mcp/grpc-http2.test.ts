import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { Client, credentials } from '@grpc/grpc-js';
import type { ClientDuplexStream, ServiceError } from '@grpc/grpc-js';
import { pino } from 'pino';
import { GrpcServer } from '../../../../aggregator/mcp/grpc-http2.ts';
import type { GrpcServerOptions } from '../../../../aggregator/mcp/grpc-http2.ts';
import { grpcCode } from '../../../../aggregator/mcp/grpc-status.ts';
import type { GrpcMethod } from '../../../../aggregator/mcp/grpc-types.ts';
import { eventually } from '../../../support/eventually.ts';

const log = pino({ level: 'silent' });
const options: GrpcServerOptions = {
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
const gate = { admitConnection: () => true, admitStream: () => undefined };

const stops: (() => void)[] = [];
after(() => {
  for (const stop of stops) stop();
});

/** A server with one method, and a stream to it. */
async function call(method: GrpcMethod): Promise<{
  readonly stream: ClientDuplexStream<Buffer, Buffer>;
  readonly received: Buffer[];
  readonly errors: ServiceError[];
  readonly codes: number[];
}> {
  const server = new GrpcServer(options, new Map([['/t.T/M', method]]), gate, {
    events: { rejected: () => undefined },
    log,
  });
  const aborter = new AbortController();
  const port = await new Promise<number>((resolve, reject) => {
    server.run(aborter.signal, (address) => resolve(address.port)).catch(reject);
  });
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure(), {
    'grpc.max_receive_message_length': -1,
  });
  stops.push(() => {
    client.close();
    aborter.abort();
  });
  const same = (bytes: Buffer): Buffer => bytes;
  const stream = client.makeBidiStreamRequest('/t.T/M', same, same);
  const received: Buffer[] = [];
  const errors: ServiceError[] = [];
  const codes: number[] = [];
  stream.on('data', (bytes: Buffer) => received.push(bytes));
  stream.on('error', (error) => errors.push(error as ServiceError));
  stream.on('status', (status) => codes.push(status.code));
  return { stream, received, errors, codes };
}

test('messages arrive whole and in order, in however many slices they are sent', async () => {
  const messages = [
    [],
    [Buffer.alloc(0)],
    [Buffer.from('a')],
    Array.from({ length: 5_000 }, (_, index) => Buffer.from(`slice ${index}`)),
    Array.from({ length: 5 }, (_, index) => Buffer.alloc(700_000, index)),
    [Buffer.alloc(0), Buffer.alloc(3_000_000, 7), Buffer.alloc(0)],
    [Buffer.from('z')],
  ];
  const written: number[] = [];
  const { stream, received, codes } = await call((opened) => ({
    message: () => {
      for (const [index, slices] of messages.entries()) {
        const byteLength = slices.reduce((sum, { length }) => sum + length, 0);
        opened.send({ slices, byteLength }, () => written.push(index));
        assert.ok(!written.includes(index), 'never before send returns');
      }
      opened.end({ code: grpcCode.ok, message: '' });
      opened.end({ code: grpcCode.internal, message: 'too late' });
      opened.send({ slices: [], byteLength: 0 }, () => assert.fail('sent after the end'));
    },
    closed: () => undefined,
  }));
  stream.write(Buffer.from('go'));
  await eventually(() => assert.deepEqual(codes, [0]));
  assert.deepEqual(
    received.map((bytes) => bytes.toString('base64')),
    messages.map((slices) => Buffer.concat(slices).toString('base64')),
  );
  assert.deepEqual(written, [...messages.keys()]);
});

test('requests of any size up to the limit arrive whole', async () => {
  const received: number[] = [];
  const { stream, codes } = await call(() => ({
    message: (bytes) => received.push(bytes.length),
    closed: () => undefined,
  }));
  const lengths = [0, 1, 16_384, 100_000, 1024 * 1024, 3];
  for (const length of lengths) stream.write(Buffer.alloc(length));
  stream.end();
  await eventually(() => assert.deepEqual(codes, [0]));
  assert.deepEqual(received, lengths);
});

test('a handler is told once that its stream is over', async () => {
  let count = 0;
  let hasMessage = false;
  const { stream } = await call(() => ({
    message: () => {
      hasMessage = true;
    },
    closed: () => {
      count++;
      throw new Error('a defect');
    },
  }));
  stream.write(Buffer.from('x'));
  await eventually(() => assert.ok(hasMessage));
  stream.cancel();
  await eventually(() => assert.equal(count, 1));
});

test('a defect of a handler ends its stream with INTERNAL and says nothing of itself', async () => {
  const { stream, errors } = await call(() => ({
    message: () => {
      throw new Error('secret');
    },
    closed: () => undefined,
  }));
  stream.write(Buffer.from('x'));
  await eventually(() => assert.equal(errors[0]?.code, grpcCode.internal));
  assert.equal(errors[0]?.details, 'internal error');
});

test('a method that cannot open a stream ends it alone', async () => {
  const { errors } = await call(() => {
    throw new Error('secret');
  });
  await eventually(() => assert.equal(errors[0]?.code, grpcCode.internal));
  assert.doesNotMatch(errors[0]?.details ?? '', /secret/);
});

test('the address of a peer is known', async () => {
  const peers: string[] = [];
  const { stream } = await call((opened) => {
    peers.push(opened.peer.address);
    assert.ok(opened.peer.port > 0);
    assert.equal(opened.peer.certificate, undefined);
    return { message: () => undefined, closed: () => undefined };
  });
  stream.write(Buffer.from('x'));
  await eventually(() => assert.deepEqual(peers, ['127.0.0.1']));
});
