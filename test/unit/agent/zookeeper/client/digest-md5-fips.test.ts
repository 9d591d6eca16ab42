import assert from 'node:assert/strict';
import { setFips } from 'node:crypto';
import { test } from 'node:test';
import {
  answerDigestChallenge,
  parseDigestChallenge,
} from '../../../../../agent/zookeeper/client/digest-md5.ts';

// In a file of its own: MD5 that was used once in a process stays usable in it.
void test('a system without MD5 is told clearly', () => {
  const challenge = parseDigestChallenge(Buffer.from('nonce="n",algorithm=md5-sess'));
  const credential = { user: 'u', password: 'hidden' };
  setFips(true);
  try {
    assert.throws(
      () => answerDigestChallenge(challenge, credential, { uri: 'a/b', clientNonce: 'c' }),
      (error: Error) => /needs MD5.*FIPS/.test(error.message) && !error.message.includes('hidden'),
    );
  } finally {
    setFips(false);
  }
});
