import type { Logger } from 'pino';
import { fullJitter } from '../../common/backoff.ts';
import { TransientError } from '../../common/errors.ts';
import type { Instance } from '../../common/instance.ts';
import { sleep } from '../../common/sleep.ts';
import { Pause } from '../../common/yielding.ts';
import type { Source, SourceEvent, SourceReport } from '../source.ts';
import { EurekaClient } from './client.ts';
import { diffView } from './diff.ts';
import type { EurekaOptions } from './options.ts';
import { Poller } from './poller.ts';
import type { PollerObserver, PollResult } from './poller.ts';
import { parseServiceUrl } from './service-url.ts';
import type { ServiceUrl } from './service-url.ts';
import type { ServerSession } from './session.ts';
import { countExpired } from './view.ts';
import { memoryMinMs, Witnesses } from './witnesses.ts';

const failedPollMaxMs = 30_000;
/** The servers' read-only cache, refreshed every 30 s by default; a poll sees it one interval later. */
const serverCacheMs = 30_000;

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
  report: SourceReport,
  log: Logger,
): Source {
  return new EurekaSource(options, report, log);
}

class EurekaSource implements Source {
  private readonly options: EurekaOptions;
  private readonly report: SourceReport;
  private readonly log: Logger;
  private readonly servers: readonly ServiceUrl[];

  private running: { readonly poller: Poller; readonly witnesses: Witnesses } | undefined;
  private readonly emitted = new Map<string, Instance>();
  /** The session whose registry was emitted last; undefined before the first snapshot. */
  private emittedSession: ServerSession | undefined;
  private emptySince: number | undefined;
  private isMemoryInDoubt = false;
  private isFailing = false;
  private deltaNotice = '';

  constructor(options: EurekaOptions, report: SourceReport, log: Logger) {
    this.options = options;
    this.report = report;
    this.log = log;
    this.servers = options.serviceUrls.map(parseServiceUrl);
  }

  async *watch(signal: AbortSignal): AsyncGenerator<SourceEvent> {
    const client = new EurekaClient(this.options);
    const poller = new Poller(client, this.options, this.servers, this.observer());
    const witnesses = new Witnesses(client, poller);
    this.running = { poller, witnesses };
    let failures = 0;
    try {
      while (!isAborted(signal)) {
        const startedAt = performance.now();
        const result = await poller.poll(signal);
        if (isAborted(signal)) return;
        failures = result.kind === 'failed' ? failures + 1 : 0;
        yield result.kind === 'failed'
          ? this.failureEvent(result)
          : await this.readEvent(poller, result, signal);
        await sleep(this.delayMs(failures, performance.now() - startedAt), signal);
      }
    } finally {
      this.running = undefined;
      await client.close();
    }
  }

  async confirmGone(
    instances: readonly Instance[],
    scale: 'single' | 'mass',
    signal: AbortSignal,
  ): Promise<ReadonlySet<string>> {
    if (this.running === undefined) {
      throw new TransientError(`eureka ${this.options.registry}: not connected`);
    }
    return this.running.witnesses.confirm(instances, scale, signal);
  }

  private observer(): PollerObserver {
    return {
      dropped: (reason, key) => {
        this.log.warn({ reason, record: key }, 'a record cannot be understood and is left out');
        this.report.dropped(reason, key);
      },
      unreliableDelta: () => this.noticeDelta('its deltas do not add up'),
      refusedDelta: () => this.noticeDelta('it refuses deltas'),
      serverDown: () => {
        this.isMemoryInDoubt = true;
      },
    };
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

  private delayMs(failures: number, spentMs: number): number {
    const { pollIntervalMs } = this.options;
    if (failures === 0) return Math.max(0, pollIntervalMs - spentMs);
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
      this.report.expiredButListed(countExpired(session.view, Date.now()));
    }
    this.emittedSession = session;
    const touched = session.takeTouched();
    const keys = read.isFull || isOther ? undefined : touched;
    const changes = await diffView(this.emitted, session.view, keys);
    const { observedAt } = read;
    if (!isOther && !read.isRestarted) return { kind: 'changes', changes, observedAt };
    return { kind: 'snapshot', instances: await this.copyEmitted(), observedAt };
  }

  private connected(session: ServerSession): void {
    this.log.info({ server: session.server.url }, 'reading from an eureka server');
    this.deltaNotice = '';
    this.report.connected(session.server.url);
    this.report.hiddenDelay(serverCacheMs + this.options.pollIntervalMs);
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

function isAborted(signal: AbortSignal): boolean {
  return signal.aborted;
}
