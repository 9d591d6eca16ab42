import type { Source, SourceEvent, SourceReport } from '../../agent/source.ts';
import type { Instance } from '../../common/instance.ts';

/** Follows a source as the agent does, and keeps what a test may ask about. */
export class FollowedSource {
  /** The instances as they follow from all events so far. */
  readonly view = new Map<string, Instance>();
  readonly events: SourceEvent[] = [];
  /** Every id that was ever removed or missing in a later snapshot, in order. */
  readonly removed: string[] = [];
  private readonly abort = new AbortController();
  private readonly done: Promise<void>;
  private failure: { readonly error: unknown } | undefined;

  constructor(source: Source) {
    this.done = this.run(source);
  }

  /** Ends the iteration and waits for its end. Rejects with what the iteration threw. */
  async stop(): Promise<void> {
    this.abort.abort();
    await this.done;
    if (this.failure !== undefined) throw this.failure.error;
  }

  /** Whether the iteration has thrown. */
  get hasFailed(): boolean {
    return this.failure !== undefined;
  }

  count(kind: SourceEvent['kind']): number {
    return this.events.filter((event) => event.kind === kind).length;
  }

  /** The instances sorted by id. */
  instances(): readonly Instance[] {
    return [...this.view.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  private async run(source: Source): Promise<void> {
    try {
      for await (const event of source.watch(this.abort.signal)) {
        this.events.push(event);
        this.apply(event);
      }
    } catch (error) {
      this.failure = { error };
    }
  }

  private apply(event: SourceEvent): void {
    if (event.kind === 'snapshot') {
      for (const id of this.view.keys()) if (!event.instances.has(id)) this.removed.push(id);
      this.view.clear();
      for (const [id, instance] of event.instances) this.view.set(id, instance);
    }
    if (event.kind !== 'changes') return;
    for (const change of event.changes) {
      if (change.kind === 'upsert') this.view.set(change.instance.id, change.instance);
      else {
        this.view.delete(change.id);
        this.removed.push(change.id);
      }
    }
  }
}

/** A report that remembers. */
export class RememberedReport implements SourceReport {
  readonly drops: { readonly reason: string; readonly record: string }[] = [];
  readonly servers: string[] = [];

  dropped(reason: string, record: string): void {
    this.drops.push({ reason, record });
  }

  connected(server: string): void {
    this.servers.push(server);
  }

  hiddenDelay(): void {
    return;
  }

  expiredButListed(): void {
    return;
  }
}
