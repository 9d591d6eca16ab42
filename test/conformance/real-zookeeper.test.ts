import { requireRigs } from '../rigs/rig-test.ts';
import { startZooKeeper } from '../rigs/zookeeper.ts';
import { treeWatcherSuite } from './tree-watcher-suite.ts';

for (const [version, driver, set] of [
  ['3.9.5', 'persistent', 'every'],
  ['3.4.14', 'one-shot', 'every'],
  ['3.8.4', 'persistent', 'ci'],
  ['3.7.2', 'persistent', 'ci'],
  ['3.6.4', 'persistent', 'ci'],
  ['3.5.10', 'one-shot', 'ci'],
] as const) {
  const { skip } = requireRigs(set);
  treeWatcherSuite(`ZooKeeper ${version}`, driver, () => startZooKeeper({ version }), skip);
}
