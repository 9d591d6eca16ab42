import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import fc from 'fast-check';
import { pino } from 'pino';
import { createTreeWatcher, tuningFor } from '../../../../../agent/zookeeper/client/driver.ts';
import { plainAccess } from '../../../../../agent/zookeeper/client/tree.ts';
import type { TreeInterest, ZooKeeperTarget } from '../../../../../agent/zookeeper/client/tree.ts';
import { ConfigurationError } from '../../../../../common/errors.ts';
import { secretFile } from '../../../../support/secret-file.ts';
import { eventually } from '../../../../support/eventually.ts';
import { TreeRecorder, exampleInterest } from '../../../../support/tree-recorder.ts';
import { ZooKeeperStub } from '../../../../support/zookeeper-stub.ts';

const kinds = [
  { driver: 'persistent', isOld: false },
  { driver: 'one-shot', isOld: true },
] as const;

let stub: ZooKeeperStub;
let recorder: TreeRecorder | undefined;

beforeEach(async () => {
  stub = new ZooKeeperStub();
  await stub.start();
  stub.create('/dubbo/i/providers/p');
  stub.create('/services/s/i', Buffer.from('one'));
});

afterEach(async () => {
  await recorder?.stop();
  recorder = undefined;
  await stub.dispose();
});

const everything = { '/dubbo/i/providers/p': null, '/services/s/i': 'one' };
const target = (changes: Partial<ZooKeeperTarget> = {}): ZooKeeperTarget => ({
  servers: [`127.0.0.1:${stub.port}`],
  chroot: '',
  sessionTimeoutMs: 600,
  access: plainAccess,
  ...changes,
});
const timing = {
  ...tuningFor(600).timing,
  connectTimeoutMs: 300,
  recheckIntervalMs: 50,
  auditIntervalMs: 10,
};

/** Starts to watch the stub. */
function watch(changes: Partial<ZooKeeperTarget> = {}): TreeRecorder {
  recorder = new TreeRecorder(target(changes), exampleInterest, { timing });
  return recorder;
}

function assertNothingWithdrawn(seen: TreeRecorder): void {
  assert.deepEqual([...seen.withdrawn], []);
}

