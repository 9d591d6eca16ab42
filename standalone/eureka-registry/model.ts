/** What the embedded registry knows of an instance, in Eureka's own words. */
export type InstanceStatus = 'UP' | 'DOWN' | 'STARTING' | 'OUT_OF_SERVICE' | 'UNKNOWN';

type ActionType = 'ADDED' | 'MODIFIED' | 'DELETED';

export interface RegisteredPort {
  readonly number: number;
  readonly enabled: boolean;
}

export interface DataCenterInfo {
  readonly className: string;
  readonly name: string;
  readonly metadata: Readonly<Record<string, string>>;
}

/** A registration as an application sent it, defaults filled in. */
export interface Registration {
  /** Undefined when the application sent none: then the host name or Amazon's id stands in. */
  readonly instanceId: string | undefined;
  readonly hostName: string;
  /** Upper case. */
  readonly app: string;
  readonly ipAddr: string;
  readonly status: InstanceStatus;
  readonly overriddenStatus: InstanceStatus;
  readonly port: RegisteredPort;
  readonly securePort: RegisteredPort;
  readonly countryId: number;
  readonly dataCenterInfo: DataCenterInfo;
  readonly renewalIntervalSecs: number;
  readonly durationSecs: number;
  readonly metadata: Readonly<Record<string, string>>;
  /** homePageUrl, vipAddress, asgName and the like: text members that are passed on as they are. */
  readonly texts: Readonly<Record<string, string>>;
  readonly lastDirtyTimestamp: number;
}

/** A lease: a registration with its life. Mutable, since Eureka's delta queue refers to leases. */
export interface Lease {
  registration: Registration;
  readonly id: string;
  status: InstanceStatus;
  overriddenStatus: InstanceStatus;
  actionType: ActionType;
  lastUpdatedTimestamp: number;
  readonly registrationTimestamp: number;
  serviceUpTimestamp: number;
  evictionTimestamp: number;
  /** As Eureka keeps it: the time of the last renewal plus the duration. */
  lastRenewalTimestamp: number;
}

/** A registration that cannot be accepted: answered with 400 and this text. */
export class BadRegistration extends Error {
  override readonly name = 'BadRegistration';
}

export function isStatus(text: string): text is InstanceStatus {
  return ['UP', 'DOWN', 'STARTING', 'OUT_OF_SERVICE', 'UNKNOWN'].includes(text);
}

/** `NAME_count_` for every status that occurs, names in alphabetical order. */
export function censusOf(leases: Iterable<Lease>): string {
  const counts = new Map<string, number>();
  for (const { status } of leases) counts.set(status, (counts.get(status) ?? 0) + 1);
  return [...counts]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([status, number]) => `${status}_${number}_`)
    .join('');
}

/** Sets both statuses of a lease. Eureka has one status where we have two places: what was registered last, and what holds. */
export function noteStatus(
  lease: Lease,
  status: InstanceStatus,
  overriddenStatus: InstanceStatus,
  dirtyAt = 0,
): void {
  const { registration } = lease;
  const lastDirtyTimestamp = Math.max(registration.lastDirtyTimestamp, dirtyAt);
  lease.status = status;
  lease.overriddenStatus = overriddenStatus;
  lease.registration = { ...registration, status, overriddenStatus, lastDirtyTimestamp };
}
