import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually } from '../../../../../support/eventually.ts';
import { Harness } from './harness.ts';
import { definition, leafOf, metadataInfo, registration } from './registered.ts';

const path = '/services/orders/192.0.2.1:20880';
const metadata = '/dubbo/metadata/orders/r1';
const local = registration({ storage: 'local' });
const id = (name: string, address = '192.0.2.1'): string =>
  `dubbo:${name}:::dubbo://${address}:20880`;

/** An interface that is mapped and defined. */
function define(harness: Harness, name: string, application = 'orders', root = '/dubbo'): void {
  harness.tree.create(`${root}/mapping/${name}`, application);
  const text = definition(name, application);
  harness.tree.create(`${root}/metadata/${name}/provider/${application}`, text);
}

test('metadata in the metadata center are read once for all processes of a revision', async () => {
  await using harness = new Harness().start();
  harness.tree.create(metadata, metadataInfo('orders', 'r1', ['a.A', 'a.B']));
  harness.set(path, registration({}));
  harness.set('/services/orders/192.0.2.2:20880', registration({ address: '192.0.2.2' }));
  await harness.applications.settle(5000);
  assert.deepEqual(harness.ids(), [
    ...[id('a.A'), id('a.A', '192.0.2.2'), id('a.B'), id('a.B', '192.0.2.2')],
  ]);
  harness.set('/services/orders/192.0.2.3:20880', registration({ address: '192.0.2.3' }));
  assert.equal(harness.ids().length, 6);
  assert.deepEqual(harness.asked, [metadata]);
});

test('a revision that nobody shows any more is known when it comes back', async () => {
  await using harness = new Harness().start();
  harness.tree.create(metadata, metadataInfo('orders', 'r1', ['a.A']));
  harness.set(path, registration({}));
  await harness.applications.settle(5000);
  harness.delete(path);
  assert.deepEqual(harness.ids(), []);
  harness.set(path, registration({}));
  assert.deepEqual(harness.ids(), [id('a.A')]);
  assert.deepEqual(harness.asked, [metadata]);
});

test('metadata that come late are found', async () => {
  await using harness = new Harness().start();
  harness.set(path, registration({}));
  await harness.applications.settle(5000);
  assert.deepEqual(harness.ids(), []);
  assert.deepEqual(harness.failures, ['missing']);
  harness.tree.create(metadata, metadataInfo('orders', 'r1', ['a.A']));
  await eventually(() => assert.deepEqual(harness.ids(), [id('a.A')]));
  await eventually(() => assert.deepEqual(harness.counts, [0, 0]));
});

test('garbage and what may not be read hold nobody up and are tried again', async () => {
  await using harness = new Harness().start();
  harness.tree.create('/dubbo/metadata/bad/r1', '{"services":');
  harness.tree.create('/dubbo/metadata/hidden/r1', metadataInfo('hidden', 'r1', ['a.H']));
  harness.tree.forbid('/dubbo/metadata/hidden');
  harness.tree.create(metadata, metadataInfo('orders', 'r1', ['a.A']));
  harness.set('/services/bad/1', registration({ application: 'bad' }));
  harness.set('/services/hidden/1', registration({ application: 'hidden' }));
  harness.set('/services/wrong/1', registration({ application: '../wrong' }));
  harness.set(path, registration({}));
  await harness.applications.settle(5000);
  assert.deepEqual(harness.ids(), [id('a.A')]);
  assert.deepEqual(harness.failures.slice(0, 3).sort(), ['malformed', 'malformed', 'unreadable']);
  await eventually(() => assert.deepEqual(harness.counts, [3, 0]));
  harness.tree.allow('/dubbo/metadata/hidden');
  harness.tree.setData('/dubbo/metadata/bad/r1', metadataInfo('bad', 'r1', ['a.B']));
  await eventually(() => assert.deepEqual(harness.ids(), [id('a.A'), id('a.B'), id('a.H')]));
});

