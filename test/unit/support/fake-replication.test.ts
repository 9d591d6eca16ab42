import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { createEurekaRegistry } from '../../../standalone/eureka-registry/registry.ts';
import type { EurekaRegistry } from '../../../standalone/eureka-registry/registry.ts';
import { registrationOf } from '../../support/eureka-registration.ts';
import { eventually } from '../../support/eventually.ts';
import { startFakeEureka } from '../../support/fake-eureka.ts';
import { answerBatch, PeerLink } from '../../support/fake-replication.ts';
import type { WireItem } from '../../support/fake-replication.ts';

/** Half a second, a second and thirty seconds of a real server, a twenty-fifth of each. */
const times = {
  windowMs: 20,
  readTimeoutMs: 150,
  congestionMs: 40,
  networkRetryMs: 10,
  expiryMs: 1_200,
};

interface Reply {
  readonly status: number;
  readonly body: string;
}

let server: Server;
let registry: EurekaRegistry;
let link: PeerLink;
let batches: (readonly WireItem[])[];
let reply: (items: readonly WireItem[]) => Reply | undefined;
let port = 0;

const ok = (items: readonly WireItem[]): Reply => ({
  status: 200,
  body: JSON.stringify({ responseList: items.map(() => ({ statusCode: 200 })) }),
});

async function listen(): Promise<void> {
  server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const { replicationList } = JSON.parse(Buffer.concat(chunks).toString()) as {
        replicationList: WireItem[];
      };
      batches.push(replicationList);
      const answer = reply(replicationList);
      if (answer !== undefined) response.writeHead(answer.status).end(answer.body);
    });
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  port = (server.address() as AddressInfo).port;
}

