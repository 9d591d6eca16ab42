import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { decodeRecord } from '../../../../agent/eureka/decode.ts';
import { defaultEurekaOptions } from '../../../../agent/eureka/options.ts';
import type { PushedItem } from '../../../../agent/eureka/push/item.ts';
import { PushedChanges } from '../../../../agent/eureka/pushed.ts';
import { RegistryView, RowMaker } from '../../../../agent/eureka/view.ts';

const conversion = defaultEurekaOptions.conversion;
const settleMs = 45_000;
const key = 'SHOP/1';

let pushed: PushedChanges;
let view: RegistryView;
let dropped: string[];

beforeEach(() => {
  dropped = [];
  pushed = new PushedChanges({
    conversion,
    settleMs: () => settleMs,
    dropped: (reason, of) => dropped.push(`${reason} ${of}`),
  });
  view = new RegistryView();
});

function json(fields: Readonly<Record<string, unknown>> = {}): string {
  return JSON.stringify({
    instanceId: '1',
    app: 'SHOP',
    ipAddr: '10.0.0.1',
    status: 'UP',
    port: { $: 8080, '@enabled': 'true' },
    lastDirtyTimestamp: '100',
    ...fields,
  });
}

function poll(fields?: Readonly<Record<string, unknown>>): void {
  const row = new RowMaker(conversion).row(decodeRecord(json(fields), 'SHOP'), () => undefined);
  view.set(row.key, row.entry);
}

const register = (fields: Readonly<Record<string, unknown>> = {}): PushedItem => ({
  kind: 'register',
  key,
  decoded: decodeRecord(json(fields), 'SHOP'),
  dirtyAt: Number(fields['lastDirtyTimestamp'] ?? 100),
});
const heartbeat = (dirtyAt = 100, status: 'UP' | 'DOWN' = 'UP'): PushedItem => ({
  kind: 'heartbeat',
  key,
  status,
  dirtyAt,
});
const live = (fields?: Readonly<Record<string, unknown>>) => {
  const decoded = decodeRecord(json(fields), 'SHOP');
  assert.equal(decoded.kind, 'record');
  return decoded;
};
const address = (now: number): string | undefined => pushed.get(key, now)?.instance?.address;

test('a pushed registration counts until polls show it, and its heartbeats keep it', () => {
  pushed.reconcile(view, 0);
  pushed.take([register()], 0);
  assert.deepEqual([...pushed.takeTouched()], [key]);
  assert.equal(address(89_999), '10.0.0.1');
  pushed.take([heartbeat()], 60_000);
  assert.equal(address(149_999), '10.0.0.1', 'vouched for by its heartbeats');
  pushed.reconcile(view, 150_001);
  assert.equal(address(150_001), undefined);
  assert.deepEqual([...pushed.takeTouched()], [key]);
  assert.equal(pushed.size, 0);
});

test('what polls show too is not kept twice', () => {
  pushed.take([register()], 0);
  poll();
  pushed.reconcile(view, 10);
  assert.equal(pushed.size, 0);
  assert.equal(address(10), '10.0.0.1');
});

test('of two registrations the later one counts, whoever told it last', () => {
  poll({ lastDirtyTimestamp: '200' });
  pushed.reconcile(view, 0);
  pushed.take([register({ ipAddr: '10.0.0.9', lastDirtyTimestamp: '150' })], 1);
  assert.equal(address(2), '10.0.0.1');
  pushed.take([register({ ipAddr: '10.0.0.9', lastDirtyTimestamp: '300' })], 3);
  assert.equal(address(4), '10.0.0.9');
  poll({ ipAddr: '10.0.0.7', lastDirtyTimestamp: '400' });
  pushed.reconcile(view, 5);
  assert.equal(address(5), '10.0.0.7');
});

test('of one registration the pushed status counts until the caches have followed', () => {
  poll();
  pushed.reconcile(view, 0);
  pushed.take(
    [{ kind: 'status', key, status: 'OUT_OF_SERVICE', dirtyAt: 100, isWithdrawn: false }],
    1,
  );
  assert.equal(pushed.get(key, 2)?.instance?.status, 'OUT_OF_SERVICE');
  assert.equal(pushed.get(key, settleMs)?.status, 'OUT_OF_SERVICE');
  assert.equal(pushed.get(key, 1 + settleMs)?.status, 'UP', 'then the polled one is believed');
});

test('a cancel is a hint, and only a live answer makes it count', () => {
  poll();
  pushed.reconcile(view, 0);
  pushed.take([{ kind: 'cancel', key }], 1);
  assert.equal(address(2), '10.0.0.1');
  assert.deepEqual(pushed.takeHints(), [{ key, why: 'cancel' }]);
  assert.deepEqual(pushed.takeHints(), []);
  pushed.answer(key, live(), 3);
  assert.equal(address(4), '10.0.0.1');
  pushed.answer(key, 'gone', 5);
  assert.equal(address(6), undefined);
  assert.ok(pushed.takeTouched().has(key));
  pushed.reconcile(view, 5 + settleMs);
  assert.equal(address(5 + settleMs), '10.0.0.1', 'polls that go on to list it are believed');
});

test('an instance that comes back after its cancel counts at once', () => {
  poll();
  pushed.reconcile(view, 0);
  pushed.answer(key, 'gone', 1);
  pushed.take([register({ lastDirtyTimestamp: '101' })], 2);
  assert.equal(address(3), '10.0.0.1');
  pushed.answer(key, 'gone', 4);
  poll({ lastDirtyTimestamp: '102' });
  pushed.reconcile(view, 5);
  assert.equal(address(5), '10.0.0.1');
});

test('what is unknown is asked for by its heartbeat, not again and again', () => {
  assert.equal(pushed.isKnown(key, 100, 0), true, 'nothing is asked for before the first poll');
  pushed.reconcile(view, 0);
  assert.equal(pushed.isKnown(key, 100, 1), false);
  assert.equal(pushed.isKnown(key, 100, 2), true);
  assert.equal(pushed.isKnown(key, 100, 10_002), false);
  pushed.take([register()], 10_003);
  assert.equal(pushed.isKnown(key, 100, 10_004), true);
  assert.equal(pushed.isKnown(key, 101, 10_004), false, 'a registration that we missed');
});

test('a heartbeat with another status is a hint, now and then', () => {
  poll();
  pushed.reconcile(view, 0);
  pushed.take([heartbeat(100, 'DOWN')], 1);
  assert.deepEqual(pushed.takeHints(), [{ key, why: 'status' }]);
  pushed.take([heartbeat(100, 'DOWN')], 2);
  assert.deepEqual(pushed.takeHints(), []);
  pushed.answer(key, live({ status: 'DOWN' }), 3);
  assert.equal(pushed.get(key, 4)?.status, 'DOWN');
});

test('what cannot be understood, or is not known, changes nothing', () => {
  poll();
  pushed.reconcile(view, 0);
  pushed.take(
    [
      { kind: 'register', key, decoded: decodeRecord('{', 'SHOP'), dirtyAt: 999 },
      { kind: 'cancel', key: 'SHOP/other' },
      { kind: 'status', key: 'SHOP/other', status: 'DOWN', dirtyAt: 1, isWithdrawn: false },
      { kind: 'heartbeat', key: 'SHOP/other', status: 'DOWN', dirtyAt: 1 },
    ],
    1,
  );
  pushed.answer('SHOP/other', 'gone', 2);
  assert.deepEqual(pushed.takeHints(), []);
  assert.equal(pushed.isTouched, false);
  assert.deepEqual(dropped, ['malformed SHOP/1']);
});
