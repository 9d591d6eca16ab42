import type { LossKind } from '../../common/guard.ts';
import type { Instance } from '../../common/instance.ts';
import type { Source, SuspectedLoss, Verdicts } from '../../agent/source.ts';

/** These instances as losses of one kind. */
export function lossesOf(
  instances: Iterable<Instance>,
  kind: LossKind = 'removal',
): readonly SuspectedLoss[] {
  return Array.from(instances, (instance) => ({ instance, kind }));
}

/** The ids of those instances whose removal the source confirms. */
export async function confirmedBy(
  source: Pick<Source, 'confirmLosses'>,
  instances: Iterable<Instance>,
  scale: 'single' | 'mass',
  signal = new AbortController().signal,
): Promise<ReadonlySet<string>> {
  return (await source.confirmLosses(lossesOf(instances), scale, signal)).confirmed;
}

/** Verdicts by ids. */
export function verdictsOf(confirmed: Iterable<string>, refuted: Iterable<string> = []): Verdicts {
  return { confirmed: new Set(confirmed), refuted: new Set(refuted) };
}