for (const { driver, isOld } of kinds) {
  void describe(`${driver} driver`, () => {
    beforeEach(() => {
      stub.faults.isOld = isOld;
    });

    void test('a server that goes silent is given up in time, and read anew', async () => {
      const seen = watch();
      await seen.sees(everything);
      stub.faults.isSilent = true;
      stub.create('/dubbo/i/providers/q');
      await eventually(() => assert.ok(seen.count('lost') > 0));
      stub.faults.isSilent = false;
      await seen.sees({ ...everything, '/dubbo/i/providers/q': null });
      assertNothingWithdrawn(seen);
    });

    void test('a server that accepts and never answers is given up in time', async () => {
      stub.faults.isHanging = true;
      const seen = watch();
      await eventually(() => assert.ok(seen.count('lost') >= 2));
      stub.faults.isHanging = false;
      await seen.sees(everything);
    });

    void test('bytes that come one by one make the same view', async () => {
      stub.faults.isDribbling = true;
      const seen = watch({ sessionTimeoutMs: 5_000 });
      await seen.sees(everything);
      stub.setData('/services/s/i', Buffer.from('two'));
      await seen.sees({ ...everything, '/services/s/i': 'two' });
    });

    void test('half a reply leaves nothing behind', async () => {
      stub.faults.cutReplyAfterBytes = 60;
      const seen = watch();
      await seen.sees(everything);
      stub.faults.cutReplyAfterBytes = 19;
      stub.setData('/services/s/i', Buffer.from('two'));
      await seen.sees({ ...everything, '/services/s/i': 'two' });
      assertNothingWithdrawn(seen);
    });

    void test('a server that requires SASL is a loss, not a crash', async () => {
      stub.faults.requiresSasl = true;
      const seen = watch();
      await eventually(() => assert.ok(seen.count('lost') >= 3));
      assert.equal(seen.count('snapshot'), 0);
      const lost = seen.events.find((event) => event.kind === 'lost');
      assert.match(lost?.reason ?? '', /SESSION_CLOSED_REQUIRE_SASL_AUTH \(-124\)/);
      stub.faults.requiresSasl = false;
      await seen.sees(everything);
    });

    void test('a server that begins to require SASL is a loss, not a crash', async () => {
      const seen = watch();
      await seen.sees(everything);
      stub.faults.requiresSasl = true;
      stub.setData('/services/s/i', Buffer.from('two'));
      await eventually(() => assert.ok(seen.count('lost') >= 1));
      stub.faults.requiresSasl = false;
      await seen.sees({ ...everything, '/services/s/i': 'two' });
      assertNothingWithdrawn(seen);
    });

    void test('a request that is never answered ends the connection although pings are', async () => {
      stub.faults.ignoredOpcodes.add(isOld ? 12 : 22);
      recorder = new TreeRecorder(target(), exampleInterest, {
        timing: { ...timing, requestTimeoutMs: 300 },
      });
      const seen = recorder;
      await eventually(() => assert.ok(seen.count('lost') >= 2));
      stub.faults.ignoredOpcodes.clear();
      await seen.sees(everything);
    });

    void test('a message that announces more than comes does not swallow what follows for long', async () => {
      recorder = new TreeRecorder(target(), exampleInterest, {
        timing: { ...timing, requestTimeoutMs: 300 },
      });
      const seen = recorder;
      await seen.sees(everything);
      stub.faults.addedToLength = 10_000;
      stub.setData('/services/s/i', Buffer.from('two'));
      await seen.sees({ ...everything, '/services/s/i': 'two' });
      assert.equal(seen.count('lost'), 1);
      assertNothingWithdrawn(seen);
    });

    void test('a refused credential is a loss and never told', async () => {
      const seen = watch({
        access: { ...plainAccess, digestFile: secretFile('user:wrong-secret') },
      });
      await eventually(() => assert.ok(seen.count('lost') >= 2));
      assert.equal(seen.count('snapshot'), 0);
      assert.ok(!JSON.stringify(seen.events).includes('wrong-secret'));
      assert.match(JSON.stringify(seen.events), /AUTH_FAILED/);
    });

    void test('a subtree is read with the credential', async () => {
      stub.faults.unreadable.add('/services/s');
      stub.faults.digest = 'user:pass';
      await watch({ access: { ...plainAccess, digestFile: secretFile('user:pass') } }).sees(
        everything,
      );
    });

    void test('what may not be read is reported as such before the snapshot, and read once it may be', async () => {
      stub.faults.unreadable.add('/services/s');
      const seen = watch();
      await seen.snapshots(1);
      assert.deepEqual(seen.events[0], {
        kind: 'unreadable',
        path: '/services/s',
        reason: 'NO_AUTH (-102)',
      });
      assert.deepEqual([...seen.view.keys()], ['/dubbo/i/providers/p']);
      stub.faults.unreadable.clear();
      await seen.sees(everything);
      await seen.snapshots(2);
      assert.equal(seen.count('lost'), driver === 'one-shot' ? 1 : 0);
    });

    void test('a tree of which nothing may be read is a loss, not an empty tree', async () => {
      stub.faults.unreadable.add('/');
      const seen = watch();
      await eventually(() => assert.ok(seen.count('lost') >= 2));
      assert.equal(seen.count('snapshot'), 0);
      stub.faults.unreadable.clear();
      await seen.sees(everything);
    });

    void test('data that may not be read any more is reported as such, never as removed', async () => {
      const seen = watch();
      await seen.sees(everything);
      stub.faults.failing.set('/services/s/i', -102);
      stub.setData('/services/s/i', Buffer.from('two'));
      await eventually(() => assert.ok(seen.count('unreadable') >= 1));
      assertNothingWithdrawn(seen);
      stub.faults.failing.clear();
      await seen.sees({ ...everything, '/services/s/i': 'two' });
      assertNothingWithdrawn(seen);
    });

    void test('a directory that may not be listed any more is told, though no event says so', async () => {
      const seen = watch();
      await seen.sees(everything);
      stub.create('/dubbo/new/providers/p');
      await seen.sees({ ...everything, '/dubbo/new/providers/p': null });
      stub.faults.unreadable.add('/dubbo/new/providers');
      // Without an event, and from 3.6 on, only by looking.
      if (driver === 'one-shot') stub.create('/dubbo/new/providers/q');
      await eventually(() => assert.ok(seen.count('unreadable') >= 1));
      assert.equal(seen.count('lost'), 0);
      assert.ok(!seen.events.some(({ kind }) => kind === 'removed'));
      stub.faults.unreadable.clear();
      const q = driver === 'one-shot' ? { '/dubbo/new/providers/q': null } : {};
      await seen.sees({ ...everything, '/dubbo/new/providers/p': null, ...q });
    });

    void test('a server that is behind is refused', async () => {
      const seen = watch();
      await seen.sees(everything);
      stub.faults.zxidOffset = -1_000_000n;
      stub.faults.ignoresZxidSeen = true;
      stub.dropConnections();
      await eventually(() => assert.ok(seen.disconnected.includes('stale')));
      assert.equal(seen.count('snapshot'), 1);
      stub.faults.ignoresZxidSeen = false;
      await eventually(() => assert.ok(seen.disconnected.includes('refused')));
      assert.equal(seen.count('snapshot'), 1);
      stub.faults.zxidOffset = 0n;
      await seen.snapshots(2);
      assertNothingWithdrawn(seen);
    });

    void test('an ensemble that stays behind is followed in the end', async () => {
      recorder = new TreeRecorder(target(), exampleInterest, { timing, zxidToleranceMs: 200 });
      await recorder.sees(everything);
      stub.faults.zxidOffset = -1_000_000n;
      stub.dropConnections();
      await recorder.snapshots(2);
      stub.dropConnections();
      await recorder.snapshots(3);
      const behind = recorder.events.flatMap((event) =>
        event.kind === 'snapshot' ? [event.isFromBehind] : [],
      );
      assert.deepEqual(behind.slice(0, 3), [undefined, true, undefined]);
    });

    void test('nodes that only others may read come and go all the same', async () => {
      const own = ['one', 'two', 'three'].map((name) => `/dubbo/i/providers/${name}`);
      for (const path of own) stub.faults.unreadable.add(path);
      const [one = '', two = '', three = ''] = own;
      stub.create(one);
      const seen = watch();
      await seen.sees({ ...everything, [one]: null });
      stub.create(two);
      await seen.sees({ ...everything, [one]: null, [two]: null });
      stub.remove(one);
      stub.create(three);
      await seen.sees({ ...everything, [two]: null, [three]: null });
      stub.create('/dubbo/other/providers/q');
      stub.remove('/dubbo/i');
      const left = { ...everything, '/dubbo/other/providers/q': null };
      delete (left as Record<string, unknown>)['/dubbo/i/providers/p'];
      await seen.sees(left);
      assert.equal(seen.count('lost'), 0);
      if (!isOld) assert.ok(seen.unseenChanges >= 3);
      const warnings = seen.lines.filter((line) => line.includes('reading all again'));
      assert.equal(warnings.filter((line) => line.includes('"level":40')).length, isOld ? 0 : 1);
    });

    void test('however many paths may not be read, each is tried again in its turn', async () => {
      const hidden = Array.from({ length: 130 }, (_, i) => `/dubbo/h${i}/providers`);
      for (const path of hidden) {
        stub.create(`${path}/p`);
        stub.faults.unreadable.add(path);
      }
      const seen = watch();
      await seen.snapshots(1);
      // Some may have been tried again, and told again, by now.
      const told = new Set(
        seen.events.flatMap((event) => (event.kind === 'unreadable' ? [event.path] : [])),
      );
      assert.equal(told.size, hidden.length);
      const last = [...told].at(-1) ?? '';
      stub.faults.unreadable.delete(last);
      await eventually(() => assert.ok(seen.view.has(`${last}/p`)));
    });

    void test('why a server cannot be followed is said once, until it is followed again', async () => {
      const seen = watch();
      const said = (): number =>
        seen.lines.filter((line) => /"level":(40|"warn").*no connection/.test(line)).length;
      await seen.sees(everything);
      for (const outages of [1, 2]) {
        const losses = seen.losses.length;
        await stub.stop();
        await eventually(() => assert.ok(seen.losses.length >= losses + 4));
        assert.equal(said(), outages);
        await stub.start();
        await seen.snapshots(outages + 1);
      }
    });

    void test('an expired session is followed by a new one', async () => {
      const seen = watch();
      await seen.sees(everything);
      stub.expireSessions();
      stub.dropConnections();
      stub.create('/dubbo/i/providers/q');
      await seen.sees({ ...everything, '/dubbo/i/providers/q': null });
      assertNothingWithdrawn(seen);
    });

    void test('a receiver that throws ends the watching with its error', async () => {
      for (const kind of ['snapshot', 'changed', 'confirmed']) {
        const watcher = createTreeWatcher(
          target(),
          { connected: () => undefined },
          pino({ level: 'silent' }),
        );
        const { signal } = new AbortController();
        const watching = watcher.watch(
          exampleInterest,
          (event) => {
            if (event.kind === 'snapshot') stub.create(`/dubbo/i/providers/${kind}`);
            if (event.kind === kind) throw new Error(`no ${kind} please`);
          },
          signal,
        );
        await assert.rejects(watching, new Error(`no ${kind} please`));
      }
    });

    void test('a chroot hides what lies outside', async () => {
      stub.create('/a/b/dubbo/i/providers/inside');
      const seen = watch({ chroot: '/a/b/' });
      await seen.sees({ '/dubbo/i/providers/inside': null });
      stub.create('/dubbo/i/providers/outside');
      stub.create('/a/b/services/s/i', Buffer.from('x'));
      await seen.sees({ '/dubbo/i/providers/inside': null, '/services/s/i': 'x' });
      assert.deepEqual(
        [...(await seen.driver.missing(['/services/s/i', '/services/s/j']))],
        ['/services/s/j'],
      );
    });

    void test(
      'any history with any faults ends in a view that equals the tree',
      { timeout: 120_000 },
      async () => {
        const operation = fc.oneof(
          { weight: 6, arbitrary: fc.tuple(fc.constant('create'), fc.nat(11)) },
          { weight: 4, arbitrary: fc.tuple(fc.constant('remove'), fc.nat(11)) },
          { weight: 3, arbitrary: fc.tuple(fc.constant('data'), fc.nat(11)) },
          {
            weight: 1,
            arbitrary: fc.tuple(fc.constantFrom('cut', 'half', 'expire', 'rmdir'), fc.nat(3)),
          },
          { weight: 4, arbitrary: fc.tuple(fc.constant('wait'), fc.nat(3)) },
        );
        await fc.assert(
          fc.asyncProperty(fc.array(operation, { maxLength: 60 }), async (history) => {
            await using server = await freshStub(isOld);
            const options = { ...target(), servers: [`127.0.0.1:${server.stub.port}`] };
            await using seen = new TreeRecorder(options, exampleInterest, { timing });
            const deleted = await play(server.stub, history);
            await seen.snapshots(1);
            await seen.sees(wantedOf(server.stub));
            for (const path of seen.withdrawn) {
              assert.ok(deleted.has(path), `${path} was withdrawn and never deleted`);
            }
          }),
          { numRuns: 60 },
        );
      },
    );
  });
}

