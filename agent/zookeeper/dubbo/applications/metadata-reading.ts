import type { BackoffPolicy } from '../../../../common/backoff.ts';
import { fullJitter } from '../../../../common/backoff.ts';
import { ProtocolError, TransientError } from '../../../../common/errors.ts';
import { sleep } from '../../../../common/sleep.ts';
import { Wake } from '../../../../common/wake.ts';
import { Pause } from '../../../../common/yielding.ts';
import type { TreeAnswer, TreeWatcher } from '../../client/tree.ts';
import type { KeySet } from '../parameters.ts';
import { metadataPath, readMetadataInfo } from './metadata.ts';
import type { MetadataInfo } from './metadata.ts';
import type { Revision } from './registration.ts';

/** Why the metadata of a revision cannot be used; a metric label. */
export type MetadataFailure = 'missing' | 'unreadable' | 'malformed';

/** What the metadata of revisions is read with. */
export interface MetadataReadingParts {
  /** Roots of Dubbo registries: the metadata can lie below any of them. */
  readonly roots: readonly string[];
  readonly ask: TreeWatcher['ask'];
  /** The parameters that are kept. */
  readonly wanted: KeySet;
  /** Delays between attempts for one revision. */
  readonly backoff: BackoffPolicy;
  readonly observer: MetadataObserver;
}

/** Who is told what was found. */
export interface MetadataObserver {
  found(revision: Revision, info: MetadataInfo): Promise<void>;
  /** There is nothing usable. Whether to look again, with growing delays. */
  failed(revision: Revision, failure: MetadataFailure): Promise<boolean>;
  /** No answer at all: the connection, not the metadata. */
  disconnected(error: Error): void;
}

/** Revisions read in one request. Metadata of one can be hundreds of kilobytes. */
const batchMax = 64;

/**
 * Reads the metadata of revisions from the metadata center: each revision once, many in one request, one request at a
 * time. A revision without usable metadata is tried again with growing delays and holds up no other.
 */
export class MetadataReading {
  private readonly parts: MetadataReadingParts;
  private readonly wake = new Wake();
  private readonly queue = new Map<Revision, Attempt>();
  private readonly rootByApplication = new Map<string, string>();

  constructor(parts: MetadataReadingParts) {
    this.parts = parts;
  }

  /** Reads it soon, unless it is being tried already. */
  want(revision: Revision): void {
    if (this.queue.has(revision)) return;
    this.queue.set(revision, { attempts: 0, dueAt: 0 });
    this.wake.poke();
  }

  /** Reads it no more. */
  forget(revision: Revision): void {
    this.queue.delete(revision);
  }

  /** Whether some revision has not been read even once. */
  get hasUnread(): boolean {
    for (const { attempts } of this.queue.values()) if (attempts === 0) return true;
    return false;
  }

  /** Reads what is wanted until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    let failures = 0;
    while (!signal.aborted) {
      const now = performance.now();
      const due = this.takeDue(now);
      if (due.length === 0) {
        await this.wake.wait(signal, this.msUntilDue(now));
        continue;
      }
      try {
        await this.read(due);
        failures = 0;
      } catch (error) {
        await this.disconnected(error, failures, signal);
        failures += 1;
      }
    }
  }

  private async disconnected(error: unknown, failures: number, signal: AbortSignal): Promise<void> {
    if (!isPassing(error)) throw error;
    this.parts.observer.disconnected(error);
    await sleep(retryDelayMs(this.parts.backoff, failures), signal);
  }

  private takeDue(now: number): readonly Revision[] {
    const due: Revision[] = [];
    for (const [revision, { dueAt }] of this.queue) {
      if (dueAt <= now) due.push(revision);
      if (due.length >= batchMax) break;
    }
    return due;
  }

  private msUntilDue(now: number): number | undefined {
    let next = Infinity;
    for (const { dueAt } of this.queue.values()) next = Math.min(next, dueAt);
    return next === Infinity ? undefined : Math.max(1, next - now);
  }

  /** Looks in one root after the other, beginning with the one that has other metadata of the application. */
  private async read(batch: readonly Revision[]): Promise<void> {
    const searches = batch.map((revision) => new Search(revision, this.rootsFor(revision)));
    for (;;) {
      const open = searches.flatMap((search) => {
        const path = search.nextPath();
        return path === undefined ? [] : [{ search, path }];
      });
      if (open.length === 0) break;
      const answers = await this.parts.ask(open.map(({ path }) => ({ kind: 'data', path })));
      const pause = new Pause();
      for (const [index, { search }] of open.entries()) {
        search.take(answers[index], this.parts.wanted);
        if (pause.isDue()) await pause.turn();
      }
    }
    for (const search of searches) await this.conclude(search);
  }

  private async conclude({ revision, info, root, failure }: Search): Promise<void> {
    const attempt = this.queue.get(revision);
    // Nobody wants it any more.
    if (attempt === undefined) return;
    if (info !== undefined) {
      this.queue.delete(revision);
      this.remember(revision.application, root);
      await this.parts.observer.found(revision, info);
      return;
    }
    const delayMs = retryDelayMs(this.parts.backoff, attempt.attempts);
    this.queue.set(revision, {
      attempts: attempt.attempts + 1,
      dueAt: performance.now() + delayMs,
    });
    const isToRetry = await this.parts.observer.failed(revision, failure);
    if (!isToRetry) this.queue.delete(revision);
  }

  private rootsFor({ application }: Revision): readonly string[] {
    const { roots } = this.parts;
    const known = this.rootByApplication.get(application);
    return known === undefined ? roots : [known, ...roots.filter((root) => root !== known)];
  }

  private remember(application: string, root: string): void {
    if (this.parts.roots.length < 2) return;
    if (this.rootByApplication.size >= applicationsMax) this.rootByApplication.clear();
    this.rootByApplication.set(application, root);
  }
}

/** Applications whose root is remembered. */
const applicationsMax = 20_000;

interface Attempt {
  readonly attempts: number;
  /** `performance.now()` milliseconds. */
  readonly dueAt: number;
}

/** The way through the roots for one revision. */
class Search {
  readonly revision: Revision;
  info: MetadataInfo | undefined;
  /** Where it was last looked for. */
  root = '/';
  failure: MetadataFailure = 'missing';
  private readonly roots: readonly string[];
  private index = 0;

  constructor(revision: Revision, roots: readonly string[]) {
    this.revision = revision;
    this.roots = roots;
  }

  /** Where to look next; undefined when there is no more to do. */
  nextPath(): string | undefined {
    const root = this.roots[this.index];
    if (this.info !== undefined || root === undefined) return undefined;
    this.index += 1;
    this.root = root;
    const { application, name } = this.revision;
    const path = metadataPath(root, application, name);
    if (path === undefined) this.failure = 'malformed';
    return path;
  }

  take(answer: TreeAnswer | undefined, wanted: KeySet): void {
    if (answer?.kind === 'data') {
      const { application } = this.revision;
      this.info = readMetadataInfo(answer.data, { application, root: this.root, wanted });
      if (this.info === undefined) this.failure = 'malformed';
    } else if (answer?.kind !== 'missing' && this.failure === 'missing') {
      this.failure = 'unreadable';
    }
  }
}

/** Between half the bound and the bound, which doubles with each attempt: never at once. */
export function retryDelayMs(policy: BackoffPolicy, attempt: number): number {
  return fullJitter(policy, attempt, () => 0.5 + Math.random() / 2);
}

/** Whether it may work the next time. Anything else is a defect. */
export function isPassing(error: unknown): error is Error {
  return error instanceof TransientError || error instanceof ProtocolError;
}
