/**
 * How many leaves of the interface-level registry an application has at an address. A provider that registers in
 * both models needs no inference; but its leaves and its registration come and go one after the other, so a change
 * counts only once it has lasted. Times are `performance.now()` milliseconds.
 */
export class LeafCounts {
  private readonly graceMs: number;
  private readonly counts = new Map<string, Map<string, LeafCount>>();
  /** Counts that have fallen to zero, to be forgotten once that has lasted. */
  private empty: { readonly application: string; readonly address: string }[] = [];
  private settledAt = -Infinity;

  /** @param graceMs how long a change must have lasted */
  constructor(graceMs: number) {
    this.graceMs = graceMs;
  }

  /** One more. Whether it is the first. */
  seen(application: string, address: string, now: number): boolean {
    let addresses = this.counts.get(application);
    if (addresses === undefined) {
      addresses = new Map<string, LeafCount>();
      this.counts.set(application, addresses);
    }
    const known = addresses.get(address);
    if (known === undefined) {
      addresses.set(address, { count: 1, changedAt: now });
      return true;
    }
    known.count += 1;
    if (known.count > 1) return false;
    known.changedAt = now;
    return true;
  }

  /** One less. Whether it was the last. */
  gone(application: string, address: string, now: number): boolean {
    const known = this.counts.get(application)?.get(address);
    if (known === undefined || known.count === 0) return false;
    known.count -= 1;
    if (known.count > 0) return false;
    known.changedAt = now;
    this.empty.push({ application, address });
    return true;
  }

  /** Everything is known as it is now: no change until now is waited for. */
  settle(now: number): void {
    this.settledAt = now;
  }

  /** Whether there are any at this moment. */
  hasAny(application: string, address: string): boolean {
    return (this.counts.get(application)?.get(address)?.count ?? 0) > 0;
  }

  /**
   * Whether it has leaves, or undefined while that cannot be said.
   * @param since when it was first asked for: none can be missed before
   */
  has(application: string, address: string, since: number, now: number): boolean | undefined {
    const known = this.counts.get(application)?.get(address);
    const changedAt = known === undefined ? since : Math.max(known.changedAt, since);
    const isSure = changedAt <= this.settledAt || now - changedAt >= this.graceMs;
    return isSure ? (known?.count ?? 0) > 0 : undefined;
  }

  /** Forgets what has been zero for so long that it says nothing. */
  prune(now: number): void {
    if (this.empty.length === 0) return;
    this.empty = this.empty.filter(({ application, address }) => {
      const addresses = this.counts.get(application);
      const known = addresses?.get(address);
      if (addresses === undefined || known === undefined || known.count > 0) return false;
      if (now - known.changedAt < this.graceMs) return true;
      addresses.delete(address);
      if (addresses.size === 0) this.counts.delete(application);
      return false;
    });
  }
}

interface LeafCount {
  count: number;
  changedAt: number;
}
