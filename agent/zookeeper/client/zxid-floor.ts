/**
 * The highest transaction that any server has shown us. A server that is behind it must not be
 * believed: reading from it would undo what is known. It refuses by itself (the floor stands
 * in our session request) or is refused by us.
 *
 * An ensemble that was restored from an old backup, or emptied, is behind for good. So the floor gives
 * way when for a long time every server that was reached has refused.
 */
export class ZxidFloor {
  private readonly toleranceMs: number;
  private floor = 0n;
  private refusedSince: number | undefined;

  /** @param toleranceMs how long nothing but refusals is taken for lagging servers */
  constructor(toleranceMs: number) {
    this.toleranceMs = toleranceMs;
  }

  get value(): bigint {
    return this.floor;
  }

  /** A server was followed up to this transaction. */
  seen(zxid: bigint): void {
    this.refusedSince = undefined;
    if (zxid > this.floor) this.floor = zxid;
  }

  /** A server has refused, or was refused. Returns true if the floor has given way. */
  refused(now: number): boolean {
    if (this.floor === 0n) return false;
    this.refusedSince ??= now;
    if (now - this.refusedSince < this.toleranceMs) return false;
    this.floor = 0n;
    this.refusedSince = undefined;
    return true;
  }
}
