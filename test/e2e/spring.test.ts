import assert from 'node:assert/strict';
import { startMesh } from '../support/mesh.ts';
import { eventually } from '../support/eventually.ts';
import { rigTest } from '../rigs/rig-test.ts';
import {
  startSpringEureka,
  startSpringEurekaClient,
  startSpringZooKeeperApp,
} from '../rigs/spring.ts';
import { startZooKeeper } from '../rigs/zookeeper.ts';

rigTest('a Spring Cloud application on a Spring Cloud Eureka reaches istiod', 'ci', async () => {
  const id = 'dc1/main';
  await using eureka = await startSpringEureka();
  await using mesh = await startMesh(id);
  const flags = ['--eureka', `${id}=${eureka.serviceUrl}`, '--eureka-poll-interval', '200ms'];
  await mesh.startAgent(id, flags);
  await using application = await startSpringEurekaClient({
    serviceUrl: eureka.serviceUrl,
    application: 'spring-orders',
  });
  const host = 'spring-orders.tributary.internal';
  await eventually(() => assert.equal(mesh.endpoints(host)?.length, 1));
  assert.match(mesh.endpoints(host)?.[0] ?? '', new RegExp(`:${application.port}$`));
  await application.stop();
  await eventually(() => assert.deepEqual(mesh.endpoints(host), []));
});

rigTest('a Spring Cloud application on ZooKeeper reaches istiod', 'ci', async () => {
  const id = 'dc1/main';
  await using zookeeper = await startZooKeeper();
  await using mesh = await startMesh(id);
  await mesh.startAgent(id, ['--zookeeper', `${id}=${zookeeper.connectString}`]);
  await using application = await startSpringZooKeeperApp({
    connectString: zookeeper.connectString,
    application: 'spring-billing',
    properties: { 'spring.cloud.zookeeper.discovery.instance-host': '192.0.2.31' },
  });
  const host = 'spring-billing.tributary.internal';
  const endpoint = `192.0.2.31:${application.port}`;
  await eventually(() => assert.deepEqual(mesh.endpoints(host), [endpoint]));
  await application.stop();
  await eventually(() => assert.deepEqual(mesh.endpoints(host), []));
});
