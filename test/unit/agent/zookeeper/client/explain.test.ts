import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createSecureContext } from 'node:tls';
import {
  explainClose,
  explainSessionOver,
  explainSocketError,
  explainTimeout,
} from '../../../../../agent/zookeeper/client/explain.ts';
import type { ConnectionPhase } from '../../../../../agent/zookeeper/client/explain.ts';

const context = createSecureContext();
const nothing = { tls: undefined, digest: undefined, sasl: undefined };
const plain = { credentials: nothing, lastZxid: 0n };
const tlsOf = (hasCertificate: boolean): typeof plain => ({
  credentials: { ...nothing, tls: { context, serverName: undefined, hasCertificate } } as never,
  lastZxid: 0n,
});
const failure = (code: string, reason?: string): Error =>
  Object.assign(new Error(`C0F7:error:${code}\n`), {
    code,
    ...(reason === undefined ? {} : { reason }),
  });

void test('what is missing when the time is over follows from how far it came', () => {
  const reasons = (['dialling', 'securing', 'handshaking', 'authenticating'] as const).map(
    (phase) => explainTimeout(phase, 5).reason,
  );
  assert.deepEqual(reasons, [
    'no connection within 5 ms',
    'no TLS handshake within 5 ms',
    'no session within 5 ms',
    'no answer to SASL within 5 ms',
  ]);
});

void test('the phase decides what a close is', () => {
  const kinds = (
    [
      'idle',
      'dialling',
      'securing',
      'handshaking',
      'authenticating',
      'ready',
      'closing',
      'ended',
    ] as const
  ).map((phase: ConnectionPhase) => explainClose(phase, plain).kind);
  const [unreachable, refused, lost] = ['unreachable', 'refused', 'lost'];
  assert.deepEqual(kinds, [unreachable, unreachable, refused, refused, refused, lost, lost, lost]);
});

void test('a close without a session lists what it can mean', () => {
  const reasonOf = (means: typeof plain): string => explainClose('handshaking', means).reason;
  const start = 'closed instead of granting a session: it has no quorum or is read-only, or ';
  const many = 'it has too many connections from here, or ';
  assert.equal(reasonOf(plain), `${start}${many}it expects TLS`);
  assert.equal(reasonOf(tlsOf(false)), `${start}${many}it wants a client certificate`);
  assert.equal(reasonOf(tlsOf(true)), `${start}${many}it does not accept our client certificate`);
  const seen = explainClose('handshaking', { ...plain, lastZxid: 0x1_0000_0001n });
  assert.match(seen.reason, /or it is behind what was seen \(0x100000001\), or/);
  assert.equal(seen.mayBeBehind, true);
  assert.equal(explainClose('handshaking', plain).mayBeBehind, false);
  assert.match(
    explainClose('securing', tlsOf(true)).reason,
    /^closed during the TLS handshake: it does not speak TLS/,
  );
});

void test("TLS failures are told in words of our own, with OpenSSL's reason", () => {
  for (const [hasCertificate, error, text] of [
    [
      false,
      failure('ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE', 'bad'),
      'it wants a client certificate (bad)',
    ],
    [
      false,
      failure('ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED', 'req'),
      'it wants a client certificate (req)',
    ],
    [
      true,
      failure('ERR_SSL_TLSV1_ALERT_UNKNOWN_CA', 'ca'),
      'it does not accept our client certificate (ca)',
    ],
    [
      false,
      failure('ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE', 'hs'),
      'it wants a client certificate, or shares no cipher with us (hs)',
    ],
    [true, failure('ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE', 'hs'), 'TLS: hs'],
    [
      true,
      failure('ERR_SSL_WRONG_VERSION_NUMBER', 'wrong version'),
      'it does not speak TLS on this port (wrong version)',
    ],
    [true, failure('ERR_SSL_OTHER'), 'TLS: C0F7:error:ERR_SSL_OTHER'],
    [
      true,
      failure('ERR_TLS_CERT_ALTNAME_INVALID'),
      'its certificate is rejected: C0F7:error:ERR_TLS_CERT_ALTNAME_INVALID',
    ],
    [true, new Error('strange'), 'strange'],
  ] as const) {
    const { kind, reason } = explainSocketError(
      'securing',
      error,
      tlsOf(hasCertificate),
      undefined,
    );
    assert.equal(reason, text);
    assert.equal(kind, 'refused');
  }
});

void test('a socket that fails is as good as closed while nothing is agreed upon', () => {
  const reset = failure('ECONNRESET');
  for (const phase of ['securing', 'handshaking', 'authenticating'] as const) {
    const closed = explainClose(phase, plain);
    assert.deepEqual(explainSocketError(phase, reset, plain, undefined), closed);
    assert.deepEqual(explainSocketError(phase, failure('EPIPE'), plain, undefined), closed);
  }
  for (const phase of ['idle', 'dialling', 'ready', 'closing', 'ended'] as const) {
    const { kind, cause } = explainSocketError(phase, reset, plain, undefined);
    assert.equal(kind, phase === 'idle' || phase === 'dialling' ? 'unreachable' : 'lost');
    assert.equal(cause, reset);
  }
});

void test('a session that is over for want of a credential says which', () => {
  const withSasl = {
    ...plain,
    credentials: { ...nothing, sasl: { user: 'u', password: 'p' } } as never,
  };
  assert.match(explainSessionOver(-124, plain).reason, /no credential for it is configured$/);
  assert.match(explainSessionOver(-124, withSasl).reason, /requires another authentication/);
  assert.deepEqual(explainSessionOver(-118, plain), {
    kind: 'lost',
    reason: 'SESSION_MOVED (-118)',
  });
});
