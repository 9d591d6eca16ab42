import { isIP } from 'node:net';
import type { Logger } from 'pino';
import { isHostName } from '../common/endpoint-address.ts';
import type { Change, Instance } from '../common/instance.ts';
import { Pause } from '../common/yielding.ts';
import type { LookupHost } from './host-lookup.ts';
import { HostResolver } from './host-resolver.ts';
import type { HostReport } from './host-resolver.ts';
import type { Source, SourceEvent, SuspectedLoss, Verdicts } from './source.ts';

/**
 * A source whose instances have IP addresses where the registry has host names: the mesh's endpoints are addresses.
 *
 * It passes on every event of the source that it wraps, in order, with the addresses that are known by then, and adds
 * changes when a name gets an address or another one. A name without an address is passed on as it is (it
 * becomes no endpoint).
 *
 * The first snapshot waits until each name in it was looked up once, 10 s at most: what is said of it takes the place of
 * what an earlier agent said, and must not take endpoints away because we have not looked yet.
 */
const firstLookupsMs = 10_000;

type Snapshot = Extract<SourceEvent, { kind: 'snapshot' }>;
type Changes = Extract<SourceEvent, { kind: 'changes' }>;

const never = new AbortController().signal;

/** The next result of an iterator, without a promise that would have to be raced with others. */
class Pulled {
  private readonly events: AsyncIterator<SourceEvent>;
  private readonly onReady: () => void;
  private result: IteratorResult<SourceEvent> | undefined;
  private failure: { readonly error: unknown } | undefined;

  constructor(events: AsyncIterator<SourceEvent>, onReady: () => void) {
    this.events = events;
    this.onReady = onReady;
    this.next();
  }

  get isReady(): boolean {
    return this.result !== undefined || this.failure !== undefined;
  }

  /** Asks for the next one. */
  next(): void {
    this.events.next().then(
      (result) => {
        this.result = result;
        this.onReady();
      },
      (error: unknown) => {
        this.failure = { error };
        this.onReady();
      },
    );
  }

  /** What is ready; throws what the iteration threw. */
  take(): IteratorResult<SourceEvent> {
    const { result } = this;
    this.result = undefined;
    if (result === undefined) throw this.failure?.error;
    return result;
  }
}

/** See the head of this file. */
export class ResolvingSource implements Source {
  private readonly inner: Source;
  private readonly lookup: LookupHost;
  private readonly report: HostReport;
  private readonly log: Logger;
  /** As the registry has them, those with a host name. */
  private named = new Map<string, Instance>();

  constructor(inner: Source, lookup: LookupHost, report: HostReport, log: Logger) {
    this.inner = inner;
    this.lookup = lookup;
    this.report = report;
    this.log = log;
  }

  async *watch(signal: AbortSignal): AsyncGenerator<SourceEvent> {
    const stop = new AbortController();
    const either = AbortSignal.any([signal, stop.signal]);
    const resolver = new HostResolver(this.lookup, this.report, this.log);
    this.named = new Map();
    const running = resolver.run(either);
    const events = this.inner.watch(either)[Symbol.asyncIterator]();
    try {
      yield* this.follow(events, resolver, either);
    } finally {
      stop.abort();
      await running;
      await events.return?.();
    }
  }

  /** Registries are asked by id: that the addresses are ours does not matter. */
  confirmLosses(
    losses: readonly SuspectedLoss[],
    scale: 'single' | 'mass',
    signal: AbortSignal,
  ): Promise<Verdicts> {
    return this.inner.confirmLosses(losses, scale, signal);
  }

  private async *follow(
    events: AsyncIterator<SourceEvent>,
    resolver: HostResolver,
    signal: AbortSignal,
  ): AsyncGenerator<SourceEvent> {
    const pulled = new Pulled(events, () => resolver.changeWake.poke());
    let isFirst = true;
    for (;;) {
      if (resolver.hasChanged && !pulled.isReady) {
        const changes = await this.resolved(resolver);
        if (changes.length === 0) continue;
        yield { kind: 'changes', changes, observedAt: performance.now(), isPartial: true };
        continue;
      }
      // Upon abort the inner iteration ends, and says so.
      if (!pulled.isReady) await resolver.changeWake.wait(never);
      if (!pulled.isReady) continue;
      const arrived = pulled.take();
      if (arrived.done === true) return;
      const event = arrived.value;
      if (event.kind === 'snapshot') {
        await this.takeNames(event, resolver);
        if (isFirst) await resolver.allTried(signal, firstLookupsMs);
        isFirst = false;
        yield await this.withAddresses(event, resolver);
      } else if (event.kind === 'changes') yield await this.takeChanges(event, resolver);
      else yield event;
      pulled.next();
    }
  }

  private async takeNames({ instances }: Snapshot, resolver: HostResolver): Promise<void> {
    const pause = new Pause();
    const before = this.named;
    this.named = new Map();
    for (const instance of instances.values()) {
      if (isNamed(instance)) {
        this.named.set(instance.id, instance);
        resolver.use(instance.address, instance.id);
      }
      if (pause.isDue()) await pause.turn();
    }
    for (const [id, { address }] of before) {
      if (this.named.get(id)?.address !== address) resolver.release(address, id);
      if (pause.isDue()) await pause.turn();
    }
  }

  private async withAddresses(event: Snapshot, resolver: HostResolver): Promise<Snapshot> {
    resolver.forgetChanges();
    if (this.named.size === 0) return event;
    const pause = new Pause();
    const instances = new Map<string, Instance>();
    for (const [id, instance] of event.instances) {
      instances.set(id, this.named.has(id) ? addressed(instance, resolver) : instance);
      if (pause.isDue()) await pause.turn();
    }
    return { ...event, instances };
  }

  private async takeChanges(event: Changes, resolver: HostResolver): Promise<Changes> {
    const pause = new Pause();
    const changes: Change[] = [];
    let isAnyNamed = false;
    for (const change of event.changes) {
      const { instance } = change.kind === 'upsert' ? change : { instance: undefined };
      const id = change.kind === 'upsert' ? change.instance.id : change.id;
      const before = this.named.get(id);
      const isNow = instance !== undefined && isNamed(instance);
      if (isNow) {
        isAnyNamed = true;
        this.named.set(id, instance);
        resolver.use(instance.address, id);
        changes.push({ kind: 'upsert', instance: addressed(instance, resolver) });
      } else {
        this.named.delete(id);
        changes.push(change);
      }
      if (before !== undefined && !(isNow && before.address === instance.address)) {
        resolver.release(before.address, id);
      }
      if (pause.isDue()) await pause.turn();
    }
    return isAnyNamed ? { ...event, changes } : event;
  }

  /** What follows from the addresses that have changed. */
  private async resolved(resolver: HostResolver): Promise<readonly Change[]> {
    const pause = new Pause();
    const changes: Change[] = [];
    for (const id of resolver.takeChanged()) {
      const instance = this.named.get(id);
      if (instance !== undefined) {
        changes.push({ kind: 'upsert', instance: addressed(instance, resolver) });
      }
      if (pause.isDue()) await pause.turn();
    }
    return changes;
  }
}

function isNamed({ address }: Instance): boolean {
  return isIP(address) === 0 && isHostName(address);
}

function addressed(instance: Instance, resolver: HostResolver): Instance {
  const address = resolver.address(instance.address);
  return address === undefined ? instance : { ...instance, address };
}
