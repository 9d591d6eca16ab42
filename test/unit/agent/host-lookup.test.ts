import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { hostLookup } from '../../../agent/host-lookup.ts';
import type { LookupMeans } from '../../../agent/host-lookup.ts';

const typeA = 1;
const typeAaaa = 28;
const noSuchName = 3;
const serverFailure = 2;

interface Record {
  readonly type: number;
  readonly ttl: number;
  readonly data: readonly number[];
}

/** A DNS server on loopback. `answer` gives the records of a question, or an error code. */
async function dnsServer(
  context: TestContext,
  answer: (name: string, type: number) => readonly Record[] | number,
): Promise<{ readonly servers: string[]; readonly asked: string[] }> {
  const asked: string[] = [];
  const socket = createSocket('udp4');
  socket.on('message', (message, peer) => {
    let end = 12;
    const labels: string[] = [];
    for (let length = message[end] ?? 0; length > 0; length = message[end] ?? 0) {
      labels.push(message.toString('latin1', end + 1, end + 1 + length));
      end += length + 1;
    }
    const type = message.readUInt16BE(end + 1);
    const name = labels.join('.');
    asked.push(`${name} ${type}`);
    const outcome = answer(name, type);
    const records = typeof outcome === 'number' ? [] : outcome;
    const head = Buffer.alloc(12);
    message.copy(head, 0, 0, 2);
    head.writeUInt16BE(0x8180 | (typeof outcome === 'number' ? outcome : 0), 2);
    head.writeUInt16BE(1, 4);
    head.writeUInt16BE(records.length, 6);
    const encoded = records.map(({ type: recordType, ttl, data }) => {
      const record = Buffer.alloc(12);
      record.writeUInt16BE(0xc00c, 0);
      record.writeUInt16BE(recordType, 2);
      record.writeUInt16BE(1, 4);
      record.writeUInt32BE(ttl, 6);
      record.writeUInt16BE(data.length, 10);
      return Buffer.concat([record, Buffer.from(data)]);
    });
    socket.send(
      Buffer.concat([head, message.subarray(12, end + 5), ...encoded]),
      peer.port,
      peer.address,
    );
  });
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  context.after(() => socket.close());
  return { servers: [`127.0.0.1:${socket.address().port}`], asked };
}

const a = (ttl: number, ...data: number[]): Record => ({ type: typeA, ttl, data });
const noSystem: LookupMeans['system'] = (name) => Promise.reject(new Error(`${name}: ENOTFOUND`));
const { signal } = new AbortController();

test('DNS gives the addresses and the shortest time to live', async (context) => {
  const { servers, asked } = await dnsServer(context, () => [
    a(60, 10, 0, 0, 2),
    a(7, 10, 0, 0, 1),
  ]);
  const lookup = hostLookup({ servers, system: noSystem });
  const { addresses, ttlMs } = await lookup('web.example.com', signal);
  assert.deepEqual([...addresses].sort(), ['10.0.0.1', '10.0.0.2']);
  assert.equal(ttlMs, 7000);
  assert.deepEqual(asked, ['web.example.com 1']);
});

test('IPv6 is asked for when there is no IPv4', async (context) => {
  const { servers } = await dnsServer(context, (_, type) =>
    type === typeAaaa ? [{ type, ttl: 30, data: [0xfd, ...new Array<number>(14).fill(0), 1] }] : [],
  );
  const lookup = hostLookup({ servers, system: noSystem });
  assert.deepEqual(await lookup('six.example.com', signal), {
    addresses: ['fd00::1'],
    ttlMs: 30_000,
  });
});

test('what DNS does not know, or fails at, is asked of the system', async (context) => {
  const { servers, asked } = await dnsServer(context, (name) =>
    name.startsWith('broken') ? serverFailure : noSuchName,
  );
  const system = (name: string): Promise<readonly string[]> => Promise.resolve([`${name}!`]);
  const lookup = hostLookup({ servers, system });
  for (const name of ['hosts.file', 'broken.zone']) {
    assert.deepEqual(await lookup(name, signal), { addresses: [`${name}!`], ttlMs: 30_000 });
  }
  assert.ok(!asked.includes(`broken.zone ${typeAaaa}`));
});

test('a name of one label is left to the system', async (context) => {
  const { servers, asked } = await dnsServer(context, () => []);
  const lookup = hostLookup({ servers, system: () => Promise.resolve(['10.0.0.1']) });
  assert.deepEqual((await lookup('web-1', signal)).addresses, ['10.0.0.1']);
  assert.deepEqual((await lookup('web-1.', signal)).addresses, ['10.0.0.1']);
  assert.deepEqual(asked, []);
});

test('without an address anywhere it rejects', async () => {
  await assert.rejects(hostLookup({ system: noSystem })('web-1', signal), /ENOTFOUND/);
  const empty = hostLookup({ system: () => Promise.resolve([]) });
  await assert.rejects(empty('web-1', signal), /web-1: no address/);
});

test('the system itself knows localhost', async () => {
  const { addresses } = await hostLookup()('localhost', signal);
  assert.ok(addresses.some((address) => address === '127.0.0.1' || address === '::1'));
});

test('aborting ends a question that nobody answers', async (context) => {
  const socket = createSocket('udp4');
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  context.after(() => socket.close());
  const stop = new AbortController();
  const servers = [`127.0.0.1:${socket.address().port}`];
  const asking = hostLookup({ servers, system: noSystem })('web.example.com', stop.signal);
  await once(socket, 'message');
  stop.abort();
  await assert.rejects(asking, { name: 'AbortError' });
  await assert.rejects(hostLookup()('web-1', stop.signal), { name: 'AbortError' });
});

test('the system is asked two names at a time', async () => {
  let active = 0;
  let most = 0;
  const system = async (): Promise<readonly string[]> => {
    active += 1;
    most = Math.max(most, active);
    await new Promise((resolve) => setImmediate(resolve));
    active -= 1;
    return ['10.0.0.1'];
  };
  const lookup = hostLookup({ system });
  await Promise.all(Array.from({ length: 9 }, (_, index) => lookup(`web-${index}`, signal)));
  assert.equal(most, 2);
});
