import { readFile, stat } from 'node:fs/promises';
import type { Logger } from 'pino';
import { messageOf, TransientError } from './errors.ts';

/** What some files hold. */
export interface Watched<T> {
  /** The same object for as long as the files do not change. */
  readonly value: T;
  /** Why the value is not what the files hold now; undefined when it is. Shows no content. */
  readonly problem: string | undefined;
}

interface Stamps {
  readonly text: string;
  /** A file that was written just before it was read may be written again without a trace in its times. */
  readonly isSettled: boolean;
}

const settledMs = 2_000;

/**
 * Files that make one value together (a certificate and its key), read again when they change. What is missing or
 * wrong later leaves the last good value in force, and is logged once.
 */
export class WatchedFiles<T> {
  private readonly paths: readonly string[];
  private readonly parse: (contents: readonly Buffer[]) => T;
  private readonly subject: string;
  private readonly log: Logger;
  private checking: Promise<void> | undefined;
  private stamps: Stamps | undefined;
  private goodContents: readonly Buffer[] | undefined;
  private last: { readonly value: T } | undefined;
  private problem: string | undefined;

  /**
   * @param parse throws an Error for contents that are no good, whose text shows nothing of them
   * @param subject what the files are for, as logs say it: `access to eureka`
   */
  constructor(
    paths: readonly string[],
    parse: (contents: readonly Buffer[]) => T,
    subject: string,
    log: Logger,
  ) {
    this.paths = paths;
    this.parse = parse;
    this.subject = subject;
    this.log = log;
  }

  /** Looks whether the files have changed. Rejects with TransientError while there has never been a good value. */
  async current(): Promise<Watched<T>> {
    this.checking ??= this.check().finally(() => {
      this.checking = undefined;
    });
    await this.checking;
    const { last, problem } = this;
    if (last !== undefined) return { value: last.value, problem };
    throw new TransientError(problem ?? this.paths.join(', '));
  }

  private async check(): Promise<void> {
    const before = this.stamps;
    // Until this look is over: what cannot be read has no stamps.
    this.stamps = undefined;
    try {
      const stamps = await stampsOf(this.paths);
      const isUnchanged = stamps.text === before?.text && before.isSettled;
      const contents = isUnchanged ? undefined : await inOrder(this.paths, read);
      this.stamps = stamps;
      if (contents === undefined) return;
      if (!isSame(contents, this.goodContents)) {
        this.last = { value: this.parse(contents) };
        this.goodContents = contents;
      }
      this.tell(undefined);
    } catch (error) {
      this.tell(messageOf(error));
    }
  }

  private tell(problem: string | undefined): void {
    const isNew = problem !== this.problem;
    this.problem = problem;
    if (!isNew) return;
    const { paths: files, subject } = this;
    if (problem === undefined) this.log.info({ files }, `files for ${subject} can be used again`);
    else this.log.warn({ files, problem }, `files for ${subject} cannot be used`);
  }
}

/** One after the other, so that of several troubles it is always the same that is told. */
async function inOrder<T>(
  paths: readonly string[],
  look: (path: string) => Promise<T>,
): Promise<T[]> {
  const found: T[] = [];
  for (const path of paths) found.push(await look(path));
  return found;
}

function read(path: string): Promise<Buffer> {
  return readFile(path);
}

async function stampsOf(paths: readonly string[]): Promise<Stamps> {
  const now = Date.now();
  const all = await inOrder(paths, (path) => stat(path));
  return {
    text: all
      .map((one) => `${one.dev}:${one.ino}:${one.size}:${one.mtimeMs}:${one.ctimeMs}`)
      .join(),
    isSettled: all.every(({ ctimeMs }) => now - ctimeMs > settledMs),
  };
}

function isSame(one: readonly Buffer[], other: readonly Buffer[] | undefined): boolean {
  return other !== undefined && one.every((content, at) => other[at]?.equals(content) === true);
}
