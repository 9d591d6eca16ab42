import type { Resolution } from './claims.ts';
import type { DubboInstanceRecord } from './record.ts';

/** One application-level registration, and what is known of its services. */
export class Registration {
  readonly path: string;
  record: DubboInstanceRecord;
  /** Undefined when its record names none that could be looked up: then its services are known, there are none. */
  revision: Revision | undefined;
  /** What was last known of its services; of an earlier revision until this one's are known. */
  resolution: Resolution | undefined;
  /** When it has shown its present revision and address. `performance.now()` milliseconds. */
  shownAt: number;
  /** For which record and resolution it was said what cannot be vouched for. */
  toldOf: readonly [DubboInstanceRecord, Resolution] | undefined;

  constructor(path: string, record: DubboInstanceRecord, shownAt: number) {
    this.path = path;
    this.record = record;
    this.shownAt = shownAt;
  }
}

/** One revision of an application: its services never change. */
export class Revision {
  readonly application: string;
  readonly name: string;
  /** Those that show it. */
  readonly registrations = new Set<Registration>();
  /** Its services, exactly. */
  resolution: Resolution | undefined;
  /** Whether the metadata center has been looked at and has nothing usable. */
  isAbsent = false;
  /** Whether it may be there and cannot be read. */
  isHidden = false;

  constructor(application: string, name: string) {
    this.application = application;
    this.name = name;
  }
}

/** Revisions that nobody shows are kept up to so many, and with so many services in all. */
const retiredMax = 20_000;
const retiredServicesMax = 50_000;

/**
 * All revisions that some registration shows, and those that none shows any more and whose services are
 * known: an application that comes back is known at once. The latter are bounded; the longest unused go first.
 */
export class Revisions {
  private readonly shown = new Map<string, Revision>();
  private readonly retired = new Map<string, Revision>();
  private retiredServices = 0;

  /** The revision, shown by this registration from now on. */
  show(registration: Registration, application: string, name: string): Revision {
    const key = keyOf(application, name);
    const revision = this.shown.get(key) ?? this.revive(key) ?? new Revision(application, name);
    this.shown.set(key, revision);
    revision.registrations.add(registration);
    registration.revision = revision;
    return revision;
  }

  /** The registration does not show its revision any more. Returns the revision when nobody does. */
  leave(registration: Registration): Revision | undefined {
    const { revision } = registration;
    registration.revision = undefined;
    if (revision === undefined) return undefined;
    revision.registrations.delete(registration);
    if (revision.registrations.size > 0) return undefined;
    const key = keyOf(revision.application, revision.name);
    this.shown.delete(key);
    if (revision.resolution !== undefined) this.retire(key, revision, revision.resolution);
    return revision;
  }

  private retire(key: string, revision: Revision, { services }: Resolution): void {
    this.retired.set(key, revision);
    this.retiredServices += services.length;
    for (const [oldest, { resolution }] of this.retired) {
      const isWithin =
        this.retired.size <= retiredMax && this.retiredServices <= retiredServicesMax;
      if (isWithin) return;
      this.retired.delete(oldest);
      this.retiredServices -= resolution?.services.length ?? 0;
    }
  }

  private revive(key: string): Revision | undefined {
    const revision = this.retired.get(key);
    if (revision === undefined) return undefined;
    this.retired.delete(key);
    this.retiredServices -= revision.resolution?.services.length ?? 0;
    return revision;
  }
}

function keyOf(application: string, name: string): string {
  return `${application}\n${name}`;
}
