import { Wake } from '../../../../common/wake.ts';
import { Pause } from '../../../../common/yielding.ts';

/** Registrations of which something else is to be said than before, worked off in slices. */
export class Restating {
  private readonly restate: (path: string) => void;
  private readonly progress: () => void;
  private readonly wake = new Wake();
  private readonly paths = new Set<string>();

  /**
   * @param restate says what is known of the registration at this path
   * @param progress nothing is left to be said
   */
  constructor(restate: (path: string) => void, progress: () => void) {
    this.restate = restate;
    this.progress = progress;
  }

  /** Whether something is left to be said. */
  get isPending(): boolean {
    return this.paths.size > 0;
  }

  add(path: string): void {
    this.paths.add(path);
    this.wake.poke();
  }

  /** Works off what is added until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const pause = new Pause();
    while (!signal.aborted) {
      for (const path of this.paths) {
        this.paths.delete(path);
        this.restate(path);
        if (pause.isDue()) await pause.turn();
      }
      this.progress();
      if (!this.isPending) await this.wake.wait(signal);
    }
  }
}
