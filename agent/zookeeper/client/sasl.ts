import { randomBytes } from 'node:crypto';
import { messageOf } from '../../../common/errors.ts';
import type { SaslCredential } from './access.ts';
import { answerDigestChallenge, parseDigestChallenge } from './digest-md5.ts';
import { describeErrorCode, errorCodes } from './error-codes.ts';

/** Sends a token; `onReply` gets the error code, and the server's token if that is 0. */
export type AskSasl = (
  token: Buffer,
  onReply: (error: number, token: Buffer | null) => void,
) => void;

/** What every ZooKeeper server calls itself in DIGEST-MD5. */
const uri = 'zookeeper/zk-sasl-md5';
const firstStep = Buffer.alloc(0);

/**
 * Proves the credential: an empty token, the server's challenge, our response, the server's own
 * proof. `done` is called once, from a reply, with undefined or with why not; never, when a reply does not
 * come.
 */
export function authenticate(
  credential: SaslCredential,
  ask: AskSasl,
  done: (refusal: string | undefined) => void,
): void {
  const respond = (challenge: Buffer): void => {
    const clientNonce = randomBytes(24).toString('base64url');
    const response = answerDigestChallenge(parseDigestChallenge(challenge), credential, {
      uri,
      clientNonce,
    });
    ask(response.token, (error, proof) => {
      done(whyRefused(error, proof?.toString('utf8').trim(), response.expectedProof));
    });
  };
  ask(firstStep, (error, challenge) => {
    if (error !== errorCodes.ok) {
      done(`SASL: ${describeErrorCode(error)}`);
    } else if (challenge === null) {
      done('SASL: the server is not set up for it (it has no users)');
    } else {
      try {
        respond(challenge);
      } catch (failure) {
        done(`SASL: ${messageOf(failure)}${hintOf(challenge)}`);
      }
    }
  });
}

function whyRefused(
  error: number,
  proof: string | undefined,
  expectedProof: string,
): string | undefined {
  if (error !== errorCodes.ok) {
    return `SASL: user or password is not accepted: ${describeErrorCode(error)}`;
  }
  if (proof === expectedProof) return undefined;
  return proof === undefined
    ? 'SASL: user or password is not accepted'
    : 'SASL: the server does not prove that it knows the password';
}

/** Kerberos tokens are binary. */
function hintOf(challenge: Buffer): string {
  return challenge.some((byte) => byte < 0x20 || byte > 0x7e)
    ? ' (Kerberos, GSSAPI, is not supported: only DIGEST-MD5 is)'
    : '';
}
