/** A rate with a burst. */
export interface Rate {
  readonly perSecond: number;
  /** How many may come at once after quiet, at least 1. */
  readonly burst: number;
}

/** A token bucket. Times are milliseconds of any steady clock. */
export class TokenBucket {
  private readonly rate: Rate;
  private tokens: number;
  private filledAt: number;

  constructor(rate: Rate, now: number) {
    this.rate = rate;
    this.tokens = rate.burst;
    this.filledAt = now;
  }

  /** Takes a token if there is one. */
  take(now: number): boolean {
    this.fill(now);
    if (this.tokens < 1) return false;
    this.tokens--;
    return true;
  }

  /** Milliseconds until there is a token, 0 when there is one. */
  waitMs(now: number): number {
    this.fill(now);
    return this.tokens >= 1 ? 0 : Math.ceil(((1 - this.tokens) * 1000) / this.rate.perSecond);
  }

  /** Whether the bucket is as good as new, so that it need not be remembered. */
  isFull(now: number): boolean {
    this.fill(now);
    return this.tokens >= this.rate.burst;
  }

  private fill(now: number): void {
    const elapsed = Math.max(0, now - this.filledAt);
    this.tokens = Math.min(this.rate.burst, this.tokens + (elapsed * this.rate.perSecond) / 1000);
    this.filledAt = now;
  }
}

/** Limits of new streams. */
export interface StreamRates {
  readonly perPeer: Rate;
  readonly total: Rate;
}

const peersMax = 10_000;
/** Least milliseconds between two looks at all addresses. */
const sweepMs = 1_000;

/**
 * Limits the rate of new streams, of each address and of all. An address over its own limit takes
 * nothing from the others' share.
 */
export class StreamAdmission {
  private readonly rates: StreamRates;
  private readonly total: TokenBucket;
  private readonly peers = new Map<string, TokenBucket>();
  private sweptAt = -Infinity;

  constructor(rates: StreamRates, now: number) {
    this.rates = rates;
    this.total = new TokenBucket(rates.total, now);
  }

  /** Whether a new stream from the address may be opened now. */
  admit(address: string, now: number): boolean {
    let peer = this.peers.get(address);
    if (peer === undefined) {
      if (this.peers.size >= peersMax) this.forget(now);
      peer = new TokenBucket(this.rates.perPeer, now);
      this.peers.set(address, peer);
    }
    return peer.take(now) && this.total.take(now);
  }

  /** Forgets the addresses that have been quiet, or if there are none, the one known longest. */
  private forget(now: number): void {
    if (now - this.sweptAt >= sweepMs) {
      this.sweptAt = now;
      for (const [address, bucket] of this.peers) {
        if (bucket.isFull(now)) this.peers.delete(address);
      }
      if (this.peers.size < peersMax) return;
    }
    for (const address of this.peers.keys()) {
      this.peers.delete(address);
      return;
    }
  }
}
