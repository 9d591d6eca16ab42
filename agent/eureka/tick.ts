/**
 * Finds the rhythm in which a server's read-only cache follows its registry, so that a poll can come right
 * after a beat instead of up to a whole interval later. Servers copy that cache at the multiples of a fixed interval
 * on their own wall clock (30 s by default): if every change appears between two polls that have such a
 * multiple between them, and often enough for chance to be out of the question, that is the rhythm. One change that
 * appears elsewhere refutes it.
 *
 * The server's clock is known by the `Date` header only, which is cut to whole seconds; each answer narrows down
 * how far that clock is from ours.
 */
export interface TickState {
  /** Bounds of the server's wall clock minus our steady clock, milliseconds. */
  readonly offsetMin: number;
  readonly offsetMax: number;
  /** When the last answer was asked for, on our steady clock; undefined before the first. */
  readonly lastAskedAt: number | undefined;
  /** Of each period: how many changes in a row fit; -1 = refuted. */
  readonly fits: readonly number[];
}

/** One answer of the server. */
export interface Answer {
  /** `performance.now()` when it was asked for and when it was whole. */
  readonly askedAt: number;
  readonly receivedAt: number;
  /** The `Date` header, milliseconds since 1970; undefined without one. */
  readonly date: number | undefined;
  /** Whether the body differs from the one before. */
  readonly isChanged: boolean;
}

/** The intervals that are looked for, milliseconds; the longest that fits is believed. */
const periods = [60_000, 30_000, 20_000, 15_000, 10_000] as const;
/** By chance alone a change fits a 30 s rhythm at 5 s polls every sixth time. */
const fitsNeeded = 4;
/** A refuted rhythm gets another chance when so many changes have come since: servers are reconfigured. */
const pardonAfter = -40;
/** What a server needs to fill its cache after a beat, and some. */
const marginMs = 1_000;

export const startTick: TickState = {
  offsetMin: -Infinity,
  offsetMax: Infinity,
  lastAskedAt: undefined,
  fits: periods.map(() => 0),
};

/** Takes in one answer. */
export function noteAnswer(state: TickState, answer: Answer): TickState {
  const { lastAskedAt } = state;
  const clock = narrow(state, answer);
  const next = { ...state, ...clock, lastAskedAt: answer.askedAt };
  if (!answer.isChanged || lastAskedAt === undefined || !isKnown(clock)) return next;
  const from = lastAskedAt + clock.offsetMin;
  const to = answer.receivedAt + clock.offsetMax;
  return { ...next, fits: state.fits.map((fits, i) => judge(fits, from, to, periods[i] ?? 0)) };
}

/** The interval of the server's cache, milliseconds; undefined as long as none was found. */
export function periodOf(state: TickState): number | undefined {
  const index = state.fits.findIndex((fits) => fits >= fitsNeeded);
  return index === -1 ? undefined : periods[index];
}

/**
 * How long to wait for the next poll, milliseconds: `usualMs`, or less when the server's cache will have beaten
 * before that.
 */
export function delayToPoll(state: TickState, now: number, usualMs: number): number {
  const period = periodOf(state);
  if (period === undefined || !isKnown(state)) return usualMs;
  const wall = now + state.offsetMin;
  const sinceBeat = ((wall % period) + period) % period;
  const untilPoll = period - sinceBeat + marginMs;
  const shortest = sinceBeat < marginMs ? marginMs - sinceBeat : untilPoll;
  return shortest < usualMs ? shortest : usualMs;
}

function isKnown(clock: Pick<TickState, 'offsetMin' | 'offsetMax'>): boolean {
  return clock.offsetMax - clock.offsetMin <= 1_500;
}

/** A `Date` is the second in which the answer was made: after it was asked for, before it was there. */
function narrow(
  state: TickState,
  { askedAt, receivedAt, date }: Answer,
): Pick<TickState, 'offsetMin' | 'offsetMax'> {
  if (date === undefined) return { offsetMin: state.offsetMin, offsetMax: state.offsetMax };
  const min = date - receivedAt;
  const max = date + 1_000 - askedAt;
  const offsetMin = Math.max(min, state.offsetMin);
  const offsetMax = Math.min(max, state.offsetMax);
  // The two clocks drift, or one was set: what was known does not hold any more.
  return offsetMin <= offsetMax ? { offsetMin, offsetMax } : { offsetMin: min, offsetMax: max };
}

function judge(fits: number, from: number, to: number, period: number): number {
  // So long without an answer every rhythm fits.
  if (to - from > period / 2) return fits;
  const isFit = Math.floor(to / period) > Math.floor(from / period);
  if (fits < 0) return fits <= pardonAfter ? 0 : fits - 1;
  return isFit ? fits + 1 : -1;
}
