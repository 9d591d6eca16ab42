import { instanceKey } from '../record.ts';

/**
 * What a request to the push listener is. Servers put any base path in front (`/eureka/`, `/eureka/v2/`, a context
 * path), so a request is known by the end of its path. Pure.
 *
 * - `batch`: what servers really send.
 * - `register`, `heartbeat`, `cancel`, `status`, `status-withdrawn`: one call of an application, passed on.
 * - `ignored`: a replicated call that is of no use to us, answered with 200.
 * - `not-a-registry`: everything that is asked of a registry rather than told to a peer. It must be answered with 503:
 *   a server whose peer list begins with us then goes on to the next peer.
 */
export type PushRoute =
  | { readonly kind: 'batch' }
  | { readonly kind: 'register'; readonly app: string }
  | {
      readonly kind: 'heartbeat' | 'cancel' | 'status' | 'status-withdrawn';
      readonly key: string;
      readonly query: URLSearchParams;
    }
  | { readonly kind: 'ignored' | 'not-a-registry' | 'unknown' };

const resources: ReadonlySet<string> = new Set(['apps', 'asg', 'instances', 'vips', 'svips']);
/** `apps/{APP}/{id}/status` */
const partsMax = 4;
const replicationHeader = 'x-netflix-discovery-replication';

export function routeOf(
  method: string,
  target: string,
  headers: Readonly<Record<string, string | string[] | undefined>>,
): PushRoute {
  if (!target.startsWith('/') || !URL.canParse(`http://push${target}`)) return { kind: 'unknown' };
  const url = new URL(`http://push${target}`);
  const parts = url.pathname.split('/').filter((part) => part !== '');
  const [last = '', beforeLast = ''] = parts.toReversed();
  if (beforeLast === 'peerreplication' && last === 'batch') {
    return { kind: method === 'POST' ? 'batch' : 'not-a-registry' };
  }
  // An application may be called `apps`, so the first name counts behind which there is no more than a call has.
  const at = parts.findIndex((part, i) => resources.has(part) && parts.length - i <= partsMax);
  if (at === -1) return { kind: last === 'status' ? 'not-a-registry' : 'unknown' };
  const isReplicated = headers[replicationHeader] === 'true';
  if (!isReplicated || method === 'GET' || method === 'HEAD') return { kind: 'not-a-registry' };
  if (parts[at] !== 'apps') return { kind: 'ignored' };
  return replicatedCall(method, parts.slice(at + 1), url.searchParams);
}

function replicatedCall(
  method: string,
  parts: readonly string[],
  query: URLSearchParams,
): PushRoute {
  const [app, id, rest, ...more] = parts.map(decode);
  if (app === undefined || app === '' || more.length > 0) return { kind: 'unknown' };
  if (id === undefined) return method === 'POST' ? { kind: 'register', app } : { kind: 'unknown' };
  const key = instanceKey(app, id);
  if (rest === undefined) {
    if (method === 'PUT') return { kind: 'heartbeat', key, query };
    return method === 'DELETE' ? { kind: 'cancel', key, query } : { kind: 'unknown' };
  }
  if (rest !== 'status') return { kind: 'ignored' };
  if (method === 'PUT') return { kind: 'status', key, query };
  return method === 'DELETE' ? { kind: 'status-withdrawn', key, query } : { kind: 'unknown' };
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return ''; // no id of a server is encoded so
  }
}
