import type { Logger } from 'pino';
import { messageOf } from '../../../../common/errors.ts';
import { runAll } from '../../../../common/run-all.ts';
import { Pause } from '../../../../common/yielding.ts';
import type { TreeWatcher } from '../../client/tree.ts';
import type { Claim } from '../../description.ts';
import { claimsOf, noServices } from './claims.ts';
import type { ClaimsContext, Resolution } from './claims.ts';
import { Exploration } from './exploration.ts';
import { Inference } from './inference.ts';
import type { InferenceObserver, InferenceTimes } from './inference.ts';
import type { MetadataInfo } from './metadata.ts';
import { MetadataReading } from './metadata-reading.ts';
import type { MetadataFailure, MetadataObserver } from './metadata-reading.ts';
import { ProcessLeaves } from './process-leaves.ts';
import type { Process, ProcessLeaf } from './process-leaves.ts';
import { ProviderQuestions } from './provider-questions.ts';
import type { AskProvider, ProviderObserver } from './provider-questions.ts';
import { isSameSubject, portsOf } from './record.ts';
import type { DubboInstanceRecord } from './record.ts';
import { RegistrationCounts } from './registration-counts.ts';
import type { RegistrationState } from './registration-counts.ts';
import { RegistrationIndex } from './registration-index.ts';
import { Registration, Revisions } from './registration.ts';
import type { Revision } from './registration.ts';
import { Restating } from './restating.ts';

/** What application-level registrations are understood with. */
export interface DubboApplicationsParts extends ClaimsContext {
  /** Roots of Dubbo registries, below which metadata and mapping lie. */
  readonly roots: readonly string[];
  readonly ask: TreeWatcher['ask'];
  /** Asks a provider that keeps its metadata to itself; undefined: none is asked. */
  readonly askProvider: AskProvider | undefined;
  /**
   * What the registration at this path vouches for may have changed: `claims` says to what. Never called
   * from within `set`, `delete`, `leafSeen` and `leafGone`.
   */
  readonly changed: (path: string) => void;
  readonly report: DubboApplicationsReport;
  readonly log: Logger;
  readonly times?: Partial<ApplicationTimes>;
}

/** Where is counted what an operator should see. */
export interface DubboApplicationsReport {
  /** Something that a registration should vouch for was left out. `reason` is fit for a metric label. */
  dropped(reason: string, record: string): void;
  /** Registrations whose services are not known, and those whose services were inferred. */
  dubboRegistrations?(unresolved: number, inferred: number): void;
  /** The metadata of a revision could not be had. `reason` is from a small closed set, fit for a label. */
  metadataFailed?(reason: MetadataFailure | 'provider'): void;
  /** The metadata center has been explored. */
  explored?(reads: number, ms: number): void;
}

/** Milliseconds. */
interface ApplicationTimes extends InferenceTimes {
  /** Bounds of the delay between attempts for the metadata of one revision. */
  readonly retryMinMs: number;
  readonly retryMaxMs: number;
  /** How long after a registration its definitions may still be written. */
  readonly writingMs: number;
}

const defaultTimes: ApplicationTimes = {
  graceMs: 5000,
  exploreMinMs: 3000,
  exploreAgainMs: 60_000,
  retryMinMs: 250,
  retryMaxMs: 30_000,
  writingMs: 60_000,
};

/** Applications that were spoken of in the log. */
const notedMax = 10_000;

/**
 * The application-level registrations of Dubbo 3. A registration says which processes there are, on which ports and of
 * which revision; what services a revision has is found out here, beside the watched tree:
 *
 * 1. from its metadata in the metadata center, exactly, whatever the storage type says;
 * 2. else, with local storage, a process that also registers its interfaces needs nothing: its leaves say it all;
 * 3. else, if allowed, from one of its processes, exactly;
 * 4. and until then, or without that, from the mapping and the definitions in the metadata center: inferred.
 *
 * A registration that shows a new revision goes on vouching for what its earlier one had until the new one is
 * known: late metadata takes no endpoint away.
 */
export class DubboApplications {
  private readonly parts: DubboApplicationsParts;
  private readonly registrations = new RegistrationIndex();
  private readonly revisions = new Revisions();
  private readonly leaves: ProcessLeaves;
  private readonly restating: Restating;
  private readonly reading: MetadataReading;
  private readonly inference: Inference;
  private readonly questions: ProviderQuestions | undefined = undefined;
  private readonly noted = new Set<string>();
  private readonly counts: RegistrationCounts;
  private readonly waiting = new Set<() => void>();
  /** How often registrations are being worked off at this moment. */
  private working = 0;
  private isStopped = false;

