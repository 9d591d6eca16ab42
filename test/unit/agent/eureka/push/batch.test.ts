import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { readBatch, readRegistration } from '../../../../../agent/eureka/push/batch.ts';
import type { Batch } from '../../../../../agent/eureka/push/batch.ts';

const folder = join(import.meta.dirname, '../../../../fixtures/eureka');
const fixture = (name: string): string => readFileSync(join(folder, name), 'utf8');
const key = 'ORDERS/h1:orders:8080';

async function read(text: string, isKnown = true): Promise<Batch> {
  const batch = await readBatch(Buffer.from(text), { isKnown: () => isKnown });
  assert.ok(batch !== undefined);
  return batch;
}

const answerOf = (batch: Batch): readonly number[] =>
  (JSON.parse(batch.answer) as { responseList: { statusCode: number }[] }).responseList.map(
    ({ statusCode }) => statusCode,
  );

void describe('recorded batches', () => {
  test('a registration', async () => {
    const { items } = await read(fixture('replication/01-register.json'));
    const [item] = items;
    assert.ok(item?.kind === 'register' && item.decoded.kind === 'record');
    assert.equal(item.key, key);
    assert.equal(item.dirtyAt, 1795365402399);
    assert.equal(item.decoded.record.ipAddr, '10.0.0.1');
  });

  test('a heartbeat, known or not', async () => {
    const text = fixture('replication/02-heartbeat.json');
    const [item] = (await read(text)).items;
    assert.deepEqual(item, { kind: 'heartbeat', key, status: 'UP', dirtyAt: 1795365402399 });
    assert.deepEqual(answerOf(await read(text)), [200]);
    assert.deepEqual(answerOf(await read(text, false)), [404]);
  });

  test('statuses set and withdrawn', async () => {
    const [set] = (await read(fixture('replication/03-status-update.json'))).items;
    const [withdrawn] = (await read(fixture('replication/05-delete-status-override.json'))).items;
    assert.ok(set?.kind === 'status' && withdrawn?.kind === 'status');
    assert.deepEqual([set.status, set.isWithdrawn], ['OUT_OF_SERVICE', false]);
    assert.deepEqual([withdrawn.status, withdrawn.isWithdrawn], ['UP', true]);
  });

  test('metadata come as a registration, a cancel with nothing but its id', async () => {
    assert.equal(
      (await read(fixture('replication/06-metadata-put.json'))).items[0]?.kind,
      'register',
    );
    assert.deepEqual((await read(fixture('replication/08-cancel.json'))).items[0], {
      kind: 'cancel',
      key,
    });
  });

  test('every entry of a mixed batch is answered, in its order', async () => {
    const text = fixture('replication/07-mixed-batch.json');
    const { replicationList } = JSON.parse(text) as { replicationList: { action: string }[] };
    const batch = await read(text, false);
    assert.equal(batch.items.length, replicationList.length);
    assert.deepEqual(
      answerOf(batch),
      replicationList.map(({ action }) => (action === 'Heartbeat' ? 404 : 200)),
    );
  });
});

test('what a Spring client wrote is read when it is passed on as it is', async () => {
  const { instance } = JSON.parse(fixture('spring-client/register-up.json')) as {
    instance: { app: string; instanceId: string };
  };
  const text = JSON.stringify({
    replicationList: [
      {
        appName: instance.app,
        id: instance.instanceId,
        action: 'Register',
        instanceInfo: instance,
      },
    ],
  });
  const [item] = (await read(text)).items;
  assert.ok(item?.kind === 'register' && item.decoded.kind === 'record');
  assert.equal(item.decoded.record.status, 'UP');
  assert.ok(item.dirtyAt > 0);
});

test('bad entries cost the others nothing and are answered too', async () => {
  const text = JSON.stringify({
    replicationList: [
      null,
      7,
      { action: 'Cancel' },
      { appName: 'A', id: '1', action: 'Dance' },
      { appName: 'A', id: '1', action: 'Register' },
      { appName: 'A', id: '1', action: 'Register', instanceInfo: { app: 'A', instanceId: '1' } },
      { appName: 'A', id: '1', action: 'Cancel' },
    ],
  });
  const batch = await read(text);
  assert.deepEqual(
    batch.items.map(({ kind }) => kind),
    ['register', 'cancel'],
  );
  assert.equal(batch.malformed, 4);
  assert.equal(batch.others, 1);
  assert.deepEqual(answerOf(batch), [200, 200, 200, 200, 200, 200, 200]);
});

