import assert from 'node:assert/strict';
import { isIPv4 } from 'node:net';
import { test } from 'node:test';
import fc from 'fast-check';
import { BlockList } from 'node:net';
import { AddressSet } from '../../../../../../agent/zookeeper/dubbo/rules/address-set.ts';
import {
  parseOwner,
  parseServiceKey,
} from '../../../../../../agent/zookeeper/dubbo/rules/service-name.ts';
import {
  harmlessRegExp,
  isGlobMatch,
  passes,
  readTextTest,
} from '../../../../../../agent/zookeeper/dubbo/rules/text-match.ts';
import { normalizeAddress } from '../../../../../../agent/zookeeper/convert.ts';

test('patterns of addresses, of both families', () => {
  const cases: readonly (readonly [string, string, number, boolean])[] = [
    ['fd00::/8', 'fd12::1', 1, true],
    ['fd00::/8', 'fe80::1', 1, false],
    ['2001:db8::/33', '2001:db8:7fff::1', 1, true],
    ['2001:db8::/33', '2001:db8:8000::1', 1, false],
    ['::ffff:192.0.2.0/120', '::ffff:192.0.2.9', 1, true],
    ['234e:0:4567:0:0:0:3d:0-ee', '234e:0:4567::3d:ee', 1, true],
    ['234e:0:4567:0:0:0:3d:0-ee', '234e:0:4567::3d:ef', 1, false],
    ['[234e:0:4567:0:0:0:3d:*]:8090', '234e:0:4567::3d:1', 8090, true],
    ['[234e:0:4567:0:0:0:3d:*]:8090', '234e:0:4567::3d:1', 8091, false],
    ['[fd00::2]', 'fd00::2', 1, true],
    ['[fd00::2]:80', 'fd00::2', 80, true],
    ['fd00::2', 'fd00::2', 80, true],
    ['0.0.0.0/0', '192.0.2.1', 1, true],
    ['0.0.0.0/0', 'fd00::2', 1, false],
    ['0.0.0.0/0', '::1', 1, false],
    ['192.0.2.1/32', '192.0.2.1', 1, true],
    ['192.0.2.1/33', '192.0.2.1', 1, false],
    ['192.0.2.1/x', '192.0.2.1', 1, false],
    ['host/8', 'host', 1, false],
    ['192.0.2.*', 'host', 1, false],
    ['192.0.*', '192.0.2.1', 1, false],
    ['192.0.2.a-b', '192.0.2.1', 1, false],
    ['192.0.2.*:x', '192.0.2.1', 1, false],
    ['my-host.example', 'my-host.example', 1, true],
    ['My-Host.example:80', 'my-host.example', 80, true],
    ['192.0.2.1:x', '192.0.2.1', 1, false],
    ['0.0.0.0:x', '192.0.2.1', 1, false],
    ['', '192.0.2.1', 1, false],
    ['[', '192.0.2.1', 1, false],
  ];
  for (const [pattern, host, port, isIn] of cases) {
    assert.equal(new AddressSet([pattern], 'patterns').has(host, port), isIn, `${pattern} ${host}`);
  }
});

test('a subnet has the addresses that Node.js says it has', () => {
  const address = fc.oneof(fc.ipV4(), fc.ipV6());
  fc.assert(
    fc.property(address, address, fc.nat(128), (net, other, length) => {
      const [base, host] = [net, other].map((text) => normalizeAddress(text));
      if (base === undefined || host === undefined) return;
      const family = isIPv4(base) ? 'ipv4' : 'ipv6';
      const prefix = family === 'ipv4' ? length % 33 : length;
      const list = new BlockList();
      list.addSubnet(base, prefix, family);
      const set = new AddressSet([`${base}/${prefix}`], 'patterns');
      assert.ok(set.has(base, 0));
      const isMapped = base.includes('ffff:') || host.includes('ffff:');
      if (isIPv4(host) !== isIPv4(base) || isMapped) return;
      assert.equal(set.has(host, 0), list.check(host, family));
    }),
  );
});

test('a set of single hosts tells them', () => {
  const hosts = (...texts: string[]) => new AddressSet(texts, 'plain').singleHosts;
  assert.deepEqual(hosts('192.0.2.1', '192.0.2.2:80', 'x y'), new Set(['192.0.2.1', '192.0.2.2']));
  assert.equal(hosts('192.0.2.1', '0.0.0.0'), undefined);
  assert.equal(hosts('192.0.2.1', '0.0.0.0:80'), undefined);
  assert.equal(new AddressSet(['192.0.2.*'], 'patterns').singleHosts, undefined);
});

