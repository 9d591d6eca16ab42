import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import type { Source } from '../../../../agent/source.ts';
import { plainAccess } from '../../../../agent/zookeeper/client/tree.ts';
import { defaultZooKeeperOptions } from '../../../../agent/zookeeper/options.ts';
import { createTreeSource, createZooKeeperSource } from '../../../../agent/zookeeper/source.ts';
import { ConfigurationError, TransientError } from '../../../../common/errors.ts';
import {
  optionsForTests,
  providerPath,
  silent,
  springNode,
} from '../../../conformance/zookeeper-source-suite.ts';
import { eventually } from '../../../support/eventually.ts';
import { FollowedSource, RememberedReport } from '../../../support/followed-source.ts';
import { TreeFake } from '../../../support/tree-fake.ts';
import { bulkPaths, dataOf, readDump } from '../../../support/zookeeper-writer.ts';
import { confirmedBy } from '../../../support/verdicts.ts';
import { metadataInfo, registration } from './dubbo/applications/registered.ts';

const { signal } = new AbortController();

interface Setup {
  readonly tree: TreeFake;
  readonly source: Source;
  readonly followed: FollowedSource;
  readonly report: RememberedReport;
}

/** A source on a fake tree, followed from its first snapshot on. */
async function follow(context: TestContext, prepare?: (tree: TreeFake) => void): Promise<Setup> {
  const tree = new TreeFake();
  prepare?.(tree);
  const report = new RememberedReport();
  const source = createTreeSource(tree, optionsForTests, report, silent);
  const followed = new FollowedSource(source);
  context.after(() => followed.stop());
  await eventually(() => assert.ok(followed.events.length > 0));
  // On a slow machine a snapshot is worked off in slices, and its last one comes behind what it says.
  for (let count = 0; count < 5; count++) await turn();
  return { tree, source, followed, report };
}

