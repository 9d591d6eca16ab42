import { openBody } from './body.ts';
import type { RawBody } from './body.ts';
import type { EurekaClient } from './client.ts';
import { decodeRecord } from './decode.ts';
import { parseInstanceKey } from './record.ts';
import type { DecodedRecord } from './record.ts';
import type { ServiceUrl } from './service-url.ts';

/**
 * What a server tells of one instance, live: `apps/{APP}/{id}` passes every cache and every warm-up gate.
 *
 * - its record, or `unreadable` when it is there but cannot be understood;
 * - `absent`: there is no such lease;
 * - `unanswerable`: the server cannot answer about this one at all (some take no `/` in an id, look-alikes lack the
 *   call);
 * - undefined: no answer that says anything.
 */
export type LiveInstance =
  Extract<DecodedRecord, { kind: 'record' }> | 'unreadable' | 'absent' | 'unanswerable' | undefined;

const bodyBytesMax = 1_048_576;

/** @param key `APP/id`. Never throws for what a server does. */
export async function getLive(
  client: Pick<EurekaClient, 'get'>,
  server: ServiceUrl,
  key: string,
  signal: AbortSignal,
): Promise<LiveInstance> {
  const parts = parseInstanceKey(key);
  if (parts === undefined) return undefined;
  const path = `apps/${encodeURIComponent(parts.app)}/${encodeURIComponent(parts.id)}`;
  const result = await client.get(server, path, signal);
  if (result.kind === 'failed') return undefined;
  if (result.kind === 'ok') return (await recordOf(result.body)) ?? 'unreadable';
  if (result.refusal === 'not-found') return 'absent';
  return result.refusal === 'unexpected' ? 'unanswerable' : undefined;
}

async function recordOf(
  body: RawBody,
): Promise<Extract<DecodedRecord, { kind: 'record' }> | undefined> {
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of openBody(body, bodyBytesMax)) chunks.push(chunk);
    const answer: unknown = JSON.parse(Buffer.concat(chunks).toString('utf8'));
    const isWhole = typeof answer === 'object' && answer !== null && 'instance' in answer;
    const decoded = decodeRecord(JSON.stringify(isWhole ? answer.instance : null), '');
    return decoded.kind === 'record' ? decoded : undefined;
  } catch {
    // Cut short, too large or no JSON: whatever it is, it is about an instance that is there.
    return undefined;
  }
}
