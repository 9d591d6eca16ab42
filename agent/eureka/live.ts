import { Wake } from '../../common/wake.ts';
import type { EurekaClient } from './client.ts';
import { getLive } from './live-instance.ts';
import type { LiveInstance } from './live-instance.ts';
import type { Poller } from './poller.ts';
import type { Hint, LiveAnswer } from './pushed.ts';

/** The server that is followed may learn a change a moment after us: it is asked again so much later, milliseconds. */
const delaysMs: Readonly<Record<Hint['why'], readonly number[]>> = {
  cancel: [0, 250, 500, 1_000, 2_000],
  status: [300, 1_500],
};
const concurrencyMax = 6;
const waitingMax = 20_000;

interface Waiting {
  readonly why: Hint['why'];
  readonly attempt: number;
  readonly dueAt: number;
}

/**
 * Asks the server that is followed about single instances that pushes have hinted at. `apps/{APP}/{id}` passes
 * every cache. A cancel ends with the first 404; if the instance is still known after the last attempt, it has not
 * gone. Answers that do not come are left to the polls.
 */
export class LiveQuestions {
  private readonly client: EurekaClient;
  private readonly poller: Poller;
  private readonly onAnswer: (key: string, answer: LiveAnswer) => void;
  private readonly waiting = new Map<string, Waiting>();
  private readonly wake = new Wake();

  constructor(
    client: EurekaClient,
    poller: Poller,
    onAnswer: (key: string, answer: LiveAnswer) => void,
  ) {
    this.client = client;
    this.poller = poller;
    this.onAnswer = onAnswer;
  }

  ask(hints: readonly Hint[]): void {
    for (const { key, why } of hints) {
      if (this.waiting.size >= waitingMax && !this.waiting.has(key)) return;
      this.waiting.set(key, {
        why,
        attempt: 0,
        dueAt: performance.now() + (delaysMs[why][0] ?? 0),
      });
    }
    this.wake.poke();
  }

  /** Resolves when the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const worker = async (): Promise<void> => {
      while (!signal.aborted) {
        const next = this.takeDue();
        if (next === undefined) return;
        await this.look(next[0], next[1], signal);
      }
    };
    while (!signal.aborted) {
      await Promise.all(Array.from({ length: concurrencyMax }, worker));
      const dueAt = Math.min(...this.waiting.values().map((one) => one.dueAt));
      const ms = dueAt === Infinity ? undefined : Math.max(1, dueAt - performance.now());
      if (ms === undefined || ms > 1) await this.wake.wait(signal, ms);
    }
  }

  private takeDue(): [string, Waiting] | undefined {
    const now = performance.now();
    for (const [key, one] of this.waiting) {
      if (one.dueAt > now) continue;
      this.waiting.delete(key);
      return [key, one];
    }
    return undefined;
  }

  private async look(key: string, { why, attempt }: Waiting, signal: AbortSignal): Promise<void> {
    const { session } = this.poller;
    if (session === undefined) return;
    const live = await getLive(this.client, session.server, key, signal);
    const answer = answerOf(live);
    const delay = delaysMs[why][attempt + 1];
    const isLast = delay === undefined;
    if (answer !== undefined && (answer === 'gone' || why === 'status' || isLast)) {
      this.onAnswer(key, answer);
    }
    if (isLast || answer === 'gone' || this.waiting.has(key)) return;
    this.waiting.set(key, { why, attempt: attempt + 1, dueAt: performance.now() + delay });
  }
}

function answerOf(live: LiveInstance): LiveAnswer | undefined {
  if (live === 'absent') return 'gone';
  return typeof live === 'object' ? live : undefined;
}
