import { plainAccess } from '../../agent/zookeeper/client/tree.ts';
import { createTreeSource, createZooKeeperSource } from '../../agent/zookeeper/source.ts';
import { requireRigs } from '../rigs/rig-test.ts';
import { startZooKeeper } from '../rigs/zookeeper.ts';
import type { ZooKeeperRig } from '../rigs/zookeeper.ts';
import { TreeFake } from '../support/tree-fake.ts';
import { ZooKeeperWriter } from '../support/zookeeper-writer.ts';
import { silent, zooKeeperSourceSuite } from './zookeeper-source-suite.ts';
import type { TreeFactory } from './zookeeper-source-suite.ts';

zooKeeperSourceSuite('a fake tree', {
  open: () => {
    const fake = new TreeFake();
    return Promise.resolve({
      create: (path, data) => settled(() => fake.create(path, data)),
      setData: (path, data) => settled(() => fake.setData(path, data)),
      remove: (path) => settled(() => fake.remove(path)),
      source: (options, report) => createTreeSource(fake, options, report, silent),
      close: () => Promise.resolve(),
    });
  },
});

for (const version of ['3.9.5', '3.4.14'] as const) {
  zooKeeperSourceSuite(`ZooKeeper ${version}`, realTree(version), requireRigs('every'));
}

/** One server for the suite; every test has a chroot of its own on it. */
function realTree(version: '3.9.5' | '3.4.14'): TreeFactory {
  let rig: ZooKeeperRig | undefined;
  let root: ZooKeeperWriter | undefined;
  let trees = 0;
  return {
    start: async () => {
      rig = await startZooKeeper({ version });
      root = await ZooKeeperWriter.connect(rig.connectString);
    },
    stop: async () => {
      await root?.close();
      await rig?.[Symbol.asyncDispose]();
    },
    open: async () => {
      if (rig === undefined || root === undefined) throw new Error('not started');
      const { connectString } = rig;
      trees += 1;
      const chroot = `/test-${trees}`;
      await root.create(chroot);
      const writer = await ZooKeeperWriter.connect(`${connectString}${chroot}`);
      const target = {
        servers: [connectString],
        chroot,
        sessionTimeoutMs: 5_000,
        access: plainAccess,
      };
      return {
        create: (path, data, isEphemeral) => writer.create(path, data, isEphemeral),
        setData: (path, data) => writer.setData(path, data),
        remove: (path) => writer.remove(path),
        source: (options, report) => createZooKeeperSource({ ...options, target }, report, silent),
        close: () => writer.close(),
      };
    },
  };
}

function settled(action: () => void): Promise<void> {
  action();
  return Promise.resolve();
}
