import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { claimedOrder, describe } from '../../../../agent/zookeeper/description.ts';
import type { Voucher } from '../../../../agent/zookeeper/description.ts';
import type { DubboTraits } from '../../../../agent/zookeeper/dubbo/traits.ts';
import type { Instance } from '../../../../common/instance.ts';

const traits: DubboTraits = {
  root: '/dubbo',
  application: 'orders',
  weight: 7,
  isDisabled: false,
  parameters: undefined,
};

function voucher(words: Partial<Voucher> = {}, changes: Partial<Instance> = {}): Voucher {
  const instance: Instance = {
    id: 'a',
    service: { kind: 'dubbo', name: 'com.example.A', group: '', version: '' },
    address: '192.0.2.1',
    ports: [],
    labels: { application: 'orders' },
    locality: '',
    weight: 7,
    status: 'UP',
    ...changes,
  };
  return { key: 'k', order: 0, arrival: 1, instance, traits, ...words };
}

/** What the metadata of the same process say. */
const registration = voucher(
  {
    order: claimedOrder,
    traits: { ...traits, isDisabled: true, weight: 9, parameters: new Map([['env', 'x']]) },
  },
  {
    labels: { application: 'other', 'dubbo.tag': 'gray', release: '3.3.6' },
    locality: 'eu/z',
    status: 'OUT_OF_SERVICE',
  },
);

test('a leaf without a time lacks what the registration of its process knows', () => {
  const found = describe([voucher(), registration]);
  assert.deepEqual(found?.instance.labels, {
    application: 'orders',
    'dubbo.tag': 'gray',
    release: '3.3.6',
  });
  const { locality, status, weight } = found.instance;
  assert.deepEqual([locality, status, weight], ['eu/z', 'OUT_OF_SERVICE', 7]);
  assert.deepEqual(found.traits, {
    ...traits,
    isDisabled: true,
    parameters: new Map([['env', 'x']]),
  });
});

test('a whole leaf lacks only where it is', () => {
  const found = describe([registration, voucher({ order: 5 })]);
  assert.deepEqual(found?.instance, voucher({}, { locality: 'eu/z' }).instance);
  assert.equal(found?.traits, traits);
  const located = voucher({ order: 5 }, { locality: 'us' });
  assert.equal(describe([registration, located]), located);
});

test('what was inferred is not believed of a leaf', () => {
  const inferred = voucher(
    { order: claimedOrder },
    { labels: { 'dubbo.tag': 'gray', inferred: 'true' }, locality: 'eu/z' },
  );
  assert.deepEqual(
    describe([voucher(), inferred])?.instance,
    voucher({}, { locality: 'eu/z' }).instance,
  );
});

test('without a leaf the registrations speak, without either nobody does', () => {
  assert.equal(describe([registration]), registration);
  assert.equal(describe([]), undefined);
  assert.equal(describe([voucher({ instance: undefined })]), undefined);
});

test('the order in which nodes are listed does not matter', () => {
  const one = fc
    .record({
      key: fc.constantFrom('a', 'b', 'c', 'd'),
      order: fc.constantFrom(claimedOrder, 0, 0, 1),
      arrival: fc.constantFrom(1, 2),
      labels: fc.constantFrom({}, { 'dubbo.tag': 'gray' }),
      locality: fc.constantFrom('', 'eu'),
    })
    .map(({ labels, locality, ...words }) => voucher(words, { labels, locality }));
  const several = fc.uniqueArray(one, { minLength: 1, maxLength: 4, selector: ({ key }) => key });
  fc.assert(
    fc.property(several, (vouchers) => {
      const found = describe(vouchers)?.instance;
      assert.deepEqual(describe(vouchers.toReversed())?.instance, found);
    }),
  );
});
