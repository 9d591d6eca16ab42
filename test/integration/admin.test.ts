import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pino } from 'pino';
import { adminRoutes as agentRoutes } from '../../agent/admin.ts';
import { adminRoutes } from '../../aggregator/admin.ts';
import type { ForgetOutcome } from '../../aggregator/admin.ts';
import type { HostPort } from '../../common/address.ts';
import { HttpServer } from '../../common/http-server.ts';
import type { Route } from '../../common/http-server.ts';
import type { RegistryId } from '../../common/registry.ts';
import { fakeRegistry, fakeService, fakeSubscriber, fakeView } from '../support/aggregator-view.ts';

const silent = pino({ level: 'silent' });
const mark = { 'x-tributary-request': '1' };

type Ask = (path: string, init?: RequestInit) => Promise<{ status: number; body: unknown }>;

async function serving(routes: readonly Route[], use: (ask: Ask) => Promise<void>): Promise<void> {
  const controller = new AbortController();
  const listening = Promise.withResolvers<HostPort>();
  const server = new HttpServer(
    { listen: { host: '127.0.0.1', port: 0 }, flag: '--admin-listen', routes, allowedHosts: [] },
    silent,
  );
  const done = server.run(controller.signal, listening.resolve);
  const { port } = await listening.promise;
  try {
    await use(async (path, init = {}) => {
      const response = await fetch(`http://127.0.0.1:${port}${path}`, init);
      const text = await response.text();
      const isJson = response.headers.get('content-type')?.startsWith('application/json') ?? false;
      return { status: response.status, body: isJson ? JSON.parse(text) : text };
    });
  } finally {
    controller.abort();
    await done;
  }
}

function aggregator() {
  const view = fakeView();
  view.registryList = [fakeRegistry()];
  view.serviceList = ['a', 'b', 'c'].map((name) => fakeService({ host: `${name}.internal` }));
  view.subscriberList = [fakeSubscriber()];
  const asked: string[] = [];
  const outcomes: Record<string, ForgetOutcome> = {
    'dc1/orders': 'fed',
    'dc1/gone': 'forgotten',
  };
  const routes = adminRoutes(
    {
      view,
      forget: (id) => {
        asked.push(`forget ${id}`);
        return Promise.resolve(outcomes[id] ?? 'unknown');
      },
      release: (id) => {
        asked.push(`release ${id}`);
        return id === 'dc1/orders' ? 7 : undefined;
      },
      explain: (host) => {
        const service = view.serviceList.find((candidate) => candidate.host === host);
        return service === undefined ? undefined : { service, members: [] };
      },
    },
    '0.1.0',
  );
  return { routes, asked };
}

test('the API of the aggregator tells what there is', async () => {
  await serving(aggregator().routes, async (ask) => {
    const status = (await ask('/api/status')).body as Record<string, unknown>;
    assert.equal(status['isComplete'], true);
    assert.equal(status['serviceCount'], 3);
    assert.deepEqual(status['attention'], []);
    const registries = (await ask('/api/registries')).body as { registries: unknown };
    assert.deepEqual(registries.registries, [fakeRegistry()]);
    const subscribers = (await ask('/api/subscribers')).body as { subscribers: unknown };
    assert.deepEqual(subscribers.subscribers, [fakeSubscriber()]);
    const page = await ask('/');
    assert.match(String(page.body), /a\.internal[\s\S]*c\.internal/);
  });
});

test('services are filtered and cut, and the answer says so', async () => {
  await serving(aggregator().routes, async (ask) => {
    const cut = (await ask('/api/services?limit=2')).body as { services: { host: string }[] };
    assert.deepEqual(
      { ...cut, services: cut.services.map(({ host }) => host) },
      { total: 3, isCut: true, services: ['a.internal', 'b.internal'] },
    );
    const found = (await ask('/api/services?filter=c.int')).body as { services: unknown[] };
    assert.equal(found.services.length, 1);
    for (const limit of ['0', '-1', 'x', '1000001', '']) {
      assert.equal((await ask(`/api/services?limit=${limit}`)).status, 400, limit);
    }
    const filtered = await ask('/?filter=%20C.INT');
    assert.match(String(filtered.body), /1 match/);
  });
});

