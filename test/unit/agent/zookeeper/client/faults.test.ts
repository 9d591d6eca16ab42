import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { tuningFor } from '../../../../../agent/zookeeper/client/driver.ts';
import type { DriverTuning } from '../../../../../agent/zookeeper/client/driver.ts';
import {
  isKnownErrorCode,
  isSessionOver,
} from '../../../../../agent/zookeeper/client/error-codes.ts';
import { plainAccess } from '../../../../../agent/zookeeper/client/tree.ts';
import type { ZooKeeperTarget } from '../../../../../agent/zookeeper/client/tree.ts';
import { eventually } from '../../../../support/eventually.ts';
import { secretFile } from '../../../../support/secret-file.ts';
import { TreeRecorder, exampleInterest } from '../../../../support/tree-recorder.ts';
import { ZooKeeperStub } from '../../../../support/zookeeper-stub.ts';

/**
 * What is known to break clients of ZooKeeper, with either driver. What driver.test.ts has as well (half-open links, half
 * frames, servers that hang) is not repeated.
 */

const kinds = [
  { driver: 'persistent', isOld: false },
  { driver: 'one-shot', isOld: true },
] as const;
const everything = { '/dubbo/i/providers/p': null, '/services/s/i': 'one' };
const timing = {
  ...tuningFor(600).timing,
  connectTimeoutMs: 300,
  recheckIntervalMs: 30,
  auditIntervalMs: 10,
};
const unknownCodes = [-999, -126, 7];
const codes = [
  ...Array.from({ length: 150 }, (_, index) => -index - 1).filter(isKnownErrorCode),
  ...unknownCodes,
];

let stub: ZooKeeperStub;
let recorder: TreeRecorder | undefined;

beforeEach(() => {
  stub = new ZooKeeperStub();
});

afterEach(async () => {
  await recorder?.stop();
  recorder = undefined;
  await stub.dispose();
});

function watch(
  changes: Partial<ZooKeeperTarget> = {},
  tuning: Partial<DriverTuning> = {},
): TreeRecorder {
  const target = {
    servers: [`127.0.0.1:${stub.port}`],
    chroot: '',
    sessionTimeoutMs: 600,
    access: plainAccess,
    ...changes,
  };
  recorder = new TreeRecorder(target, exampleInterest, { timing, ...tuning });
  return recorder;
}

