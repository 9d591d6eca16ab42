import type { Logger } from 'pino';
import { Guard, guardPolicies } from '../common/guard.ts';
import type { HeldPart } from '../common/guard-holds.ts';
import type { GuardPolicy } from '../common/guard.ts';
import { limitYoungHeap, tidyHeapAfter } from '../common/heap.ts';
import type { InstanceStatus } from '../common/instance.ts';
import type { RegistryId, RegistryKind } from '../common/registry.ts';
import { sleep } from '../common/sleep.ts';
import { Pause } from '../common/yielding.ts';
import { Confirmer } from './confirmer.ts';
import type { FeedClientStatus } from './feed-client.ts';
import { FeedTargets } from './feed-targets.ts';
import type { FeedTargetOptions } from './feed-targets.ts';
import { GuardedView } from './guarded-view.ts';
import type { HeartbeatHealth } from './feed-stream.ts';
import type { AgentObserver } from './observer.ts';
import { Outbox } from './outbox.ts';
import type { OutboxLimits } from './outbox.ts';
import { RegistryHealth } from './registry-health.ts';
import type { HealthState } from './registry-health.ts';
import { Retention } from './retention.ts';
import { SourceNotes } from './source-facts.ts';
import type { SourceFacts } from './source-facts.ts';
import type { Source, SourceEvent } from './source.ts';

export interface RegistryAgentOptions {
  readonly registry: RegistryId;
  readonly kind: RegistryKind;
  /** Stable across restarts, unique among the agents of the registry; 1..253 characters. */
  readonly agentId: string;
  readonly datacenter: string;
  /** Istio network of all endpoints, or empty. */
  readonly network: string;
  /** Locality of instances without one, or empty. */
  readonly defaultLocality: string;
  /** Version of this software, for the aggregator's status page. */
  readonly software: string;
  /** How long a service that lost its last instance stays as an empty service; default 10 min. */
  readonly emptyServiceMs?: number;
  /** Overrides of the defaults of the registry's kind. */
  readonly guard?: Partial<GuardPolicy>;
  readonly outbox?: Partial<OutboxLimits>;
  readonly feed: FeedTargetOptions;
  /** What the source tells of itself, where it does. */
  readonly notes?: SourceNotes;
}

/** What the admin page shows of one registry. */
export interface AgentStatus {
  readonly registry: RegistryId;
  readonly kind: RegistryKind;
  readonly agentId: string;
  readonly epoch: string;
  readonly sequence: number;
  readonly state: HealthState;
  readonly reason: string;
  /** Since the registry last confirmed what is known, milliseconds. */
  readonly registryAgeMs: number | undefined;
  readonly source: SourceFacts;
  readonly instances: Readonly<Partial<Record<InstanceStatus, number>>>;
  readonly services: number;
  readonly heldRemovals: number;
  readonly held: readonly HeldPart[];
  readonly aggregators: readonly FeedClientStatus[];
}

const tickMs = 1000;
/** A registry that is away for less is none the worse for it: those that live need not register anew. */
const outageMinMs = 10_000;
const defaultEmptyServiceMs = 600_000;
const silent = new SourceNotes();

/**
 * The agent of one registry: source -> guard -> outbox -> a feed client for each aggregator.
 * An upsert is on its way to every connected aggregator before the turn of the event loop in which its
 * source reported it ends.
 */
export class RegistryAgent {
  private readonly options: RegistryAgentOptions;
  private readonly source: Source;
  private readonly observer: AgentObserver;
  private readonly log: Logger;
  private readonly outbox: Outbox;
  private readonly view: GuardedView;
  private readonly health = new RegistryHealth();
  /** Why instances were left out, as far as it was logged. */
  private readonly toldDrops = new Set<string>();
  private readonly confirmer: Confirmer;
  private readonly targets: FeedTargets;
  /** Since when the registry, once read, is not followed. */
  private leftAt: number | undefined;
  /** As the source said last. */
  private doubt: string | undefined;
  private isDoubtTold = false;

  /** Throws ConfigurationError if a token would travel unencrypted without the operator's consent. */
  constructor(options: RegistryAgentOptions, source: Source, observer: AgentObserver, log: Logger) {
    this.options = options;
    this.source = source;
    this.observer = observer;
    this.log = log;
    this.outbox = new Outbox(options.outbox);
    const guard = new Guard({ ...guardPolicies[options.kind], ...options.guard });
    const retention = new Retention(options.emptyServiceMs ?? defaultEmptyServiceMs);
    this.view = new GuardedView(this.outbox, guard, retention, {
      guardActivated: ({ service, evidence }) => {
        this.log.warn({ evidence }, 'guard: removals are held');
        this.observer.guardActivated(service === '' ? 'registry' : 'service');
      },
      dropped: (reason, record) => {
        this.observer.dropped(reason, record);
        if (this.toldDrops.has(reason)) return;
        this.toldDrops.add(reason);
        this.log.warn({ reason, record }, 'an instance breaks a limit of the feed and is left out');
      },
    });
    this.confirmer = new Confirmer(source, this.view, log);
    const feeder = { hello: options, outbox: this.outbox, health: () => this.heartbeatHealth() };
    this.targets = new FeedTargets(options.feed, feeder, observer, log);
  }

  /** Reads and feeds until the signal aborts. Rejects on a defect. */
  async run(signal: AbortSignal): Promise<void> {
    const stop = new AbortController();
    const either = AbortSignal.any([signal, stop.signal]);
    const parts = [
      this.consume(either),
      this.tickForever(either),
      this.confirmer.run(either),
      this.targets.run(either),
      limitYoungHeap(either),
    ].map((part) =>
      part.catch((error: unknown) => {
        stop.abort();
        throw error;
      }),
    );
    const results = await Promise.allSettled(parts);
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  }

