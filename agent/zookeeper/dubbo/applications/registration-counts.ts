import type { Registration } from './registration.ts';

/** Whether the services of a registration's present revision are known. */
export type RegistrationState = 'resolved' | 'unresolved' | 'inferred';

/** For so long metadata may be written late; milliseconds. */
const lateMs = 120_000;

/** Counts registrations whose services are not known exactly, and tells of changes once in a turn of the event loop. */
export class RegistrationCounts {
  private readonly tell: (unresolved: number, inferred: number) => void;
  private readonly unresolved = new Set<Registration>();
  private readonly inferred = new Set<Registration>();
  /** Those of which nothing has ever been known although their metadata may be there. */
  private readonly hidden = new Set<Registration>();
  private isTellDue = false;
  private lateUntil = -Infinity;

  /** Whether nothing has ever been known of some of them. */
  get hasUnknown(): boolean {
    for (const { resolution } of this.unresolved) if (resolution === undefined) return true;
    return false;
  }

  /** @param tell told how many there are of each */
  constructor(tell: (unresolved: number, inferred: number) => void) {
    this.tell = tell;
  }

  /** It is too late to wait for all that is unknown: for a while it is said that it is. */
  late(now: number): void {
    this.lateUntil = now + lateMs;
  }

  /** Why something is not known that may be there, for the operator; undefined when it is not so. */
  reasonAt(now: number): string | undefined {
    const [first] = this.hidden;
    if (first !== undefined) {
      return `zookeeper: no permission to read the metadata of ${first.record.application}`;
    }
    const isLate = now < this.lateUntil && this.hasUnknown;
    return isLate ? 'zookeeper: not all metadata have been read yet' : undefined;
  }

  /** The registration is so now; one that is gone is `resolved`. */
  move(registration: Registration, state: RegistrationState): void {
    const { size: unresolved } = this.unresolved;
    const { size: inferred } = this.inferred;
    put(this.unresolved, registration, state === 'unresolved');
    put(this.inferred, registration, state === 'inferred');
    const { resolution, revision } = registration;
    const isHidden = resolution === undefined && revision?.isHidden === true;
    put(this.hidden, registration, isHidden && state === 'unresolved');
    const isSame = this.unresolved.size === unresolved && this.inferred.size === inferred;
    if (isSame || this.isTellDue) return;
    this.isTellDue = true;
    setImmediate(() => {
      this.isTellDue = false;
      this.tell(this.unresolved.size, this.inferred.size);
    });
  }
}

function put<T>(set: Set<T>, item: T, isIn: boolean): void {
  if (isIn) set.add(item);
  else set.delete(item);
}
