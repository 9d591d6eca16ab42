/** Where a redirect leads that may be followed. */
export interface RedirectTarget {
  /** The base URL of the server that is to answer, without credentials, with a final slash. */
  readonly base: string;
  /** The URL to ask, query included. */
  readonly url: string;
}

/** What was asked, and of whom. */
export interface Asked {
  /** The URL that answered with the redirect. */
  readonly url: string;
  /** Below the base URL, percent-encoded, without a query: `apps/delta` */
  readonly path: string;
  /** With its question mark, or empty. */
  readonly query: string;
}

const statuses: ReadonlySet<number> = new Set([301, 302, 307, 308]);

/**
 * Where a redirect leads, if it is one of an Eureka server: to the same path below another base. Undefined for every
 * other: a login page, a change from TLS to plain text, an URL with credentials or with a query that we did not ask.
 */
export function redirectTarget(
  status: number,
  location: string,
  asked: Asked,
): RedirectTarget | undefined {
  if (!statuses.has(status) || location === '') return undefined;
  const url = URL.parse(location, asked.url);
  if (url === null || !isPlainTarget(url, asked)) return undefined;
  const given = url.pathname.replace(/\/$/, '').split('/');
  const wanted = asked.path.split('/');
  const isSamePath = wanted.every(
    (segment, index) => decoded(given.at(index - wanted.length)) === decoded(segment),
  );
  if (given.length <= wanted.length || !isSamePath) return undefined;
  const base = `${url.protocol}//${url.host}${given.slice(0, -wanted.length).join('/')}/`;
  return { base, url: `${base}${asked.path}${asked.query}` };
}

function isPlainTarget(url: URL, { url: from, query }: Asked): boolean {
  const isHttp = url.protocol === 'https:' || url.protocol === 'http:';
  const isDowngrade = url.protocol === 'http:' && from.startsWith('https:');
  const hasCredentials = url.username !== '' || url.password !== '';
  const isQueryOurs = url.search === '' || url.search === query;
  return isHttp && !isDowngrade && !hasCredentials && isQueryOurs;
}

/** Servers differ in what they percent-encode. Undefined for what is encoded wrongly: nothing that we ask. */
function decoded(segment: string | undefined): string | undefined {
  if (segment === undefined) return undefined;
  try {
    return decodeURIComponent(segment);
  } catch {
    // A stray % of the other side: the redirect is not followed.
    return undefined;
  }
}