test('a new revision leaves what the earlier one had until it is known', async () => {
  await using harness = new Harness().start();
  harness.tree.create(metadata, metadataInfo('orders', 'r1', ['a.A', 'a.B']));
  harness.set(path, registration({}));
  await harness.applications.settle(5000);
  harness.set(path, registration({ revision: 'r2' }));
  await eventually(() => assert.ok(harness.failures.includes('missing')));
  assert.deepEqual(harness.ids(), [id('a.A'), id('a.B')]);
  harness.tree.create('/dubbo/metadata/orders/r2', metadataInfo('orders', 'r2', ['a.B', 'a.C']));
  await eventually(() => assert.deepEqual(harness.ids(), [id('a.B'), id('a.C')]));
});

test('a process that exports nothing any more vouches for nothing', async () => {
  await using harness = new Harness().start();
  harness.tree.create(metadata, metadataInfo('orders', 'r1', ['a.A']));
  harness.set(path, registration({}));
  await harness.applications.settle(5000);
  harness.set(path, registration({ revision: '0' }));
  assert.deepEqual(harness.ids(), []);
});

test('a revision that changes while it is read is read anew', async () => {
  await using harness = new Harness().start();
  harness.tree.create(metadata, metadataInfo('orders', 'r1', ['a.A']));
  harness.tree.create('/dubbo/metadata/orders/r2', metadataInfo('orders', 'r2', ['a.B']));
  harness.beforeAnswer = () => {
    harness.beforeAnswer = undefined;
    harness.set(path, registration({ revision: 'r2' }));
  };
  harness.set(path, registration({}));
  await eventually(() => assert.deepEqual(harness.ids(), [id('a.B')]));
  assert.deepEqual(harness.changed, [path]);
});

test('a process that goes while its metadata are read stays gone', async () => {
  await using harness = new Harness().start();
  harness.tree.create(metadata, metadataInfo('orders', 'r1', ['a.A']));
  harness.beforeAnswer = () => {
    harness.delete(path);
  };
  harness.set(path, registration({}));
  await harness.applications.settle(5000);
  await eventually(() => assert.equal(harness.asked.length, 1));
  assert.deepEqual([harness.ids(), harness.changed], [[], []]);
  await eventually(() => assert.deepEqual(harness.counts, [0, 0]));
});

test('a connection that is lost on the way takes nothing away', async () => {
  await using harness = new Harness().start();
  harness.tree.create(metadata, metadataInfo('orders', 'r1', ['a.A']));
  harness.beforeAnswer = () => {
    harness.beforeAnswer = undefined;
    harness.tree.lose();
    setTimeout(() => harness.tree.resync(), 20);
  };
  harness.set(path, registration({}));
  await harness.applications.settle(5000);
  assert.deepEqual(harness.ids(), [id('a.A')]);
  assert.deepEqual(harness.failures, []);
});

test('without a connection waiting ends at its deadline', async () => {
  await using harness = new Harness().start();
  await eventually(() => assert.ok(harness.tree));
  harness.tree.lose();
  harness.set(path, registration({}));
  await harness.applications.settle(30);
  assert.deepEqual(harness.ids(), []);
});

test('waiting ends when everything ends', async () => {
  const harness = new Harness().start();
  harness.tree.lose();
  harness.set(path, registration({}));
  const settled = harness.applications.settle(60_000);
  await harness[Symbol.asyncDispose]();
  await settled;
  await harness.applications.settle(60_000);
});

test('metadata are found below any root, that of the application first', async () => {
  await using harness = new Harness({ roots: ['/dubbo', '/other'] }).start();
  harness.tree.create('/other/metadata/orders/r1', metadataInfo('orders', 'r1', ['a.A']));
  harness.tree.create('/other/metadata/orders/r2', metadataInfo('orders', 'r2', ['a.B']));
  harness.set(path, registration({}));
  await harness.applications.settle(5000);
  assert.deepEqual(harness.ids(), [id('a.A')]);
  harness.set(path, registration({ revision: 'r2' }));
  await eventually(() => assert.deepEqual(harness.ids(), [id('a.B')]));
  assert.deepEqual(harness.asked, [
    '/dubbo/metadata/orders/r1',
    '/other/metadata/orders/r1',
    '/other/metadata/orders/r2',
  ]);
});

