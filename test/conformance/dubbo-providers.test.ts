import assert from 'node:assert/strict';
import { plainAccess } from '../../agent/zookeeper/client/tree.ts';
import { createZooKeeperSource } from '../../agent/zookeeper/source.ts';
import type { Instance } from '../../common/instance.ts';
import { startDubboProvider } from '../rigs/dubbo.ts';
import type { DubboOptions, DubboRig } from '../rigs/dubbo.ts';
import { rigTest } from '../rigs/rig-test.ts';
import { connectRigClient } from '../rigs/zookeeper-client.ts';
import { startZooKeeper } from '../rigs/zookeeper.ts';
import { eventually } from '../support/eventually.ts';
import { openZooKeeperWriter } from '../support/independent-writer.ts';
import { FollowedSource, RememberedReport } from '../support/followed-source.ts';
import { optionsForTests, silent } from './zookeeper-source-suite.ts';

/** What the source makes of real Dubbo providers that start, stop, crash and lose their session. */

const demo = 'com.example.DemoService';
const waitMs = 60_000;

type Provider = Omit<DubboOptions, 'registry' | 'application'>;

/** A server with one provider and a source that follows it. Disposing ends all three. */
async function started(provider: Provider, maxSessionTimeoutMs: number) {
  const stack = new AsyncDisposableStack();
  try {
    const server = stack.use(await startZooKeeper({ maxSessionTimeoutMs }));
    const registry = server.connectString;
    const client = await connectRigClient(registry);
    stack.defer(() => {
      client[Symbol.dispose]();
    });
    const target = {
      servers: [registry],
      chroot: '',
      sessionTimeoutMs: 5_000,
      access: plainAccess,
    };
    const report = new RememberedReport();
    const source = createZooKeeperSource({ ...optionsForTests, target }, report, silent);
    const followed = new FollowedSource(source);
    stack.defer(() => followed.stop());
    const rig: DubboRig = stack.use(
      await startDubboProvider({ ...provider, registry, application: 'orders' }),
    );
    const leaves = (name: string): Promise<string[]> => client.children(`/dubbo/${name}/providers`);
    return {
      followed,
      registry,
      report,
      provider: rig,
      leaves,
      /** Endpoints of interfaces, by id. */
      interfaces: (): readonly Instance[] =>
        followed.instances().filter(({ service }) => service.kind === 'dubbo'),
      [Symbol.asyncDispose]: () => stack.disposeAsync(),
    };
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}

for (const generation of ['2.7', '3.3'] as const) {
  rigTest(`a Dubbo ${generation} provider is in the view as it registered`, 'every', async () => {
    const protocols = generation === '3.3' ? (['dubbo', 'tri'] as const) : (['dubbo'] as const);
    const services = [
      { interface: demo, group: 'g1', version: '1.0.0', weight: 150, tag: 'gray' },
      { interface: 'com.acme.Billing', weight: 0 },
    ] as const;
    const options = { generation, ip: '192.0.2.21', services, protocols };
    await using run = await started(options, 10_000);
    const { provider } = run;
    const of = (id: string): Instance | undefined => run.followed.view.get(id);
    for (const [index, protocol] of protocols.entries()) {
      const place = `${protocol}://192.0.2.21:${provider.ports[index] ?? 0}`;
      await eventually(() => {
        const found = of(`dubbo:${demo}:g1:1.0.0:${place}`);
        assert.equal(found?.status, 'UP');
        assert.equal(found.weight, 150);
        assert.equal(found.labels['dubbo.tag'], 'gray');
        assert.equal(found.labels['application'], 'orders');
        assert.deepEqual(found.ports, [{ protocol, number: provider.ports[index] }]);
        const idle = of(`dubbo:com.acme.Billing:::${place}`);
        assert.equal(idle?.status, 'OUT_OF_SERVICE', 'weight 0');
      }, waitMs);
    }
    assert.equal(run.interfaces().length, protocols.length * 2);
    const stopped = provider.stop();
    await eventually(() => assert.deepEqual(run.interfaces(), []), waitMs);
    await stopped;
    assert.deepEqual(run.report.drops, []);
  });

  rigTest(
    `a Dubbo ${generation} provider killed and restarted in place stays`,
    'every',
    async () => {
      const services = [{ interface: demo }] as const;
      await using run = await started({ generation, ip: '192.0.2.22', services }, 10_000);
      await eventually(() => assert.equal(run.interfaces().length, 1), waitMs);
      const [dead = ''] = await run.leaves(demo);
      await run.provider.kill();
      await run.provider.restart();
      assert.ok((await run.leaves(demo)).includes(dead), 'the dead session has not ended yet');
      assert.equal((await run.leaves(demo)).length, 2);
      await eventually(async () => {
        const leaves = await run.leaves(demo);
        assert.equal(leaves.length, 1);
        assert.ok(!leaves.includes(dead));
      }, waitMs);
      // Past the delay of a removal, had there been one.
      const saidBy = performance.now() + 5 * optionsForTests.removalDelayMs;
      await eventually(() => assert.ok(performance.now() > saidBy));
      assert.equal(run.interfaces().length, 1);
      assert.deepEqual(
        run.followed.removed.filter((id) => id.startsWith('dubbo:')),
        [],
      );
    },
  );

  rigTest(`a Dubbo ${generation} provider that lost its session comes back`, 'every', async () => {
    const services = [{ interface: demo }] as const;
    await using run = await started({ generation, ip: '192.0.2.23', services }, 2_000);
    await eventually(() => assert.equal(run.interfaces().length, 1), waitMs);
    const [before] = run.interfaces();
    run.provider.suspend();
    await eventually(() => assert.deepEqual(run.interfaces(), []), waitMs);
    run.provider.resume();
    await eventually(() => assert.deepEqual(run.interfaces(), [before]), waitMs);
  });

  rigTest(
    `rules for a Dubbo ${generation} provider count, told back by it or not`,
    'every',
    async () => {
      const services = [{ interface: demo, weight: 150 }] as const;
      await using run = await started({ generation, ip: '192.0.2.24', services }, 10_000);
      await using writer = await openZooKeeperWriter(run.registry);
      const shows = async (
        weight: number,
        tag: string | undefined,
        status = 'UP',
      ): Promise<void> => {
        await eventually(() => {
          const found = run.interfaces()[0];
          const seen = [found?.weight, found?.labels['dubbo.tag'], found?.status];
          assert.deepEqual(seen, [weight, tag, status]);
        }, waitMs);
      };
      await shows(150, undefined);
      const document = `/dubbo/config/dubbo/${demo}::.configurators`;
      const yaml = (parameters: string): string =>
        `configVersion: v2.7\nscope: service\nkey: ${demo}\nenabled: true\nconfigs:\n- addresses: ["0.0.0.0"]\n  side: provider\n  parameters: {${parameters}}\n`;
      await writer.create(document, yaml('weight: 77'));
      await shows(77, undefined);
      const tags =
        'key: orders\nenabled: true\nforce: false\ntags:\n- {name: blue, addresses: ["192.0.2.24"]}\n';
      await writer.create('/dubbo/config/dubbo/orders.tag-router', tags);
      await shows(77, 'blue');
      await writer.setData(document, yaml('disabled: true'));
      await shows(150, 'blue', 'OUT_OF_SERVICE');
      await writer.remove(document);
      await shows(150, 'blue');
      const host = `192.0.2.24:${run.provider.port}`;
      const url = `override://${host}/${demo}?category=configurators&dynamic=false&enabled=true&weight=300`;
      const leaf = `/dubbo/${demo}/configurators/${encodeURIComponent(url)}`;
      await writer.create(leaf);
      await shows(300, 'blue');
      await eventually(
        async () => assert.match((await run.leaves(demo)).join(), /weight%3D300/),
        waitMs,
      );
      await shows(300, 'blue');
      await writer.remove(leaf);
      await writer.remove('/dubbo/config/dubbo/orders.tag-router');
      await shows(150, undefined);
      assert.deepEqual(
        run.followed.removed.filter((id) => id.startsWith('dubbo:')),
        [],
      );
    },
  );
}