  /** Lets all held removals pass, by an operator's word. Returns how many there were. */
  release(): number {
    const released = this.view.release(performance.now());
    if (released > 0) this.log.info({ released }, 'guard: held removals released by an operator');
    return released;
  }

  status(): AgentStatus {
    const { registry, kind, agentId } = this.options;
    return {
      registry,
      kind,
      agentId,
      epoch: this.outbox.epoch.toString('hex'),
      sequence: this.outbox.sequence,
      state: this.health.state,
      reason: this.health.reason,
      registryAgeMs: this.health.ageMs(performance.now()),
      source: this.sourceFacts(),
      instances: this.view.statusCounts(),
      services: this.view.serviceCount,
      heldRemovals: this.view.heldCount,
      held: this.view.held(),
      aggregators: this.targets.status(),
    };
  }

  private sourceFacts(): SourceFacts {
    return (this.options.notes ?? silent).facts(performance.now());
  }

  private async consume(signal: AbortSignal): Promise<void> {
    for await (const event of this.source.watch(signal)) {
      const wasFollowed = this.health.isFollowed;
      if (event.kind === 'snapshot') await this.takeSnapshot(event);
      else if (event.kind === 'changes') await this.takeChanges(event);
      const hasChanged = this.health.note(event);
      if (wasFollowed !== this.health.isFollowed) this.noteFollowed(performance.now());
      if (hasChanged) this.announce();
      else this.tellDoubt();
    }
    if (!signal.aborted)
      throw new Error(`${this.options.registry}: the source has ended by itself`);
  }

  /** It is followed, or is not any more. After a real outage what is held is held for its whole time again. */
  private noteFollowed(now: number): void {
    const { leftAt } = this;
    this.leftAt = this.health.isFollowed ? undefined : now;
    if (leftAt === undefined) return;
    const awayMs = now - leftAt;
    this.view.renewHolds(now, awayMs < outageMinMs ? awayMs : Infinity);
  }

  /** Aggregators must know at once what a restart of this process would forget. */
  private tellDoubt(): void {
    const isDoubted = this.view.heldCount > 0 || this.doubt !== undefined;
    if (isDoubted === this.isDoubtTold) return;
    this.isDoubtTold = isDoubted;
    if (isDoubted) this.targets.beat();
  }

  private async takeSnapshot(event: Extract<SourceEvent, { kind: 'snapshot' }>): Promise<void> {
    const pause = new Pause();
    for (const instance of event.instances.values()) {
      this.view.upsert(instance);
      if (pause.isDue()) await this.commitAndTurn(event.observedAt, pause);
    }
    for (const id of this.outbox.ids()) {
      if (!event.instances.has(id)) this.view.remove(id, performance.now());
      if (pause.isDue()) await pause.turn();
    }
    this.settle(event);
    tidyHeapAfter(event.instances.size);
    if (this.outbox.sequence > 0) return;
    // Who takes the first snapshot must know before that parts of it are missing.
    if (event.unread !== undefined && this.health.note(event)) this.announce();
    this.outbox.open();
    this.log.info({ instances: this.outbox.size }, 'the registry has been read');
  }

  private async takeChanges(event: Extract<SourceEvent, { kind: 'changes' }>): Promise<void> {
    const pause = new Pause();
    for (const change of event.changes) {
      if (change.kind === 'upsert') this.view.upsert(change.instance);
      else this.view.remove(change.id, performance.now());
      if (pause.isDue()) await this.commitAndTurn(event.observedAt, pause);
    }
    this.settle(event);
  }

  private async commitAndTurn(observedAt: number, pause: Pause): Promise<void> {
    this.view.commit(observedAt);
    await pause.turn();
  }

  private settle({ observedAt, doubt }: { observedAt: number; doubt?: string }): void {
    this.doubt = doubt;
    this.view.settle(observedAt, performance.now(), doubt);
    this.confirmer.poke();
  }

  private async tickForever(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      // What the registry said runs out only while the registry can be read.
      if (this.health.isFollowed) {
        this.view.tick(performance.now());
        this.confirmer.poke();
        this.tellDoubt();
      }
      this.reportCensus();
      await sleep(tickMs, signal);
    }
  }

  private announce(): void {
    const { state, reason } = this.health;
    if (state === 'live') this.log.info('the registry is live');
    else this.log.warn({ reason }, `the registry is ${state}`);
    this.targets.beat();
    this.reportCensus();
  }

  private reportCensus(): void {
    const ageMs = this.health.ageMs(performance.now());
    this.observer.census({
      state: this.health.state,
      instances: this.view.statusCounts(),
      services: this.view.serviceCount,
      heldRemovals: this.view.heldCount,
      registryAgeSeconds: ageMs === undefined ? undefined : ageMs / 1000,
    });
  }

  private heartbeatHealth(): HeartbeatHealth {
    const now = performance.now();
    const { state, reason } = this.health;
    const { hiddenDelayMs } = this.sourceFacts();
    return {
      state: state === 'waiting' ? 'lost' : state,
      reason,
      // Never confirmed: not since this process began, at least.
      registryAgeMs: Math.round(this.health.ageMs(now) ?? now),
      hiddenDelayMs,
      heldRemovals: this.view.heldCount,
      ...(this.doubt === undefined ? {} : { doubt: this.doubt }),
    };
  }
}
