import type { Logger } from 'pino';
import { fullJitter } from '../../common/backoff.ts';
import { TransientError } from '../../common/errors.ts';
import type { Instance } from '../../common/instance.ts';
import { sleep } from '../../common/sleep.ts';
import { Pause } from '../../common/yielding.ts';
import type { Source, SourceEvent, SourceReport, SuspectedLoss, Verdicts } from '../source.ts';
import { EurekaClient } from './client.ts';
import { diffView } from './diff.ts';
import type { Entries } from './diff.ts';
import { LiveQuestions } from './live.ts';
import type { EurekaOptions } from './options.ts';
import { Poller } from './poller.ts';
import type { PollerObserver, PollResult } from './poller.ts';
import type { PushReport, PushSink } from './push/item.ts';
import { PushListener } from './push/listener.ts';
import { PushedChanges } from './pushed.ts';
import { ServerList } from './server-list.ts';
import type { ServerSession } from './session.ts';
import { findExpired } from './view.ts';
import { memoryMinMs, Witnesses } from './witnesses.ts';
import { Worklist } from './worklist.ts';

const failedPollMaxMs = 30_000;
/** The servers' read-only cache, refreshed every 30 s by default; a poll sees it one interval later. */
const serverCacheMs = 30_000;
/** What else may lie between a server's registry and our view: the time of a read, a cache being filled. */
const settleSlackMs = 15_000;

/** What this source reports; pushes where somebody counts them. */
export type EurekaReport = SourceReport & Partial<PushReport>;

type ReadPoll = Extract<PollResult, { kind: 'read' }>;

/**
 * Reads one Eureka cluster by polling one of its servers at a time: see plan.ts for what is read
 * when, failover.ts for from whom, view.ts for how it is put together.
 *
 * Throws ConfigurationError for service URLs that cannot be used. The registry's caches may hide a
 * change for 30 s (the servers' default) and one poll interval: reported as hidden delay.
 */
export function createEurekaSource(
  options: EurekaOptions,
  report: EurekaReport,
  log: Logger,
): Source {
  return new EurekaSource(options, report, log);
}

class EurekaSource implements Source {
  private readonly options: EurekaOptions;
  private readonly report: EurekaReport;
  private readonly log: Logger;
  private readonly servers: ServerList;

  private running: { readonly poller: Poller; readonly witnesses: Witnesses } | undefined;
  private readonly emitted = new Map<string, Instance>();
  /** The session whose registry was emitted last; undefined before the first snapshot. */
  private emittedSession: ServerSession | undefined;
  private readonly pushed: PushedChanges;
  private readonly entries: Entries;
  /** When the oldest pushed change that waits to be emitted was received. */
  private pushedSince: number | undefined;
  private hiddenDelayMs = 0;
  private emptySince: number | undefined;
  private isMemoryInDoubt = false;
  private isFailing = false;
  private deltaNotice = '';

  constructor(options: EurekaOptions, report: EurekaReport, log: Logger) {
    this.options = options;
    this.report = report;
    this.log = log;
    this.servers = new ServerList(options, log);
    this.pushed = new PushedChanges({
      conversion: options.conversion,
      settleMs: () => this.hiddenDelayMs + settleSlackMs,
      dropped: (reason, key) => this.dropped(reason, key),
    });
    this.entries = {
      get: (key) => this.pushed.get(key, performance.now()),
      keys: () => this.pushed.keys(),
    };
  }

  async *watch(signal: AbortSignal): AsyncGenerator<SourceEvent> {
    const left = new AbortController();
    const ended = AbortSignal.any([signal, left.signal]);
    const client = new EurekaClient(this.options, this.servers, this.log);
    const poller = new Poller(client, this.options, this.servers, this.observer());
    this.running = { poller, witnesses: new Witnesses(client, poller, this.options.conversion) };
    const worklist = new Worklist();
    const tasks = [
      this.pollForever(poller, worklist, ended),
      ...this.pushTasks(poller, client, worklist, ended),
    ];
    const running = Promise.all(
      tasks.map((task) => task.catch((error: unknown) => worklist.fail(error))),
    );
    try {
      for (;;) {
        const event = await worklist.next(ended);
        if (event === undefined) return;
        yield event;
      }
    } finally {
      this.running = undefined;
      left.abort();
      worklist.close();
      await running;
      await client.close();
    }
  }

