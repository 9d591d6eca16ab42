import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  answerDigestChallenge,
  parseDigestChallenge,
} from '../../../../../agent/zookeeper/client/digest-md5.ts';
import { DigestMd5Server } from '../../../../support/digest-md5-server.ts';

const parse = (text: string): ReturnType<typeof parseDigestChallenge> =>
  parseDigestChallenge(Buffer.from(text));
const context = { uri: 'zookeeper/zk-sasl-md5', clientNonce: 'OA6MHXh6VqTrRk' };

void test("the RFC's example is answered as in the RFC", () => {
  const challenge = parse(
    'realm="elwood.innosoft.com",nonce="OA6MG9tEQGm2hh",qop="auth",algorithm=md5-sess,charset=utf-8',
  );
  assert.deepEqual(challenge, {
    realm: 'elwood.innosoft.com',
    nonce: 'OA6MG9tEQGm2hh',
    isUtf8: true,
  });
  const { token, expectedProof } = answerDigestChallenge(
    challenge,
    { user: 'chris', password: 'secret' },
    { uri: 'imap/elwood.innosoft.com', clientNonce: 'OA6MHXh6VqTrRk' },
  );
  assert.equal(
    token.toString(),
    'charset=utf-8,username="chris",realm="elwood.innosoft.com",nonce="OA6MG9tEQGm2hh",nc=00000001,' +
      'cnonce="OA6MHXh6VqTrRk",digest-uri="imap/elwood.innosoft.com",' +
      'response=d388dad90d4bbd760a152321f2143af7,qop=auth',
  );
  assert.equal(expectedProof, 'rspauth=ea40f60335c427b5527b84dbabcdfffd');
});

void test('a challenge may have white space, several realms, escapes and unknown fields', () => {
  const text =
    ' realm = "a\\"b" , realm="c",, nonce="n\\\\1",qop="auth-conf, auth",maxbuf=65536,x=y,algorithm=MD5-sess ';
  assert.deepEqual(parse(text), { realm: 'a"b', nonce: 'n\\1', isUtf8: false });
  assert.deepEqual(parse('nonce="n",algorithm=md5-sess'), {
    realm: '',
    nonce: 'n',
    isUtf8: false,
  });
});

void test('what is no challenge for us is refused', () => {
  for (const [text, wrong] of [
    ['', /not a DIGEST-MD5 challenge/],
    ['realm="r",algorithm=md5-sess', /not a DIGEST-MD5 challenge/],
    ['nonce="",algorithm=md5-sess', /not a DIGEST-MD5 challenge/],
    ['nonce="a",nonce="b",algorithm=md5-sess', /not a DIGEST-MD5 challenge/],
    ['nonce="a",algorithm=md5-sess,"', /not a DIGEST-MD5 challenge/],
    ['nonce="a"', /unknown algorithm/],
    ['nonce="a",algorithm=md5', /unknown algorithm/],
    ['nonce="a",algorithm=md5-sess,qop="auth-int,auth-conf"', /qop/],
    [`nonce="${'n'.repeat(2_100)}",algorithm=md5-sess`, /too long/],
  ] as const) {
    assert.throws(() => parse(text), wrong, text);
  }
});

void test('no bytes make the parser fail in another way, or slowly', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 3_000 }), (bytes) => {
      assert.throws(() => parseDigestChallenge(Buffer.from(bytes)), Error);
    }),
  );
  assert.throws(() => parse(`nonce="${'\\'.repeat(2_000)}`), /not a DIGEST-MD5 challenge/);
  assert.throws(() => parse(',\t'.repeat(1_000)), /not a DIGEST-MD5 challenge/);
});

void test('any credential without control characters is accepted by a server that knows it', () => {
  const word = fc.string({ unit: fc.constantFrom('a', 'Z', '0', ' ', ',', '=', ':', '-', '/') });
  fc.assert(
    fc.property(
      word.filter((user) => user !== ''),
      word,
      (user, password) => {
        const server = new DigestMd5Server(new Map([[user, password]]));
        const challenge = parseDigestChallenge(server.challenge());
        const right = answerDigestChallenge(challenge, { user, password }, context);
        assert.equal(server.prove(right.token)?.toString(), right.expectedProof);
        const wrong = answerDigestChallenge(challenge, { user, password: `${password}!` }, context);
        assert.equal(server.prove(wrong.token), undefined);
      },
    ),
  );
});

void test('quotes are escaped, Latin-1 is hashed as such, and other letters need UTF-8', () => {
  const utf8 = parse('realm="r",nonce="n",charset=utf-8,algorithm=md5-sess');
  const plain = parse('realm="r",nonce="n",algorithm=md5-sess');
  const umlaut = { user: 'mü"ller', password: 'pässwörd' };
  const one = answerDigestChallenge(utf8, umlaut, context);
  const other = answerDigestChallenge(plain, umlaut, context);
  assert.ok(one.token.includes(Buffer.from('username="mü\\"ller"', 'utf8')));
  assert.ok(other.token.includes(Buffer.from('username="mü\\"ller"', 'latin1')));
  assert.equal(one.expectedProof, other.expectedProof);
  const euro = { user: 'user', password: '€' };
  assert.ok(answerDigestChallenge(utf8, euro, context).token.length > 0);
  assert.throws(() => answerDigestChallenge(plain, euro, context), /cannot be expressed/);
});
