import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, mock, test } from 'node:test';
import { pino } from 'pino';
import { EurekaClient } from '../../../../agent/eureka/client.ts';
import { defaultEurekaOptions } from '../../../../agent/eureka/options.ts';
import { Poller } from '../../../../agent/eureka/poller.ts';
import type { PolledServers, PollerObserver } from '../../../../agent/eureka/poller.ts';
import { parseServiceUrl } from '../../../../agent/eureka/service-url.ts';
import type { ServiceUrl } from '../../../../agent/eureka/service-url.ts';
import type { RegistryId } from '../../../../common/registry.ts';

const minute = 60_000;
const never = new AbortController().signal;

/** A server with some instances that it has known for some time. */
class Node {
  instances = 4;
  registeredAt = Date.now() - 600_000;
  status = 200;
  readonly asked: string[] = [];
  private readonly server: Server = createServer((request, response) => {
    this.asked.push(request.url ?? '');
    response.writeHead(this.status, { 'content-type': 'application/json' });
    const isDelta = request.url?.endsWith('/delta') === true;
    response.end(this.status === 200 ? this.body(isDelta) : '');
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

  private body(isDelta: boolean): string {
    const instance = Array.from({ length: isDelta ? 0 : this.instances }, (_, index) => ({
      instanceId: `i${index}`,
      app: 'A',
      hostName: 'h',
      ipAddr: '10.0.0.1',
      status: 'UP',
      port: { $: 80, '@enabled': 'true' },
      leaseInfo: { registrationTimestamp: this.registeredAt, durationInSecs: 90 },
    }));
    const application = instance.length === 0 ? [] : [{ name: 'A', instance }];
    const apps__hashcode = this.instances === 0 ? '' : `UP_${this.instances}_`;
    return JSON.stringify({ applications: { versions__delta: '1', apps__hashcode, application } });
  }
}

/** A list that tests change. */
class List implements PolledServers {
  servers: readonly ServiceUrl[] = [];
  preferredUrls: ReadonlySet<string> = new Set();
  problem: string | undefined;
  fresh = 0;
  reconsidered = 0;
  onReconsider: () => void = () => undefined;

  set(nodes: readonly Node[], preferred: readonly Node[] = nodes): void {
    this.servers = nodes.map(({ url }) => parseServiceUrl(url));
    this.preferredUrls = new Set(preferred.map(({ url }) => url));
  }

  keepFresh(): Promise<void> {
    this.fresh += 1;
    return Promise.resolve();
  }

  reconsider(): Promise<void> {
    this.reconsidered += 1;
    this.onReconsider();
    return Promise.resolve();
  }
}

let nodes: readonly [Node, Node, Node];
let list: List;
let client: EurekaClient;
let poller: Poller;
let aheadMs = 0;
let downs = 0;

beforeEach(async () => {
  nodes = [new Node(), new Node(), new Node()];
  await Promise.all(nodes.map((node) => node.start()));
  list = new List();
  aheadMs = 0;
  downs = 0;
  const steady = performance.now.bind(performance);
  mock.method(performance, 'now', () => steady() + aheadMs);
  const options = {
    ...defaultEurekaOptions,
    registry: 'dc1/main' as RegistryId,
    serviceUrls: [],
    requestTimeoutMs: 2_000,
  };
  const observer: PollerObserver = {
    dropped: () => undefined,
    unreliableDelta: () => undefined,
    refusedDelta: () => undefined,
    serverDown: () => {
      downs += 1;
    },
  };
  client = new EurekaClient({ ...options, environment: {} }, list, pino({ level: 'silent' }));
  poller = new Poller(client, options, list, observer);
});
afterEach(async () => {
  mock.restoreAll();
  await client.close();
  await Promise.all(nodes.map((node) => node.stop()));
});

/** Polls, and returns the number of the node that was read, or why none was. */
async function poll(): Promise<number | string> {
  const result = await poller.poll(never);
  if (result.kind === 'failed') return result.reason;
  assert.equal(result.session, poller.session);
  return nodes.findIndex(({ url }) => url === result.session.server.url);
}

test('the first server of the list is followed, and the others are named', async () => {
  list.set(nodes);
  assert.equal(await poll(), 0);
  assert.equal(await poll(), 0);
  assert.deepEqual(nodes[0].asked, ['/eureka/apps', '/eureka/apps/delta']);
  assert.equal(nodes[1].asked.length, 0);
  assert.deepEqual(
    poller.others.map(({ url }) => url),
    [nodes[1].url, nodes[2].url],
  );
  assert.equal(list.fresh, 2);
});

for (const status of [401, 403, 404, 406, 429, 500, 503, 200.5]) {
  test(`a server that answers ${status} to the full read is passed over`, async () => {
    list.set(nodes);
    if (status === 200.5)
      mock.method(nodes[0] as unknown as { body: () => string }, 'body', () => '');
    else nodes[0].status = status;
    assert.equal(await poll(), 1);
  });
}

test('a followed server that fails is left for the next, and stays left', async () => {
  list.set(nodes);
  await poll();
  nodes[0].status = 503;
  assert.equal(await poll(), 1);
  assert.equal(downs, 1);
  nodes[0].status = 200;
  assert.equal(await poll(), 1);
});

test('when every server fails the list is reconsidered, and a new server is asked at once', async () => {
  list.set([nodes[0], nodes[1]]);
  nodes[0].status = 500;
  nodes[1].status = 500;
  list.onReconsider = () => list.set(nodes);
  assert.equal(await poll(), 2);
  assert.equal(list.reconsidered, 1);
});

test('without any server the poll says why', async () => {
  list.problem = 'TXT txt.eu.test: ESERVFAIL';
  assert.equal(await poll(), list.problem);
  list.problem = undefined;
  assert.equal(await poll(), 'no server to ask');
  list.set(nodes);
  assert.equal(await poll(), 0);
});

test('a followed server that is listed no more is left, what was read of it stays', async () => {
  list.set(nodes);
  await poll();
  const view = poller.session?.view;
  list.set([nodes[1], nodes[2]]);
  assert.deepEqual(
    poller.others.map(({ url }) => url),
    [nodes[1].url, nodes[2].url],
  );
  nodes[1].status = 503;
  nodes[2].status = 503;
  assert.match(String(await poll()), /503/);
  assert.equal(poller.session?.view, view);
  nodes[1].status = 200;
  assert.equal(await poll(), 1);
});

test('a followed server that is still listed is kept, whatever its place', async () => {
  list.set([nodes[0], nodes[1]]);
  await poll();
  list.set([nodes[2], nodes[1], nodes[0]]);
  assert.equal(await poll(), 0);
});

test('a server of another zone is left for one of the own zone after half an hour at most', async () => {
  list.set(nodes, [nodes[0], nodes[1]]);
  nodes[0].status = 503;
  nodes[1].status = 503;
  assert.equal(await poll(), 2);
  nodes[0].status = 200;
  nodes[1].status = 200;
  aheadMs += 9 * minute;
  assert.equal(await poll(), 2, 'not before ten minutes');
  aheadMs += 22 * minute;
  assert.equal(await poll(), 0);
  nodes[2].asked.length = 0;
  aheadMs += 60 * minute;
  assert.equal(await poll(), 0, 'and there it stays');
  assert.equal(nodes[2].asked.length, 0);
});

for (const [what, spoil] of [
  ['fails', (node: Node) => (node.status = 503)],
  ['is empty', (node: Node) => (node.instances = 0)],
  ['knows much less', (node: Node) => (node.instances = 3)],
  ['is young', (node: Node) => (node.registeredAt = Date.now() - 30_000)],
] as const) {
  test(`a server of the own zone that ${what} is not returned to`, async () => {
    list.set([nodes[0], nodes[2]], [nodes[0]]);
    nodes[0].status = 503;
    assert.equal(await poll(), 1 + 1);
    nodes[0].status = 200;
    spoil(nodes[0]);
    nodes[0].asked.length = 0;
    aheadMs += 31 * minute;
    assert.equal(await poll(), 2);
    assert.equal(nodes[0].asked.length, 1, 'it was looked at once');
    assert.equal(await poll(), 2);
    assert.equal(nodes[0].asked.length, 1);
    assert.equal(downs, 0);
  });
}

test('an aborted poll puts nobody into quarantine', async () => {
  list.set(nodes);
  const result = await poller.poll(AbortSignal.abort());
  assert.equal(result.kind, 'failed');
  assert.equal(await poll(), 0);
});
