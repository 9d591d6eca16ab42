import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { aliasesOf } from '../../../../agent/eureka/aliases.ts';

const texts = (vipAddress: string, secureVipAddress = '', application = 'orders'): string =>
  (aliasesOf(application, { vipAddress, secureVipAddress }) ?? [])
    .map(({ name, ports }) => `${name}:${ports}`)
    .join(' ');

test('a VIP has the plain ports, a secure VIP the secure one, both together all', () => {
  assert.equal(texts('pay'), 'pay:plain');
  assert.equal(texts('', 'pay'), 'pay:secure');
  assert.equal(texts('pay', 'PAY'), 'pay:all');
  assert.equal(texts('b,a', 'c,b'), 'a:plain b:all c:secure');
});

test('entries may have ports, spaces and capitals, and come twice', () => {
  assert.equal(texts(' Pay.Example.com:8080 , pay.example.com:80,,'), 'pay.example.com:plain');
  assert.equal(texts('pay:'), 'pay:plain');
  assert.equal(texts('платежи'), 'платежи:plain');
});

test("the application's own name is no alias", () => {
  assert.equal(aliasesOf('orders', { vipAddress: '', secureVipAddress: '' }), undefined);
  assert.equal(
    aliasesOf('orders', { vipAddress: 'ORDERS', secureVipAddress: 'orders' }),
    undefined,
  );
  assert.equal(texts('orders:80,pay', 'Orders'), 'pay:plain');
});

test('what nobody filled in, addresses and what is no name are left out', () => {
  for (const vip of [
    'unknown',
    'NA',
    'null',
    '${eureka.vip}',
    '10.0.0.1',
    '10.0.0.1:80',
    '::1',
    'http://user:pass@host',
    'a b',
    'password=x',
    '-',
    '.',
    ',',
    'x'.repeat(201),
    'ж'.repeat(101),
  ]) {
    assert.equal(texts(vip), '', vip);
  }
});

test('there are at most eight', () => {
  const vip = Array.from({ length: 20 }, (_, index) => `v${index}`).join(',');
  assert.equal(aliasesOf('orders', { vipAddress: vip, secureVipAddress: '' })?.length, 8);
});

test('instances with the same texts share one list', () => {
  const vips = { vipAddress: 'pay', secureVipAddress: 'safe' };
  assert.equal(aliasesOf('orders', vips), aliasesOf('orders', { ...vips }));
  assert.notEqual(aliasesOf('orders', vips), aliasesOf('safe', vips));
});

test('any texts give a short sorted list without the own name', () => {
  fc.assert(
    fc.property(fc.string(), fc.string({ maxLength: 6000 }), (vipAddress, secureVipAddress) => {
      const aliases = aliasesOf('a', { vipAddress, secureVipAddress }) ?? [];
      const names = aliases.map(({ name }) => name);
      assert.ok(names.length <= 8 && !names.includes('a'));
      assert.deepEqual(names, [...new Set(names)].sort());
      for (const name of names) assert.ok(Buffer.byteLength(name) <= 200);
    }),
  );
});

test('more different texts than are remembered, and longer ones, are read all the same', () => {
  for (let index = 0; index < 10_001; index += 1)
    assert.equal(texts(`v${index}`), `v${index}:plain`);
  assert.equal(texts(`pay,${'x'.repeat(5000)}`), 'pay:plain');
});
