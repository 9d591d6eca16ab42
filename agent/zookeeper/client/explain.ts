import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { Credentials, TlsSettings } from './access.ts';
import type { ConnectionEnd } from './connection.ts';
import { describeErrorCode, errorCodes } from './error-codes.ts';

/**
 * Why a connection ended, in words for an operator. Servers mostly end connections without a word, so that
 * what happened follows from how far we had come. No text holds a secret.
 */

/** How far a connection has come. */
export type ConnectionPhase =
  | 'idle'
  | 'dialling'
  | 'securing'
  | 'handshaking'
  | 'authenticating'
  | 'ready'
  | 'closing'
  | 'ended';

/** Why it ended. */
export interface Explanation {
  readonly kind: ConnectionEnd['kind'];
  readonly reason: string;
  /** Whose text adds to the reason. */
  readonly cause?: Error;
  readonly mayBeBehind?: boolean;
}

/** What the connection was made with. */
interface Means {
  readonly credentials: Credentials;
  /** The floor that the server was shown. */
  readonly lastZxid: bigint;
}

/** The connect timer has run out. */
export function explainTimeout(phase: ConnectionPhase, timeoutMs: number): Explanation {
  return { kind: 'unreachable', reason: `${missing(phase)} within ${timeoutMs} ms` };
}

/** The server closed its side. */
export function explainClose(phase: ConnectionPhase, means: Means): Explanation {
  switch (phase) {
    case 'idle':
    case 'dialling':
      return { kind: 'unreachable', reason: 'closed by the server' };
    case 'securing':
      return { kind: 'refused', reason: whyNoTls(means) };
    case 'handshaking':
      return {
        kind: 'refused',
        reason: whyNoSession(means),
        mayBeBehind: means.lastZxid > 0n,
      };
    case 'authenticating':
      return {
        kind: 'refused',
        reason: 'SASL: closed by the server: user or password is not accepted',
      };
    case 'ready':
    case 'closing':
    case 'ended':
      return { kind: 'lost', reason: 'closed by the server' };
  }
}

/** The socket failed. */
export function explainSocketError(
  phase: ConnectionPhase,
  error: Error,
  means: Means,
  socket: Socket | undefined,
): Explanation {
  const { tls } = means.credentials;
  const isReset = codeOf(error) === 'ECONNRESET';
  switch (phase) {
    case 'idle':
    case 'dialling':
      return { kind: 'unreachable', reason: 'no connection', cause: error };
    case 'securing':
    case 'handshaking':
    case 'authenticating':
      if (isReset || tls === undefined) return explainClose(phase, means);
      return { kind: 'refused', reason: explainTlsFailure(error, tls, socket) };
    case 'ready':
    case 'closing':
    case 'ended':
      return { kind: 'lost', reason: 'the connection broke', cause: error };
  }
}

/** A reply has said that the session is over. */
export function explainSessionOver(code: number, { credentials }: Means): Explanation {
  const text = describeErrorCode(code);
  switch (code) {
    case errorCodes.saslRequired:
      return {
        kind: 'refused',
        reason:
          credentials.sasl === undefined
            ? `${text}: the server requires SASL, and no credential for it is configured`
            : `${text}: the server requires another authentication than the one configured`,
      };
    case errorCodes.authFailed:
      return { kind: 'refused', reason: `${text}: the credential is not accepted` };
    default:
      return { kind: 'lost', reason: text };
  }
}

/** Everything that makes a server close in the middle of the TLS handshake. */
function whyNoTls(means: Means): string {
  const reasons = [
    'it does not speak TLS on this port',
    ...certificateReasons(means),
    'it shares no version of TLS from 1.2 on with us',
  ];
  return `closed during the TLS handshake: ${reasons.join(', or ')}`;
}

function missing(phase: ConnectionPhase): string {
  switch (phase) {
    case 'idle':
    case 'dialling':
      return 'no connection';
    case 'securing':
      return 'no TLS handshake';
    case 'authenticating':
      return 'no answer to SASL';
    default:
      return 'no session';
  }
}

/** Everything that makes a server close instead of answering a session request. */
function whyNoSession(means: Means): string {
  const { credentials, lastZxid } = means;
  const reasons = [
    'it has no quorum or is read-only',
    ...(lastZxid > 0n ? [`it is behind what was seen (0x${lastZxid.toString(16)})`] : []),
    'it has too many connections from here',
    ...(credentials.tls === undefined ? ['it expects TLS'] : certificateReasons(means)),
  ];
  return `closed instead of granting a session: ${reasons.join(', or ')}`;
}

function certificateReasons({ credentials: { tls } }: Means): string[] {
  return tls?.hasCertificate === true
    ? ['it does not accept our client certificate']
    : ['it wants a client certificate'];
}

/** Why a TLS connection did not come about, in words for an operator. */
function explainTlsFailure(error: Error, tls: TlsSettings, socket: Socket | undefined): string {
  const code = codeOf(error);
  const isRejected = socket instanceof TLSSocket && isGiven(socket.authorizationError);
  if (isRejected || code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    // Node adds advice about its own command line.
    const [reason] = oneLine(error.message).split('; if the root CA');
    return `its certificate is rejected: ${reason}`;
  }
  if (aboutOurCertificate.test(code)) {
    return tls.hasCertificate
      ? `it does not accept our client certificate (${reasonOf(error)})`
      : `it wants a client certificate (${reasonOf(error)})`;
  }
  if (code.endsWith('ALERT_HANDSHAKE_FAILURE') && !tls.hasCertificate) {
    return `it wants a client certificate, or shares no cipher with us (${reasonOf(error)})`;
  }
  if (notTls.test(code)) return `it does not speak TLS on this port (${reasonOf(error)})`;
  return code.startsWith('ERR_SSL_') ? `TLS: ${reasonOf(error)}` : oneLine(error.message);
}

const aboutOurCertificate =
  /^ERR_SSL_.*(ALERT_BAD_CERTIFICATE|CERTIFICATE_REQUIRED|CERTIFICATE_UNKNOWN|UNKNOWN_CA|CERTIFICATE_EXPIRED|CERTIFICATE_REVOKED|UNSUPPORTED_CERTIFICATE|ACCESS_DENIED|DECRYPT_ERROR)$/;
const notTls =
  /^ERR_SSL_(WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|UNEXPECTED_MESSAGE|BAD_RECORD_TYPE|HTTP_REQUEST)$/;

function codeOf(error: Error): string {
  return 'code' in error && typeof error.code === 'string' ? error.code : '';
}

/** OpenSSL's own words are in `reason`; its messages are full of file names. */
function reasonOf(error: Error): string {
  return 'reason' in error && typeof error.reason === 'string'
    ? oneLine(error.reason)
    : oneLine(error.message);
}

function isGiven(value: unknown): boolean {
  return value !== null && value !== undefined;
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, ' ').trim();
}