  private async pollForever(
    poller: Poller,
    worklist: Worklist,
    signal: AbortSignal,
  ): Promise<void> {
    let failures = 0;
    while (!isAborted(signal)) {
      const startedAt = performance.now();
      const result = await poller.poll(signal);
      if (isAborted(signal)) return;
      failures = result.kind === 'failed' ? failures + 1 : 0;
      // What is being read must not change while it is compared.
      await worklist.put(async () =>
        result.kind === 'failed'
          ? this.failureEvent(result)
          : this.readEvent(poller, result, signal),
      );
      await sleep(this.delayMs(failures, startedAt), signal);
    }
  }

  /** What runs when servers push to us. */
  private pushTasks(
    poller: Poller,
    client: EurekaClient,
    worklist: Worklist,
    signal: AbortSignal,
  ): readonly Promise<void>[] {
    const { push } = this.options;
    if (push === undefined) return [];
    const emit = (receivedAt: number): void => this.emitPushed(worklist, receivedAt);
    const questions = new LiveQuestions(client, poller, (key, answer) => {
      const now = performance.now();
      this.pushed.answer(key, answer, now);
      emit(now);
    });
    const sink: PushSink = {
      isKnown: (key, dirtyAt) => this.pushed.isKnown(key, dirtyAt, performance.now()),
      take: (items, receivedAt) => {
        this.pushed.take(items, performance.now());
        questions.ask(this.pushed.takeHints());
        emit(receivedAt);
      },
    };
    const listener = new PushListener(push, sink, pushReportOf(this.report), this.log);
    return [listener.run(signal), questions.run(signal)];
  }

  /** Has what was pushed compared, once for all that comes until then. */
  private emitPushed(worklist: Worklist, receivedAt: number): void {
    if (!this.pushed.isTouched || this.pushedSince !== undefined) return;
    this.pushedSince = receivedAt;
    void worklist.put(async () => {
      const observedAt = this.pushedSince ?? receivedAt;
      this.pushedSince = undefined;
      // Before the first snapshot there is nothing to add to; it will have this in it.
      if (this.emittedSession === undefined) return undefined;
      const changes = await diffView(this.emitted, this.entries, this.pushed.takeTouched());
      if (changes.length === 0) return undefined;
      return { kind: 'changes', changes, observedAt, isPartial: true };
    });
  }

  async confirmLosses(
    losses: readonly SuspectedLoss[],
    scale: 'single' | 'mass',
    signal: AbortSignal,
  ): Promise<Verdicts> {
    if (this.running === undefined) {
      throw new TransientError(`eureka ${this.options.registry}: not connected`);
    }
    return this.running.witnesses.confirm(losses, scale, signal);
  }

  private observer(): PollerObserver {
    return {
      dropped: (reason, key) => this.dropped(reason, key),
      unreliableDelta: () => this.noticeDelta('its deltas do not add up'),
      refusedDelta: () => this.noticeDelta('it refuses deltas'),
      serverDown: () => {
        this.isMemoryInDoubt = true;
      },
    };
  }

  private dropped(reason: string, key: string): void {
    this.log.warn({ reason, record: key }, 'a record cannot be understood and is left out');
    this.report.dropped(reason, key);
  }

  private noticeDelta(what: string): void {
    if (this.deltaNotice === what) return;
    this.deltaNotice = what;
    const server = this.running?.poller.session?.server.url;
    this.log.warn({ server }, `the eureka server is read in full only: ${what}`);
  }

  /** A server that has restarted knows as gone what has only not come back yet. */
  private checkMemory(session: ServerSession): void {
    const missingMs = memoryMinMs - session.memoryMs;
    if (missingMs <= 0) return;
    this.running?.witnesses.distrust(performance.now() + missingMs);
    const server = session.server.url;
    this.log.warn({ server }, 'the eureka server is young: what it denies needs another witness');
  }

  private delayMs(failures: number, startedAt: number): number {
    const { pollIntervalMs } = this.options;
    const now = performance.now();
    if (failures === 0) {
      const usualMs = Math.max(0, startedAt + pollIntervalMs - now);
      return this.emittedSession?.delayToPoll(now, usualMs) ?? usualMs;
    }
    const maxMs = Math.max(failedPollMaxMs, pollIntervalMs);
    return fullJitter({ baseMs: pollIntervalMs, maxMs }, failures - 1);
  }