  constructor(parts: DubboApplicationsParts) {
    const { roots, ask, askProvider, dubbo } = parts;
    const times = { ...defaultTimes, ...parts.times };
    const wanted = dubbo.parameterKeys;
    const backoff = { baseMs: times.retryMinMs, maxMs: times.retryMaxMs };
    this.parts = parts;
    this.counts = new RegistrationCounts((unresolved, inferred) => {
      parts.report.dubboRegistrations?.(unresolved, inferred);
    });
    this.restating = new Restating(parts.changed, () => {
      this.progress();
    });
    this.leaves = new ProcessLeaves(times.graceMs, (process) => {
      this.restate(process);
    });
    this.reading = new MetadataReading({ roots, ask, wanted, backoff, observer: this.finder });
    if (askProvider !== undefined) {
      this.questions = new ProviderQuestions({ askProvider, backoff, observer: this.finder });
    }
    this.inference = new Inference({
      leaves: this.leaves,
      exploration: new Exploration({ roots, ask, wanted, writingMs: times.writingMs }),
      times,
      observer: this.inferrer,
      isGathering: () => this.reading.hasUnread,
    });
  }

  /** The node exists with this record. Its claims may have changed. */
  set(path: string, record: DubboInstanceRecord): void {
    const known = this.registrations.get(path);
    if (known !== undefined && isSameSubject(known.record, record)) {
      known.record = record;
      this.evaluate(known);
      return;
    }
    const registration = known ?? new Registration(path, record, performance.now());
    if (known !== undefined) {
      this.detach(known);
      if (known.record.application !== record.application) known.resolution = undefined;
      known.record = record;
      known.shownAt = performance.now();
    }
    this.registrations.add(registration);
    this.attach(registration);
    this.evaluate(registration);
  }

  /** The node does not exist any more. */
  delete(path: string): void {
    const registration = this.registrations.get(path);
    if (registration === undefined) return;
    this.detach(registration);
    this.counts.move(registration, 'resolved');
    this.progress();
  }

  /**
   * What the node vouches for as far as is known now: the application's endpoint and one for each service and port.
   */
  claims(path: string): readonly Claim[] {
    const registration = this.registrations.get(path);
    if (registration === undefined) return [];
    const { record, resolution = noServices, toldOf } = registration;
    const word = this.leaves.wordOf(portsOf(record));
    const { claims, dropped } = claimsOf({ path, record, resolution, word }, this.parts);
    const isTold = toldOf?.[0] === record && toldOf[1] === resolution;
    if (dropped.length > 0 && !isTold) {
      registration.toldOf = [record, resolution];
      for (const reason of dropped) this.parts.report.dropped(reason, path);
    }
    return claims;
  }

  /** A leaf of the interface-level registry has come. */
  leafSeen(leaf: ProcessLeaf): void {
    if (this.leaves.seen(leaf, performance.now())) this.leavesChanged(leaf);
  }

  /** Such a leaf has gone. */
  leafGone(leaf: ProcessLeaf): void {
    if (!this.leaves.gone(leaf, performance.now())) return;
    this.leavesChanged(leaf);
    this.inference.leavesGone();
  }

  /**
   * Resolves when everything that could be found out now has been, after `deadlineMs` at the latest, with whether
   * something is known of every registration. What the registry says until now counts as it is: nothing is waited for
   * that may yet come or go.
   */
  async settle(deadlineMs: number): Promise<boolean> {
    this.inference.hurry();
    if (!this.isSettled() && !this.isStopped) await this.settled(deadlineMs);
    const isKnown = this.isSettled() && !this.counts.hasUnknown;
    if (!isKnown) this.counts.late(performance.now());
    return isKnown;
  }