test('local metadata that are in the metadata center anyway are used', async () => {
  await using harness = new Harness().start();
  harness.tree.create(metadata, metadataInfo('orders', 'r1', ['a.A']));
  harness.set(path, local);
  await harness.applications.settle(5000);
  assert.deepEqual(harness.ids(), [id('a.A')]);
  assert.equal(harness.explorations, 0);
});

test('a process that also has leaves needs no inference', async () => {
  await using harness = new Harness().start();
  define(harness, 'a.A');
  harness.applications.leafSeen(leafOf());
  harness.set(path, local);
  await harness.applications.settle(5000);
  assert.deepEqual([harness.ids(), harness.asked], [[], [metadata]]);
  await eventually(() => assert.deepEqual(harness.counts, [0, 0]));
});

test('the services of a process without leaves are inferred', async () => {
  await using harness = new Harness().start();
  define(harness, 'a.A');
  harness.tree.create('/dubbo/mapping/a.B', 'shop, orders');
  const grouped = definition('a.B', 'orders', { group: 'g', version: '1' });
  harness.tree.create('/dubbo/metadata/a.B/1/g/provider/orders', grouped);
  harness.tree.create('/dubbo/metadata/a.B/1/g/consumer/orders', definition('a.X', 'orders'));
  harness.tree.create('/dubbo/metadata/a.B/provider/shop', definition('a.B', 'shop'));
  define(harness, 'a.C', 'shop');
  harness.set(path, local);
  await harness.applications.settle(5000);
  assert.deepEqual(harness.ids(), [`${id('a.A')}*`, 'dubbo:a.B:g:1:dubbo://192.0.2.1:20880*']);
  await eventually(() => assert.deepEqual(harness.counts, [0, 1]));
});

test('an interface whose name is encoded in the metadata is found', async () => {
  await using harness = new Harness().start();
  harness.tree.create('/dubbo/mapping/a.A$B', 'orders');
  const text = definition('a.A$B', 'orders');
  harness.tree.create('/dubbo/metadata/a.A%24B/provider/orders', text);
  harness.set(path, local);
  await harness.applications.settle(5000);
  assert.deepEqual(harness.ids(), [`${id('a.A$B')}*`]);
});

test('a process that loses its leaves a moment before it goes is not explored for', async () => {
  await using harness = new Harness({ times: { graceMs: 60_000 } }).start();
  harness.applications.leafSeen(leafOf());
  harness.set(path, local);
  await harness.applications.settle(5000);
  harness.applications.leafGone(leafOf());
  harness.delete(path);
  harness.set('/services/shop/1', registration({ application: 'shop' }));
  await eventually(() => assert.ok(harness.failures.includes('missing')));
  assert.equal(harness.explorations, 0);
});

test('a process that keeps living without leaves is inferred after a while, and not any more when they are back', async () => {
  await using harness = new Harness().start();
  define(harness, 'a.A');
  harness.applications.leafSeen(leafOf());
  harness.set(path, local);
  await harness.applications.settle(5000);
  harness.applications.leafGone(leafOf());
  await eventually(() => assert.deepEqual(harness.ids(), [`${id('a.A')}*`]));
  harness.applications.leafSeen(leafOf());
  await eventually(() => assert.deepEqual(harness.ids(), []));
});

test('an interface that appears later is found, one whose definition goes is lost', async () => {
  await using harness = new Harness().start();
  define(harness, 'a.A');
  harness.set(path, local);
  await harness.applications.settle(5000);
  define(harness, 'a.B');
  await eventually(() => assert.deepEqual(harness.ids(), [`${id('a.A')}*`, `${id('a.B')}*`]));
  harness.tree.remove('/dubbo/metadata/a.A');
  await eventually(() => assert.deepEqual(harness.ids(), [`${id('a.B')}*`]));
});

test('what could not be looked at again is not lost', async () => {
  await using harness = new Harness().start();
  define(harness, 'a.A');
  define(harness, 'a.B');
  harness.set(path, local);
  await harness.applications.settle(5000);
  const both = [`${id('a.A')}*`, `${id('a.B')}*`];
  assert.deepEqual(harness.ids(), both);
  harness.tree.forbid('/dubbo/metadata/a.A');
  harness.tree.remove('/dubbo/mapping/a.B');
  const { explorations } = harness;
  await eventually(() => assert.ok(harness.explorations > explorations + 1));
  harness.tree.forbid('/dubbo/mapping');
  await eventually(() => assert.ok(harness.explorations > explorations + 3));
  assert.deepEqual(harness.ids(), both);
  assert.deepEqual(harness.changed, [path]);
});

