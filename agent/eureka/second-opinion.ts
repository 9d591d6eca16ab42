import { sleep } from '../../common/sleep.ts';
import type { SuspectedLoss } from '../source.ts';
import type { Asked } from './ask.ts';
import { judgeLive } from './confirm.ts';

/** A server that lacks an instance gets it back from its peers with the next heartbeat: after 30 s, and some. */
const believedMs = 45_000;
/** A server that is slow holds up no removal for longer. */
const answerMs = 1_000;
/** A true cancel has reached the others by then: servers pass on what they were told after 500 ms. */
const replicationMs = 700;
/** More at once are no single removals any more; asking about all of them would cost too much. */
const lossesMax = 50;

/**
 * What other servers say to single removals that the followed one confirms. Servers merge the calls that
 * wait for a peer, so that the followed one may have been told of a cancel although the instance has come back; its own
 * server still has it as UP. Such a word counts for a while only: after that the two have parted for good, or the
 * other one merely does not evict, and the server that is followed is believed.
 */
export class SecondOpinions {
  private readonly doubtedSince = new Map<string, number>();

  /** The ids that some other server knows as UP, live, and that are still to be believed. */
  async refuted(
    losses: readonly SuspectedLoss[],
    others: readonly Asked[],
    signal: AbortSignal,
  ): Promise<ReadonlySet<string>> {
    const now = performance.now();
    for (const [id, since] of this.doubtedSince) {
      if (now - since > 2 * believedMs) this.doubtedSince.delete(id);
    }
    const open = losses.filter(({ instance }) => {
      const since = this.doubtedSince.get(instance.id);
      return since === undefined || now - since <= believedMs;
    });
    if (open.length === 0 || open.length > lossesMax) return new Set();
    const first = await contradicted(open, others, signal);
    if (first.length > 0) await sleep(replicationMs, signal);
    const ids = new Set((await contradicted(first, others, signal)).map((one) => one.instance.id));
    for (const id of ids) if (!this.doubtedSince.has(id)) this.doubtedSince.set(id, now);
    return ids;
  }
}

async function contradicted(
  losses: readonly SuspectedLoss[],
  others: readonly Asked[],
  signal: AbortSignal,
): Promise<readonly SuspectedLoss[]> {
  if (losses.length === 0) return [];
  const soon = AbortSignal.any([signal, AbortSignal.timeout(answerMs)]);
  const words = await Promise.all(others.map((other) => judgeLive(losses, other, soon)));
  const ids = new Set(words.flatMap(({ refuted }) => refuted.map(({ instance }) => instance.id)));
  return losses.filter(({ instance }) => ids.has(instance.id));
}