async function close(): Promise<void> {
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

beforeEach(async () => {
  port = 0;
  batches = [];
  reply = ok;
  await listen();
  registry = createEurekaRegistry({ readOnlyCacheMs: 0 });
  link = new PeerLink(`http://127.0.0.1:${port}/eureka/`, () => registry, times);
  registry.onReplicate((replication) => link.offer(replication));
});
afterEach(async () => {
  link.close();
  await close();
});

function actions(): readonly string[] {
  return batches.map((items) => items.map(({ action }) => action).join(' '));
}

void describe('what leaves a server', () => {
  test('a repeat replaces the waiting item in its place, so that order is lost', async () => {
    registry.register(registrationOf('ORDERS', '1'));
    for (let beat = 0; beat < 4; beat += 1) registry.heartbeat('ORDERS', '1');
    registry.register(registrationOf('ORDERS', '1', { lastDirtyTimestamp: 2 }));
    registry.cancel('ORDERS', '1');
    registry.register(registrationOf('ORDERS', '1', { lastDirtyTimestamp: 3 }));
    await eventually(() => assert.deepEqual(actions(), ['Register Heartbeat Cancel']));
    assert.equal(batches[0]?.[0]?.lastDirtyTimestamp, 3);
  });

  test('items have the members that a real server writes', async () => {
    const body = readFileSync(
      new URL('../../fixtures/eureka/replication/07-mixed-batch.json', import.meta.url),
      'utf8',
    );
    const recorded = (JSON.parse(body) as { replicationList: WireItem[] }).replicationList;
    registry.register(registrationOf('ORDERS', '1'));
    registry.heartbeat('ORDERS', '1');
    registry.setStatus('ORDERS', '1', 'OUT_OF_SERVICE');
    registry.deleteStatus('ORDERS', '1', 'UP');
    registry.cancel('ORDERS', '1');
    await eventually(() => assert.equal(batches.length, 1));
    const membersOf = (items: readonly WireItem[]): ReadonlyMap<string, readonly string[]> =>
      new Map(items.map((item) => [item.action, Object.keys(item).sort()]));
    const ours = membersOf(batches[0] ?? []);
    for (const [action, members] of membersOf(recorded)) {
      assert.deepEqual(ours.get(action), members, action);
    }
    assert.ok(membersOf(recorded).size >= 3);
  });

  test('an override travels with the heartbeats', async () => {
    registry.register(registrationOf('ORDERS', '1'));
    registry.setStatus('ORDERS', '1', 'OUT_OF_SERVICE');
    registry.heartbeat('ORDERS', '1');
    await eventually(() => assert.equal(batches.length, 1));
    const beat = batches[0]?.find(({ action }) => action === 'Heartbeat');
    assert.equal(beat?.overriddenStatus, 'OUT_OF_SERVICE');
  });

  test('an eviction is never passed on', async () => {
    let clock = 1_000_000;
    registry = createEurekaRegistry({ now: () => clock });
    registry.onReplicate((replication) => link.offer(replication));
    registry.register(registrationOf('ORDERS', '1'));
    await eventually(() => assert.deepEqual(actions(), ['Register']));
    clock += 1_000_000;
    assert.equal(registry.evict(), 1);
    registry.register(registrationOf('ORDERS', '2'));
    await eventually(() => assert.deepEqual(actions(), ['Register', 'Register']));
  });
});

void describe('what a server does upon an answer', () => {
  test('503: the same items again, new ones behind them, until they are too old', async () => {
    reply = () => ({ status: 503, body: '' });
    registry.register(registrationOf('ORDERS', '1'));
    await eventually(() => assert.ok(batches.length >= 2));
    registry.register(registrationOf('ORDERS', '2'));
    await eventually(() => assert.equal(batches.at(-1)?.length, 2));
    assert.deepEqual(
      batches.at(-1)?.map(({ id }) => id),
      ['1', '2'],
    );
    const expired = performance.now() + times.expiryMs + 3 * times.congestionMs;
    await eventually(() => assert.ok(performance.now() > expired));
    const before = batches.length;
    reply = ok;
    registry.register(registrationOf('ORDERS', '3'));
    await eventually(() => assert.ok(batches.length > before));
    assert.deepEqual(
      batches.slice(before).flatMap((items) => items.map(({ id }) => id)),
      ['3'],
    );
  });

  for (const [what, body] of [
    ['an empty body', ''],
    ['no JSON', '<html>'],
  ] as const) {
    test(`200 with ${what}: the same batch again, soon`, async () => {
      reply = () => ({ status: 200, body });
      registry.register(registrationOf('ORDERS', '1'));
      await eventually(() => assert.ok(batches.length >= 4));
      reply = ok;
      const answered = batches.length + 1;
      await eventually(() => assert.ok(batches.length >= answered));
      registry.register(registrationOf('ORDERS', '2'));
      await eventually(() => assert.equal(batches.at(-1)?.[0]?.id, '2'));
    });
  }

  for (const status of [401, 404, 500]) {
    test(`${status}: the batch is dropped`, async () => {
      reply = () => ({ status, body: '' });
      registry.register(registrationOf('ORDERS', '1'));
      await eventually(() => assert.equal(batches.length, 1));
      reply = ok;
      registry.register(registrationOf('ORDERS', '2'));
      await eventually(() => assert.equal(batches.length, 2));
      assert.deepEqual(
        batches[1]?.map(({ id }) => id),
        ['2'],
      );
    });
  }

  test('a list of another length, and items that failed, count as delivered', async () => {
    const answers = ['{}', '{"responseList":[]}', '{"responseList":[{"statusCode":500}]}'];
    for (const [place, body] of answers.entries()) {
      reply = () => ({ status: 200, body });
      registry.register(registrationOf('ORDERS', String(place)));
      await eventually(() => assert.equal(batches.length, place + 1));
    }
    assert.deepEqual(
      batches.map((items) => items.map(({ id }) => id).join()),
      ['0', '1', '2'],
    );
  });

  test('an item that is unknown there: its heartbeat becomes a registration', async () => {
    registry.register(registrationOf('ORDERS', '1'));
    await eventually(() => assert.equal(batches.length, 1));
    reply = (items) => ({
      status: 200,
      body: JSON.stringify({
        responseList: items.map(({ action }) => ({
          statusCode: action === 'Heartbeat' ? 404 : 200,
        })),
      }),
    });
    registry.heartbeat('ORDERS', '1');
    await eventually(() => assert.deepEqual(actions(), ['Register', 'Heartbeat', 'Register']));
  });

  test('no answer in time: the same items again', async () => {
    reply = () => undefined;
    registry.register(registrationOf('ORDERS', '1'));
    await eventually(() => assert.equal(batches.length, 1));
    reply = ok;
    await eventually(() => assert.deepEqual(actions(), ['Register', 'Register']));
  });

  test('no listener: delivered when there is one, if young enough', async () => {
    await close();
    registry.register(registrationOf('ORDERS', '1'));
    await eventually(() => assert.ok(link.batches >= 3));
    await listen();
    await eventually(() => assert.deepEqual(actions(), ['Register']));
  });
});

void describe('what is wrong with a link', () => {
  test('a partition holds items back, a drop loses them, a delay lets them pass one another', async () => {
    link.fault = { kind: 'partition' };
    registry.register(registrationOf('ORDERS', '1'));
    await eventually(() => assert.ok(link.batches >= 2));
    assert.equal(batches.length, 0);
    link.fault = undefined;
    await eventually(() => assert.equal(batches.length, 1));

    link.fault = { kind: 'drop' };
    const before = link.batches;
    registry.register(registrationOf('ORDERS', '2'));
    await eventually(() => assert.ok(link.batches > before));

    link.fault = { kind: 'delay', ms: () => 120 };
    const late = link.batches;
    registry.register(registrationOf('ORDERS', '3'));
    await eventually(() => assert.ok(link.batches > late));
    link.fault = undefined;
    registry.cancel('ORDERS', '3');
    await eventually(() => assert.deepEqual(actions(), ['Register', 'Cancel', 'Register']));
  });
});

void describe('what a server does with a batch', () => {
  test('recorded batches are taken', () => {
    const folder = new URL('../../fixtures/eureka/replication/', import.meta.url);
    const take = (name: string): { readonly responseList: readonly { statusCode: number }[] } =>
      JSON.parse(answerBatch(registry, readFileSync(new URL(name, folder), 'utf8'))) as {
        responseList: { statusCode: number }[];
      };
    const codes = (name: string): readonly number[] =>
      take(name).responseList.map(({ statusCode }) => statusCode);
    const [app, id] = ['ORDERS', 'h1:orders:8080'];
    assert.deepEqual(codes('02-heartbeat.json'), [404]);
    assert.deepEqual(codes('01-register.json'), [200]);
    assert.deepEqual(codes('02-heartbeat.json'), [200]);
    assert.deepEqual(codes('03-status-update.json'), [200]);
    assert.equal(registry.lease(app, id)?.status, 'OUT_OF_SERVICE');
    assert.deepEqual(codes('04-heartbeat-while-overridden.json'), [200]);
    assert.deepEqual(codes('05-delete-status-override.json'), [200]);
    assert.equal(registry.lease(app, id)?.status, 'UP');
    assert.deepEqual(codes('06-metadata-put.json'), [200]);
    assert.equal(registry.lease(app, id)?.registration.metadata.k, 'v');
    assert.deepEqual(codes('08-cancel.json'), [200]);
    assert.deepEqual(codes('08-cancel.json'), [404]);
    take('09-coalesced-ends-in-cancel-but-alive.json');
    assert.equal(registry.lease('ORDERS', 'h5:orders:8080'), undefined);
  });

  test('two nodes agree, in batches', async () => {
    const fake = await startFakeEureka(2, { replication: times });
    try {
      const [a, b] = fake.nodes;
      assert.ok(a !== undefined && b !== undefined);
      a.registry.register(registrationOf('ORDERS', '1', { lastDirtyTimestamp: 5 }));
      await eventually(() => assert.ok(b.registry.lease('ORDERS', '1') !== undefined));
      // A newer registration that did not arrive is fetched by the next heartbeat, in either direction.
      a.registry.register(
        registrationOf('ORDERS', '1', { ipAddr: '10.0.0.6', lastDirtyTimestamp: 6 }),
        true,
      );
      a.registry.heartbeat('ORDERS', '1');
      await eventually(() =>
        assert.equal(b.registry.lease('ORDERS', '1')?.registration.ipAddr, '10.0.0.6'),
      );
      a.registry.register(
        registrationOf('ORDERS', '1', { ipAddr: '10.0.0.7', lastDirtyTimestamp: 7 }),
        true,
      );
      b.registry.heartbeat('ORDERS', '1');
      await eventually(() =>
        assert.equal(b.registry.lease('ORDERS', '1')?.registration.ipAddr, '10.0.0.7'),
      );
    } finally {
      await fake.stop();
    }
  });
});