test('an exploration that breaks off is repeated and takes nothing away', async () => {
  await using harness = new Harness().start();
  define(harness, 'a.A');
  harness.set(path, local);
  await harness.applications.settle(5000);
  define(harness, 'a.B');
  let breaks = 3;
  harness.beforeAnswer = (questions) => {
    if (breaks === 0 || !questions.some(({ path }) => path.includes('/mapping/'))) return;
    breaks -= 1;
    harness.tree.lose();
    setTimeout(() => harness.tree.resync(), 2);
  };
  await eventually(() => assert.deepEqual(harness.ids(), [`${id('a.A')}*`, `${id('a.B')}*`]));
  assert.equal(breaks, 0);
  assert.deepEqual(harness.changed.length, 2);
});

test('one exploration serves all that wait', async () => {
  await using harness = new Harness().start();
  for (let i = 0; i < 600; i += 1) define(harness, `a.A${i}`, `app-${i % 50}`);
  for (let i = 0; i < 50; i += 1) {
    harness.set(
      `/services/app-${i}/1`,
      registration({ application: `app-${i}`, storage: 'local' }),
    );
  }
  await harness.applications.settle(5000);
  assert.equal(harness.ids().length, 600);
  assert.equal(harness.explorations, 1);
  assert.ok(Math.max(...harness.batches) <= 500);
});

test('definitions are read anew while they may be written, then no more', async () => {
  for (const writingMs of [60_000, 0]) {
    await using harness = new Harness({ times: { writingMs } }).start();
    define(harness, 'a.A');
    harness.set(path, local);
    await harness.applications.settle(5000);
    const text = definition('a.A', 'orders', { group: 'g' });
    harness.tree.setData('/dubbo/metadata/a.A/provider/orders', text);
    const { explorations } = harness;
    await eventually(() => assert.ok(harness.explorations > explorations + 2));
    const changedId = 'dubbo:a.A:g::dubbo://192.0.2.1:20880*';
    assert.deepEqual(harness.ids(), [writingMs === 0 ? `${id('a.A')}*` : changedId]);
  }
});

test('when nobody waits any more nothing is explored any more', async () => {
  await using harness = new Harness().start();
  define(harness, 'a.A');
  harness.set(path, local);
  harness.set('/services/orders/2', registration({ address: '192.0.2.2', storage: 'local' }));
  await harness.applications.settle(5000);
  harness.tree.create('/dubbo/metadata/orders/r2', metadataInfo('orders', 'r2', ['a.B']));
  harness.set(path, registration({ revision: 'r2' }));
  harness.delete('/services/orders/2');
  await eventually(() => assert.deepEqual(harness.ids(), [id('a.B')]));
  await new Promise((resolve) => setTimeout(resolve, 50));
  const { explorations } = harness;
  await new Promise((resolve) => setTimeout(resolve, 150));
  assert.equal(harness.explorations, explorations);
});

test('metadata that come after inference replace it', async () => {
  await using harness = new Harness().start();
  define(harness, 'a.A');
  harness.set(path, local);
  await harness.applications.settle(5000);
  assert.deepEqual(harness.ids(), [`${id('a.A')}*`]);
  harness.tree.create(metadata, metadataInfo('orders', 'r1', ['a.A', 'a.B']));
  await eventually(() => assert.deepEqual(harness.ids(), [id('a.A'), id('a.B')]));
  await eventually(() => assert.deepEqual(harness.counts, [0, 0]));
});

test('a process that comes back goes on with what was inferred for its application', async () => {
  await using harness = new Harness({ times: { graceMs: 60_000 } }).start();
  define(harness, 'a.A');
  harness.set(path, local);
  await harness.applications.settle(5000);
  harness.delete(path);
  harness.set(path, registration({ storage: 'local', revision: 'r2' }));
  await eventually(() => assert.deepEqual(harness.ids(), [`${id('a.A')}*`]));
});