void test('an address that was found to be old is not asked again, and its reader keeps away from new requests', async () => {
  stub.faults.isOld = true;
  const seen = watch();
  await seen.snapshots(1);
  stub.dropConnections();
  await seen.snapshots(2);
  assert.equal(stub.requests.get(106), 1);
  assert.equal(stub.requests.get(22), undefined);
  assert.equal(seen.count('lost'), 1);
});

void test('a server that was upgraded in place is found out', async () => {
  stub.faults.isOld = true;
  recorder = new TreeRecorder(target(), exampleInterest, { timing, oldServerMemoryMs: 0 });
  await recorder.snapshots(1);
  stub.faults.isOld = false;
  stub.dropConnections();
  await recorder.snapshots(2);
  assert.deepEqual(
    recorder.connected.map((one) => one.driver),
    ['one-shot', 'persistent'],
  );
});

void test('an error code that nobody knows concerns its path only', async () => {
  stub.faults.failing.set('/services/s/i', -999);
  const seen = watch();
  await seen.sees({ '/dubbo/i/providers/p': null });
  assert.ok(seen.unknownErrors.includes(-999));
  stub.faults.failing.clear();
  await seen.sees(everything);
});

void test('an error code that the library does not know ends one life of it, not the process', async () => {
  stub.faults.isOld = true;
  const seen = watch();
  await seen.sees(everything);
  stub.faults.failing.set('/services/s/i', -999);
  stub.setData('/services/s/i', Buffer.from('two'));
  await eventually(() => assert.ok(seen.count('lost') >= 1));
  stub.faults.failing.clear();
  await seen.sees({ ...everything, '/services/s/i': 'two' });
  assertNothingWithdrawn(seen);
});

