import { TransientError } from '../../common/errors.ts';
import { openBody } from './body.ts';
import type { RawBody } from './body.ts';
import type { EurekaClient } from './client.ts';
import { toStatus } from './decode.ts';
import { instancePath } from './live.ts';
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
const bodyBytesMax = 1_048_576;

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
  const path = instancePath(id);
  if (path === undefined) return undefined;
  const result = await client.get(server, path, signal);
  if (result.kind === 'failed') return undefined;
  if (result.kind === 'ok') {
    const status = await statusOf(result.body);
    // An answer that cannot be read is no denial: the instance is there.
    return status === undefined || upStatuses.includes(status) ? 'up' : 'not-up';
  }
  if (result.refusal === 'not-found') return 'absent';
  return result.refusal === 'unexpected' ? 'unanswerable' : undefined;
}

async function statusOf(body: RawBody): Promise<EurekaStatus | undefined> {
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of openBody(body, bodyBytesMax)) chunks.push(chunk);
    const answer: unknown = JSON.parse(Buffer.concat(chunks).toString('utf8'));
    const { instance } = answer as { readonly instance?: { readonly status?: unknown } };
    return typeof instance?.status === 'string' ? toStatus(instance.status) : undefined;
  } catch {
    // Cut short, too large or no JSON: whatever it is, it is about an instance that is there.
    return undefined;
  }
}