/** Lets everything that needs no timer happen. */
async function turn(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

const path = providerPath({});

test('a change reaches the reader in the turn in which it came', async (context) => {
  const { tree, followed } = await follow(context);
  tree.create(path);
  for (let microtask = 0; microtask < 20; microtask++) await Promise.resolve();
  assert.equal(followed.view.size, 1);
});

test('what comes in one burst is one event', async (context) => {
  const { tree, followed } = await follow(context);
  for (const each of bulkPaths({ interfaces: 3, providersPerInterface: 4 })) tree.create(each);
  await turn();
  assert.equal(followed.view.size, 12);
  assert.equal(followed.count('changes'), 1);
});

test('an event tells when its change was observed', async (context) => {
  const { tree, followed } = await follow(context);
  const before = performance.now();
  tree.create(path);
  await turn();
  const event = followed.events.at(-1);
  assert.ok(event?.kind === 'changes');
  assert.ok(event.observedAt >= before && event.observedAt <= performance.now());
});

test('a removal waits, and is said when the endpoint has not come back', async (context) => {
  const { tree, followed } = await follow(context, (fake) => fake.create(path));
  context.mock.timers.enable({ apis: ['setTimeout'] });
  tree.remove(path);
  await turn();
  // The delay runs from the removal, on a clock that is not mocked: less than all of it is left.
  context.mock.timers.tick(optionsForTests.removalDelayMs / 2);
  await turn();
  assert.equal(followed.view.size, 1);
  context.mock.timers.tick(optionsForTests.removalDelayMs / 2);
  await turn();
  assert.equal(followed.view.size, 0);
});

test('a flap within the delay is not seen at all', async (context) => {
  const { tree, followed } = await follow(context, (fake) => fake.create(path));
  context.mock.timers.enable({ apis: ['setTimeout'] });
  const events = followed.events.length;
  for (let round = 0; round < 5; round++) {
    tree.remove(path);
    await turn();
    context.mock.timers.tick(optionsForTests.removalDelayMs / 2);
    tree.create(providerPath({ timestamp: round + 1 }));
    tree.remove(providerPath({ timestamp: round + 1 }));
    tree.create(path);
    await turn();
  }
  context.mock.timers.tick(1_000);
  await turn();
  assert.equal(followed.events.length, events);
});

test('a restarted provider outlives the leaf of its dead session', async (context) => {
  const dead = providerPath({ timestamp: 1, pid: 1, weight: 10 });
  const { tree, followed } = await follow(context, (fake) => fake.create(dead));
  context.mock.timers.enable({ apis: ['setTimeout'] });
  tree.create(providerPath({ timestamp: 2, pid: 2, weight: 20 }));
  await turn();
  assert.equal(followed.instances()[0]?.weight, 20);
  tree.remove(dead);
  await turn();
  context.mock.timers.tick(1_000);
  await turn();
  assert.equal(followed.instances()[0]?.weight, 20);
  assert.deepEqual(followed.removed, []);
});

test('the loss of the registry keeps everything', async (context) => {
  const { tree, followed } = await follow(context, (fake) => fake.create(path));
  tree.lose('zookeeper h:2181: connection closed');
  await turn();
  assert.deepEqual(followed.events.at(-1), {
    kind: 'lost',
    reason: 'zookeeper h:2181: connection closed',
  });
  assert.equal(followed.view.size, 1);
});

test('a removal whose delay runs into a loss waits for the next snapshot', async (context) => {
  const { tree, followed } = await follow(context, (fake) => {
    fake.create(path);
    fake.create(providerPath({}, '192.0.2.7'));
  });
  context.mock.timers.enable({ apis: ['setTimeout'] });
  tree.remove(path);
  tree.remove(providerPath({}, '192.0.2.7'));
  tree.lose();
  await turn();
  context.mock.timers.tick(60_000);
  await turn();
  assert.equal(followed.view.size, 2);
  tree.create(path);
  tree.resync();
  await turn();
  assert.equal(followed.count('snapshot'), 2);
  assert.equal(followed.view.size, 2);
  context.mock.timers.tick(optionsForTests.removalDelayMs);
  await turn();
  assert.deepEqual(followed.removed, ['dubbo:com.example.Greeter:::dubbo://192.0.2.7:20880']);
});

test('a change that came just before a loss is said before it', async (context) => {
  const { tree, followed } = await follow(context);
  tree.create(path);
  tree.lose();
  await turn();
  assert.deepEqual(
    followed.events.map((event) => event.kind),
    ['snapshot', 'changes', 'lost'],
  );
});

test('a later snapshot is complete: what is missing in it goes after the delay', async (context) => {
  const { tree, followed } = await follow(context, (fake) => fake.create(path));
  tree.lose();
  tree.remove(path);
  tree.create(providerPath({}, '192.0.2.7'));
  tree.resync();
  await eventually(() => {
    const addresses = followed.instances().map((instance) => instance.address);
    assert.deepEqual(addresses, ['192.0.2.7']);
  });
  assert.equal(followed.count('snapshot'), 2);
});

test('a confirmation is an empty change, and ends a loss that needed no snapshot', async (context) => {
  const { tree, followed } = await follow(context, (fake) => fake.create(path));
  tree.emit({ kind: 'lost', reason: 'slow' });
  tree.remove(path);
  tree.confirm();
  await turn();
  assert.deepEqual(
    followed.events.map((event) => (event.kind === 'changes' ? event.changes.length : event.kind)),
    ['snapshot', 0],
  );
  await eventually(() => assert.equal(followed.view.size, 0));
});

test('events that come while a snapshot is worked off keep their order', async (context) => {
  const paths = bulkPaths({ interfaces: 200, providersPerInterface: 50 });
  const { tree, followed } = await follow(context);
  tree.lose();
  for (const each of paths) tree.create(each);
  tree.resync();
  const [first = '', ...rest] = paths;
  tree.remove(first);
  tree.create(path);
  tree.resync();
  tree.remove(path);
  tree.confirm();
  await eventually(() => assert.equal(followed.view.size, rest.length));
  assert.equal(followed.removed.length, 2);
});

test('what may not be read is suspect, and stays', async (context) => {
  const { tree, followed } = await follow(context, (fake) => {
    fake.create(path);
    fake.create('/services/orders/orders-1', springNode('UP'));
  });
  context.mock.timers.enable({ apis: ['setTimeout'] });
  tree.lose();
  tree.forbid('/dubbo/com.example.Greeter/providers');
  tree.resync();
  await turn();
  context.mock.timers.tick(1_000);
  await turn();
  assert.equal(followed.view.size, 2);
  const suspect = {
    kind: 'suspect',
    isPartial: true,
    reason: 'zookeeper: no permission to read /dubbo/com.example.Greeter/providers',
  };
  assert.deepEqual(followed.events.at(-1), suspect);
  tree.confirm();
  await turn();
  assert.deepEqual(followed.events.at(-1), suspect);
  tree.setData('/services/orders/orders-1', springNode('DOWN'));
  await turn();
  const last = followed.events.at(-1);
  assert.ok(last?.kind === 'changes' && last.isPartial === true && last.changes.length === 1);
  tree.allow('/dubbo/com.example.Greeter/providers');
  tree.lose();
  tree.resync();
  tree.confirm();
  await turn();
  assert.equal(followed.events.at(-1)?.kind, 'changes');
  assert.equal(followed.view.size, 2);
});

test('a first reading without a whole root publishes nothing', async (context) => {
  const { tree, followed } = await follow(context, (fake) => {
    fake.create(path);
    fake.create('/services/orders/orders-1', springNode('UP'));
    fake.forbid('/services');
  });
  tree.create(providerPath({}, '192.0.2.7'));
  tree.confirm();
  await turn();
  assert.deepEqual([...new Set(followed.events.map((event) => event.kind))], ['suspect']);
  const last = followed.events.at(-1);
  assert.ok(last?.kind === 'suspect');
  assert.match(last.reason, /no permission to read \/services: nothing is published before/);
  tree.allow('/services');
  tree.resync();
  await turn();
  assert.equal(followed.view.size, 3);
});

test('a hidden interface keeps the others from nothing', async (context) => {
  const { followed } = await follow(context, (fake) => {
    fake.create(path);
    fake.create('/dubbo/com.example.Hidden/providers/x');
    fake.forbid('/dubbo/com.example.Hidden');
  });
  await turn();
  assert.equal(followed.view.size, 1);
  const [snapshot, last] = followed.events;
  assert.ok(snapshot?.kind === 'snapshot' && last?.kind === 'suspect');
  assert.equal(snapshot.unread, 'zookeeper: no permission to read /dubbo/com.example.Hidden');
  assert.equal(snapshot.unread, last.reason);
});

test('what is found hidden between snapshots is seen with the next one that shows it', async (context) => {
  const { tree, followed } = await follow(context, (fake) => {
    fake.create(path);
    fake.create(providerPath({}, '192.0.2.7'));
  });
  const directory = path.slice(0, path.lastIndexOf('/'));
  tree.emit({ kind: 'unreadable', path: directory, reason: 'no permission' });
  tree.lose();
  tree.remove(path);
  tree.resync();
  await eventually(() => assert.equal(followed.view.size, 1));
  tree.confirm();
  await turn();
  assert.equal(followed.events.at(-1)?.kind, 'changes');
});

test('metadata that may not be read are a matter of health', async (context) => {
  const { tree, followed } = await follow(context, (fake) => {
    fake.create(path);
    fake.create('/services/shop/192.0.2.9:20880', registration({ application: 'shop' }));
    fake.create('/dubbo/metadata/shop/r1', metadataInfo('shop', 'r1', ['com.example.Shop']));
    fake.forbid('/dubbo/metadata');
  });
  const [snapshot] = followed.events;
  assert.ok(snapshot?.kind === 'snapshot');
  assert.equal(snapshot.unread, 'zookeeper: no permission to read the metadata of shop');
  tree.confirm();
  await turn();
  assert.equal(followed.events.at(-1)?.kind, 'suspect');
  tree.allow('/dubbo/metadata');
  await eventually(() => assert.equal(followed.view.size, 3));
  tree.confirm();
  await turn();
  assert.equal(followed.events.at(-1)?.kind, 'changes');
});

test('a bad record is counted once, however often the tree is read', async (context) => {
  const { tree, report } = await follow(context, (fake) => {
    fake.create('/dubbo/com.example.A/providers/dubbo%3A%2F%2Fu%3Asecret%40');
  });
  tree.lose();
  tree.resync();
  await turn();
  assert.deepEqual(report.drops, [{ reason: 'address', record: '/dubbo/com.example.A/providers' }]);
});

test('one gone endpoint is confirmed by its paths, a living or unknown one is not', async (context) => {
  const { tree, source, followed } = await follow(context, (fake) => {
    fake.create(path);
    fake.create(providerPath({ timestamp: 1 }));
    fake.create(providerPath({}, '192.0.2.7'));
  });
  const instances = followed.instances();
  const [gone] = instances;
  assert.ok(gone !== undefined);
  tree.remove(path);
  tree.remove(providerPath({ timestamp: 1 }));
  await eventually(() => assert.equal(followed.view.size, 1));
  const answer = await confirmedBy(source, [...instances, { ...gone, id: 'x' }], 'single', signal);
  assert.deepEqual([...answer], [gone.id]);
  assert.deepEqual(tree.asked, [[path, providerPath({ timestamp: 1 })]]);
});

test('a path that exists after all is no confirmation', async (context) => {
  const { tree, source, followed } = await follow(context, (fake) => fake.create(path));
  const instances = followed.instances();
  tree.emit({ kind: 'removed', path, observedAt: performance.now() });
  await eventually(() => assert.equal(followed.view.size, 0));
  assert.equal((await confirmedBy(source, instances, 'single', signal)).size, 0);
});

test('a newer leaf that comes before the answer is no confirmation', async (context) => {
  const { tree, source, followed } = await follow(context, (fake) => fake.create(path));
  const instances = followed.instances();
  tree.remove(path);
  await eventually(() => assert.equal(followed.view.size, 0));
  tree.beforeMissing = () => tree.create(providerPath({ timestamp: 9 }));
  assert.equal((await confirmedBy(source, instances, 'single', signal)).size, 0);
});

test('nobody can be asked while the registry is lost, and nobody is asked about a mass', async (context) => {
  const { tree, source, followed } = await follow(context, (fake) => fake.create(path));
  const instances = followed.instances();
  assert.equal((await confirmedBy(source, instances, 'mass', signal)).size, 0);
  tree.remove(path);
  await eventually(() => assert.equal(followed.view.size, 0));
  tree.beforeMissing = () => tree.lose();
  await assert.rejects(confirmedBy(source, instances, 'single', signal), TransientError);
  await assert.rejects(confirmedBy(source, instances, 'single', signal), TransientError);
  assert.deepEqual(tree.asked.length, 1);
  await assert.rejects(
    confirmedBy(source, instances, 'single', AbortSignal.abort()),
    TransientError,
  );
});

test('the iteration ends with the signal, also before it has begun', async () => {
  const tree = new TreeFake();
  const source = createTreeSource(tree, optionsForTests, new RememberedReport(), silent);
  await assert.rejects(confirmedBy(source, [], 'single', signal), TransientError);
  for await (const event of source.watch(AbortSignal.abort())) assert.fail(event.kind);
  const followed = new FollowedSource(source);
  await eventually(() => assert.equal(followed.count('snapshot'), 1));
  await followed.stop();
});

test('a reader that leaves stops the driver, and another may come', async () => {
  const tree = new TreeFake();
  tree.create(path);
  const source = createTreeSource(tree, optionsForTests, new RememberedReport(), silent);
  for (let round = 0; round < 2; round++) {
    for await (const event of source.watch(signal)) {
      assert.ok(event.kind === 'snapshot');
      assert.equal(event.instances.size, 1);
      break;
    }
  }
});

test('a defect ends the iteration with its error', async () => {
  const tree = new TreeFake();
  const report = new RememberedReport();
  const broken = Object.assign(report, {
    dropped: () => {
      throw new Error('defect in the report');
    },
  });
  const source = createTreeSource(tree, optionsForTests, broken, silent);
  const followed = new FollowedSource(source);
  await eventually(() => assert.equal(followed.count('snapshot'), 1));
  tree.create('/dubbo/com.example.A/providers/bad');
  await eventually(() => assert.ok(followed.hasFailed));
  await assert.rejects(followed.stop(), /defect in the report/);
});

test('a driver that fails ends the iteration with its error', async () => {
  const tree = new TreeFake();
  tree.watch = () => Promise.reject(new Error('defect in the driver'));
  const source = createTreeSource(tree, optionsForTests, new RememberedReport(), silent);
  const followed = new FollowedSource(source);
  await eventually(() => assert.ok(followed.hasFailed));
  await assert.rejects(followed.stop(), /defect in the driver/);
});

test('what a provider leaves behind when it stops removes its instances only', async (context) => {
  const { tree, followed } = await follow(context, (fake) => {
    for (const node of readDump('dubbo-3.3.6-all')) {
      if (!fake.has(node.path)) fake.create(node.path, dataOf(node));
    }
  });
  assert.equal(followed.view.size, 5);
  const left = new Set(readDump('dubbo-3.3.6-all.stopped').map((node) => node.path));
  for (const each of tree.paths()) if (each !== '/' && !left.has(each)) tree.remove(each);
  await eventually(() => assert.equal(followed.view.size, 0));
});

test('roots that cannot be read together are a configuration error', () => {
  const options = { ...optionsForTests, dubboRoots: ['/dubbo/'], serviceRoots: ['/dubbo'] };
  const create = (): Source =>
    createTreeSource(new TreeFake(), options, new RememberedReport(), silent);
  assert.throws(create, ConfigurationError);
});

test('a source of a real ensemble does not connect before it is watched', () => {
  const target = {
    servers: ['127.0.0.1:1'],
    chroot: '',
    sessionTimeoutMs: 5_000,
    access: plainAccess,
  };
  const { registry } = optionsForTests;
  const options = { ...defaultZooKeeperOptions, registry, target };
  assert.ok(createZooKeeperSource(options, new RememberedReport(), silent));
});

test('a registry that empties at once is one event, in slices', async (context) => {
  const { tree, followed } = await follow(context, (fake) => {
    for (const each of bulkPaths({ interfaces: 100, providersPerInterface: 30 })) fake.create(each);
  });
  assert.equal(followed.view.size, 3_000);
  const events = followed.events.length;
  tree.lose();
  tree.remove('/dubbo');
  tree.resync();
  await eventually(() => assert.equal(followed.view.size, 0));
  const kinds = followed.events.slice(events).map(({ kind }) => kind);
  assert.deepEqual(kinds, ['lost', 'snapshot', 'changes']);
});

test('what comes while a large change is being said is said behind it, in whichever turn it comes', async (context) => {
  const { tree, followed } = await follow(context);
  const bulk = bulkPaths({ interfaces: 100, providersPerInterface: 60 });
  for (const each of bulk) tree.create(each);
  const late: string[] = [];
  // One more in each microtask and each turn, as long as the others are being said.
  for (let count = 0; count < 2_000 && followed.view.size < bulk.length; count++) {
    const each = providerPath({}, `198.51.${count >> 8}.${count & 255}`);
    late.push(each);
    tree.create(each);
    if (count % 20 === 0) await turn();
    else await Promise.resolve();
  }
  await eventually(() => assert.equal(followed.view.size, bulk.length + late.length));
});

test('a Dubbo 3 registration that is emptied keeps what it said', async (context) => {
  const nodes = readDump('dubbo-3.3.6-instance-remote').filter(({ path: at }) => at !== '/');
  const registration = nodes.find(({ path: at }) =>
    /^\/services\/[^/]+\/[^/]+:\d+$/.test(at),
  )?.path;
  assert.ok(registration !== undefined);
  const { tree, followed } = await follow(context, (fake) => {
    for (const node of nodes) if (!fake.has(node.path)) fake.create(node.path, dataOf(node));
  });
  await eventually(() => assert.ok(followed.view.size > 0));
  const before = followed.instances();
  context.mock.timers.enable({ apis: ['setTimeout'] });
  for (const data of ['', '127.0.0.1', '{"broken']) {
    tree.setData(registration, data);
    await turn();
    context.mock.timers.tick(1_000);
    await turn();
    assert.deepEqual(followed.instances(), before);
  }
  assert.deepEqual(followed.removed, []);
});