  private failureEvent(failure: Extract<PollResult, { kind: 'failed' }>): SourceEvent {
    const reason = `eureka ${this.options.registry}: ${failure.reason}`;
    if (!this.isFailing) this.log.warn({ reason }, 'the registry cannot be read');
    this.isFailing = true;
    const isDoubtful = failure.why === 'empty-body' && this.emittedSession === undefined;
    return { kind: isDoubtful ? 'suspect' : 'lost', reason };
  }

  private async readEvent(
    poller: Poller,
    result: ReadPoll,
    signal: AbortSignal,
  ): Promise<SourceEvent> {
    if (this.isFailing) this.log.info('the registry can be read again');
    this.isFailing = false;
    if (this.emittedSession !== undefined || result.session.view.size > 0) {
      return this.contentEvent(result);
    }
    const believed = await this.secondOpinion(poller, result, signal);
    if (believed !== undefined) return this.contentEvent(believed);
    if (this.emptySince === undefined) this.log.warn('the registry is empty: not believed yet');
    this.emptySince ??= performance.now();
    const { registry } = this.options;
    const reason = `eureka ${registry}: ${result.session.server.url}: the registry is empty`;
    return { kind: 'suspect', reason };
  }

  /**
   * The first thing that was read is an empty registry: a server that has just started says so too.
   * Believed when another server says the same, or after the hold time. A server that has something
   * to say is followed instead. Undefined when there is nothing to believe yet.
   */
  private async secondOpinion(
    poller: Poller,
    result: ReadPoll,
    signal: AbortSignal,
  ): Promise<ReadPoll | undefined> {
    const doubtedMs = performance.now() - (this.emptySince ?? performance.now());
    let isAgreed = doubtedMs >= this.options.emptyHoldMs;
    for (const server of poller.others) {
      const session = await poller.readOnce(server, signal);
      if (session === undefined) continue;
      isAgreed = true;
      if (session.view.size === 0) continue;
      poller.follow(session);
      return { ...result, session };
    }
    return isAgreed ? result : undefined;
  }

  private async contentEvent({ session, read }: ReadPoll): Promise<SourceEvent> {
    const isOther = session !== this.emittedSession;
    // Before the first snapshot there is nothing that could be denied.
    const wasOther = isOther && this.emittedSession !== undefined;
    if (isOther) this.connected(session);
    if (wasOther || read.isRestarted || this.isMemoryInDoubt) this.checkMemory(session);
    this.isMemoryInDoubt = false;
    if (read.isFull) {
      const { count, examples } = await findExpired(session.view, Date.now());
      this.report.expiredButListed(count, examples);
    }
    this.emittedSession = session;
    const touched = session.takeTouched();
    this.pushed.reconcile(session.view, performance.now());
    const pushed = this.pushed.takeTouched();
    const keys = read.isFull || isOther ? undefined : touched.union(pushed);
    const changes = await diffView(this.emitted, this.entries, keys);
    const { observedAt } = read;
    this.reportDelay(session);
    if (!isOther && !read.isRestarted) return { kind: 'changes', changes, observedAt };
    return { kind: 'snapshot', instances: await this.copyEmitted(), observedAt };
  }

  private connected(session: ServerSession): void {
    this.log.info({ server: session.server.url }, 'reading from an eureka server');
    this.deltaNotice = '';
    this.report.connected(session.server.url);
    this.reportDelay(session);
  }

  /** What the server's caches and our interval may hide at most. */
  private reportDelay(session: ServerSession): void {
    const ms = (session.cachePeriodMs ?? serverCacheMs) + this.options.pollIntervalMs;
    if (ms === this.hiddenDelayMs) return;
    this.hiddenDelayMs = ms;
    this.report.hiddenDelay(ms);
  }

  private async copyEmitted(): Promise<ReadonlyMap<string, Instance>> {
    const instances = new Map<string, Instance>();
    const pause = new Pause();
    for (const [id, instance] of this.emitted) {
      instances.set(id, instance);
      if (pause.isDue()) await pause.turn();
    }
    return instances;
  }
}

function pushReportOf(report: EurekaReport): PushReport {
  return {
    pushRequest: (outcome) => report.pushRequest?.(outcome),
    pushItems: (action, count) => report.pushItems?.(action, count),
    pushPeer: (peer) => report.pushPeer?.(peer),
  };
}

function isAborted(signal: AbortSignal): boolean {
  return signal.aborted;
}
