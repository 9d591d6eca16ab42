import { TransientError } from '../../common/errors.ts';
import { Pause } from '../../common/yielding.ts';
import type { SuspectedLoss, Verdicts } from '../source.ts';
import { askLive } from './ask.ts';
import type { Asked, LiveWord } from './ask.ts';
import type { RegistryView } from './view.ts';

/** The server that is followed, and what it lists. */
export interface Followed extends Asked {
  readonly view: RegistryView;
  /** Reads the server's whole list anew; undefined when that failed. */
  readonly relist: () => Promise<RegistryView | undefined>;
}

const controlsMax = 3;

/** Up to so many instances are all asked about; of more, a sample of so many. */
const sampleSize = 50;
/** When a sample shows that the list was wrong, so many are asked about in one go, chosen at random. */
const askedMax = 2_000;

/**
 * What the server that is followed says, live, of single losses. Throws TransientError when it could not be asked
 * about any.
 *
 * A server that denies what it lists itself (behind a proxy that knows only some paths, or a look-alike without
 * this call) denies everything. Of such a server, and for ids that it cannot be asked about, a new
 * read of its whole list decides.
 */
export async function confirmSingle(
  losses: readonly SuspectedLoss[],
  followed: Followed,
  signal: AbortSignal,
): Promise<Verdicts> {
  const ids = losses.map(({ instance }) => instance.id);
  const words = await askLive(followed, ids, signal);
  const refuted = new Set(ids.filter((id) => words.get(id) === 'up'));
  const denied = losses.filter((loss) => isGone(loss, words.get(loss.instance.id)));
  const unanswerable = losses.filter(({ instance }) => words.get(instance.id) === 'unanswerable');
  if (denied.length + unanswerable.length === 0) return { confirmed: new Set(), refuted };

  const known = ids.filter((id) => ['up', 'not-up'].includes(words.get(id) ?? ''));
  const controls = controlsOf(followed.view, ids);
  const isReliable =
    known.length > 0 || controls.length === 0 || (await areKnown(controls, followed, signal));
  if (isReliable && unanswerable.length === 0) return { confirmed: idsOf(denied), refuted };

  const list = await followed.relist();
  if (list === undefined)
    throw new TransientError(`eureka ${followed.server.url}: GET apps failed`);
  const isListUsable = [...known, ...controls].some((key) => list.get(key) !== undefined);
  const unlisted = [...denied, ...unanswerable].filter((loss) => isUnlisted(loss, list));
  const byList = isListUsable ? unlisted : [];
  return { confirmed: idsOf([...(isReliable ? denied : []), ...byList]), refuted };
}

async function areKnown(
  controls: readonly string[],
  followed: Followed,
  signal: AbortSignal,
): Promise<boolean> {
  const words = await askLive(followed, controls, signal);
  return [...words.values()].some((word) => word === 'up' || word === 'not-up');
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

/** What one server makes of losses: those that it agrees with, and those that it refutes. */
export interface Judgement {
  readonly agreed: readonly SuspectedLoss[];
  readonly refuted: readonly SuspectedLoss[];
}

/** What a server's list makes of losses. A record that nobody understands counts as UP when it says so. */
export async function judgeByList(
  losses: readonly SuspectedLoss[],
  list: RegistryView,
): Promise<Judgement> {
  const agreed: SuspectedLoss[] = [];
  const refuted: SuspectedLoss[] = [];
  const pause = new Pause();
  for (const loss of losses) {
    if (isListedUp(loss, list)) refuted.push(loss);
    else if (isUnlisted(loss, list)) agreed.push(loss);
    if (pause.isDue()) await pause.turn();
  }
  return { agreed, refuted };
}

/**
 * Verifies live what a server's list says, which its caches may have kept from seeing the latest: up to `sampleSize`
 * losses are all asked about. Of more, a random sample speaks for all of them as long as it contradicts none; if it
 * does, each one needs an answer of its own. Agrees with nothing when the server gives no answers.
 *
 * @param random 0 <= random() < 1
 */
export async function judgeLive(
  losses: readonly SuspectedLoss[],
  asked: Asked,
  signal: AbortSignal,
  random: () => number = Math.random,
): Promise<Judgement> {
  const sample = sampleOf(losses, sampleSize, random);
  const first = await judgeEach(sample, asked, signal);
  if (sample.length === losses.length) return first.judgement;
  if (first.isContradicted) {
    const more = await judgeEach(sampleOf(losses, askedMax, random), asked, signal);
    return more.judgement;
  }
  return first.judgement.agreed.length === 0 ? first.judgement : { agreed: losses, refuted: [] };
}

async function judgeEach(
  losses: readonly SuspectedLoss[],
  asked: Asked,
  signal: AbortSignal,
): Promise<{ readonly judgement: Judgement; readonly isContradicted: boolean }> {
  const ids = losses.map(({ instance }) => instance.id);
  const words = await askLive(asked, ids, signal).catch((error: unknown) => {
    if (error instanceof TransientError) return new Map<string, LiveWord>();
    throw error;
  });
  const wordOf = ({ instance }: SuspectedLoss): LiveWord | undefined => words.get(instance.id);
  const agreed = losses.filter(
    (loss) => wordOf(loss) === 'unanswerable' || isGone(loss, wordOf(loss)),
  );
  const refuted = losses.filter((loss) => wordOf(loss) === 'up');
  return {
    judgement: { agreed, refuted },
    isContradicted: words.size > agreed.length,
  };
}

/** Up to `size` of them, each as likely as the others. */
function sampleOf<T>(all: readonly T[], size: number, random: () => number): readonly T[] {
  if (all.length <= size) return all;
  const places = new Set<number>();
  while (places.size < size) places.add(Math.floor(random() * all.length));
  return [...places].flatMap((place) => all.slice(place, place + 1));
}

function isGone({ kind }: SuspectedLoss, word: LiveWord | undefined): boolean {
  return word === 'absent' || (word === 'not-up' && kind === 'demotion');
}

function isUnlisted({ instance, kind }: SuspectedLoss, list: RegistryView): boolean {
  const entry = list.get(instance.id);
  return entry === undefined || (kind === 'demotion' && entry.instance?.status !== 'UP');
}

function isListedUp({ instance }: SuspectedLoss, list: RegistryView): boolean {
  const entry = list.get(instance.id);
  return (entry?.instance?.status ?? entry?.status) === 'UP';
}

/** The ids of some losses. */
function idsOf(losses: readonly SuspectedLoss[]): Set<string> {
  return new Set(losses.map(({ instance }) => instance.id));
}
