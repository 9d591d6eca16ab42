/** Environment variables by name. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** The proxies that an environment names. */
export interface Proxies {
  /** For URLs of http and of https; undefined = straight. May hold credentials. */
  readonly http: string | undefined;
  readonly https: string | undefined;
  /** Hosts that are reached without one, as `NO_PROXY` has them. */
  readonly except: string;
  /** What is wrong with them, so that nothing can be sent; shows no secret. */
  readonly problem: string | undefined;
}

const protocols: ReadonlySet<string> = new Set(['http:', 'https:']);

/**
 * `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`, of which the spelling in small letters goes first. A proxy without a
 * scheme is one of http. Each is for its own sort of URL only, and an empty one is none, as with curl.
 */
export function proxiesOf(environment: Environment): Proxies {
  const problems: string[] = [];
  const proxy = (name: string): string | undefined => {
    const text = valueOf(environment, name);
    if (text === '') return undefined;
    const url = parseProxy(text);
    if (url === undefined)
      problems.push(`${name}: expected the URL of a proxy, http:// or https://`);
    return url;
  };
  const http = proxy('HTTP_PROXY');
  const https = proxy('HTTPS_PROXY');
  const problem = problems.length === 0 ? undefined : problems.join('; ');
  return { http, https, except: valueOf(environment, 'NO_PROXY'), problem };
}

function valueOf(environment: Environment, name: string): string {
  return (environment[name.toLowerCase()] ?? environment[name] ?? '').trim();
}

function parseProxy(text: string): string | undefined {
  const url = URL.parse(/^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`);
  if (url === null || !protocols.has(url.protocol) || url.hostname === '') return undefined;
  try {
    decodeURIComponent(url.username);
    decodeURIComponent(url.password);
  } catch {
    // A stray % in the password: the caller says so without showing it.
    return undefined;
  }
  return url.href;
}
