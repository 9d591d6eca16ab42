import { requireRigs } from '../rigs/rig-test.ts';
import { startZooKeeper } from '../rigs/zookeeper.ts';
import { treeWatcherSuite } from './tree-watcher-suite.ts';

const { skip } = requireRigs('every');

for (const [version, driver] of [
  ['3.9.5', 'persistent'],
  ['3.4.14', 'one-shot'],
] as const) {
  treeWatcherSuite(`ZooKeeper ${version}`, driver, () => startZooKeeper({ version }), skip);
}
