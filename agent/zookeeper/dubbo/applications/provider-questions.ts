import type { BackoffPolicy } from '../../../../common/backoff.ts';
import { Wake } from '../../../../common/wake.ts';
import type { MetadataInfo } from './metadata.ts';
import { retryDelayMs } from './metadata-reading.ts';
import type { DubboInstanceRecord } from './record.ts';
import type { Registration, Revision } from './registration.ts';

/**
 * Asks one provider for the metadata of its revision. Resolves to undefined when it has none, rejects when it does not
 * answer; soon after the signal aborts in any case.
 */
export type AskProvider = (
  record: DubboInstanceRecord,
  signal: AbortSignal,
) => Promise<MetadataInfo | undefined>;

/** What providers are asked with. */
export interface ProviderQuestionsParts {
  readonly askProvider: AskProvider;
  /** Delays between attempts for one revision. */
  readonly backoff: BackoffPolicy;
  readonly observer: ProviderObserver;
}

/** Who is told what they answer. */
export interface ProviderObserver {
  found(revision: Revision, info: MetadataInfo): Promise<void>;
  /** One provider has not told it; undefined: it says that it has none. */
  unanswered(revision: Revision, error: unknown): void;
}

/** Questions under way at a time. */
const questionsMax = 8;
/** Providers of one revision that are tried before it waits. */
const triesMax = 3;

/**
 * Asks providers for what they keep to themselves: one call for each revision of an application, whoever of its
 * processes answers first; upon failure the next one, then again with growing delays.
 */
export class ProviderQuestions {
  private readonly parts: ProviderQuestionsParts;
  private readonly wake = new Wake();
  private readonly inquiries = new Map<Revision, Inquiry>();
  private readonly byRegistration = new Map<Registration, Inquiry>();
  private readonly underWay = new Set<Promise<void>>();
  private defect: { readonly error: unknown } | undefined;

  constructor(parts: ProviderQuestionsParts) {
    this.parts = parts;
  }

  /** It can be asked for its revision. */
  want(registration: Registration): void {
    const { revision, record } = registration;
    if (revision === undefined || !isAskable(record) || this.byRegistration.has(registration)) {
      return;
    }
    const inquiry = this.inquiries.get(revision) ?? new Inquiry(revision);
    this.inquiries.set(revision, inquiry);
    this.byRegistration.set(registration, inquiry);
    inquiry.registrations.add(registration);
    this.wake.poke();
  }

  /** It need not be asked any more. */
  forget(registration: Registration): void {
    const inquiry = this.byRegistration.get(registration);
    if (inquiry === undefined) return;
    this.byRegistration.delete(registration);
    inquiry.registrations.delete(registration);
    inquiry.tried.delete(registration);
    if (inquiry.registrations.size === 0) this.inquiries.delete(inquiry.revision);
  }

  /** Whether for some revision nobody has been asked in vain or with success. */
  get isPending(): boolean {
    for (const { rounds } of this.inquiries.values()) if (rounds === 0) return true;
    return false;
  }

  /** Asks until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted && this.defect === undefined) {
      const dueAt = this.start(signal);
      await this.wake.wait(
        signal,
        dueAt === Infinity ? undefined : Math.max(1, dueAt - performance.now()),
      );
    }
    await Promise.all(this.underWay);
    if (this.defect !== undefined) throw this.defect.error;
  }

  /** Starts what is due. Returns when more is due. */
  private start(signal: AbortSignal): number {
    const now = performance.now();
    let nextAt = Infinity;
    for (const inquiry of this.inquiries.values()) {
      if (inquiry.isAsking) continue;
      // Whoever ends next pokes.
      if (this.underWay.size >= questionsMax) return nextAt;
      if (inquiry.dueAt > now) nextAt = Math.min(nextAt, inquiry.dueAt);
      else this.launch(inquiry, signal);
    }
    return nextAt;
  }

  private launch(inquiry: Inquiry, signal: AbortSignal): void {
    const registration = inquiry.next();
    if (registration === undefined) return;
    inquiry.isAsking = true;
    const question = this.question(inquiry, registration, signal)
      .catch((error: unknown) => {
        this.defect ??= { error };
      })
      .finally(() => {
        inquiry.isAsking = false;
        this.underWay.delete(question);
        this.wake.poke();
      });
    this.underWay.add(question);
  }

  private async question(
    inquiry: Inquiry,
    registration: Registration,
    signal: AbortSignal,
  ): Promise<void> {
    const { askProvider, backoff, observer } = this.parts;
    let failure: unknown;
    try {
      const info = await askProvider(registration.record, signal);
      if (info !== undefined) {
        inquiry.rounds += 1;
        await observer.found(inquiry.revision, info);
        return;
      }
    } catch (error) {
      failure = error;
    }
    if (signal.aborted || !this.inquiries.has(inquiry.revision)) return;
    inquiry.fail(registration, (round) => performance.now() + retryDelayMs(backoff, round));
    // To the back of the queue: one that never succeeds must not keep the others waiting.
    this.inquiries.delete(inquiry.revision);
    this.inquiries.set(inquiry.revision, inquiry);
    observer.unanswered(inquiry.revision, failure);
  }
}

/** The metadata of one revision, as it is asked for. */
class Inquiry {
  readonly revision: Revision;
  readonly registrations = new Set<Registration>();
  readonly tried = new Set<Registration>();
  /** How often it was given up for a while. */
  rounds = 0;
  /** `performance.now()` milliseconds. */
  dueAt = 0;
  isAsking = false;
  private triesLeft = triesMax;

  constructor(revision: Revision) {
    this.revision = revision;
  }

  next(): Registration | undefined {
    for (const registration of this.registrations) {
      if (!this.tried.has(registration)) return registration;
    }
    return undefined;
  }

  fail(registration: Registration, dueAt: (round: number) => number): void {
    if (this.registrations.has(registration)) this.tried.add(registration);
    this.triesLeft -= 1;
    const hasMore = this.tried.size < this.registrations.size;
    if (!hasMore) this.tried.clear();
    if (hasMore && this.triesLeft > 0) return;
    this.triesLeft = triesMax;
    this.dueAt = dueAt(this.rounds);
    this.rounds += 1;
  }
}

/** Whether it has a metadata service that can be called as gRPC. */
function isAskable({ metadataVersion, metadataService, storage }: DubboInstanceRecord): boolean {
  return (
    storage === 'local' && metadataVersion.startsWith('2.') && metadataService?.protocol === 'tri'
  );
}
