import type { RawBody } from './body.ts';

/**
 * What a GET came to, by meaning. Only `ok` says anything about the registry:
 *
 * - `empty-body`: the server could not encode its answer; never an empty registry.
 * - `forbidden`: deltas are switched off, the server is still warming up, or access is denied.
 * - `not-found`: a wrong base path, or (for one instance) no such instance.
 * - `redirect`: a proxy's login page, another path, or another server than the one that serves the list.
 * - `unavailable`: 503 (overload), 429 (rate limit), 307 without Location (a server that is not UP yet), any 5xx.
 */
export type FetchResult =
  | {
      readonly kind: 'ok';
      readonly body: RawBody;
      /** `performance.now()` when the last byte was there. */
      readonly receivedAt: number;
      /** The server's wall clock by its `Date` header, else ours: milliseconds since 1970. */
      readonly serverTime: number;
      /** The base URL that answered: another one than was asked, if that redirected us. */
      readonly servedBy: string;
    }
  | {
      readonly kind: 'refused';
      readonly refusal: Refusal;
      readonly status: number;
      /** What else the operator should know: fit for a log. */
      readonly note?: string;
    }
  | { readonly kind: 'failed'; readonly failure: Failure; readonly detail: string };

/** The server answered, but not with what was asked for. */
type Refusal =
  | 'empty-body'
  | 'redirect'
  | 'unauthorized'
  | 'forbidden'
  | 'not-found'
  | 'not-acceptable'
  | 'unavailable'
  | 'unexpected';

/**
 * No whole answer came. `not-listening`: the connection was refused, so the process is not there.
 * `access`: nothing was sent, since the files that prove who we are cannot be used.
 */
type Failure = 'timeout' | 'not-listening' | 'unreachable' | 'too-large' | 'encoding' | 'access';

/** The meaning of a status other than 200. `location`: the header, empty when there is none. */
export function refusalOf(status: number, location: string): Refusal {
  if (status === 307 && location === '') return 'unavailable';
  if (status >= 300 && status < 400) return 'redirect';
  if (status === 204) return 'empty-body';
  if (status === 401 || status === 407) return 'unauthorized';
  if (status === 403) return 'forbidden';
  if (status === 404) return 'not-found';
  if (status === 406) return 'not-acceptable';
  return status >= 500 || status === 429 ? 'unavailable' : 'unexpected';
}

/** What to tell the operator of an answer that was not `ok`. Shows no secret. */
export function describeResult(result: Exclude<FetchResult, { kind: 'ok' }>): string {
  if (result.kind === 'failed') return result.detail || result.failure;
  const text = describeRefusal(result.refusal, result.status);
  return result.note === undefined ? text : `${text} (${result.note})`;
}

function describeRefusal(refusal: Refusal, status: number): string {
  switch (refusal) {
    case 'empty-body':
      return `${status} with an empty body (the server could not encode its answer)`;
    case 'redirect':
      return `${status}, a redirect (not followed)`;
    case 'unauthorized':
      return `${status}, credentials missing or refused`;
    case 'forbidden':
      return `${status}, warming up, switched off or denied`;
    case 'not-found':
      return `${status}, no such path on this server`;
    case 'not-acceptable':
    case 'unavailable':
    case 'unexpected':
      return `${status}`;
  }
}