  private async settled(deadlineMs: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const finish = (): void => {
        clearTimeout(timer);
        this.waiting.delete(finish);
        resolve();
      };
      const timer = setTimeout(finish, deadlineMs);
      this.waiting.add(finish);
    });
  }

  /** Why some services are not known although they could be, for the operator; undefined when it is not so. */
  get hiddenReason(): string | undefined {
    return this.counts.reasonAt(performance.now());
  }

  /** Finds out what is to be found out until the signal aborts. Rejects on a defect. */
  async run(signal: AbortSignal): Promise<void> {
    const { reading, inference, restating, questions } = this;
    const parts = [reading, inference, restating, ...(questions === undefined ? [] : [questions])];
    try {
      await runAll(signal, [parts.map((part) => (ended: AbortSignal) => part.run(ended))]);
    } finally {
      this.isStopped = true;
      this.progress();
    }
  }

  private attach(registration: Registration): void {
    const { application, revision: name, storage, isLegacy } = registration.record;
    if (isLegacy) {
      this.note(application, 'legacy', 'registered by Dubbo 2.7.5 to 2.7.8: no services are shown');
    }
    if (name === '') return;
    const revision = this.revisions.show(registration, application, name);
    if (revision.resolution !== undefined) return;
    if (!revision.isAbsent || storage === 'remote') this.reading.want(revision);
    else this.inference.enter(registration);
  }

  private detach(registration: Registration): void {
    this.registrations.delete(registration);
    this.inference.exit(registration);
    const abandoned = this.revisions.leave(registration);
    if (abandoned !== undefined) this.reading.forget(abandoned);
  }

  private leavesChanged({ application, address }: Process): void {
    for (const registration of this.registrations.at(application, address)) {
      this.inference.leavesChanged(registration);
    }
  }

  /** The leaves of the process say something else of it than before. */
  private restate({ application, address, port }: Process): void {
    if (!this.parts.hasApplicationHosts) return;
    for (const { path, record } of this.registrations.at(application, address)) {
      if (portsOf(record).ports.includes(port)) this.restating.add(path);
    }
  }

  /** What is known of its services now; undefined: nothing new. */
  private resolutionOf(registration: Registration): Resolution | undefined {
    const { record, revision } = registration;
    if (revision === undefined) return noServices;
    if (revision.resolution !== undefined) return revision.resolution;
    if (record.storage === 'remote' || !revision.isAbsent) return undefined;
    return this.inference.resolutionOf(registration);
  }

  /** Brings what is known of its services up to date. Whether that changes its claims. */
  private evaluate(registration: Registration): boolean {
    const before = registration.resolution;
    const now = this.resolutionOf(registration);
    this.counts.move(registration, stateOf(now));
    if (now === undefined || now === before) return false;
    registration.resolution = now;
    return now.services.length > 0 || (before?.services.length ?? 0) > 0;
  }

  private update(registration: Registration): void {
    if (this.evaluate(registration)) this.parts.changed(registration.path);
  }

  /** The services of a revision are known, exactly. */
  private async resolve(revision: Revision, { services, malformed }: MetadataInfo): Promise<void> {
    revision.resolution = { services, isInferred: false };
    for (let i = 0; i < malformed; i += 1) {
      this.parts.report.dropped('service', `metadata of ${revision.application}`);
    }
    await this.forEach(revision.registrations, (registration) => {
      this.inference.exit(registration);
      this.update(registration);
    });
  }

  /** The metadata center has nothing usable. Whether it is to be looked at again and again. */
  private async missing(revision: Revision, failure: MetadataFailure): Promise<boolean> {
    const { application } = revision;
    revision.isAbsent = true;
    revision.isHidden = failure === 'unreadable';
    let isNeeded = failure !== 'missing';
    await this.forEach(revision.registrations, (registration) => {
      if (registration.record.storage === 'remote') isNeeded = true;
      else this.inference.enter(registration);
      this.update(registration);
    });
    if (isNeeded) {
      this.parts.report.metadataFailed?.(failure);
      this.note(application, failure, 'the metadata of its present revision cannot be read');
    }
    return isNeeded;
  }

  /** Works off registrations in slices; meanwhile not everything is found out. */
  private async forEach(
    registrations: Iterable<Registration>,
    work: (registration: Registration) => void,
  ): Promise<void> {
    const pause = new Pause();
    this.working += 1;
    for (const registration of registrations) {
      work(registration);
      if (pause.isDue()) await pause.turn();
    }
    this.working -= 1;
    this.progress();
  }

  private isSettled(): boolean {
    const { reading, inference, restating, questions } = this;
    if (this.working > 0 || restating.isPending) return false;
    return !reading.hasUnread && !inference.isPending && questions?.isPending !== true;
  }

  /** Something has been found out: whoever waits for everything may have it. */
  private progress(): void {
    if (this.waiting.size === 0 || !(this.isStopped || this.isSettled())) return;
    for (const finish of this.waiting) finish();
  }

  /** Says something of an application, once. */
  private note(application: string, what: string, text: string): void {
    const key = `${what} ${application}`;
    if (this.noted.has(key)) return;
    if (this.noted.size >= notedMax) this.noted.clear();
    this.noted.add(key);
    this.parts.log.warn({ application, reason: what }, text);
  }

  private readonly finder: MetadataObserver & ProviderObserver = {
    found: (revision, info) => this.resolve(revision, info),
    failed: (revision, failure) => this.missing(revision, failure),
    unanswered: ({ application }, error) => {
      this.parts.report.metadataFailed?.('provider');
      this.parts.log.debug({ application, reason: messageOf(error) }, 'a provider does not answer');
      this.progress();
    },
    disconnected: (error) => {
      this.parts.log.debug({ reason: messageOf(error) }, 'metadata cannot be read for now');
    },
  };

  private readonly inferrer: InferenceObserver = {
    changed: (registration) => {
      this.update(registration);
    },
    alone: (registration) => {
      this.questions?.want(registration);
    },
    notAlone: (registration) => {
      this.questions?.forget(registration);
    },
    again: ({ revision }) => {
      if (revision !== undefined) this.reading.want(revision);
    },
    explored: (reads, ms) => {
      this.parts.report.explored?.(reads, ms);
    },
    progress: () => {
      this.progress();
    },
    disconnected: (error) => {
      this.finder.disconnected(error);
    },
  };
}

function stateOf(resolution: Resolution | undefined): RegistrationState {
  if (resolution === undefined) return 'unresolved';
  return resolution.isInferred ? 'inferred' : 'resolved';
}
