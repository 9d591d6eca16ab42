import { isIP } from 'node:net';
import { ConfigurationError } from '../../common/errors.ts';

/** One Eureka server as the operator named it, its credentials kept apart. */
export interface ServiceUrl {
  /** Ends with a slash and carries no credentials: fit for logs and labels. */
  readonly url: string;
  /** The value of the `Authorization` header. Never logged. */
  readonly authorization: string | undefined;
}

/** What the operator named: a server, or a DNS TXT record that lists servers. */
export type ServiceEntry =
  | { readonly kind: 'server'; readonly server: ServiceUrl }
  | {
      readonly kind: 'txt';
      /** The name of the TXT record. */
      readonly name: string;
      /** The URL of each server but for its host, for which this one has the name of the record. */
      readonly template: ServiceUrl;
    };

const txtPrefix = /^txt\+/i;

/**
 * Reads what stands in a list of service URLs: a service URL, or `txt+` and one whose host is the name of a
 * TXT record, such as `txt+http://txt.eu.example.com:8761/eureka/`. Throws as `parseServiceUrl` does.
 */
export function parseServiceEntry(text: string): ServiceEntry {
  if (!txtPrefix.test(text)) return { kind: 'server', server: parseServiceUrl(text) };
  const template = parseServiceUrl(text.replace(txtPrefix, ''));
  const { hostname, host } = new URL(template.url);
  if (isIP(hostname.replaceAll(/[[\]]/g, '')) !== 0) {
    throw problemAt(host, 'expected the name of a DNS TXT record after txt+, not an address');
  }
  return { kind: 'txt', name: hostname, template };
}

/**
 * Reads a service URL such as `http://user:password@host:8761/eureka/`. It is taken as it stands but for a
 * missing final slash: what Eureka's path is depends on the server (`/eureka/`, `/eureka/v2/`, a
 * context path before them). Throws ConfigurationError, whose text shows nothing of the URL that could be a secret.
 */
export function parseServiceUrl(text: string): ServiceUrl {
  const url = URL.parse(text);
  if (url === null) throw new ConfigurationError(['eureka service URL: not a URL']);
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw problemAt(url.host, 'expected http:// or https://');
  }
  if (url.search !== '' || url.hash !== '') throw problemAt(url.host, 'expected neither ? nor #');
  const path = url.pathname.endsWith('/') ? url.pathname : `${url.pathname}/`;
  const credentials = decode(url);
  if (credentials === undefined) {
    throw problemAt(url.host, 'the credentials are not percent-encoded');
  }
  return {
    url: `${url.protocol}//${url.host}${path}`,
    authorization: credentials === ':' ? undefined : basicAuthorization(credentials),
  };
}

/** The same URL at another host; undefined for a text that is no host. */
export function withHost(template: ServiceUrl, host: string): ServiceUrl | undefined {
  const { protocol, port, pathname } = new URL(template.url);
  const shown = isIP(host) === 6 ? `[${host}]` : host;
  const url = URL.parse(`${protocol}//${shown}${port === '' ? '' : `:${port}`}${pathname}`);
  return url === null ? undefined : { url: url.href, authorization: template.authorization };
}

/** @param credentials `user:password` */
export function basicAuthorization(credentials: string): string {
  return `Basic ${Buffer.from(credentials).toString('base64')}`;
}

function problemAt(host: string, what: string): ConfigurationError {
  return new ConfigurationError([`eureka service URL at ${host}: ${what}`]);
}

function decode(url: URL): string | undefined {
  try {
    return `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
  } catch {
    // A stray % in the password: the caller says so without showing it.
    return undefined;
  }
}
