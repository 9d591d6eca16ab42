import { TransientError } from '../../common/errors.ts';
import type { Instance } from '../../common/instance.ts';
import type { EurekaClient } from './client.ts';
import { parseInstanceKey } from './record.ts';
import type { ServiceUrl } from './service-url.ts';
import type { RegistryView } from './view.ts';

/** A server that can be asked about single instances, and what it lists. */
export interface Witness {
  readonly client: EurekaClient;
  readonly server: ServiceUrl;
  readonly view: RegistryView;
  /** Reads the server's whole list anew; undefined when that failed. */
  readonly relist: () => Promise<RegistryView | undefined>;
}

/** What a server said about single instances; about those in none of the sets it could not be asked. */
interface Answers {
  readonly denied: ReadonlySet<string>;
  readonly known: ReadonlySet<string>;
  /** It cannot answer about these at all: some servers take no `/` in an id, look-alikes lack the call. */
  readonly unanswerable: ReadonlySet<string>;
}

const concurrencyMax = 6;
const controlsMax = 3;

/**
 * The ids that the server denies, live: `GET apps/{APP}/{id}` passes every cache and every warm-up gate, and
 * 404 says that there is no such lease. Throws TransientError when it could not be asked about any.
 *
 * A server that denies what it lists itself (behind a proxy that knows only some paths, or a look-alike without
 * this call) denies everything. Of such a server, and for ids that it cannot be asked about, a new
 * read of its whole list decides.
 */
export async function confirmSingle(
  instances: readonly Instance[],
  witness: Witness,
  signal: AbortSignal,
): Promise<ReadonlySet<string>> {
  const ids = instances.map(({ id }) => id);
  const { denied, known, unanswerable } = await ask(witness, ids, signal);
  if (denied.size + unanswerable.size === 0) return denied;
  const controls = controlsOf(witness.view, ids);
  const isReliable =
    known.size > 0 ||
    controls.length === 0 ||
    (await ask(witness, controls, signal)).known.size > 0;

  if (isReliable && unanswerable.size === 0) return denied;
  const list = await witness.relist();
  if (list === undefined) throw new TransientError(`eureka ${witness.server.url}: GET apps failed`);
  const isListUsable = [...known, ...controls].some((key) => list.get(key) !== undefined);
  const absent = [...denied, ...unanswerable].filter((id) => list.get(id) === undefined);
  return new Set([...(isReliable ? denied : []), ...(isListUsable ? absent : [])]);
}

/** Some instances that the server lists, to be asked about together with the ones that are missing. */
function controlsOf(view: RegistryView, asked: readonly string[]): readonly string[] {
  const controls: string[] = [];
  const isAsked = new Set(asked);
  for (const [key, { status, instance }] of view) {
    if (status === 'UP' && instance !== undefined && !isAsked.has(key)) controls.push(key);
    if (controls.length === controlsMax) break;
  }
  return controls;
}

async function ask(
  { client, server }: Pick<Witness, 'client' | 'server'>,
  ids: readonly string[],
  signal: AbortSignal,
): Promise<Answers> {
  const denied = new Set<string>();
  const known = new Set<string>();
  const unanswerable = new Set<string>();
  const waiting = ids.values();
  const worker = async (): Promise<void> => {
    for (const id of waiting) {
      const key = parseInstanceKey(id);
      if (key === undefined || signal.aborted) continue;
      const path = `apps/${encodeURIComponent(key.app)}/${encodeURIComponent(key.id)}`;
      const result = await client.get(server, path, signal);
      if (result.kind === 'ok') known.add(id);
      else if (result.kind === 'failed') continue;
      else if (result.refusal === 'not-found') denied.add(id);
      else if (result.refusal === 'unexpected') unanswerable.add(id);
    }
  };
  await Promise.all(Array.from({ length: concurrencyMax }, worker));
  if (ids.length > 0 && denied.size + known.size + unanswerable.size === 0) {
    throw new TransientError(`eureka ${server.url}: GET apps/{app}/{id}: no usable answer`);
  }
  return { denied, known, unanswerable };
}

/**
 * The ids that another server of the list does not list either. A server that is unreadable, young or
 * empty proves nothing; without another one the answer is empty, and the hold time decides.
 *
 * @param read a full read of the witness; undefined when it proves nothing
 */
export async function confirmMass(
  instances: readonly Instance[],
  others: readonly ServiceUrl[],
  read: (other: ServiceUrl) => Promise<RegistryView | undefined>,
): Promise<ReadonlySet<string>> {
  for (const other of others) {
    const view = await read(other);
    if (view === undefined || view.size === 0) continue;
    return new Set(instances.map(({ id }) => id).filter((id) => view.get(id) === undefined));
  }
  return new Set();
}
