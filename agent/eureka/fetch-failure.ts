import { messageOf } from '../../common/errors.ts';
import { redactUserinfo } from '../../common/redact.ts';
import type { FetchResult } from './fetch-result.ts';

type Bad = Exclude<FetchResult, { kind: 'ok' }>;

/**
 * What an error of the transport means. A connection that the proxy refused says nothing about the server behind it,
 * and what the proxy answers itself is never the server's word: a refusal by it is no `not-found`.
 *
 * @param proxyPort the port of the proxy that stands between, if one does
 */
export function toFailure(error: unknown, proxyPort: number | undefined): Bad {
  const status = statusOfProxy(error);
  if (status === 407) return { kind: 'refused', refusal: 'unauthorized', status, note: 'proxy' };
  if (status !== undefined) {
    const refusal = status >= 500 ? 'unavailable' : 'unexpected';
    return { kind: 'refused', refusal, status, note: 'the proxy makes no tunnel' };
  }
  const detail = redactUserinfo(messageOf(error));
  const facts = factsOf(error);
  const refused = facts.filter(({ code }) => code === 'ECONNREFUSED');
  if (refused.some(({ port }) => proxyPort === undefined || port !== proxyPort)) {
    return { kind: 'failed', failure: 'not-listening', detail };
  }
  const isLate = facts.some(({ code }) => code.endsWith('TIMEOUT') || code === 'ETIMEDOUT');
  return { kind: 'failed', failure: isLate ? 'timeout' : 'unreachable', detail };
}

/**
 * Whether the connection broke before an answer came: a server may close a kept-alive one in the very moment in which
 * we use it, so one more attempt is fair.
 */
export function isBrokenConnection(error: unknown): boolean {
  return factsOf(error).some(({ code }) => brokenCodes.has(code));
}

const brokenCodes: ReadonlySet<string> = new Set(['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE']);

/** The library tells of what a proxy answered by texts only. */
function statusOfProxy(error: unknown): number | undefined {
  const text = messageOf(error);
  if (text.includes('Proxy Authentication Required (407)')) return 407;
  const match = /Proxy response \((\d{3})\) !== 200/.exec(text);
  return match === null ? undefined : Number(match[1]);
}

interface ErrorFact {
  readonly code: string;
  readonly port: unknown;
}

/** The codes of an error, of its causes, and of each address that was tried. */
function factsOf(error: unknown): readonly ErrorFact[] {
  if (!(error instanceof Error)) return [];
  const port = 'port' in error ? error.port : undefined;
  const own = 'code' in error && typeof error.code === 'string' ? [{ code: error.code, port }] : [];
  const tried = error instanceof AggregateError ? error.errors.flatMap(factsOf) : [];
  const hasTried = tried.length > 0;
  return [...(hasTried ? [] : own), ...tried, ...factsOf(error.cause)];
}
