import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AuthChecker, parseSubjectAltNames } from '../../../../aggregator/mcp/auth.ts';
import { grpcCode } from '../../../../aggregator/mcp/grpc-status.ts';
import type { PeerCertificate } from '../../../../aggregator/mcp/grpc-types.ts';

const open = { allow: [], requireClientCertificate: false, allowedNames: [] };
const trusted: PeerCertificate = { isTrusted: true, names: ['spiffe://a/b', 'istiod.local'] };

function check(
  options: Partial<ConstructorParameters<typeof AuthChecker>[0]>,
  certificate?: PeerCertificate,
): number | undefined {
  const checker = new AuthChecker({ ...open, ...options });
  return checker.checkStream({ address: '192.0.2.1', port: 1, certificate })?.code;
}

test('without settings everybody may subscribe', () => assert.equal(check({}), undefined));

test('an address outside the ranges may not', () => {
  assert.equal(check({ allow: ['10.0.0.0/8'] }), grpcCode.permissionDenied);
  assert.equal(check({ allow: ['192.0.2.0/24'] }), undefined);
});

test('a required certificate must be there', () => {
  assert.equal(check({ requireClientCertificate: true }), grpcCode.unauthenticated);
  assert.equal(check({ requireClientCertificate: true }, trusted), undefined);
});

test('a certificate of a stranger is rejected, also where none is required', () => {
  assert.equal(check({}, { ...trusted, isTrusted: false }), grpcCode.unauthenticated);
});

test('allowed names make a certificate necessary, with one of them', () => {
  const allowedNames = ['istiod.local'];
  assert.equal(check({ allowedNames }), grpcCode.unauthenticated);
  assert.equal(check({ allowedNames }, trusted), undefined);
  assert.equal(check({ allowedNames: ['other'] }, trusted), grpcCode.permissionDenied);
});

test('the names of a certificate are read whatever their characters', () => {
  assert.deepEqual(parseSubjectAltNames(''), []);
  assert.deepEqual(
    parseSubjectAltNames('DNS:a.example, IP Address:192.0.2.1, URI:spiffe://cluster.local/ns/x'),
    ['a.example', '192.0.2.1', 'spiffe://cluster.local/ns/x'],
  );
  assert.deepEqual(parseSubjectAltNames('DNS:"a, DNS:b\\"", URI:c'), ['a, DNS:b"', 'c']);
});
