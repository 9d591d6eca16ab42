import type { RegistryId } from '../../common/registry.ts';

/** How one Eureka cluster is read. */
export interface EurekaOptions {
  readonly registry: RegistryId;
  /** The servers of the cluster in the order of preference, credentials as userinfo. */
  readonly serviceUrls: readonly string[];
  /** From the start of one poll to the start of the next, milliseconds. */
  readonly pollIntervalMs: number;
  /** Mean time between full reads, milliseconds; the real one is 2/3 to 4/3 of it. */
  readonly fullIntervalMs: number;
  /** From the start of a request to the last byte of its body, milliseconds. */
  readonly requestTimeoutMs: number;
  /** Of one body, on the wire and again inflated. */
  readonly bodyLimitBytes: number;
  /** How long an empty registry is doubted when it is the first thing that is read, milliseconds. */
  readonly emptyHoldMs: number;
  /** The metadata keys that become labels. Keys that name a secret never do. */
  readonly labelKeys: readonly string[];
  /** Zone -> region, for zones whose name does not show it. */
  readonly zones: Readonly<Record<string, string>>;
}

/** Everything that need not be said. The hold covers the five minutes for which a fresh server may warm up. */
export const defaultEurekaOptions: Omit<EurekaOptions, 'registry' | 'serviceUrls'> = {
  pollIntervalMs: 5_000,
  fullIntervalMs: 450_000,
  requestTimeoutMs: 8_000,
  bodyLimitBytes: 268_435_456,
  emptyHoldMs: 360_000,
  labelKeys: ['version', 'group', 'cluster', 'profile'],
  zones: {},
};