void test('failing attempts are spread out', async () => {
  await stub.stop();
  const seen = watch();
  await eventually(() => assert.ok(seen.count('lost') >= 4));
  await stub.start();
  await seen.sees(everything);
  assert.ok(stub.connections < 20);
});

void test('events of what nobody wants cost no read', async () => {
  const seen = watch();
  await seen.sees(everything);
  const before = stub.requests.get(4) ?? 0;
  stub.create('/dubbo/i/consumers/c', Buffer.from('x'));
  stub.create('/dubbo/metadata/m', Buffer.from('x'));
  stub.create('/dubbo/i/providers/q', Buffer.from('127.0.0.1'));
  await seen.sees({ ...everything, '/dubbo/i/providers/q': null });
  assert.equal(stub.requests.get(4) ?? 0, before);
});

void test('an interest without roots has an empty snapshot', async () => {
  const nothing: TreeInterest = {
    roots: [],
    want: () => ({ node: false, data: false, children: false }),
  };
  recorder = new TreeRecorder(target(), nothing);
  await recorder.snapshots(1);
  assert.equal(recorder.view.size, 0);
});

void test('servers that cannot be understood are a configuration error', () => {
  const log = pino({ level: 'silent' });
  const report = { connected: () => undefined };
  assert.throws(
    () => createTreeWatcher(target({ servers: ['a:b'] }), report, log),
    ConfigurationError,
  );
});

