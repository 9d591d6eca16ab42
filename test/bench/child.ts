import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';

interface Message {
  readonly kind: string;
}

/** A script as a process of its own that talks in messages, each with a `kind`. */
export class Child<M extends Message> {
  private readonly process: ChildProcess;
  private readonly inbox: M[] = [];
  private readonly waiting = new Set<() => void>();
  private isOver = false;

  constructor(script: URL, args: readonly string[]) {
    this.process = fork(script.pathname, args, {
      // The benches' own flags are not the children's.
      execArgv: [],
    });
    this.process.on('message', (message) => {
      this.inbox.push(message as M);
      this.wake();
    });
    this.process.on('exit', () => {
      this.isOver = true;
      this.wake();
    });
  }

  send(message: object | boolean | string): void {
    this.process.send(message);
  }

  /** The next message of a kind that fits; messages before it that do not fit stay for others. */
  async next<K extends M['kind']>(
    kind: K,
    isFit: (message: Extract<M, { readonly kind: K }>) => boolean = () => true,
  ): Promise<Extract<M, { readonly kind: K }>> {
    const fits = (message: M): message is Extract<M, { readonly kind: K }> =>
      message.kind === kind && isFit(message as Extract<M, { readonly kind: K }>);
    for (;;) {
      const index = this.inbox.findIndex(fits);
      const found = this.inbox[index];
      if (found !== undefined && fits(found)) {
        this.inbox.splice(index, 1);
        return found;
      }
      if (this.isOver) throw new Error(`a child ended before it said ${kind}`);
      await new Promise<void>((resolve) => this.waiting.add(resolve));
    }
  }

  /** Forgets what has been said so far. */
  clear(): void {
    this.inbox.length = 0;
  }

  /** The child ends itself when nobody talks to it any more. */
  async stop(): Promise<void> {
    if (this.isOver) return;
    const exited = once(this.process, 'exit');
    if (this.process.connected) this.process.disconnect();
    await exited;
  }

  private wake(): void {
    for (const resolve of this.waiting) resolve();
    this.waiting.clear();
  }
}