test('a path that changes its application keeps nothing of the earlier one', async () => {
  await using harness = new Harness().start();
  harness.tree.create(metadata, metadataInfo('orders', 'r1', ['a.A']));
  harness.set(path, registration({}));
  await harness.applications.settle(5000);
  harness.set(path, registration({ application: 'shop', revision: 'r9' }));
  assert.deepEqual(harness.ids(), []);
});

test('ports that change in place are taken over at once', async () => {
  await using harness = new Harness().start();
  const services = { a: { name: 'a.A', protocol: 'dubbo' } };
  harness.tree.create(metadata, JSON.stringify({ services }));
  harness.set(path, registration({}));
  await harness.applications.settle(5000);
  harness.set(path, registration({ endpoints: [{ port: 1, protocol: 'dubbo' }] }));
  assert.deepEqual(harness.ids(), ['dubbo:a.A:::dubbo://192.0.2.1:1']);
});

test('what is left out is counted once, not at each look', async () => {
  await using harness = new Harness().start();
  const services = {
    a: { name: 'x'.repeat(1000), group: 'y'.repeat(500), protocol: 'dubbo' },
    b: { name: 'a.A', protocol: '' },
  };
  harness.tree.create(metadata, JSON.stringify({ services }));
  harness.set(path, registration({}));
  await harness.applications.settle(5000);
  harness.applications.claims(path);
  assert.deepEqual(harness.dropped, ['service', 'too-long']);
});

test('a registration that is not known vouches for nothing', () => {
  const harness = new Harness();
  harness.applications.delete(path);
  assert.deepEqual(harness.applications.claims(path), []);
});

test('a registration of Dubbo 2.7.5 is not looked up', async () => {
  await using harness = new Harness({ hasApplicationHosts: true }).start();
  const more = { 'dubbo.exported-services.revision': 'abc' };
  harness.set(path, registration({ revision: undefined, metadata: more }));
  await harness.applications.settle(5000);
  assert.deepEqual([harness.ids().length, harness.asked], [1, []]);
});

test('five hundred applications with ten processes each are read in few requests', async () => {
  await using harness = new Harness().start();
  for (let i = 0; i < 500; i += 1) {
    const application = `app-${i}`;
    const text = metadataInfo(application, 'r1', ['a.A', `a.B${i}`]);
    harness.tree.create(`/dubbo/metadata/${application}/r1`, text);
    for (let j = 0; j < 10; j += 1) {
      const address = `10.0.${i % 250}.${j + (i < 250 ? 0 : 100)}`;
      harness.set(`/services/${application}/${address}`, registration({ application, address }));
    }
  }
  await harness.applications.settle(10_000);
  assert.equal(harness.ids().length, 10_000);
  assert.equal(harness.asked.length, 500);
  assert.ok(harness.batches.length <= 10, String(harness.batches));
  assert.equal(harness.changed.length, 5000);
});

test('a defect ends everything and is thrown', async () => {
  const harness = new Harness({ ask: () => Promise.reject(new TypeError('defect')) });
  harness.set(path, registration({}));
  const running = harness.applications.run(new AbortController().signal);
  await assert.rejects(running, /defect/);
});

test('it is told whether something is known of every registration', async () => {
  await using harness = new Harness().start();
  harness.set(path, registration({ storage: 'remote' }));
  assert.equal(await harness.applications.settle(5000), false, 'its metadata are not there yet');
  const { hiddenReason } = harness.applications;
  assert.equal(hiddenReason, 'zookeeper: not all metadata have been read yet');
  harness.tree.create(metadata, metadataInfo('orders', 'r1', ['a.A']));
  await eventually(() => assert.deepEqual(harness.ids(), [id('a.A')]));
  assert.equal(harness.applications.hiddenReason, undefined);
  harness.set(path, registration({ storage: 'remote', revision: 'r2' }));
  await eventually(() => assert.deepEqual(harness.counts, [1, 0]));
  assert.equal(harness.applications.hiddenReason, undefined);
  assert.equal(
    await harness.applications.settle(5000),
    true,
    'what its last revision had is known',
  );
});
