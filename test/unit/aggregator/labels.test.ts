import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { repairLabels } from '../../../aggregator/labels.ts';
import { anyText } from '../../support/any-text.ts';

for (const [what, raw, expected] of [
  ['valid labels stay', { a: '1', 'b.c/d_e': 'x.y' }, { a: '1', 'b.c/d_e': 'x.y' }],
  ['an empty value stays', { a: '' }, { a: '' }],
  ['bad characters become dashes', { 'a b': 'x@y z' }, { 'a-b': 'x-y-z' }],
  ['ends are trimmed', { _a_: '-x-' }, { a: 'x' }],
  ['nothing left of a key: left out', { '@@': 'x' }, {}],
  ['nothing left of a value: empty', { a: '@@' }, { a: '' }],
  [
    'a bad prefix becomes part of the name',
    { 'A_B/c': '1', 'a/b/c': '2' },
    { 'A_B-c': '1', 'a-b-c': '2' },
  ],
  ['a prefix is lower-cased', { 'Example.COM/a': '1' }, { 'example.com/a': '1' }],
  ['nothing left behind a prefix: left out', { 'example.com/@': '1' }, {}],
  ['keys are sorted', { b: '1', a: '2' }, { a: '2', b: '1' }],
  ['a valid key wins over a repaired one', { 'a b': '1', 'a-b': '2' }, { 'a-b': '2' }],
  ['of two repaired keys the first wins', { 'a b': '1', 'a@b': '2' }, { 'a-b': '1' }],
  [
    'a registry does not speak for the mesh',
    {
      'security.istio.io/tlsMode': 'istio',
      'proxy.istio.io/health-checks-enabled': 'true',
      'Security.Istio.io/tlsMode': 'istio',
      'istio.io/rev': 'x',
      'istio-locality': 'r.z',
      'topology.istio.io/network': 'n',
      'tributary.io/port-group': 'x',
    },
    {},
  ],
  [
    'canonical name and draining may pass',
    { 'istio.io/draining': 'true', 'service.istio.io/canonical-name': 'a' },
    { 'istio.io/draining': 'true', 'service.istio.io/canonical-name': 'a' },
  ],
] as const) {
  test(what, () => {
    const repaired = repairLabels(raw);
    assert.deepEqual(repaired, expected);
    assert.deepEqual(Object.keys(repaired), Object.keys(expected));
  });
}

test('too long keys and values are cut, too many labels left out', () => {
  const long = 'a'.repeat(62);
  assert.deepEqual(repairLabels({ [`${long}.bc`]: `${long}_.b` }), { [long]: long });
  const many = Object.fromEntries(Array.from({ length: 100 }, (_, index) => [`k${index}`, 'v']));
  assert.equal(Object.keys(repairLabels(many)).length, 64);
});

test('repaired labels are valid and need no further repair', () => {
  const text = fc.oneof(anyText(), fc.string());
  fc.assert(
    fc.property(fc.dictionary(text, text), (raw) => {
      const repaired = repairLabels(raw);
      for (const [key, value] of Object.entries(repaired)) {
        assert.match(key, /^([a-z0-9][-a-z0-9.]*\/)?[A-Za-z0-9]([-\w.]{0,61}[A-Za-z0-9])?$/);
        assert.match(value, /^([A-Za-z0-9]([-\w.]{0,61}[A-Za-z0-9])?)?$/);
      }
      assert.deepEqual(repairLabels(repaired), repaired);
    }),
  );
});
