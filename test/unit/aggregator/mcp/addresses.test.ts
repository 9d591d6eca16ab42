import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  AddressRanges,
  isAddressRange,
  normalizeAddress,
} from '../../../../aggregator/mcp/addresses.ts';

test('no ranges include every address', () => {
  assert.ok(new AddressRanges([]).includes('192.0.2.1'));
});

for (const [ranges, address, isIncluded] of [
  [['10.0.0.0/8'], '10.1.2.3', true],
  [['10.0.0.0/8'], '11.1.2.3', false],
  [['10.0.0.0/8'], '::ffff:10.1.2.3', true],
  [['10.0.0.0/8'], 'fd00::1', false],
  [['fd00::/8'], 'fd12::1', true],
  [['fd00::/8'], 'fd12::1%eth0', true],
  [['fd00::/8'], '10.1.2.3', false],
  [['192.0.2.7'], '192.0.2.7', true],
  [['192.0.2.7'], '192.0.2.8', false],
  [['::1', '127.0.0.0/8'], '127.0.0.1', true],
  [['0.0.0.0/0'], '203.0.113.9', true],
  [['10.0.0.0/8'], 'not an address', false],
] as const) {
  test(`${ranges.join(',')} ${isIncluded ? 'includes' : 'excludes'} ${address}`, () => {
    assert.equal(new AddressRanges(ranges).includes(address), isIncluded);
  });
}

for (const text of ['', 'host', '10.0.0.0/33', '10.0.0.0/', '10.0.0.0/8/8', 'fd00::/129', '1/-1']) {
  test(`${JSON.stringify(text)} is no address range`, () => {
    assert.equal(isAddressRange(text), false);
    assert.throws(() => new AddressRanges([text]), TypeError);
  });
}

test('an address loses its zone and its IPv6 clothes', () => {
  assert.equal(normalizeAddress('::ffff:192.0.2.1'), '192.0.2.1');
  assert.equal(normalizeAddress('fe80::1%eth0'), 'fe80::1');
  assert.equal(normalizeAddress('192.0.2.1'), '192.0.2.1');
});
