import { isDeepStrictEqual } from 'node:util';
import type { Change, Instance } from '../../common/instance.ts';
import { Pause } from '../../common/yielding.ts';
import type { ViewEntry } from './view.ts';

/** What the emitted instances are compared with. */
export interface Entries {
  get(key: string): ViewEntry | undefined;
  /** Every key that has an entry; some may come twice. */
  keys(): Iterable<string>;
}

/**
 * The changes that turn `emitted` into the content of the view, and `emitted` brought there. Only
 * normalized content counts: records that a server rebuilt without a real change give nothing.
 *
 * @param keys the keys that can have changed; all of them when absent
 */
export async function diffView(
  emitted: Map<string, Instance>,
  view: Entries,
  keys?: Iterable<string>,
): Promise<readonly Change[]> {
  const changes: Change[] = [];
  const pause = new Pause();
  for (const key of keys ?? view.keys()) {
    compare(emitted, view, key, changes);
    if (pause.isDue()) await pause.turn();
  }
  if (keys !== undefined) return changes;
  for (const key of emitted.keys()) {
    if (view.get(key)?.instance === undefined) compare(emitted, view, key, changes);
    if (pause.isDue()) await pause.turn();
  }
  return changes;
}

function compare(
  emitted: Map<string, Instance>,
  view: Entries,
  key: string,
  changes: Change[],
): void {
  const before = emitted.get(key);
  const after = view.get(key)?.instance;
  if (after === undefined) {
    if (emitted.delete(key)) changes.push({ kind: 'removal', id: key });
    return;
  }
  if (before === after) return;
  if (before !== undefined && isDeepStrictEqual(before, after)) return;
  emitted.set(key, after);
  changes.push({ kind: 'upsert', instance: after });
}
