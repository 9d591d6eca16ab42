import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { pino } from 'pino';
import { TreeDriver, tuningFor } from '../../../../agent/zookeeper/client/driver.ts';
import { plainAccess, saidForNext } from '../../../../agent/zookeeper/client/tree.ts';
import type { TreeEvent } from '../../../../agent/zookeeper/client/tree.ts';
import { createTreeSource } from '../../../../agent/zookeeper/source.ts';
import {
  optionsForTests,
  providerPath,
  silent,
} from '../../../conformance/zookeeper-source-suite.ts';
import { eventually } from '../../../support/eventually.ts';
import { FollowedSource, RememberedReport } from '../../../support/followed-source.ts';
import { TreeFake } from '../../../support/tree-fake.ts';
import { exampleInterest } from '../../../support/tree-recorder.ts';
import { wholeSnapshots } from '../../../support/whole-snapshots.ts';
import { ZooKeeperStub } from '../../../support/zookeeper-stub.ts';

const path = (number: number): string => providerPath({}, `192.0.2.${number}`);
const nodes = (...numbers: number[]): ReadonlyMap<string, null> =>
  new Map(numbers.map((number) => [path(number), null]));
const part = (isFirst: boolean, ...numbers: number[]): TreeEvent => ({
  kind: 'part',
  isFirst,
  nodes: nodes(...numbers),
});
const removed = (number: number): TreeEvent => ({
  kind: 'removed',
  path: path(number),
  observedAt: performance.now(),
});
const last = (...numbers: number[]): TreeEvent => ({
  kind: 'snapshot',
  hasParts: true,
  nodes: nodes(...numbers),
  observedAt: performance.now(),
});

interface Setup {
  readonly tree: TreeFake;
  readonly followed: FollowedSource;
  /** The last numbers of the addresses that are known. */
  readonly known: () => readonly number[];
}

/** A source that has read providers 1, 2 and 3. */
async function follow(context: TestContext): Promise<Setup> {
  const tree = new TreeFake();
  for (const number of [1, 2, 3]) tree.create(path(number));
  const source = createTreeSource(tree, optionsForTests, new RememberedReport(), silent);
  const followed = new FollowedSource(source);
  context.after(() => followed.stop());
  const known = (): readonly number[] =>
    followed
      .instances()
      .map(({ address }) => Number(address.split('.').at(-1)))
      .sort((a, b) => a - b);
  await eventually(() => assert.deepEqual(known(), [1, 2, 3]));
  return { tree, followed, known };
}

test('a snapshot in parts says what all its parts say', async (context) => {
  const { tree, followed, known } = await follow(context);
  tree.emit(part(true, 1, 4));
  tree.emit(part(false, 5, 6));
  tree.emit(removed(6));
  assert.equal(followed.count('snapshot'), 1);
  tree.emit(last(7));
  await eventually(() => assert.deepEqual(known(), [1, 4, 5, 7]));
  assert.equal(followed.count('snapshot'), 2);
});

test('nothing is said while a snapshot comes in parts, and a loss ends it', async (context) => {
  const { tree, followed, known } = await follow(context);
  tree.emit(part(true, 1, 4));
  tree.emit({ kind: 'lost', reason: 'cut' });
  await eventually(() => assert.equal(followed.count('lost'), 1));
  assert.deepEqual(known(), [1, 2, 3, 4]);
  tree.emit(part(true, 2));
  tree.emit(last(3));
  await eventually(() => assert.deepEqual(known(), [2, 3]));
});

test('a snapshot in parts that comes while another is worked off replaces it', async (context) => {
  const { tree, known } = await follow(context);
  tree.emit(part(true, 8));
  tree.emit(last(9));
  tree.emit(part(true, 4));
  tree.emit(removed(4));
  tree.emit(part(false, 5));
  tree.emit(last(6));
  await eventually(() => assert.deepEqual(known(), [5, 6]));
});

test('of what waits, only what was said for the next snapshot counts for it', () => {
  const hidden = (at: string): TreeEvent => ({ kind: 'unreadable', path: at, reason: 'no' });
  assert.deepEqual(saidForNext([hidden('/a'), removed(1), hidden('/b')]), [
    hidden('/a'),
    hidden('/b'),
  ]);
  assert.deepEqual(saidForNext([hidden('/a'), last(1), hidden('/b')]), [hidden('/b')]);
  assert.deepEqual(saidForNext([hidden('/a'), part(true, 1)]), []);
});

test('a driver hands on a large tree in parts, and what goes meanwhile', async (context) => {
  const stub = new ZooKeeperStub();
  await stub.start();
  for (let service = 0; service < 400; service++) {
    for (let provider = 0; provider < 10; provider++) {
      stub.create(`/dubbo/i${service}/providers/p${provider}`);
    }
  }
  const target = {
    servers: [`127.0.0.1:${stub.port}`],
    chroot: '',
    sessionTimeoutMs: 5_000,
    access: plainAccess,
  };
  const driver = new TreeDriver(
    target,
    { connected: () => undefined },
    pino({ level: 'silent' }),
    tuningFor(5_000),
  );
  const events: TreeEvent[] = [];
  const wholes: TreeEvent[] = [];
  const whole = wholeSnapshots((event) => wholes.push(event));
  const stopping = new AbortController();
  const running = driver.watch(
    exampleInterest,
    (event) => {
      if (event.kind === 'part' && event.isFirst) {
        for (let service = 0; service < 400; service++)
          stub.remove(`/dubbo/i${service}/providers/p7`);
      }
      events.push(event);
      whole(event);
    },
    stopping.signal,
  );
  context.after(async () => {
    stopping.abort();
    await running;
    await stub.dispose();
  });
  await eventually(() => {
    const snapshot = wholes.find((event) => event.kind === 'snapshot');
    const removals = wholes.filter((event) => event.kind === 'removed').length;
    assert.equal(snapshot?.nodes.size, 3_600 + removals);
  });
  assert.ok(events.filter((event) => event.kind === 'part').length >= 2);
});
