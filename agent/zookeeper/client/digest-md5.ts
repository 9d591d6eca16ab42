import { createHash } from 'node:crypto';
import type { SaslCredential } from './access.ts';

/**
 * SASL DIGEST-MD5 (RFC 2831) from the client's side, authentication only. Pure: challenge in, response out.
 *
 * Errors say what is wrong with the challenge, or with our means, and show no secret.
 */

/** What the server asks. */
export interface DigestChallenge {
  /** The first one offered; empty if there is none. */
  readonly realm: string;
  readonly nonce: string;
  readonly isUtf8: boolean;
}

/** What the answer is bound to, beside the credential. */
export interface DigestContext {
  /** `service/host`. */
  readonly uri: string;
  /** Ours: random, of printable ASCII without quotes. */
  readonly clientNonce: string;
}

/** Our answer, and what the server must say to it. */
export interface DigestResponse {
  readonly token: Buffer;
  /** The whole token by which the server shows that it knows the password as well. */
  readonly expectedProof: string;
}

/** The RFC's limit. */
const challengeBytesMax = 2_048;
const nonceCount = '00000001';
const directive = /[\s,]*([a-z0-9-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^",\s]+))\s*(?=,|$)/giy;

/** Throws an Error for what is no challenge that we can answer. */
export function parseDigestChallenge(token: Buffer): DigestChallenge {
  if (token.length > challengeBytesMax) throw new Error('the challenge is too long');
  const fields = parseDirectives(token.toString('utf8'));
  const [nonce, ...otherNonces] = fields.get('nonce') ?? [];
  if (nonce === undefined || nonce === '' || otherNonces.length > 0) {
    throw new Error('not a DIGEST-MD5 challenge');
  }
  const algorithm = fields.get('algorithm')?.[0]?.toLowerCase();
  if (algorithm !== 'md5-sess') throw new Error('the challenge is for an unknown algorithm');
  const protections = (fields.get('qop')?.[0] ?? 'auth').split(',').map((one) => one.trim());
  if (!protections.includes('auth')) {
    throw new Error('the server wants its own protection of messages (qop), not authentication');
  }
  const isUtf8 = fields.get('charset')?.[0]?.toLowerCase() === 'utf-8';
  return { realm: fields.get('realm')?.[0] ?? '', nonce, isUtf8 };
}

/** Throws an Error when MD5 is not to be had, or the credential cannot be expressed. */
export function answerDigestChallenge(
  challenge: DigestChallenge,
  { user, password }: SaslCredential,
  { uri, clientNonce }: DigestContext,
): DigestResponse {
  const { realm, nonce, isUtf8 } = challenge;
  const bytesOf = (text: string): Buffer => encode(text, isUtf8);
  const colon = Buffer.from(':');
  const secret = md5([bytesOf(user), colon, bytesOf(realm), colon, bytesOf(password)]);
  const base = md5([secret, Buffer.from(`:${nonce}:${clientNonce}`)]).toString('hex');
  const proofOf = (a2: string): string => {
    const hashed = md5([Buffer.from(a2)]).toString('hex');
    const text = `${base}:${nonce}:${nonceCount}:${clientNonce}:auth:${hashed}`;
    return md5([Buffer.from(text)]).toString('hex');
  };
  const directives = [
    ...(isUtf8 ? ['charset=utf-8'] : []),
    `username=${quote(user)}`,
    ...(realm === '' ? [] : [`realm=${quote(realm)}`]),
    `nonce=${quote(nonce)}`,
    `nc=${nonceCount}`,
    `cnonce=${quote(clientNonce)}`,
    `digest-uri=${quote(uri)}`,
    `response=${proofOf(`AUTHENTICATE:${uri}`)}`,
    'qop=auth',
  ];
  return {
    token: Buffer.from(directives.join(','), isUtf8 ? 'utf8' : 'latin1'),
    expectedProof: `rspauth=${proofOf(`:${uri}`)}`,
  };
}

function parseDirectives(text: string): ReadonlyMap<string, readonly string[]> {
  const fields = new Map<string, string[]>();
  directive.lastIndex = 0;
  let end = 0;
  for (;;) {
    const match = directive.exec(text);
    if (match === null) break;
    end = directive.lastIndex;
    const [, name = '', quoted, plain] = match;
    const value = quoted?.replace(/\\(.)/g, '$1') ?? plain ?? '';
    const key = name.toLowerCase();
    fields.set(key, [...(fields.get(key) ?? []), value]);
  }
  if (!/^[\s,]*$/.test(text.slice(end))) throw new Error('not a DIGEST-MD5 challenge');
  return fields;
}

/** What Latin-1 can express is hashed as Latin-1, even where the exchange itself is in UTF-8. */
function encode(text: string, isUtf8: boolean): Buffer {
  if (/^[\0-\xff]*$/.test(text)) return Buffer.from(text, 'latin1');
  if (!isUtf8)
    throw new Error('user or password cannot be expressed in the character set of the server');
  return Buffer.from(text, 'utf8');
}

function quote(text: string): string {
  return `"${text.replace(/["\\]/g, '\\$&')}"`;
}

function md5(parts: readonly Buffer[]): Buffer {
  try {
    return createHash('md5').update(Buffer.concat(parts)).digest();
  } catch (error) {
    throw new Error('DIGEST-MD5 needs MD5, which this system does not allow (FIPS mode)', {
      cause: error,
    });
  }
}
