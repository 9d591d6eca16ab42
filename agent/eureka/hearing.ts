import { Pause } from '../../common/yielding.ts';
import type { SuspectedLoss } from '../source.ts';
import type { Judgement } from './confirm.ts';

/**
 * What the servers of a cluster, heard one after another, make of losses. Confirmed is what every witness agrees
 * with and nobody refutes. Losses may be very many: each step is done in slices.
 */
export class Hearing {
  /** What all witnesses so far agree with, and nobody has refuted. */
  open: readonly SuspectedLoss[];
  /** How many witnesses were heard. */
  witnesses = 0;
  private readonly refutedIds = new Set<string>();
  private readonly words: string[] = [];

  constructor(losses: readonly SuspectedLoss[]) {
    this.open = losses;
  }

  /** Ids that somebody lists, or knows, as UP. */
  get refuted(): ReadonlySet<string> {
    return this.refutedIds;
  }

  /** What was said, for the operator. */
  get testimony(): string {
    return this.words.join('; ');
  }

  note(words: string): void {
    this.words.push(words);
  }

  /** A server's judgement: that of a witness keeps open only what it agrees with, another's only refutes. */
  async hear({ agreed, refuted }: Judgement, isWitness: boolean): Promise<void> {
    await forEach(refuted, ({ instance }) => this.refutedIds.add(instance.id));
    const isAgreed = isWitness ? await idsOf(agreed) : undefined;
    const open: SuspectedLoss[] = [];
    await forEach(this.open, (loss) => {
      const { id } = loss.instance;
      if (!this.refutedIds.has(id) && isAgreed?.has(id) !== false) open.push(loss);
    });
    this.open = open;
  }
}

/** The ids of losses. */
export async function idsOf(losses: readonly SuspectedLoss[]): Promise<ReadonlySet<string>> {
  const ids = new Set<string>();
  await forEach(losses, ({ instance }) => ids.add(instance.id));
  return ids;
}

async function forEach<T>(all: readonly T[], act: (one: T) => void): Promise<void> {
  const pause = new Pause();
  for (const one of all) {
    act(one);
    if (pause.isDue()) await pause.turn();
  }
}
