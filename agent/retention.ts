/**
 * Empty services: when the last instance of a service has left, its record stays for a while with status GONE,
 * so that the service stays known and routes do not flap when its only instance restarts. This
 * file keeps which record that is, and until when; it changes nothing itself.
 */
export class Retention {
  private readonly emptyServiceMs: number;
  private readonly kept = new Map<string, { readonly id: string; readonly dueAt: number }>();

  /** @param emptyServiceMs how long an empty service stays, milliseconds; 0 = not at all */
  constructor(emptyServiceMs: number) {
    this.emptyServiceMs = emptyServiceMs;
  }

  /** The number of empty services. */
  get size(): number {
    return this.kept.size;
  }

  /** Whether the service that has just lost its last instance, this one, is to be kept with it. */
  keep(service: string, id: string, now: number): boolean {
    if (this.emptyServiceMs <= 0) return false;
    this.kept.set(service, { id, dueAt: now + this.emptyServiceMs });
    return true;
  }

  /** The service has an instance again. Returns the id of the record that stood for it, if any. */
  revive(service: string): string | undefined {
    const kept = this.kept.get(service);
    this.kept.delete(service);
    return kept?.id;
  }

  /** The ids of the records whose time is over; they are forgotten here. */
  takeDue(now: number): readonly string[] {
    const due: string[] = [];
    for (const [service, { id, dueAt }] of this.kept) {
      if (dueAt > now) break;
      due.push(id);
      this.kept.delete(service);
    }
    return due;
  }
}
