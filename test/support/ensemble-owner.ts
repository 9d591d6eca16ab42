import { EnsembleSession } from './ensemble-session.ts';
import type { NodeFacts } from './ensemble-session.ts';
import type { Presence } from './endpoint-witness.ts';

/**
 * A process that registers ephemeral nodes as Dubbo does: it does it again in a new session, deletes what an earlier
 * session left, and repeats a write whose answer was lost until it knows. It tells what it knows of each node.
 */
export class EnsembleOwner {
  private readonly session: EnsembleSession;
  private readonly note: (paths: Iterable<string>, presence: Presence) => void;
  private readonly wanted = new Set<string>();
  /** What is there for as long as the session lives. */
  private readonly held = new Set<string>();
  /** One after the other. */
  private last: Promise<void> = Promise.resolve();
  private isGone = false;

  constructor(
    servers: string,
    timeoutMs: number,
    note: (paths: Iterable<string>, presence: Presence) => void,
  ) {
    this.note = note;
    this.session = new EnsembleSession(servers, timeoutMs, {
      connected: (isSame) => {
        if (isSame) this.note(this.held, 'present');
        else this.registerAgain();
      },
      disconnected: () => this.note(this.held, 'unsure'),
    });
  }

  /** Begins, or begins again, with a new session. */
  async open(): Promise<void> {
    this.isGone = false;
    this.session.open();
    await this.session.isReady();
  }

  /** The process is killed, with whatever it was about to do. */
  async vanish(): Promise<void> {
    this.isGone = true;
    this.session.vanish();
    await this.last;
    this.wanted.clear();
    this.held.clear();
  }

  async createDirectory(path: string): Promise<void> {
    await this.session.createDirectory(path);
  }

  async put(path: string): Promise<void> {
    this.wanted.add(path);
    await this.next(() => this.create(path));
  }

  async drop(path: string): Promise<void> {
    this.wanted.delete(path);
    await this.next(() => this.delete(path));
  }

  /** Resolves when everything asked for is done, and known to be. */
  async settle(): Promise<void> {
    let last;
    do {
      await this.session.isReady();
      last = this.last;
      await last;
    } while (last !== this.last || !this.session.isOpen);
  }

  async read(path: string): Promise<NodeFacts | undefined> {
    for (;;) {
      await this.session.isReady();
      const facts = await this.session.read(path).catch(() => 'unsure' as const);
      if (facts !== 'unsure') return facts;
    }
  }

  private registerAgain(): void {
    const lost = [...this.held];
    this.held.clear();
    for (const path of lost) {
      void this.next(async () => {
        if (this.wanted.has(path)) await this.create(path);
      });
    }
  }

  private async next(action: () => Promise<void>): Promise<void> {
    this.last = this.last.then(action);
    await this.last;
  }

  private async create(path: string): Promise<void> {
    this.note([path], 'unsure');
    while (!this.isGone) {
      const end = await this.session.create(path);
      const isThere = end === 'done' || (end === 'exists' && (await this.isOwn(path)));
      if (isThere === true) {
        this.held.add(path);
        this.note([path], this.session.isOpen ? 'present' : 'unsure');
        return;
      }
      if (end === 'exists' && isThere === false) await this.session.remove(path);
      else await pause();
    }
  }

  private async delete(path: string): Promise<void> {
    this.held.delete(path);
    this.note([path], 'unsure');
    while (!this.isGone) {
      const end = await this.session.remove(path);
      if (end === 'done' || end === 'missing') {
        this.note([path], 'absent');
        return;
      }
      await pause();
    }
  }

  /** Whether this session owns it; undefined when that cannot be said. */
  private async isOwn(path: string): Promise<boolean | undefined> {
    try {
      const facts = await this.session.read(path);
      return facts === undefined ? undefined : facts.owner === this.session.id;
    } catch {
      return undefined;
    }
  }
}

const retryMs = 10;

async function pause(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, retryMs));
}
