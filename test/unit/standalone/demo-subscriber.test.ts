import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pino } from 'pino';
import { mcpDefaults, McpServer } from '../../../aggregator/mcp/server.ts';
import { runDemoSubscriber } from '../../../standalone/demo-subscriber.ts';
import { freePorts } from '../../rigs/ports.ts';
import { eventually } from '../../support/eventually.ts';
import { MemoryStore } from '../../support/memory-store.ts';
import { makeResource } from '../../support/resource.ts';

const log = pino({ level: 'silent' });
const collection = 'ServiceEntry';
const observer = {
  subscribers: () => undefined,
  subscriberGone: () => undefined,
  pushed: () => undefined,
  receivedToWritten: () => undefined,
  writtenToAcknowledged: () => undefined,
  observedToAcknowledged: () => undefined,
  nacked: () => undefined,
  rejected: () => undefined,
};

function serve(store: MemoryStore, port: number) {
  const stop = new AbortController();
  const options = { ...mcpDefaults, host: '127.0.0.1', port, tls: undefined };
  const server = new McpServer(options, store, observer, log);
  const running = server.run(stop.signal, () => undefined);
  return {
    server,
    async stop() {
      stop.abort();
      await running;
    },
  };
}

/** The lines that were printed, each checked for its time of day, which is cut off. */
function printed(lines: readonly string[]): string[] {
  return lines.map((line) => {
    assert.match(line, /^(\d\d:\d\d:\d\d| {8}) /);
    return line.slice(9);
  });
}

test('the demo subscriber prints every push as a difference and acknowledges it', async () => {
  const [port = 0] = await freePorts(1);
  const store = new MemoryStore();
  store.set(collection, [makeResource({ name: 'tributary/orders' })], [], []);
  store.complete(collection);
  const mcp = serve(store, port);
  const stop = new AbortController();
  const lines: string[] = [];
  const running = runDemoSubscriber(`127.0.0.1:${port}`, (line) => lines.push(line), stop.signal);
  const first = [
    '+ orders.tributary.internal  240.1.2.3:80 HTTP  1 endpoint',
    '    + 192.0.2.1:8080',
  ];
  await eventually(() => assert.deepEqual(printed(lines), first));
  const endpoints = [
    { address: '192.0.2.1', ports: { http: 8080 }, weight: 5 },
    { address: '192.0.2.2', ports: { http: 8081 }, locality: 'eu/eu-1' },
  ];
  store.set(collection, [makeResource({ name: 'tributary/orders', spec: { endpoints } })], [], []);
  const second = [
    '~ orders.tributary.internal  240.1.2.3:80 HTTP  2 endpoints',
    '    ~ 192.0.2.1:8080  nothing -> weight 5',
    '    + 192.0.2.2:8081  eu/eu-1',
  ];
  await eventually(() => assert.deepEqual(printed(lines), [...first, ...second]));
  // Without an acknowledgement there would be no third push.
  store.set(collection, [], ['tributary/orders'], []);
  await eventually(() => assert.equal(printed(lines).at(-1), '- orders.tributary.internal'));
  stop.abort();
  await running;
  await mcp.stop();
});

test('the demo subscriber comes back, and shows only what changed meanwhile', async () => {
  const [port = 0] = await freePorts(1);
  const store = new MemoryStore();
  const names = ['tributary/orders', 'tributary/payments'];
  store.set(
    collection,
    names.map((name) => makeResource({ name })),
    [],
    [],
  );
  store.complete(collection);
  const stop = new AbortController();
  const lines: string[] = [];
  // Nobody listens yet: it tries again, silently.
  const running = runDemoSubscriber(`127.0.0.1:${port}`, (line) => lines.push(line), stop.signal);
  let mcp = serve(store, port);
  await eventually(() => assert.equal(lines.length, 4));
  await mcp.stop();
  await eventually(() => assert.match(printed(lines)[4] ?? '', /^the MCP stream ended: /));
  store.set(collection, [makeResource({ name: 'tributary/vault' })], [], []);
  mcp = serve(store, port);
  await eventually(() =>
    assert.deepEqual(printed(lines).slice(5), [
      '+ vault.tributary.internal  240.1.2.3:80 HTTP  1 endpoint',
      '    + 192.0.2.1:8080',
    ]),
  );
  stop.abort();
  await running;
  await mcp.stop();
  assert.equal(lines.length, 7);
});

test('a demo subscriber that is stopped while nobody answers ends', async () => {
  const [port = 0] = await freePorts(1);
  const stop = new AbortController();
  const running = runDemoSubscriber(`127.0.0.1:${port}`, () => undefined, stop.signal);
  setImmediate(() => stop.abort());
  await running;
});
