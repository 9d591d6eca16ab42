import type { HostPort } from '../../common/address.ts';
import type { RegistryId } from '../../common/registry.ts';
import type { EurekaStatus } from './record.ts';

/** How one Eureka cluster is read. */
export interface EurekaOptions {
  readonly registry: RegistryId;
  /**
   * The servers of the cluster in the order of preference, credentials as userinfo. `txt+http://...` and
   * `txt+https://...` name a DNS TXT record that lists them.
   */
  readonly serviceUrls: readonly string[];
  /** The zone whose servers are preferred, of those that a TXT record lists; empty = none. */
  readonly zone: string;
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
  /** Asks for the short form of records, which has no metadata, no lease times and no overrides. */
  readonly isCompact: boolean;
  /** Remote regions that the servers are asked to add to their own. */
  readonly regions: readonly string[];
  readonly access: EurekaAccess;
  readonly conversion: ConversionOptions;
  /** Undefined: no server pushes to us. */
  readonly push: PushOptions | undefined;
}

/** What of a record goes on into the mesh, and how. */
export interface ConversionOptions {
  /** The metadata keys that become labels. Keys that name a secret never do, even when listed. */
  readonly labelKeys: readonly string[];
  /** Zone -> region, for zones whose name does not show it. */
  readonly zones: Readonly<Record<string, string>>;
  /** The statuses that take traffic. */
  readonly upStatuses: readonly EurekaStatus[];
  readonly ports: PortPolicy;
  /** Whether VIP addresses become further names of the service. */
  readonly hasVipAliases: boolean;
}

/**
 * Which of an instance's enabled ports are used: `both`, the secure one where there is one
 * (`prefer-secure`), or only one sort of them.
 */
export type PortPolicy = (typeof portPolicies)[number];
export const portPolicies = ['both', 'prefer-secure', 'plain', 'secure'] as const;

/** How the agent proves who it is to Eureka servers, and checks who they are. Files may be replaced while we run. */
export interface EurekaAccess {
  /** PEM of the authorities that sign the servers' certificates; the system's when absent. */
  readonly caFile: string | undefined;
  /** PEM of the client certificate and its key: both or none. */
  readonly certFile: string | undefined;
  readonly keyFile: string | undefined;
  /** The name that the servers' certificates must have; default: the host of the URL. */
  readonly serverName: string | undefined;
  /** Holds `user:password`; goes before the userinfo of the URLs. */
  readonly userFile: string | undefined;
  /** Holds a bearer token; goes before everything else. */
  readonly tokenFile: string | undefined;
}

/** The listener that Eureka servers replicate to. */
export interface PushOptions {
  readonly listen: HostPort;
  /** Holds the `user:password` that servers must show; anyone may push when absent. */
  readonly userFile: string | undefined;
  /** PEM of the listener's certificate and key: both or none (plain HTTP). */
  readonly certFile: string | undefined;
  readonly keyFile: string | undefined;
  /** PEM of the authorities of the certificates that servers must show; none is asked for when absent. */
  readonly clientCaFile: string | undefined;
}

/** Nothing but what the URLs say. */
export const plainAccess: EurekaAccess = {
  caFile: undefined,
  certFile: undefined,
  keyFile: undefined,
  serverName: undefined,
  userFile: undefined,
  tokenFile: undefined,
};

/** Everything that need not be said. The hold covers the five minutes for which a fresh server may warm up. */
export const defaultEurekaOptions: Omit<EurekaOptions, 'registry' | 'serviceUrls'> = {
  zone: '',
  pollIntervalMs: 5_000,
  fullIntervalMs: 450_000,
  requestTimeoutMs: 8_000,
  bodyLimitBytes: 268_435_456,
  emptyHoldMs: 360_000,
  isCompact: false,
  regions: [],
  access: plainAccess,
  conversion: {
    labelKeys: ['version', 'group', 'cluster', 'profile'],
    zones: {},
    upStatuses: ['UP'],
    ports: 'both',
    hasVipAliases: true,
  },
  push: undefined,
};
