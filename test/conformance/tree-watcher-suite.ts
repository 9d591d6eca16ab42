import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { after, before, beforeEach, describe, test } from 'node:test';
import { plainAccess } from '../../agent/zookeeper/client/tree.ts';
import type { ZooKeeperAccess, ZooKeeperTarget } from '../../agent/zookeeper/client/tree.ts';
import { TransientError } from '../../common/errors.ts';
import { eventually } from '../support/eventually.ts';
import { startTcpProxy } from '../support/tcp-proxy.ts';
import type { TcpProxy } from '../support/tcp-proxy.ts';
import { TreeRecorder, exampleInterest } from '../support/tree-recorder.ts';
import { openZooKeeperWriter } from '../support/independent-writer.ts';
import type { ZooKeeperWriter } from '../support/independent-writer.ts';

/** A server under test. */
export interface TreeServer extends AsyncDisposable {
  /** Where the suite writes, in plain text as nobody. */
  readonly port: number;
  /** Where it watches; the same by default. */
  readonly watchedPort?: number;
  /** How it watches; in plain text as nobody by default. */
  readonly access?: ZooKeeperAccess;
  /** Ends it without ceremony; its tree stays. */
  kill(): Promise<void>;
  /** Starts it again on the same port. */
  restart(): Promise<void>;
}

const sessionTimeoutMs = 3_000;

