/** The effective status of an instance as Eureka knows it; whatever else is written is `UNKNOWN`. */
export type EurekaStatus = 'UP' | 'DOWN' | 'STARTING' | 'OUT_OF_SERVICE' | 'UNKNOWN';

/** What a delta says of an instance. Full reads carry it too, where it means nothing. */
export type EurekaAction = 'ADDED' | 'MODIFIED' | 'DELETED';

export interface EurekaPort {
  readonly number: number;
  readonly enabled: boolean;
}

/**
 * One instance as a server wrote it, whatever the codec: texts trimmed of nothing, numbers as
 * numbers, absent texts empty, absent times 0 (milliseconds since 1970 on the server's clock).
 */
export interface EurekaRecord {
  /** Upper case. */
  readonly app: string;
  /** Unique within the application only. */
  readonly id: string;
  readonly hostName: string;
  readonly ipAddr: string;
  /** Overrides are already applied by the server. */
  readonly status: EurekaStatus;
  readonly action: EurekaAction | undefined;
  readonly port: EurekaPort | undefined;
  readonly securePort: EurekaPort | undefined;
  /** Names under which clients look it up, separated by commas. */
  readonly vipAddress: string;
  readonly secureVipAddress: string;
  readonly metadata: ReadonlyMap<string, string>;
  /** Metadata of the data centre (Amazon); empty elsewhere. */
  readonly dataCenter: ReadonlyMap<string, string>;
  readonly registeredAt: number;
  /** When the lease ends: servers count the duration twice, and so do we. */
  readonly leaseEndsAt: number;
  readonly updatedAt: number;
  readonly dirtyAt: number;
}

/** Why a record could not be understood: a closed set, fit for a metric label. */
export type DropReason = 'malformed' | 'too-large' | 'no-app' | 'no-id' | 'no-address';

/**
 * What is known of a record that could not be understood. Its status still counts in the
 * server's census, so it must count in ours.
 */
export interface BadRecord {
  readonly reason: DropReason;
  readonly app: string;
  /** Empty when it has none. */
  readonly id: string;
  readonly status: EurekaStatus;
  readonly action: EurekaAction | undefined;
}

/** One record of a body. */
export type DecodedRecord =
  | { readonly kind: 'record'; readonly record: EurekaRecord }
  | { readonly kind: 'bad'; readonly bad: BadRecord };

/** `APP/id`: unique in a registry, since ids are unique only within an application. */
export function instanceKey(app: string, id: string): string {
  return `${app.toUpperCase().replaceAll('/', '%2F')}/${id}`;
}

/** The parts of what `instanceKey` made; undefined for another text. */
export function parseInstanceKey(
  key: string,
): { readonly app: string; readonly id: string } | undefined {
  const slash = key.indexOf('/');
  if (slash < 1 || slash === key.length - 1) return undefined;
  return { app: key.slice(0, slash).replaceAll('%2F', '/'), id: key.slice(slash + 1) };
}
