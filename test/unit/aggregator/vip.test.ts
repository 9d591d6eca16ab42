import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { VipAllocator, vipCandidate, vipRank, vipSpace } from '../../../aggregator/vip.ts';
import type { VipSpace } from '../../../aggregator/vip.ts';
import { ConfigurationError } from '../../../common/errors.ts';

const tiny = (size: number): VipSpace => ({ size, address: (index) => `240.0.0.${index}` });

/** The definition: in the order of their hashes, each takes its first free candidate. */
function assign(hosts: Iterable<string>, space: VipSpace, pins: ReadonlyMap<string, string>) {
  const taken = new Set(pins.values());
  const assigned = new Map<string, string>();
  const rank = (host: string): string => vipRank(host);
  for (const host of [...hosts].sort((a, b) => (rank(a) < rank(b) ? -1 : 1))) {
    const pin = pins.get(host);
    if (pin !== undefined) {
      assigned.set(host, pin);
      continue;
    }
    let turn = 0;
    let address = space.address(vipCandidate(host, 0, space.size));
    while (taken.has(address)) {
      turn += 1;
      address = space.address(vipCandidate(host, turn, space.size));
    }
    taken.add(address);
    assigned.set(host, address);
  }
  return assigned;
}

test('step by step gives the same as at once, and every move is told', () => {
  const space = tiny(12);
  const pins = new Map([['h1', '240.0.0.3']]);
  const step = fc.record({ isAdd: fc.boolean(), host: fc.integer({ min: 0, max: 13 }) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), fc.boolean(), (steps, isPinned) => {
      const used = isPinned ? pins : new Map<string, string>();
      const allocator = new VipAllocator(used, space);
      const hosts = new Set<string>();
      for (const { isAdd, host: number } of steps) {
        const host = `h${number}`;
        if (isAdd && hosts.size >= 10) continue;
        const before = assign(hosts, space, used);
        const moved = isAdd ? allocator.add(host) : allocator.remove(host);
        if (isAdd) hosts.add(host);
        else hosts.delete(host);
        const after = assign(hosts, space, used);
        for (const [other, address] of after) {
          assert.equal(allocator.address(other), address);
          const hasMoved = other !== host && before.get(other) !== address;
          assert.equal(moved.includes(other), hasMoved, `${other} moved`);
        }
      }
    }),
    { numRuns: 2000 },
  );
});

test('addresses are usable and not those of istiod', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: vipSpace.size - 1 }), (index) => {
      const [a = 0, b = 0, , d = 0] = vipSpace.address(index).split('.').map(Number);
      assert.ok(a >= 240 && a <= 254);
      assert.ok(!(a === 240 && b === 240));
      assert.ok(d >= 1 && d <= 254);
    }),
  );
  assert.equal(vipSpace.address(0), '240.0.0.1');
  assert.equal(vipSpace.address(253), '240.0.0.254');
  assert.equal(vipSpace.address(254), '240.0.1.1');
  assert.equal(vipSpace.address(240 * 256 * 254), '240.241.0.1');
  assert.equal(vipSpace.address(vipSpace.size - 1), '254.255.255.254');
});

test('the address of a host is the same for ever', () => {
  const allocator = new VipAllocator(new Map());
  assert.deepEqual(allocator.add('orders.tributary.internal'), []);
  assert.equal(allocator.address('orders.tributary.internal'), '251.169.171.135');
});

test('a pinned host has its address, and nobody else gets it', () => {
  const pins = new Map([
    ['A.tributary.internal', '10.1.2.3'],
    ['b', '240.9.9.9'],
  ]);
  const allocator = new VipAllocator(pins);
  assert.equal(allocator.address('a.tributary.internal'), '10.1.2.3');
  assert.equal(allocator.address('b'), '240.9.9.9');
  assert.equal(allocator.address('unknown'), undefined);
  assert.deepEqual(allocator.add('b'), []);
  assert.deepEqual(allocator.remove('b'), []);
});

test('pins that are no addresses, or the same one, are refused, all at once', () => {
  const pins = new Map([
    ['a', 'x'],
    ['b', '10.0.0.1'],
    ['c', '10.0.0.1'],
    ['d', '255.255.255.255'],
    ['e', '240.0.0.1'],
  ]);
  assert.throws(
    () => new VipAllocator(pins),
    (error: unknown) => {
      assert.ok(error instanceof ConfigurationError);
      assert.deepEqual(error.problems, [
        'vip of a: expected an IP address',
        'vip of c: 10.0.0.1 is that of b',
        'vip of d: expected an IP address',
      ]);
      return true;
    },
  );
});

test('more hosts than addresses are refused', () => {
  const allocator = new VipAllocator(new Map(), tiny(2));
  allocator.add('a');
  allocator.add('b');
  assert.throws(() => allocator.add('c'), new RangeError('virtual addresses: the space is full'));
});
