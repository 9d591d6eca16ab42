import { isDeepStrictEqual } from 'node:util';
import type { Change, Instance } from '../../common/instance.ts';
import { Pause } from '../../common/yielding.ts';
import type { RegistryView } from './view.ts';

/**
 * The changes that turn `emitted` into the content of the view, and `emitted` brought there. Only
 * normalized content counts: records that a server rebuilt without a real change give nothing.
 *
 * @param keys the keys that can have changed; all of them when absent
 */
export async function diffView(
  emitted: Map<string, Instance>,
  view: RegistryView,
  keys?: Iterable<string>,
): Promise<readonly Change[]> {
  const changes: Change[] = [];
  const pause = new Pause();
  for (const key of keys ?? keysOf(view)) {
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

function* keysOf(view: RegistryView): Iterable<string> {
  for (const [key] of view) yield key;
}

function compare(
  emitted: Map<string, Instance>,
  view: RegistryView,
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