async function freshStub(
  isOld: boolean,
): Promise<AsyncDisposable & { readonly stub: ZooKeeperStub }> {
  const fresh = new ZooKeeperStub();
  fresh.faults.isOld = isOld;
  await fresh.start();
  for (const path of ['/dubbo/i0/providers/steady', '/dubbo/i1/providers/steady']) {
    fresh.create(path);
  }
  fresh.create('/services/s0/steady', Buffer.from('steady'));
  return { stub: fresh, [Symbol.asyncDispose]: () => fresh.dispose() };
}

/** Plays a history and returns every path that was deleted in it. */
async function play(
  server: ZooKeeperStub,
  history: readonly (readonly [string, number])[],
): Promise<ReadonlySet<string>> {
  const deleted = new Set<string>();
  const remove = (path: string): void => {
    for (const one of server.tree().keys()) {
      if (one === path || one.startsWith(`${path}/`)) deleted.add(one);
    }
    server.remove(path);
  };
  let step = 0;
  for (const [what, number] of history) {
    step += 1;
    const path =
      number < 6
        ? `/dubbo/i${number % 3}/providers/v${number}`
        : `/services/s${number % 3}/v${number}`;
    if (what === 'create') server.create(path, Buffer.from(`${step}`));
    else if (what === 'data') server.setData(path, Buffer.from(`${step}`));
    else if (what === 'remove') remove(path);
    else if (what === 'rmdir') remove(number < 2 ? '/dubbo/i2' : '/services/s2');
    else if (what === 'cut') server.dropConnections();
    else if (what === 'half') server.faults.cutReplyAfterBytes = 18 + number * 13;
    else if (what === 'expire') server.expireSessions();
    else await new Promise((resolve) => setTimeout(resolve, number));
  }
  return deleted;
}

function wantedOf(server: ZooKeeperStub): Record<string, string | null> {
  const wanted: Record<string, string | null> = {};
  for (const [path, data] of server.tree()) {
    if (/^\/dubbo\/[^/]+\/providers\/[^/]+$/.test(path)) wanted[path] = null;
    if (/^\/services\/[^/]+\/[^/]+$/.test(path)) wanted[path] = data?.toString() ?? null;
  }
  return wanted;
}