for (const { driver, isOld } of kinds) {
  void describe(`${driver} driver`, () => {
    const readData = isOld ? 4 : 22;

    beforeEach(async () => {
      stub.faults.isOld = isOld;
      await stub.start();
      stub.create('/dubbo/i/providers/p');
      stub.create('/services/s/i', Buffer.from('one'));
    });

    void test('every error code for one path is a loss or an unreadable path, never a removal', async () => {
      const seen = watch();
      await seen.sees(everything);
      let round = 0;
      for (const code of codes.filter((one) => one !== -101)) {
        round += 1;
        const [losses, hidden] = [seen.count('lost'), seen.count('unreadable')];
        stub.faults.failing.set('/services/s/i', code);
        stub.setData('/services/s/i', Buffer.from(`round ${round}`));
        await eventually(() => {
          const [isLost, isHidden] = [
            seen.count('lost') > losses,
            seen.count('unreadable') > hidden,
          ];
          assert.ok(isLost || isHidden, `${code}`);
          if (isSessionOver(code) && code !== -12) assert.ok(isLost, `${code}`);
          if (!isOld && !isSessionOver(code)) assert.ok(!isLost, `${code}`);
        });
        stub.faults.failing.clear();
        await seen.sees({ ...everything, '/services/s/i': `round ${round}` });
      }
      assert.equal(seen.count('removed'), 0);
      const hidden = seen.events.flatMap((one) => (one.kind === 'unreadable' ? [one.path] : []));
      for (const path of seen.withdrawn) assert.ok(hidden.includes(path));
      if (!isOld) assert.deepEqual([...new Set(seen.unknownErrors)], unknownCodes);
    });

    void test('every error code for whatever makes the snapshot is a loss, told with its name', async () => {
      const seen = watch({}, { backoff: { minMs: 1, maxMs: 2, random: Math.random } });
      for (const opcode of isOld ? [9] : [9, 106, 22]) {
        for (const code of codes.filter((one) => one !== -6)) {
          stub.faults.failingOpcodes.set(opcode, code);
          const losses = seen.losses.length;
          stub.dropConnections();
          await eventually(() => {
            const isTold = seen.losses.slice(losses).some((one) => one.includes(`(${code})`));
            assert.ok(isTold, `${opcode} ${code}`);
          });
          stub.faults.failingOpcodes.clear();
        }
        await seen.sees(everything);
      }
      assert.deepEqual([...seen.withdrawn], []);
    });

    void test('a megabyte of watches costs a reconnect nothing but reading', async () => {
      const seen = watch({ sessionTimeoutMs: 10_000 }, { timing: tuningFor(10_000).timing });
      await seen.sees(everything);
      for (let index = 0; index < 14_000; index += 1) {
        stub.create(`/services/s/${`${index}`.padStart(68, 'x')}`, Buffer.from('y'));
      }
      await eventually(() => assert.equal(seen.view.size, 14_002));
      stub.dropConnections();
      await seen.snapshots(2);
      assert.equal(seen.view.size, 14_002);
      assert.equal(stub.requests.get(101), undefined);
      assert.equal(seen.count('lost'), 1);
      assert.deepEqual([...seen.withdrawn], []);
      stub.setData(`/services/s/${'7'.padStart(68, 'x')}`, Buffer.from('z'));
      await eventually(() => {
        assert.equal(seen.view.get(`/services/s/${'7'.padStart(68, 'x')}`), 'z');
      });
    });

    void test('reads that wait when the session expires are made again, and nothing is withdrawn', async () => {
      const seen = watch();
      await seen.sees(everything);
      const before = stub.requests.get(4) ?? 0;
      stub.faults.ignoredOpcodes.add(4);
      stub.setData('/services/s/i', Buffer.from('two'));
      await eventually(() => assert.ok((stub.requests.get(4) ?? 0) > before));
      stub.expireSessions();
      stub.dropConnections();
      stub.faults.ignoredOpcodes.clear();
      await seen.sees({ ...everything, '/services/s/i': 'two' });
      assert.deepEqual([...seen.withdrawn], []);
    });

    void test('on every connection the credential goes before all else', async () => {
      stub.faults.unreadable.add('/services');
      stub.faults.digest = 'user:pass';
      const seen = watch({ access: { ...plainAccess, digestFile: secretFile('user:pass') } });
      await seen.sees(everything);
      for (let round = 2; round < 5; round += 1) {
        stub.setData('/services/s/i', Buffer.from(`${round}`));
        stub.dropConnections();
        await seen.snapshots(round);
        await seen.sees({ ...everything, '/services/s/i': `${round}` });
      }
      const histories = stub.histories.filter((history) => history.length > 0);
      assert.ok(histories.length >= (isOld ? 8 : 4));
      for (const [first] of histories) assert.equal(first, 100);
      assert.equal(seen.count('unreadable'), 0);
    });

    void test('a server without a quorum says nothing, and is told as such', async () => {
      stub.faults.refusesSessions = true;
      const seen = watch();
      await eventually(() => assert.ok(seen.count('lost') >= 2));
      assert.deepEqual([...new Set(seen.disconnected)], ['refused']);
      assert.match(
        seen.losses[0] ?? '',
        /^zookeeper 127\.0\.0\.1:\d+: closed instead of granting a session: it has no quorum or is read-only, or it has too many connections from here, or it expects TLS$/,
      );
      stub.faults.refusesSessions = false;
      await seen.sees(everything);
      stub.faults.refusesSessions = true;
      stub.dropConnections();
      await eventually(() =>
        assert.match(seen.losses.at(-1) ?? '', /is behind what was seen \(0x/),
      );
      assert.deepEqual([...seen.withdrawn], []);
    });

    void test('delays grow while sessions are granted and no snapshot comes about, and start over after one', async () => {
      const seen = watch({}, { backoff: { minMs: 4, maxMs: 64, random: () => 0.5 } });
      const delays = (): number[] =>
        seen.lines.flatMap((line) => {
          const { delayMs } = JSON.parse(line) as { readonly delayMs?: number };
          return delayMs === undefined ? [] : [delayMs];
        });
      stub.faults.droppedOpcodes.add(isOld ? 12 : readData);
      await eventually(() => assert.ok(delays().length >= 7));
      assert.ok(stub.histories.length >= 7, 'sessions were granted');
      assert.deepEqual(delays().slice(0, 7), [2, 4, 8, 16, 32, 32, 32]);
      stub.faults.droppedOpcodes.clear();
      await seen.sees(everything);
      const count = delays().length;
      stub.dropConnections();
      await seen.snapshots(2);
      assert.deepEqual(delays().slice(count), [2]);
    });

    void test('a refused credential is not taken for a lagging ensemble', async () => {
      const digestFile = secretFile('user:pass');
      const access = { ...plainAccess, digestFile };
      stub.faults.requiresSasl = false;
      const seen = watch({ access }, { zxidToleranceMs: 50 });
      await seen.sees(everything);
      stub.faults.requiresSasl = true;
      stub.dropConnections();
      const { length } = seen.losses;
      await eventually(() => assert.ok(seen.losses.length >= length + 6));
      assert.ok(!seen.lines.join('').includes('following them anyway'));
    });

    void test('a server that has an IPv6 address is followed there', async () => {
      const six = new ZooKeeperStub({ host: '::1' });
      six.faults.isOld = isOld;
      await six.start();
      six.create('/dubbo/i/providers/six');
      try {
        const seen = watch({ servers: [`[::1]:${six.port}`] });
        await seen.sees({ '/dubbo/i/providers/six': null });
        six.setData('/dubbo/i/providers/six', Buffer.from('x'));
        await seen.stop();
      } finally {
        await six.dispose();
      }
    });

    void test('stopping ends everything at once, whenever it comes', async () => {
      for (const waitMs of [0, 1, 2, 3, 5, 8, 13, 21, 34]) {
        const seen = watch();
        await new Promise((resolve) => setTimeout(resolve, waitMs));
        await seen.stop();
      }
      await eventually(() => assert.equal(stub.openConnections, 0));
      await stub.stop();
      const seen = watch();
      await eventually(() => assert.ok(seen.count('lost') >= 1));
      await seen.stop();
      const { length } = seen.events;
      await new Promise((resolve) => setTimeout(resolve, 50));
      assert.equal(seen.events.length, length);
    });

    void test('events alone do not keep a session alive: pings do', async () => {
      const seen = watch({ sessionTimeoutMs: 300 });
      await seen.sees(everything);
      const until = performance.now() + 700;
      for (let round = 0; performance.now() < until; round += 1) {
        stub.setData('/services/s/i', Buffer.from(`${round}`));
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      assert.equal(seen.count('lost'), 0);
      assert.ok((stub.requests.get(isOld ? 3 : 11) ?? 0) >= 3);
      assert.ok(seen.count('confirmed') >= 2);
    });
  });
}
