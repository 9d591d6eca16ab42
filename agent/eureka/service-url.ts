import { ConfigurationError } from '../../common/errors.ts';

/** One Eureka server as the operator named it, its credentials kept apart. */
export interface ServiceUrl {
  /** Ends with a slash and carries no credentials: fit for logs and labels. */
  readonly url: string;
  /** The value of the `Authorization` header. Never logged. */
  readonly authorization: string | undefined;
}

/**
 * Reads a service URL such as `http://user:password@host:8761/eureka/`. It is taken as it stands but for a
 * missing final slash: what Eureka's path is depends on the server (`/eureka/`, `/eureka/v2/`, a
 * context path before them). Throws ConfigurationError, whose text shows nothing of the URL that could be a secret.
 */
export function parseServiceUrl(text: string): ServiceUrl {
  const url = URL.parse(text);
  if (url === null) throw new ConfigurationError(['eureka service URL: not a URL']);
  const problem = (what: string): ConfigurationError =>
    new ConfigurationError([`eureka service URL at ${url.host}: ${what}`]);
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw problem('expected http:// or https://');
  }
  if (url.search !== '' || url.hash !== '') throw problem('expected neither ? nor #');
  const path = url.pathname.endsWith('/') ? url.pathname : `${url.pathname}/`;
  const credentials = decode(url);
  if (credentials === undefined) throw problem('the credentials are not percent-encoded');
  return {
    url: `${url.protocol}//${url.host}${path}`,
    authorization:
      credentials === ':' ? undefined : `Basic ${Buffer.from(credentials).toString('base64')}`,
  };
}

function decode(url: URL): string | undefined {
  try {
    return `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
  } catch {
    // A stray % in the password: the caller says so without showing it.
    return undefined;
  }
}
