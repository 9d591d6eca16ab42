import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Mailbox } from '../../../../agent/zookeeper/mailbox.ts';
import type { Change, Instance } from '../../../../common/instance.ts';

function instance(id: string, weight = 0): Instance {
  const service = { kind: 'application', name: 'a', group: '', version: '' } as const;
  const base = { id, service, address: '192.0.2.1', ports: [], labels: {}, locality: '', weight };
  return { ...base, status: 'UP' };
}

const upsert = (id: string, weight = 0): Change => ({
  kind: 'upsert',
  instance: instance(id, weight),
});
const removal = (id: string): Change => ({ kind: 'removal', id });

test('a reader that waits is woken by each sort of event', async () => {
  const mailbox = new Mailbox();
  let next = mailbox.next();
  mailbox.putSnapshot(new Map(), 1);
  assert.deepEqual(await next, { kind: 'snapshot', instances: new Map(), observedAt: 1 });
  next = mailbox.next();
  mailbox.putChanges([removal('a')], 2);
  assert.deepEqual(await next, { kind: 'changes', changes: [removal('a')], observedAt: 2 });
  next = mailbox.next();
  mailbox.putConfirmed(3);
  assert.deepEqual(await next, { kind: 'changes', changes: [], observedAt: 3 });
  next = mailbox.next();
  mailbox.putTrouble('lost', 'why');
  assert.deepEqual(await next, { kind: 'lost', reason: 'why' });
  next = mailbox.next();
  mailbox.close();
  assert.equal(await next, undefined);
});

test('changes that wait are merged: the last word counts, the oldest observation stands', async () => {
  const mailbox = new Mailbox();
  mailbox.putChanges([upsert('a', 1), upsert('b', 1)], 5);
  mailbox.putChanges([upsert('a', 2), removal('b')], 9);
  assert.deepEqual(await mailbox.next(), {
    kind: 'changes',
    changes: [upsert('a', 2), removal('b')],
    observedAt: 5,
  });
});

test('changes after a snapshot that waits go into it', async () => {
  const mailbox = new Mailbox();
  mailbox.putChanges([upsert('x')], 1);
  mailbox.putSnapshot(new Map([['a', instance('a')]]), 2);
  mailbox.putChanges([upsert('b'), removal('a')], 3);
  const instances = new Map([['b', instance('b')]]);
  assert.deepEqual(await mailbox.next(), { kind: 'snapshot', instances, observedAt: 2 });
});

test('data comes before its confirmation, and trouble last', async () => {
  const mailbox = new Mailbox();
  mailbox.putConfirmed(1);
  mailbox.putChanges([upsert('a')], 2);
  mailbox.putTrouble('lost', 'first');
  mailbox.putTrouble('suspect', 'last');
  const kinds = [await mailbox.next(), await mailbox.next(), await mailbox.next()];
  assert.deepEqual(
    kinds.map((event) => event?.kind),
    ['changes', 'changes', 'suspect'],
  );
});

test('trouble is forgotten when the registry has spoken again', async () => {
  const mailbox = new Mailbox();
  mailbox.putTrouble('lost', 'why');
  mailbox.putSnapshot(new Map(), 1);
  mailbox.putTrouble('lost', 'why');
  mailbox.putConfirmed(2);
  assert.equal((await mailbox.next())?.kind, 'snapshot');
  assert.equal((await mailbox.next())?.kind, 'changes');
  mailbox.close();
  assert.equal(await mailbox.next(), undefined);
});

test('after the end nothing that waited is read', async () => {
  const mailbox = new Mailbox();
  mailbox.putConfirmed(1);
  mailbox.close();
  assert.equal(await mailbox.next(), undefined);
});

test('a failure rejects the reader', async () => {
  const mailbox = new Mailbox();
  const next = mailbox.next();
  mailbox.fail(new Error('defect'));
  await assert.rejects(next, /defect/);
});

test('doubt goes with what waits, and is not taken back by what comes behind it', async () => {
  const mailbox = new Mailbox();
  mailbox.putChanges([removal('a')], 1);
  mailbox.putChanges([removal('b')], 2, { doubt: 'away' });
  mailbox.putChanges([removal('c')], 3);
  const changes = [removal('a'), removal('b'), removal('c')];
  assert.deepEqual(await mailbox.next(), {
    kind: 'changes',
    changes,
    observedAt: 1,
    doubt: 'away',
  });
  mailbox.putSnapshot(new Map(), 4, { doubt: 'away', unread: 'hidden' });
  const marks = { doubt: 'away', unread: 'hidden' };
  const snapshot = { kind: 'snapshot', instances: new Map(), observedAt: 4, ...marks };
  assert.deepEqual(await mailbox.next(), snapshot);
  mailbox.putConfirmed(5, 'away');
  const confirmed = { kind: 'changes', changes: [], observedAt: 5, doubt: 'away' };
  assert.deepEqual(await mailbox.next(), confirmed);
});

test('what is suspect in part says so', async () => {
  const mailbox = new Mailbox();
  mailbox.putTrouble('suspect', 'hidden', true);
  assert.deepEqual(await mailbox.next(), { kind: 'suspect', reason: 'hidden', isPartial: true });
});

test('changes that say nothing of the rest leave trouble as it is', async () => {
  const mailbox = new Mailbox();
  mailbox.putTrouble('suspect', 'a part may not be read', true);
  mailbox.putChanges([removal('a')], 1, { isPartial: true });
  const changes = { kind: 'changes', observedAt: 1 } as const;
  assert.deepEqual(await mailbox.next(), { ...changes, changes: [removal('a')], isPartial: true });
  assert.equal((await mailbox.next())?.kind, 'suspect');
  mailbox.putChanges([removal('a')], 1, { isPartial: true });
  mailbox.putChanges([removal('b')], 2);
  assert.deepEqual(await mailbox.next(), { ...changes, changes: [removal('a'), removal('b')] });
});
