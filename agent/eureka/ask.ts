import { TransientError } from '../../common/errors.ts';
import type { EurekaClient } from './client.ts';
import { getLive } from './live-instance.ts';
import type { EurekaStatus } from './record.ts';
import type { ServiceUrl } from './service-url.ts';

/**
 * What a server says of one instance when it is asked live: `apps/{APP}/{id}` passes every cache and every warm-up
 * gate, and 404 says that there is no such lease. `unanswerable`: it cannot answer about this one at all (some
 * servers take no `/` in an id, look-alikes lack the call).
 */
export type LiveWord = 'up' | 'not-up' | 'absent' | 'unanswerable';

/** A server that can be asked, and the words by which it calls an instance UP. */
export interface Asked {
  readonly client: Pick<EurekaClient, 'get'>;
  readonly server: ServiceUrl;
  readonly upStatuses: readonly EurekaStatus[];
}

const concurrencyMax = 6;

/**
 * Asks a server about these ids, live. Those about which it gave no answer are not in the result. Throws TransientError
 * when there was an answer about none.
 */
export async function askLive(
  asked: Asked,
  ids: readonly string[],
  signal: AbortSignal,
): Promise<ReadonlyMap<string, LiveWord>> {
  const words = new Map<string, LiveWord>();
  const waiting = ids.values();
  const worker = async (): Promise<void> => {
    for (const id of waiting) {
      if (signal.aborted) return;
      const word = await askOne(asked, id, signal);
      if (word !== undefined) words.set(id, word);
    }
  };
  await Promise.all(Array.from({ length: concurrencyMax }, worker));
  if (ids.length > 0 && words.size === 0) {
    throw new TransientError(`eureka ${asked.server.url}: GET apps/{app}/{id}: no usable answer`);
  }
  return words;
}

async function askOne(
  { client, server, upStatuses }: Asked,
  id: string,
  signal: AbortSignal,
): Promise<LiveWord | undefined> {
  const live = await getLive(client, server, id, signal);
  if (typeof live === 'object') return upStatuses.includes(live.record.status) ? 'up' : 'not-up';
  // What cannot be read is no denial: the instance is there.
  return live === 'unreadable' ? 'up' : live;
}