test('a text that is no batch is none', async () => {
  for (const text of ['', '{', '[]', '7', 'null', '{}', '{"replicationList":7}', '<html>']) {
    assert.equal(await readBatch(Buffer.from(text), { isKnown: () => true }), undefined, text);
  }
  assert.equal(answerOf(await read('{"replicationList":[]}')).length, 0);
  const lone = '{"replicationList":{"appName":"A","id":"1","action":"Cancel"}}';
  assert.equal((await read(lone)).items.length, 1);
});

test('whatever stands in a batch, there is one answer an entry', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.jsonValue()), async (list) => {
      const batch = await read(JSON.stringify({ replicationList: list }), false);
      assert.equal(answerOf(batch).length, list.length);
    }),
  );
});

test('a status that there is none of is not set', async () => {
  const entry = { appName: 'A', id: '1', action: 'StatusUpdate' };
  const replicationList = [entry, { ...entry, status: 'DANCING' }, { ...entry, status: 'unknown' }];
  const batch = await read(JSON.stringify({ replicationList }));
  assert.equal(batch.malformed, 2);
  assert.deepEqual(batch.items, [
    { kind: 'status', key: 'A/1', status: 'UNKNOWN', dirtyAt: 0, isWithdrawn: false },
  ]);
  const [beat] = (
    await read('{"replicationList":[{"appName":"A","id":"1","action":"Heartbeat","status":null}]}')
  ).items;
  assert.deepEqual(beat, { kind: 'heartbeat', key: 'A/1', status: undefined, dirtyAt: 0 });
});

test('one broken entry costs the others of its batch nothing', async () => {
  const cancel = '{"appName":"A","id":"1","action":"Cancel"}';
  const deep = `{"appName":"A","id":"1","action":"Register","instanceInfo":{"x":${'['.repeat(90_000)}${']'.repeat(90_000)}}}`;
  const large = `{"appName":"A","id":"${'x'.repeat(300_000)}","action":"Cancel"}`;
  const name = `{"appName":"A","id":"${'x'.repeat(2_000)}","action":"Cancel"}`;
  const text = `{"replicationList":[{"a":tru}, ${deep}, ${large}, ${name}, ${cancel}]}`;
  const batch = await read(text);
  assert.equal(batch.items.at(-1)?.kind, 'cancel');
  assert.ok(batch.malformed >= 3);
  assert.equal(answerOf(batch).length, 5);
});

test('a batch without end is refused', async () => {
  const text = `{"replicationList":[${'0,'.repeat(30_000)}0]}`;
  assert.equal(await readBatch(Buffer.from(text), { isKnown: () => true }), undefined);
});

test('a large batch gives the event loop back', async () => {
  const { replicationList } = JSON.parse(fixture('replication/01-register.json')) as {
    replicationList: unknown[];
  };
  const entry = JSON.stringify(replicationList[0]);
  const body = Buffer.from(`{"replicationList":[${Array(8_000).fill(entry).join(',')}]}`);
  let turns = 0;
  const timer = setInterval(() => (turns += 1), 1);
  const batch = await readBatch(body, { isKnown: () => true });
  clearInterval(timer);
  assert.equal(batch?.items.length, 8_000);
  assert.ok(turns > 0);
});

test('the registration of a single call is read with or without its envelope', () => {
  const instance = { app: 'A', instanceId: '1', ipAddr: '10.0.0.1', lastDirtyTimestamp: '7' };
  for (const value of [instance, { instance }]) {
    const item = readRegistration('A', Buffer.from(JSON.stringify(value)));
    assert.ok(item?.kind === 'register');
    assert.deepEqual([item.key, item.dirtyAt], ['A/1', 7]);
  }
  for (const text of ['', '{', '7', '{}', '{"instance":null}', ' '.repeat(300_000)]) {
    assert.equal(readRegistration('A', Buffer.from(text)), undefined, text.slice(0, 20));
  }
});