test('keys of services and names of owners', () => {
  const service = (interfaceName: string, group = '', version = '') => ({
    interfaceName,
    group,
    version,
  });
  assert.deepEqual(parseServiceKey('a.B'), service('a.B'));
  assert.deepEqual(parseServiceKey('g/a.B:1.0'), service('a.B', 'g', '1.0'));
  assert.deepEqual(parseServiceKey('a.B:1.0'), service('a.B', '', '1.0'));
  assert.deepEqual(parseServiceKey('/a.B'), service('/a.B'));
  assert.deepEqual(parseServiceKey('*'), service('*', '*', '*'));
  assert.deepEqual(parseOwner('a.B:1.0:g'), {
    kind: 'service',
    service: service('a.B', 'g', '1.0'),
  });
  assert.deepEqual(parseOwner('g*a.B'), { kind: 'service', service: service('a.B', 'g') });
  assert.deepEqual(parseOwner('orders'), { kind: 'plain', name: 'orders' });
  assert.equal(parseOwner('a*:1'), undefined);
  assert.equal(parseOwner(':1:g'), undefined);
  assert.equal(parseOwner('a:1:g:x'), undefined);
});

test('tests of texts take the first word that is given', () => {
  const read = (words: object) => readTextTest(new Map(Object.entries(words)));
  const cases: readonly (readonly [object, string, boolean])[] = [
    [{ exact: 'a', prefix: 'b' }, 'a', true],
    [{ exact: 'a', prefix: 'b' }, 'b', false],
    [{ exact: 1 }, '1', true],
    [{ exact: true }, 'true', true],
    [{ exact: null, prefix: 'b' }, 'bc', true],
    [{ regex: 'v[0-9]+' }, 'v12', true],
    [{ regex: 'v[0-9]+' }, 'xv12', false],
    [{ regex: '.*' }, 'x'.repeat(257), false],
    [{ wildcard: 'a*' }, 'ab', true],
    [{ empty: '' }, '', true],
    [{ empty: '' }, 'a', false],
    [{ noempty: '' }, 'a', true],
    [{ noempty: '' }, '', false],
  ];
  for (const [words, text, isPassed] of cases) {
    const found = read(words);
    assert.ok(found !== undefined);
    assert.equal(passes(found, text), isPassed, JSON.stringify(words));
  }
  for (const words of [{}, { mod: 3 }, { exact: [] }, { regex: '(' }]) {
    assert.equal(read(words), undefined);
  }
});

test('a star stands for anything, once', () => {
  const cases: readonly (readonly [string, string, boolean])[] = [
    ['*', 'x', true],
    ['**', 'x', true],
    ['a*', 'ab', true],
    ['*b', 'ab', true],
    ['a*c', 'abc', true],
    ['a*c', 'abd', false],
    ['a', 'a', true],
    ['a', 'ab', false],
  ];
  for (const [pattern, text, isMatch] of cases) {
    assert.equal(isGlobMatch(pattern, text), isMatch, `${pattern} ${text}`);
  }
});

test('regular expressions that could run for long are not run', () => {
  const fine = [
    'prod-.*',
    'v1\\.\\d+',
    '(?:a|b)-x',
    '[a-z]{2,5}',
    '[^/]+/com\\.example\\.\\w+',
    '',
  ];
  for (const source of fine) assert.ok(harmlessRegExp(source) !== undefined, source);
  const refused = [
    '(a+)+',
    '(?:a|a)*',
    '(a)\\1',
    '(?<n>a)\\k<n>',
    '(?=a)a',
    '(?<!a)b',
    '.*.*.*',
    'a?a?a?',
    'a{1000}',
    'a{1,1000}',
    '(a|a)(a|a)(a|a)(a|a)(a|a)',
    'a|b|c|d|e|f|g|h|i|j',
    '\\p{L}',
    '[a-z&&[^b]]',
    '\\Qa\\E',
    'a*+',
    '(',
    '[b-a]',
    'x'.repeat(257),
  ];
  for (const source of refused) assert.equal(harmlessRegExp(source), undefined, source);
});