test('a host is explained, and an unknown one is not found', async () => {
  await serving(aggregator().routes, async (ask) => {
    const { body } = await ask('/api/services/A.internal');
    assert.equal((body as { service: { host: string } }).service.host, 'a.internal');
    assert.equal((await ask('/api/services/nobody')).status, 404);
  });
});

test('a registry is forgotten only when nobody feeds it', async () => {
  const { routes, asked } = aggregator();
  await serving(routes, async (ask) => {
    const post = (path: string) => ask(path, { method: 'POST', headers: mark });
    assert.deepEqual(await post('/api/registries/dc1/gone/forget'), {
      status: 200,
      body: { forgotten: 'dc1/gone' },
    });
    const fed = await post('/api/registries/dc1/orders/forget');
    assert.equal(fed.status, 409);
    assert.match(JSON.stringify(fed.body), /stop its agents first/);
    assert.equal((await post('/api/registries/dc9/none/forget')).status, 404);
    assert.equal((await post('/api/registries/DC1/..%2f/forget')).status, 400);
    assert.deepEqual(asked, ['forget dc1/gone', 'forget dc1/orders', 'forget dc9/none']);
  });
});

test('held removals are released by registry', async () => {
  await serving(aggregator().routes, async (ask) => {
    const post = (path: string) => ask(path, { method: 'POST', headers: mark });
    assert.deepEqual(await post('/api/registries/dc1/orders/release'), {
      status: 200,
      body: { registry: 'dc1/orders', released: 7 },
    });
    assert.equal((await post('/api/registries/dc9/none/release')).status, 404);
  });
});

test('a page of another site can change nothing', async () => {
  const { routes, asked } = aggregator();
  await serving(routes, async (ask) => {
    const path = '/api/registries/dc1/gone/forget';
    const plain = await ask(path, { method: 'POST', body: 'x' });
    assert.equal(plain.status, 415);
    const foreign = await ask(path, {
      method: 'POST',
      headers: { ...mark, origin: 'http://attacker.example' },
    });
    assert.equal(foreign.status, 403);
    assert.equal((await ask(path)).status, 405);
    assert.deepEqual(asked, []);
  });
});

test('the agent has a page, a status and a release', async () => {
  const routes = agentRoutes(
    {
      statuses: () => [
        {
          registry: 'dc1/orders' as RegistryId,
          kind: 'eureka',
          agentId: 'agent-1',
          epoch: '00'.repeat(16),
          sequence: 3,
          state: 'live',
          reason: '',
          registryAgeMs: 10,
          source: {
            server: '',
            hiddenDelayMs: 0,
            expired: { count: 0, examples: [] },
            unresolvedHosts: 0,
            unreadable: 0,
            ignored: {},
            push: undefined,
          },
          instances: { UP: 5 },
          services: 2,
          heldRemovals: 4,
          held: [
            {
              service: '',
              evidence: '4 of 9',
              losses: 4,
              dueAt: performance.now() + 60_000,
              witnesses: '',
            },
          ],
          aggregators: [],
        },
      ],
      release: () => 4,
    },
    '0.1.0',
  );
  await serving(routes, async (ask) => {
    assert.match(String((await ask('/')).body), /dc1\/orders/);
    const status = (await ask('/api/status')).body as {
      registries: { held: { passesInMs: number }[] }[];
    };
    const passesInMs = status.registries[0]?.held[0]?.passesInMs ?? 0;
    assert.ok(passesInMs > 0 && passesInMs <= 60_000);
    assert.equal((await ask('/api/release', { method: 'POST' })).status, 415);
    assert.deepEqual(await ask('/api/release', { method: 'POST', headers: mark }), {
      status: 200,
      body: { released: 4 },
    });
  });
});
