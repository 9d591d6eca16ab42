import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pino } from 'pino';
import type { RegistryAddress } from '../../agent/compose.ts';
import type { Listening } from '../../aggregator/aggregator.ts';
import { loadConfiguration } from '../../common/config.ts';
import type { RegistryId } from '../../common/registry.ts';
import { standaloneProgram } from '../../standalone/config.ts';
import { pickDemoPorts } from '../../standalone/demo-ports.ts';
import { runStandalone } from '../../standalone/standalone.ts';
import { eurekaApplication } from '../support/eureka-application.ts';
import { eventually } from '../support/eventually.ts';
import { startFakeEureka } from '../support/fake-eureka.ts';
import { TestIstiod } from '../support/istiod.ts';

const silent = pino({ level: 'silent' });
const listeners = [
  ...['--mcp-listen', '127.0.0.1:0', '--metrics-listen', '127.0.0.1:0'],
  ...['--admin-listen', '127.0.0.1:0', '--eureka-poll-interval', '100ms'],
];

function valuesOf(argv: readonly string[]) {
  const loaded = loadConfiguration(standaloneProgram, { argv, env: {} });
  assert.ok(loaded.kind === 'values');
  return loaded.values;
}

async function standalone(
  registries: readonly RegistryAddress[],
  use: (listening: Listening) => Promise<void>,
): Promise<void> {
  const controller = new AbortController();
  const listening = Promise.withResolvers<Listening>();
  const done = runStandalone(
    registries,
    valuesOf(listeners),
    { log: silent, onListening: listening.resolve },
    controller.signal,
  );
  try {
    await use(await Promise.race([listening.promise, done.then(() => assert.fail('it ended'))]));
  } finally {
    controller.abort();
    await done;
  }
}

const eurekaAt = (id: string, url: string): RegistryAddress => ({
  kind: 'eureka',
  address: { registry: id as RegistryId, servers: [url] },
});

test('two registries read in one process become services that istiod holds', async () => {
  const [one, two] = await Promise.all([startFakeEureka(), startFakeEureka()]);
  const urls = [one, two].map(({ nodes }) => nodes[0]?.serviceUrl ?? '');
  await eurekaApplication(urls[0] ?? '', 'ORDERS', '192.0.2.1').register();
  await eurekaApplication(urls[1] ?? '', 'ORDERS', '192.0.2.2').register();
  const registries = [eurekaAt('dc1/a', urls[0] ?? ''), eurekaAt('dc2/a', urls[1] ?? '')];
  try {
    await standalone(registries, async ({ mcp, metrics, admin }) => {
      const stop = new AbortController();
      const istiod = new TestIstiod({ address: `127.0.0.1:${mcp.port}` });
      const running = istiod.run(stop.signal);
      await eventually(() => {
        const entry = istiod.serviceEntries().get('tributary/orders.tributary.internal');
        assert.deepEqual(entry?.spec.endpoints.map(({ address }) => address).sort(), [
          '192.0.2.1',
          '192.0.2.2',
        ]);
      });
      const ready = await fetch(`http://127.0.0.1:${metrics.port}/readyz`);
      assert.equal(ready.status, 200);
      const page = await (await fetch(`http://127.0.0.1:${admin.port}/`)).text();
      for (const shown of ['dc1/a', 'dc2/a', 'orders.tributary.internal', '192.0.2.2:8080']) {
        assert.ok(page.includes(shown), shown);
      }
      const text = await (await fetch(`http://127.0.0.1:${metrics.port}/metrics`)).text();
      for (const prefix of ['tributary_agent_', 'tributary_aggregator_', 'process_']) {
        assert.ok(text.includes(`\n${prefix}`), prefix);
      }
      const forget = await fetch(`http://127.0.0.1:${admin.port}/api/registries/dc1/a/forget`, {
        method: 'POST',
        headers: { 'x-tributary-request': '1' },
      });
      assert.equal(forget.status, 409, 'a registry that is being fed is not forgotten');
      stop.abort();
      await running;
    });
  } finally {
    await Promise.all([one.stop(), two.stop()]);
  }
});

test('until every registry has been heard nothing is served, and readiness says which is missing', async () => {
  const eureka = await startFakeEureka();
  const url = eureka.nodes[0]?.serviceUrl ?? '';
  await eurekaApplication(url, 'ORDERS', '192.0.2.1').register();
  const nowhere = eurekaAt('dc2/away', 'http://127.0.0.1:1/eureka/');
  try {
    await standalone([eurekaAt('dc1/a', url), nowhere], async ({ metrics, admin }) => {
      await eventually(async () => {
        const page = await (await fetch(`http://127.0.0.1:${admin.port}/`)).text();
        assert.ok(page.includes('orders.tributary.internal'));
      });
      const ready = await fetch(`http://127.0.0.1:${metrics.port}/readyz`);
      assert.equal(ready.status, 503);
      assert.equal(await ready.text(), 'not ready: not heard yet: dc2/away\n');
    });
  } finally {
    await eureka.stop();
  }
});

test('the demo takes the documented ports when they are free, else any free one', async () => {
  const { createServer } = await import('node:http');
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const values = valuesOf([
    ...['--mcp-listen', `127.0.0.1:${port}`, '--admin-listen', '127.0.0.1:0'],
  ]);
  const picked = await pickDemoPorts(values);
  assert.deepEqual(picked.mcpListen, { host: '127.0.0.1', port: 0 });
  assert.deepEqual(picked.adminListen, values.adminListen);
  await new Promise((resolve) => server.close(resolve));
  assert.deepEqual((await pickDemoPorts(values)).mcpListen, values.mcpListen);
});
