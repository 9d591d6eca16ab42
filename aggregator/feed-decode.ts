import { hashInstance } from '../common/digest.ts';
import { Pause } from '../common/yielding.ts';
import type { Delta } from '../proto/feed.ts';
import { decodeInstance, InstanceError } from '../proto/instance-codec.ts';
import type { DecodedChange, DecodedInstance } from './feed-session.ts';
import { shareParts } from './sharing.ts';

/** Told of each instance that the catalog cannot use. */
export type LeftOut = (problem: string) => void;

/** Changes decoded without giving the event loop back. */
const inOneGo = 500;

/**
 * One instance. What breaks the limits of the feed has no `instance` but still counts in the digest.
 * Throws InstanceError if not even its id can be read.
 */
function decodeOne(bytes: Uint8Array, leftOut: LeftOut): DecodedInstance {
  const hash = hashInstance(bytes);
  try {
    const instance = shareParts(decodeInstance(bytes));
    return { id: instance.id, hash, instance };
  } catch (error) {
    if (!(error instanceof InstanceError) || error.id === '') throw error;
    leftOut(error.message);
    return { id: error.id, hash, instance: undefined };
  }
}

/** The instances of a chunk, giving the event loop back every few milliseconds. */
export async function decodeAll(
  list: readonly Uint8Array[],
  leftOut: LeftOut,
): Promise<readonly DecodedInstance[]> {
  const pause = new Pause();
  const decoded: DecodedInstance[] = [];
  for (const bytes of list) {
    decoded.push(decodeOne(bytes, leftOut));
    if (pause.isDue()) await pause.turn();
  }
  return decoded;
}

/** The changes of a Delta: at once if they are few, else giving the event loop back. */
export function decodeChanges(
  changes: Delta['changes'],
  leftOut: LeftOut,
): readonly DecodedChange[] | Promise<readonly DecodedChange[]> {
  const decode = (change: Delta['changes'][number]): DecodedChange =>
    change.kind === 'removal'
      ? change
      : { kind: 'upsert', upsert: decodeOne(change.bytes, leftOut) };
  return changes.length <= inOneGo ? changes.map(decode) : decodeSlowly(changes, decode);
}

async function decodeSlowly(
  changes: Delta['changes'],
  decode: (change: Delta['changes'][number]) => DecodedChange,
): Promise<readonly DecodedChange[]> {
  const pause = new Pause();
  const decoded: DecodedChange[] = [];
  for (const change of changes) {
    decoded.push(decode(change));
    if (pause.isDue()) await pause.turn();
  }
  return decoded;
}
