import assert from 'node:assert/strict';
import { pino } from 'pino';
import { defaultEurekaOptions } from '../../agent/eureka/options.ts';
import type { PushOptions } from '../../agent/eureka/options.ts';
import { createEurekaSource } from '../../agent/eureka/source.ts';
import type { Source } from '../../agent/source.ts';
import type { RegistryId } from '../../common/registry.ts';
import { appsStatus, startNetflixEureka } from '../rigs/eureka.ts';
import type { EurekaRig } from '../rigs/eureka.ts';
import { freePorts } from '../rigs/ports.ts';
import { rigTest } from '../rigs/rig-test.ts';
import { startSpringEureka } from '../rigs/spring.ts';
import { eurekaApplication } from '../support/eureka-application.ts';
import type { EurekaApplication } from '../support/eureka-application.ts';
import { eventually } from '../support/eventually.ts';
import { FollowedSource, RememberedReport } from '../support/followed-source.ts';

/**
 * Real servers push. Each has the read-only cache that hides every change for up to 30 s from whoever only polls, and
 * the agent here polls once in ten minutes: so whatever is seen has come by push.
 */
const instanceId = 'ORDERS/10.0.0.1:orders';

/** A server has us among its peers; its own name is another than ours, else it would take us for itself. */
const makes = [
  [
    'Netflix',
    'every',
    (peer: string) =>
      startNetflixEureka({
        host: 'localhost',
        peers: [peer],
        systemProperties: { 'eureka.shouldUseReadOnlyResponseCache': true },
      }),
  ],
  ['Spring Cloud', 'ci', (peer: string) => startSpringEureka({ host: 'localhost', peers: [peer] })],
] as const;

function sourceOf(server: EurekaRig, port: number): Source {
  const push: PushOptions = {
    listen: { host: '127.0.0.1', port },
    userFile: undefined,
    certFile: undefined,
    keyFile: undefined,
    clientCaFile: undefined,
  };
  return createEurekaSource(
    {
      ...defaultEurekaOptions,
      registry: 'dc1/orders' as RegistryId,
      serviceUrls: [server.serviceUrl],
      pollIntervalMs: 600_000,
      emptyHoldMs: 0,
      push,
    },
    new RememberedReport(),
    pino({ level: 'silent' }),
  );
}

/** A server that knows somebody already, so that its registry is believed at the first read. */
async function started(
  start: (peer: string) => Promise<EurekaRig>,
): Promise<{ server: EurekaRig; port: number; orders: EurekaApplication }> {
  const [port = 0] = await freePorts(1);
  const server = await start(`http://127.0.0.1:${port}/eureka/`);
  assert.equal(await appsStatus(server.serviceUrl, 5_000), 200, 'a peer that refuses stops nobody');
  await eurekaApplication(server.serviceUrl, 'OTHER', '10.0.0.9').register();
  return { server, port, orders: eurekaApplication(server.serviceUrl, 'ORDERS', '10.0.0.1') };
}

for (const [make, set, start] of makes) {
  rigTest(`what is written to a ${make} server arrives by push`, set, async () => {
    const { server, port, orders } = await started(start);
    await using running = server;
    const followed = new FollowedSource(sourceOf(running, port));
    try {
      await eventually(() => assert.equal(followed.count('snapshot'), 1));
      const seen = () => followed.view.get(instanceId);
      await orders.register({ port: 8080 });
      await eventually(() => assert.deepEqual(seen()?.ports[0]?.number, 8080));
      await orders.override('OUT_OF_SERVICE');
      await eventually(() => assert.equal(seen()?.status, 'OUT_OF_SERVICE'));
      await orders.removeOverride();
      await eventually(() => assert.equal(seen()?.status, 'UP'));
      await orders.register({ port: 9090, metadata: { version: '2' } });
      await eventually(() => assert.deepEqual(seen()?.labels, { version: '2' }));
      await orders.register({ status: 'DOWN' });
      await eventually(() => assert.equal(seen()?.status, 'DOWN'));
      await orders.cancel();
      await eventually(() => assert.equal(seen(), undefined));
      await orders.register();
      await orders.cancel();
      await orders.register();
      await eventually(() => assert.equal(seen()?.status, 'UP'));
      assert.equal(followed.count('snapshot'), 1, 'polls had no part in it');
    } finally {
      await followed.stop();
    }
  });
}

rigTest(
  'an agent that was away harms no server, and asks for what it missed',
  'every',
  async () => {
    const { server, port, orders } = await started(makes[0][2]);
    await using running = server;
    await orders.register();
    const first = new FollowedSource(sourceOf(running, port));
    await eventually(() => assert.equal(first.count('snapshot'), 1));
    await first.stop();
    const late = eurekaApplication(server.serviceUrl, 'LATE', '10.0.0.2');
    await late.register();
    assert.equal(await appsStatus(server.serviceUrl, 5_000), 200);
    const second = new FollowedSource(sourceOf(running, port));
    try {
      await eventually(() => assert.equal(second.count('snapshot'), 1));
      // Either the server still has the registration waiting for us, or a heartbeat makes us ask.
      await eventually(async () => {
        await late.heartbeat();
        assert.ok(second.view.has('LATE/10.0.0.2:late'));
      });
    } finally {
      await second.stop();
    }
  },
);
