import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { tuningFor } from '../../../../../agent/zookeeper/client/driver.ts';
import { plainAccess } from '../../../../../agent/zookeeper/client/tree.ts';
import type { TreeQuestion } from '../../../../../agent/zookeeper/client/tree.ts';
import { TransientError } from '../../../../../common/errors.ts';
import { eventually } from '../../../../support/eventually.ts';
import { TreeRecorder, exampleInterest } from '../../../../support/tree-recorder.ts';
import { ZooKeeperStub } from '../../../../support/zookeeper-stub.ts';

const kinds = [
  { driver: 'persistent', isOld: false },
  { driver: 'one-shot', isOld: true },
] as const;
const data = (path: string): TreeQuestion => ({ kind: 'data', path });
const children = (path: string): TreeQuestion => ({ kind: 'children', path });

for (const { driver, isOld } of kinds) {
  void describe(`questions to the ${driver} driver`, () => {
    let stub: ZooKeeperStub;
    let seen: TreeRecorder;

    beforeEach(async () => {
      stub = new ZooKeeperStub();
      stub.faults.isOld = isOld;
      await stub.start();
      stub.create('/base/dubbo/i/providers/p');
      stub.create('/base/meta/app/1', Buffer.from('first'));
      stub.create('/base/meta/app/2', Buffer.from(''));
      stub.create('/base/meta/none');
      seen = new TreeRecorder(
        {
          servers: [`127.0.0.1:${stub.port}`],
          chroot: '/base',
          sessionTimeoutMs: 2_000,
          access: plainAccess,
        },
        exampleInterest,
        { timing: { ...tuningFor(2_000).timing, connectTimeoutMs: 500 } },
      );
      await seen.snapshots(1);
    });

    afterEach(async () => {
      await seen.stop();
      await stub.dispose();
    });

    void test('are answered in their order', async () => {
      stub.faults.unreadable.add('/base/meta/hidden');
      const answers = await seen.driver.ask([
        data('/meta/app/1'),
        children('/meta/app'),
        data('/meta/app/3'),
        children('/nowhere'),
        data('/meta/hidden'),
        data('/meta/none'),
        children('/meta/none'),
        data('/meta/app/2'),
      ]);
      const [first, second, ...rest] = answers;
      assert.deepEqual(first, { kind: 'data', data: Buffer.from('first') });
      assert.ok(second?.kind === 'children');
      assert.deepEqual([...second.names].sort(), ['1', '2']);
      assert.deepEqual(rest, [
        { kind: 'missing' },
        { kind: 'missing' },
        { kind: 'unreadable', reason: 'NO_AUTH (-102)' },
        { kind: 'data', data: null },
        { kind: 'children', names: [] },
        { kind: 'data', data: Buffer.alloc(0) },
      ]);
      assert.deepEqual(await seen.driver.ask([]), []);
    });

    void test('leave no watch and no event', async () => {
      await seen.driver.ask([data('/meta/app/1'), children('/meta/app')]);
      stub.setData('/base/meta/app/1', Buffer.from('second'));
      stub.create('/base/meta/app/3');
      stub.create('/base/dubbo/i/providers/q');
      await seen.sees({ '/dubbo/i/providers/p': null, '/dubbo/i/providers/q': null });
      assert.equal(seen.count('changed'), 1);
    });

    void test('may be five thousand, in bounded batches', async () => {
      for (let index = 0; index < 5_000; index += 1) {
        stub.create(`/base/meta/many/${index}`, Buffer.from(`${index}`));
      }
      const questions = Array.from({ length: 5_000 }, (_, index) => data(`/meta/many/${index}`));
      const before = stub.requests.get(22) ?? 0;
      const answers = await seen.driver.ask(questions);
      assert.deepEqual(
        answers.map((answer) => (answer.kind === 'data' ? answer.data?.toString() : answer.kind)),
        questions.map((_, index) => `${index}`),
      );
      assert.equal((stub.requests.get(22) ?? 0) - before, isOld ? 0 : 50);
      assert.equal(seen.count('lost'), 0);
    });

    void test('are rejected when the connection breaks on the way, and when there is none', async () => {
      const before = stub.requests.get(isOld ? 4 : 22) ?? 0;
      stub.faults.ignoredOpcodes.add(isOld ? 4 : 22);
      const asked = seen.driver.ask([data('/meta/app/1'), data('/meta/app/2')]);
      await eventually(() => assert.ok((stub.requests.get(isOld ? 4 : 22) ?? 0) > before));
      stub.dropConnections();
      await assert.rejects(asked, TransientError);
      stub.faults.ignoredOpcodes.clear();
      await stub.stop();
      await eventually(() => assert.ok(seen.count('lost') >= 1));
      await assert.rejects(seen.driver.ask([data('/meta/app/1')]), TransientError);
      await assert.rejects(seen.driver.missing(['/meta/app/1']), TransientError);
    });

    void test('are rejected when the session expires, or the agent stops, while they wait', async () => {
      stub.faults.ignoredOpcodes.add(isOld ? 4 : 22);
      const asked = [1, 2, 3].map(() => seen.driver.ask([data('/meta/app/1')]));
      await eventually(() => assert.ok((stub.requests.get(isOld ? 4 : 22) ?? 0) >= 3));
      stub.expireSessions();
      stub.dropConnections();
      for (const one of asked) await assert.rejects(one, TransientError);
      stub.faults.ignoredOpcodes.clear();
      await seen.snapshots(2);
      stub.faults.ignoredOpcodes.add(isOld ? 4 : 22);
      const last = seen.driver.ask([data('/meta/app/1')]);
      await Promise.all([assert.rejects(last, TransientError), seen.stop()]);
    });

    void test('are rejected when the answer is nonsense', async () => {
      stub.faults.garbledOpcodes.add(isOld ? 4 : 22);
      await assert.rejects(seen.driver.ask([data('/meta/app/1')]), TransientError);
      stub.faults.garbledOpcodes.clear();
      await eventually(async () => {
        assert.equal((await seen.driver.ask([data('/meta/app/1')]))[0]?.kind, 'data');
      });
    });

    void test('share their connections', async () => {
      const before = stub.connections;
      for (let index = 0; index < 50; index += 1) {
        await seen.driver.ask([data('/meta/app/1')]);
        await seen.driver.missing(['/meta/app/1']);
      }
      assert.ok(stub.connections - before <= 1);
    });
  });
}
