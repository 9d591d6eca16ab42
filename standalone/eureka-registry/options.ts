import type { Codec } from './encode.ts';

/** How the embedded registry behaves; every default is Eureka's own. Times are milliseconds. */
export interface EurekaRegistryOptions {
  /** The clock, milliseconds since 1970. */
  readonly now?: () => number;
  /** How often the read-only response cache follows; 0 switches it off: bodies are always fresh. */
  readonly readOnlyCacheMs?: number;
  /** A cached body is built anew after so long even when nothing was registered. */
  readonly cacheExpiryMs?: number;
  /** How long a change stays in the delta. */
  readonly deltaRetentionMs?: number;
  /** How often old changes are purged from the delta. */
  readonly deltaPurgeMs?: number;
  readonly evictionIntervalMs?: number;
  /** No eviction while too few leases are renewed. Off by default, as in a small site. */
  readonly selfPreservation?: boolean;
  /** `GET apps/delta` is answered with 403. */
  readonly disableDelta?: boolean;
  /** A registry without a word from its peers is closed (403) for so long; 0: open at once. */
  readonly warmUpMs?: number;
  readonly codec?: Codec;
  /**
   * Whose ways a server has where they differ. Netflix: who accepts no gzip is refused with 406. Spring: `status`
   * is a failure in JSON.
   */
  readonly flavour?: 'netflix' | 'spring';
  /** Other regions that this server reads; closed (403) to who asks for one until it is `setRegion`. */
  readonly remoteRegions?: readonly string[];
}

/** Eureka's own. */
export const defaults = {
  now: Date.now,
  readOnlyCacheMs: 30_000,
  cacheExpiryMs: 180_000,
  deltaRetentionMs: 180_000,
  deltaPurgeMs: 30_000,
  evictionIntervalMs: 60_000,
  selfPreservation: false,
  disableDelta: false,
  warmUpMs: 0,
  codec: 'jackson' as Codec,
  flavour: 'netflix',
  remoteRegions: [],
} satisfies Required<EurekaRegistryOptions>;
