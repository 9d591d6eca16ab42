import { encodeApplications } from './encode.ts';
import type { Codec, Listing } from './encode.ts';
import { censusOf } from './model.ts';
import type { Lease } from './model.ts';
import type { CacheKey } from './response-cache.ts';
import { hasVip, vipOf } from './vip.ts';

/** What a body is made of. */
interface BodyContent {
  readonly codec: Codec;
  readonly everybody: readonly Lease[];
  /** One row for each instance that changed lately, in its present state. */
  readonly recent: readonly Lease[];
  /** The number of this build of a delta, counted over all of them. */
  readonly nextDeltaBuild: () => number;
}

/** The text of a list; undefined when there is no such application. A VIP address that nobody has is an empty list. */
export function buildBody(key: CacheKey, content: BodyContent): string | undefined {
  const { codec, everybody } = content;
  const hashcode = censusOf(everybody);
  if (key.entity === 'delta') {
    const version = content.nextDeltaBuild();
    return encodeApplications({ apps: groupOf(content.recent), version, hashcode }, key, codec);
  }
  const vip = vipOf(key.entity);
  if (vip !== undefined) {
    const leases = everybody.filter((lease) => hasVip(lease, vip));
    const listing = { apps: groupOf(leases), version: -1, hashcode: censusOf(leases) };
    return encodeApplications(listing, key, codec);
  }
  const apps = groupOf(everybody);
  const listed = key.entity === 'full' ? apps : apps.filter(({ name }) => name === key.entity);
  if (key.entity !== 'full' && listed.length === 0) return undefined;
  return encodeApplications({ apps: listed, version: 1, hashcode }, key, codec);
}

function groupOf(leases: Iterable<Lease>): Listing['apps'] {
  const apps = new Map<string, Lease[]>();
  for (const lease of leases) {
    const list = apps.get(lease.registration.app) ?? [];
    list.push(lease);
    apps.set(lease.registration.app, list);
  }
  return [...apps].map(([name, list]) => ({ name, leases: list }));
}
