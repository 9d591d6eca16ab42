import { ZooKeeperStub } from '../support/zookeeper-stub.ts';
import { treeWatcherSuite } from './tree-watcher-suite.ts';
import type { TreeServer } from './tree-watcher-suite.ts';

async function startStub(isOld: boolean): Promise<TreeServer> {
  const stub = new ZooKeeperStub();
  stub.faults.isOld = isOld;
  await stub.start();
  return {
    port: stub.port,
    kill: () => stub.stop(),
    restart: () => stub.start(),
    [Symbol.asyncDispose]: () => stub.dispose(),
  };
}

treeWatcherSuite('the stub as a server of today', 'persistent', () => startStub(false));
treeWatcherSuite('the stub as a server before 3.6', 'one-shot', () => startStub(true));
