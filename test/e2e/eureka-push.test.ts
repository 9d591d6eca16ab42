import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startNetflixEureka } from '../rigs/eureka.ts';
import { freePorts } from '../rigs/ports.ts';
import { rigTest } from '../rigs/rig-test.ts';
import { eurekaApplication } from '../support/eureka-application.ts';
import { eventually } from '../support/eventually.ts';
import { startMesh } from '../support/mesh.ts';

const id = 'dc1/orders';
const orders = 'orders.tributary.internal';

rigTest('what an Eureka server pushes reaches istiod past every cache', 'every', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tributary-push-'));
  try {
    const userFile = join(folder, 'user');
    writeFileSync(userFile, 'eureka:s3cr3t\n');
    const [port = 0] = await freePorts(1);
    await using eureka = await startNetflixEureka({
      host: 'localhost',
      peers: [`http://eureka:s3cr3t@127.0.0.1:${port}/eureka/`],
      systemProperties: { 'eureka.shouldUseReadOnlyResponseCache': true },
    });
    const first = eurekaApplication(eureka.serviceUrl, 'ORDERS', '192.0.2.1');
    const second = eurekaApplication(eureka.serviceUrl, 'ORDERS', '192.0.2.2');
    await first.register();
    await using mesh = await startMesh(id);
    await mesh.startAgent(id, [
      ...['--eureka', `${id}=${eureka.serviceUrl}`, '--eureka-poll-interval', '10m'],
      ...['--eureka-push-listen', `127.0.0.1:${port}`, '--eureka-push-user-file', userFile],
    ]);
    await eventually(() => assert.deepEqual(mesh.endpoints(orders), ['192.0.2.1:8080']));

    await second.register();
    await eventually(() =>
      assert.deepEqual(mesh.endpoints(orders), ['192.0.2.1:8080', '192.0.2.2:8080']),
    );
    await first.cancel();
    await eventually(() => assert.deepEqual(mesh.endpoints(orders), ['192.0.2.2:8080']));
    await second.override('OUT_OF_SERVICE');
    await eventually(() => assert.deepEqual(mesh.endpoints(orders), []));

    const agent = mesh.agents.get(id);
    assert.ok(agent !== undefined && 'metricsPort' in agent && 'adminPort' in agent);
    const metrics = await (
      await fetch(`http://127.0.0.1:${String(agent.metricsPort)}/metrics`)
    ).text();
    assert.match(metrics, /push_items_total\{[^}]*action="register"[^}]*\} [1-9]/);
    const status = await (
      await fetch(`http://127.0.0.1:${String(agent.adminPort)}/api/status`)
    ).text();
    assert.match(status, /"push":\{"peers":\[\{"address":"127\.0\.0\.1"/);
    for (const shown of [metrics, status, agent.output()]) assert.ok(!shown.includes('s3cr3t'));
  } finally {
    rmSync(folder, { recursive: true });
  }
});
