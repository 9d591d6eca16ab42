import assert from 'node:assert/strict';
import pino from 'pino';
import { plainAccess } from '../../agent/zookeeper/client/tree.ts';
import { defaultZooKeeperOptions } from '../../agent/zookeeper/options.ts';
import { createZooKeeperSource } from '../../agent/zookeeper/source.ts';
import type { RegistryId } from '../../common/registry.ts';
import { startDubboProvider } from '../rigs/dubbo.ts';
import type { DubboOptions, DubboRig } from '../rigs/dubbo.ts';
import { rigTest } from '../rigs/rig-test.ts';
import { startZooKeeper } from '../rigs/zookeeper.ts';
import { eventually } from '../support/eventually.ts';
import { FollowedSource, RememberedReport } from '../support/followed-source.ts';

const DEMO = 'com.example.DemoService';
const OTHER = 'com.example.OtherService';

/** A source that is followed, for `await using`. */
class Followed extends FollowedSource implements AsyncDisposable {
  static of(server: string): Followed {
    const access = plainAccess;
    const target = { servers: [server], chroot: '', sessionTimeoutMs: 10_000, access };
    const options = { ...defaultZooKeeperOptions, registry: 'dc1/dubbo' as RegistryId, target };
    const log = pino({ level: 'silent' });
    return new Followed(createZooKeeperSource(options, new RememberedReport(), log));
  }

  /** Ids, with `*` behind those that are inferred. */
  ids(): readonly string[] {
    return this.instances().map(({ id, labels }) =>
      labels['inferred'] === 'true' ? `${id}*` : id,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

async function provide(
  server: string,
  host: number,
  more: Pick<DubboOptions, 'application' | 'protocols' | 'registerMode' | 'metadataType'>,
): Promise<DubboRig> {
  return await startDubboProvider({
    generation: '3.3',
    registry: server,
    ip: `192.0.2.${host}`,
    services: [
      { interface: DEMO, group: 'g1', version: '1.0.0', weight: 150 },
      { interface: OTHER },
    ],
    ...more,
  });
}

/** What a provider's two services are, at one of its ports. */
function idsOf({ ip, ports }: DubboRig, protocol = 'dubbo', index = 0, mark = ''): string[] {
  const at = `${protocol}://${ip}:${ports[index] ?? 0}${mark}`;
  return [`dubbo:${DEMO}:g1:1.0.0:${at}`, `dubbo:${OTHER}:::${at}`];
}

function applicationId({ application, ip, port }: DubboRig): string {
  return `dubbo-app:/services/${application}/${ip}%3A${port}`;
}

rigTest('a Dubbo 3.3 provider is known whichever way it registers', 'every', async () => {
  await using server = await startZooKeeper({ maxSessionTimeoutMs: 4_000 });
  const { connectString } = server;
  await using both = await provide(connectString, 41, { application: 'both', registerMode: 'all' });
  await using remote = await provide(connectString, 42, {
    ...{ application: 'remote', registerMode: 'instance', metadataType: 'remote' },
    protocols: ['dubbo', 'tri'],
  });
  await using local = await provide(connectString, 43, {
    ...{ application: 'local', registerMode: 'instance', metadataType: 'local' },
  });
  const expected = [
    ...idsOf(both),
    ...idsOf(remote),
    ...idsOf(remote, 'tri', 1),
    ...idsOf(local, 'dubbo', 0, '*'),
    ...[both, remote, local].map(applicationId),
  ].sort();
  await using followed = Followed.of(connectString);
  await eventually(() => assert.deepEqual([...followed.ids()].sort(), expected));
  // All of it was in the first reading.
  const [first] = followed.events;
  assert.ok(first?.kind === 'snapshot');
  assert.equal(first.instances.size, expected.length);
  const demo = followed.instances().find(({ id }) => id.includes('g1') && id.includes('.43'));
  assert.deepEqual([demo?.weight, demo?.labels['application']], [150, 'local']);

  await local.restart();
  await eventually(() => assert.deepEqual([...followed.ids()].sort(), expected));
  await remote.stop();
  const left = expected.filter((id) => !id.includes('192.0.2.42'));
  await eventually(() => assert.deepEqual([...followed.ids()].sort(), left));
  await local.kill();
  await eventually(() => {
    assert.deepEqual([...followed.ids()].sort(), [...idsOf(both), applicationId(both)].sort());
  });
});
