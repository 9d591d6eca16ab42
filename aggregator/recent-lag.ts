import type { RegistryId } from '../common/registry.ts';
import type { LagView } from './view.ts';

/** How many lags of a registry are remembered for the status page. */
const samplesMax = 200;

/**
 * The latest lags of each registry, from the observation of a change to its acknowledgement by a
 * subscriber, for people to look at; what Prometheus keeps is complete, this is not.
 */
export class RecentLag {
  private readonly samples = new Map<RegistryId, number[]>();

  /** Milliseconds. */
  note(registry: RegistryId, ms: number): void {
    const known = this.samples.get(registry) ?? [];
    this.samples.set(registry, known);
    known.push(ms);
    if (known.length > samplesMax) known.shift();
  }

  /** Undefined while nothing has been acknowledged. */
  of(registry: RegistryId): LagView | undefined {
    const sorted = [...(this.samples.get(registry) ?? [])].sort((a, b) => a - b);
    if (sorted.length === 0) return undefined;
    const at = (share: number): number =>
      sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0;
    return { p50Ms: at(0.5), p99Ms: at(0.99), samples: sorted.length };
  }

  forget(registry: RegistryId): void {
    this.samples.delete(registry);
  }
}
