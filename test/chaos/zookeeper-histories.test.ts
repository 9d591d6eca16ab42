import { test } from 'node:test';
import { zooKeeperHistories } from '../conformance/zookeeper-histories-suite.ts';
import { isWholeSetWanted, rigTest } from '../rigs/rig-test.ts';
import { startZooKeeper } from '../rigs/zookeeper.ts';
import { openRealPlace, openStubPlace } from '../support/history-places.ts';

// `RUNS=n` says how many, `SEED=n` repeats those of a failure.
const runs = (few: number, many: number): number =>
  Number(process.env['RUNS'] ?? (isWholeSetWanted() ? many : few));

for (const [driver, isOld] of [
  ['persistent', false],
  ['one-shot', true],
] as const) {
  void test(`whatever happens to a stub read by the ${driver} driver, no endpoint that lives is taken back`, async () => {
    await zooKeeperHistories(() => openStubPlace(isOld), runs(40, 400));
  });
}

for (const [version, set] of [
  ['3.9.5', 'every'],
  ['3.4.14', 'every'],
  ['3.8.4', 'ci'],
  ['3.6.4', 'ci'],
  ['3.5.10', 'ci'],
] as const) {
  rigTest(
    `whatever happens to ZooKeeper ${version}, no endpoint that lives is taken back`,
    set,
    async () => {
      await using rig = await startZooKeeper({ version });
      let places = 0;
      await zooKeeperHistories(() => openRealPlace(rig, `/place-${(places += 1)}`), runs(10, 60));
    },
  );
}