/** What every driver promises, on any server: see agent/zookeeper/client/tree.ts. `skip` as in node:test. */
export function treeWatcherSuite(
  name: string,
  driver: 'persistent' | 'one-shot',
  startServer: () => Promise<TreeServer>,
  skip: string | false = false,
): void {
  void describe(`tree watcher on ${name}`, { skip, timeout: 180_000 }, () => {
    let server: TreeServer;
    let proxy: TcpProxy;
    let writer: ZooKeeperWriter;
    let base = '';
    let runs = 0;

    before(async () => {
      server = await startServer();
      proxy = await startTcpProxy({ port: server.watchedPort ?? server.port });
      writer = await openZooKeeperWriter(`127.0.0.1:${server.port}`);
    });

    after(async () => {
      await writer.close();
      await proxy.close();
      await server[Symbol.asyncDispose]();
    });

    // Each case has a tree of its own, below a chroot of its own.
    beforeEach(async () => {
      runs += 1;
      base = `/case${runs}`;
      await writer.create(base);
      proxy.resume();
    });

    const target = (changes: Partial<ZooKeeperTarget> = {}): ZooKeeperTarget => ({
      servers: [`127.0.0.1:${proxy.port}`],
      chroot: base,
      sessionTimeoutMs,
      access: server.access ?? plainAccess,
      ...changes,
    });
    const watch = (changes: Partial<ZooKeeperTarget> = {}): TreeRecorder =>
      new TreeRecorder(target(changes), exampleInterest);

    void test('the first snapshot holds every wanted node and no other', async () => {
      await writer.create(`${base}/dubbo/a.A/providers/p1`, 'ignored');
      await writer.create(`${base}/dubbo/a.A/consumers/c1`);
      await writer.create(`${base}/dubbo/b.B/providers`);
      await writer.create(`${base}/dubbo/metadata/providers/m1`);
      await writer.create(`${base}/dubbo/b.B/configurators/o1`);
      await writer.create(`${base}/services/orders/i1`, '{"port":1}');
      await writer.create(`${base}/services/orders/i1/deeper`, 'x');
      await using recorder = watch();
      await recorder.snapshots(1);
      assert.deepEqual(Object.fromEntries(recorder.view), {
        '/dubbo/a.A/providers/p1': null,
        '/dubbo/b.B/configurators/o1': null,
        '/services/orders/i1': '{"port":1}',
      });
      assert.equal(recorder.events[0]?.kind, 'snapshot');
      assert.deepEqual(
        recorder.connected.map((one) => one.driver),
        [driver],
      );
    });

    void test('missing roots make an empty snapshot, and are seen when they come', async () => {
      await using recorder = watch();
      await recorder.snapshots(1);
      assert.equal(recorder.view.size, 0);
      await writer.create(`${base}/dubbo/a.A/providers/p1`);
      await writer.create(`${base}/services/orders/i1`, 'one');
      await recorder.sees({ '/dubbo/a.A/providers/p1': null, '/services/orders/i1': 'one' });
    });

    void test('creation, data and deletion are reported', async () => {
      await writer.create(`${base}/services/orders/i1`, 'one');
      await using recorder = watch();
      await recorder.snapshots(1);
      await writer.createEphemeral(`${base}/dubbo/a.A/providers/p1`);
      await recorder.sees({ '/dubbo/a.A/providers/p1': null, '/services/orders/i1': 'one' });
      await writer.setData(`${base}/services/orders/i1`, 'two');
      await recorder.sees({ '/dubbo/a.A/providers/p1': null, '/services/orders/i1': 'two' });
      await writer.remove(`${base}/dubbo/a.A/providers/p1`);
      await recorder.sees({ '/services/orders/i1': 'two' });
      await writer.remove(`${base}/services/orders/i1`);
      await writer.remove(`${base}/services/orders`);
      await recorder.sees({});
      assert.equal(recorder.count('snapshot'), 1);
      assert.equal(recorder.count('lost'), 0);
    });

    void test('a node deleted and created again within one breath is there, with its new data', async () => {
      await writer.create(`${base}/services/orders/i1`, 'one');
      await using recorder = watch();
      await recorder.snapshots(1);
      for (let round = 0; round < 20; round += 1) {
        void writer.remove(`${base}/services/orders/i1`);
        await writer.create(`${base}/services/orders/i1`, `round ${round}`);
      }
      await recorder.sees({ '/services/orders/i1': 'round 19' });
    });

    void test('directories and roots may go and come back', async () => {
      await writer.create(`${base}/dubbo/a.A/providers/p1`);
      await using recorder = watch();
      await recorder.sees({ '/dubbo/a.A/providers/p1': null });
      for (const path of ['/a.A/providers/p1', '/a.A/providers', '/a.A', '']) {
        await writer.remove(`${base}/dubbo${path}`);
      }
      await recorder.sees({});
      await writer.create(`${base}/dubbo/a.A/providers/p2`);
      await writer.create(`${base}/dubbo/b.B/configurators/o1`);
      await recorder.sees({
        '/dubbo/a.A/providers/p2': null,
        '/dubbo/b.B/configurators/o1': null,
      });
    });

    void test('a subtree created at once is reported node by node', async () => {
      await using recorder = watch();
      await recorder.snapshots(1);
      const expected: Record<string, string | null> = {};
      const writes: Promise<void>[] = [];
      for (let index = 0; index < 30; index += 1) {
        expected[`/dubbo/i${index}/providers/p`] = null;
        expected[`/services/s${index}/i`] = `${index}`;
        writes.push(writer.create(`${base}/dubbo/i${index}/providers/p`));
        writes.push(writer.create(`${base}/services/s${index}/i`, `${index}`));
      }
      await Promise.all(writes);
      await recorder.sees(expected);
    });

    void test('ephemerals go when their session is closed', async () => {
      await writer.create(`${base}/dubbo/a.A/providers/stays`);
      const other = await openZooKeeperWriter(`127.0.0.1:${server.port}`);
      await other.createEphemeral(`${base}/dubbo/a.A/providers/goes`);
      await using recorder = watch();
      await recorder.sees({
        '/dubbo/a.A/providers/goes': null,
        '/dubbo/a.A/providers/stays': null,
      });
      await other.close();
      await recorder.sees({ '/dubbo/a.A/providers/stays': null });
      assert.deepEqual([...recorder.withdrawn], ['/dubbo/a.A/providers/goes']);
    });

    void test('a large directory comes whole', async () => {
      const padding = 'x'.repeat(300);
      const names = Array.from({ length: 1_500 }, (_, index) => `p${index}-${padding}`);
      for (let start = 0; start < names.length; start += 100) {
        const some = names.slice(start, start + 100);
        await writer.create(`${base}/dubbo/a.A/providers`).catch(() => undefined);
        await Promise.all(some.map((one) => writer.create(`${base}/dubbo/a.A/providers/${one}`)));
      }
      await using recorder = watch();
      await recorder.snapshots(1);
      assert.equal(recorder.view.size, names.length);
    });

    void test('a cut connection is reported, nothing is withdrawn, and the next snapshot tells what has changed', async () => {
      await writer.create(`${base}/dubbo/a.A/providers/p1`);
      await writer.create(`${base}/dubbo/a.A/providers/p2`);
      await using recorder = watch();
      await recorder.snapshots(1);
      proxy.refuse(true);
      proxy.cut();
      await eventually(() => assert.ok(recorder.count('lost') > 0));
      await writer.remove(`${base}/dubbo/a.A/providers/p2`);
      await writer.create(`${base}/dubbo/a.A/providers/p3`);
      assert.equal(recorder.view.size, 2);
      assert.equal(recorder.count('removed'), 0);
      await assert.rejects(recorder.driver.missing(['/dubbo']), TransientError);
      proxy.refuse(false);
      await recorder.snapshots(2);
      await recorder.sees({ '/dubbo/a.A/providers/p1': null, '/dubbo/a.A/providers/p3': null });
      assert.deepEqual([...recorder.withdrawn], ['/dubbo/a.A/providers/p2']);
    });

    void test('a connection cut inside a reply leaves nothing behind', async () => {
      const padding = 'y'.repeat(400);
      await Promise.all(
        Array.from({ length: 100 }, (_, index) =>
          writer.create(`${base}/services/s/i${index}`, padding).catch(() => undefined),
        ),
      );
      for (let index = 0; index < 100; index += 1) {
        await writer.create(`${base}/services/s/i${index}`, padding).catch(() => undefined);
      }
      await using recorder = watch();
      proxy.cutAfter(3_000);
      await recorder.snapshots(1);
      assert.equal(recorder.view.size, 100);
      proxy.cutAfter(200);
      await writer.setData(`${base}/services/s/i7`, 'changed');
      await eventually(() => assert.equal(recorder.view.get('/services/s/i7'), 'changed'));
      assert.equal(recorder.withdrawn.size, 0);
    });

    void test('a half-open connection is noticed', async () => {
      await writer.create(`${base}/dubbo/a.A/providers/p1`);
      await using recorder = watch();
      await recorder.snapshots(1);
      proxy.suspend();
      await writer.create(`${base}/dubbo/a.A/providers/p2`);
      await eventually(() => assert.ok(recorder.count('lost') > 0));
      assert.equal(recorder.count('removed'), 0);
      proxy.resume();
      await recorder.sees({ '/dubbo/a.A/providers/p1': null, '/dubbo/a.A/providers/p2': null });
      assert.equal(recorder.withdrawn.size, 0);
    });

    void test('while nothing but events arrives, the session lives and the view is confirmed', async () => {
      await writer.create(`${base}/dubbo/a.A/providers/p`);
      await using recorder = watch();
      await recorder.snapshots(1);
      const until = performance.now() + sessionTimeoutMs * 1.7;
      for (let index = 0; performance.now() < until; index += 1) {
        await writer.create(`${base}/dubbo/a.A/providers/p${index}`);
        await writer.remove(`${base}/dubbo/a.A/providers/p${index}`);
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      assert.ok(recorder.count('confirmed') >= 2);
      assert.equal(recorder.count('lost'), 0);
      assert.equal(recorder.count('snapshot'), 1);
    });

    void test('missing tells which paths do not exist', async () => {
      await writer.create(`${base}/dubbo/a.A/providers/p1`);
      await using recorder = watch();
      await recorder.snapshots(1);
      const asked = ['/dubbo/a.A/providers/p1', '/dubbo/a.A/providers/p2', '/nowhere'];
      assert.deepEqual([...(await recorder.driver.missing(asked))], asked.slice(1));
    });

    void test('a server that accepts and never answers does not hold up the next', async () => {
      const held = new Set<Socket>();
      const mute = createServer((socket) => {
        held.add(socket);
        socket.on('error', () => undefined);
      });
      await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve));
      const mutePort = (mute.address() as AddressInfo).port;
      await writer.create(`${base}/dubbo/a.A/providers/p1`);
      try {
        const servers = [`127.0.0.1:${mutePort}`, `127.0.0.1:${proxy.port}`];
        for (let round = 0; round < 3; round += 1) {
          await using recorder = watch({ servers });
          await recorder.sees({ '/dubbo/a.A/providers/p1': null });
        }
      } finally {
        for (const socket of held) socket.destroy();
        await new Promise((resolve) => mute.close(resolve));
      }
    });

    void test('stopping closes every connection, also before there is one', async () => {
      const early = watch();
      await early.stop();
      const late = watch();
      await late.snapshots(1);
      await late.stop();
      await eventually(() => assert.equal(proxy.links, 0));
    });

    void test('a killed server withdraws nothing, and is followed again when it is back', async () => {
      await writer.create(`${base}/dubbo/a.A/providers/p1`);
      await writer.create(`${base}/services/orders/i1`, 'one');
      await using recorder = watch();
      await recorder.snapshots(1);
      // Its client does not always come back to a server that was killed.
      await writer.close();
      await server.kill();
      await eventually(() => assert.ok(recorder.count('lost') >= 2));
      await server.restart();
      writer = await openZooKeeperWriter(`127.0.0.1:${server.port}`);
      await recorder.snapshots(2);
      await recorder.sees({ '/dubbo/a.A/providers/p1': null, '/services/orders/i1': 'one' });
      assert.equal(recorder.withdrawn.size, 0);
      await writer.create(`${base}/dubbo/a.A/providers/p2`);
      await eventually(() => assert.ok(recorder.view.has('/dubbo/a.A/providers/p2')));
    });

    void test('under churn with cuts the view converges and what lived throughout is never withdrawn', async () => {
      const steady = Array.from({ length: 20 }, (_, index) => `/dubbo/i${index}/providers/steady`);
      for (const path of steady) await writer.create(base + path);
      await writer.create(`${base}/services/s/steady`, 'steady');
      await using recorder = watch();
      await recorder.snapshots(1);
      const living = new Map<string, string | null>(steady.map((path) => [path, null]));
      living.set('/services/s/steady', 'steady');
      for (let round = 0; round < 150; round += 1) {
        const path =
          round % 2 === 0
            ? `/dubbo/i${round % 20}/providers/v${round % 7}`
            : `/services/s/v${round % 11}`;
        const data = round % 2 === 0 ? null : `round ${round}`;
        if (!living.has(path)) {
          await writer.create(base + path, data ?? undefined);
          living.set(path, data);
        } else if (data !== null && round % 3 === 0) {
          await writer.setData(base + path, data);
          living.set(path, data);
        } else {
          await writer.remove(base + path);
          living.delete(path);
        }
        if (round % 40 === 17) proxy.cut();
        if (round % 40 === 31) proxy.cutAfter(150);
      }
      await recorder.sees(Object.fromEntries(living));
      for (const path of [...steady, '/services/s/steady']) {
        assert.ok(!recorder.withdrawn.has(path), `${path} was withdrawn`);
      }
    });
  });
}
