import assert from 'node:assert/strict';
import { plainAccess } from '../../agent/zookeeper/client/tree.ts';
import { createZooKeeperSource } from '../../agent/zookeeper/source.ts';
import type { Instance } from '../../common/instance.ts';
import { rigTest } from '../rigs/rig-test.ts';
import { startSpringZooKeeperApp } from '../rigs/spring.ts';
import { startZooKeeper } from '../rigs/zookeeper.ts';
import { eventually } from '../support/eventually.ts';
import { FollowedSource, RememberedReport } from '../support/followed-source.ts';
import { optionsForTests, silent } from './zookeeper-source-suite.ts';

/** What the source makes of a real Spring Cloud application. */

const discovery = 'spring.cloud.zookeeper.discovery';
const cases: readonly {
  readonly name: string;
  readonly application?: string;
  readonly properties: Readonly<Record<string, string>>;
  readonly expected: (port: number) => Partial<Instance>;
}[] = [
  {
    name: 'with a nested name and metadata',
    application: 'team/orders',
    properties: {
      [`${discovery}.metadata.istio.protocol`]: 'http2',
      [`${discovery}.metadata.version`]: '7',
      [`${discovery}.metadata.zone`]: 'eu-west-1a',
      [`${discovery}.instance-host`]: '192.0.2.7',
    },
    expected: (port) => ({
      service: { kind: 'application', name: 'team/orders', group: '', version: '' },
      address: '192.0.2.7',
      ports: [{ protocol: 'http2', number: port }],
      labels: { version: '7' },
      locality: 'eu-west-1/eu-west-1a',
      status: 'UP',
    }),
  },
  {
    name: 'with a secure port, that is out of service',
    properties: {
      [`${discovery}.instance-ssl-port`]: '8443',
      [`${discovery}.initial-status`]: 'OUT_OF_SERVICE',
      [`${discovery}.instance-host`]: 'orders-1.internal',
    },
    expected: () => ({
      address: 'orders-1.internal',
      ports: [{ protocol: 'https', number: 8443 }],
      status: 'OUT_OF_SERVICE',
    }),
  },
  {
    name: 'with a scheme and a path written out in its URI specification',
    properties: { [`${discovery}.uri-spec`]: 'https://{address}:{port}/ctx' },
    expected: (port) => ({ ports: [{ protocol: 'https', number: port }], status: 'UP' }),
  },
];

for (const { name, application = 'orders', properties, expected } of cases) {
  rigTest(`a Spring application ${name} is in the view as it registered`, 'ci', async () => {
    await using server = await startZooKeeper();
    const { connectString } = server;
    const target = {
      servers: [connectString],
      chroot: '',
      sessionTimeoutMs: 5_000,
      access: plainAccess,
    };
    const report = new RememberedReport();
    const source = createZooKeeperSource({ ...optionsForTests, target }, report, silent);
    const followed = new FollowedSource(source);
    await using stack = new AsyncDisposableStack();
    stack.defer(() => followed.stop());
    await using app = await startSpringZooKeeperApp({ connectString, application, properties });
    await eventually(() => {
      const [found] = followed.instances();
      assert.ok(found !== undefined);
      assert.partialDeepStrictEqual(found, expected(app.port));
      assert.match(found.id, new RegExp(`^spring-cloud:/services/${application}/`));
    });
    await app.stop();
    await eventually(() => assert.deepEqual(followed.instances(), []));
    assert.deepEqual(report.drops, []);
  });
}
