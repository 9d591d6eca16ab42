import type { Change, Instance } from '../../common/instance.ts';
import type { SourceEvent } from '../source.ts';

/**
 * What waits for the reader of a source. However slow the reader, at most one event of each sort
 * waits: a later snapshot replaces what waited, later changes are merged into it (the last word on
 * an instance counts), and trouble is forgotten as soon as the registry has spoken again.
 */
export class Mailbox {
  private data: Data | undefined;
  private confirmed:
    { readonly observedAt: number; readonly doubt: string | undefined } | undefined;
  private trouble: SourceEvent | undefined;
  private end: { readonly error: unknown } | 'closed' | undefined;
  private wake: (() => void) | undefined;

  /** The map is the mailbox's from here on, and its reader's after that. */
  putSnapshot(
    instances: Map<string, Instance>,
    observedAt: number,
    { doubt, unread }: SnapshotMarks = {},
  ): void {
    this.data = { kind: 'snapshot', instances, observedAt, doubt, unread };
    this.confirmed = undefined;
    this.putData();
  }

  /** @param marks see SourceEvent: doubt goes for all that waits, the last word on `isPartial` counts */
  putChanges(changes: readonly Change[], observedAt: number, marks: ChangesMarks = {}): void {
    const { doubt, isPartial = false } = marks;
    this.data ??= { kind: 'changes', byId: new Map(), observedAt, doubt, isPartial };
    if (doubt !== undefined) this.data.doubt = doubt;
    for (const change of changes) merge(this.data, change);
    if (this.data.kind === 'changes') {
      this.data.observedAt = Math.min(this.data.observedAt, observedAt);
      this.data.isPartial = isPartial;
    }
    if (isPartial) this.wake?.();
    else this.putData();
  }

  /** What is known holds. */
  putConfirmed(observedAt: number, doubt?: string): void {
    this.confirmed = { observedAt, doubt };
    this.putData();
  }

  /** @param isPartial with `suspect`: the rest of the registry is read (see SourceEvent) */
  putTrouble(kind: 'lost' | 'suspect', reason: string, isPartial = false): void {
    this.trouble = kind === 'suspect' && isPartial ? { kind, reason, isPartial } : { kind, reason };
    this.wake?.();
  }

  /** No more events: the reader ends, and what waits is dropped. */
  close(): void {
    this.end ??= 'closed';
    this.wake?.();
  }

  /** The reader's next call rejects. */
  fail(error: unknown): void {
    this.end = { error };
    this.wake?.();
  }

  /** The next event, or undefined after the end. One reader at a time. */
  async next(): Promise<SourceEvent | undefined> {
    for (;;) {
      if (this.end === 'closed') return undefined;
      if (this.end !== undefined) throw this.end.error;
      const event = this.take();
      if (event !== undefined) return event;
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
      this.wake = undefined;
    }
  }

  private putData(): void {
    this.trouble = undefined;
    this.wake?.();
  }

  private take(): SourceEvent | undefined {
    if (this.data !== undefined) {
      const event = toEvent(this.data);
      this.data = undefined;
      return event;
    }
    if (this.confirmed !== undefined) {
      const { observedAt, doubt } = this.confirmed;
      this.confirmed = undefined;
      return {
        kind: 'changes',
        changes: [],
        observedAt,
        ...(doubt === undefined ? {} : { doubt }),
      };
    }
    const trouble = this.trouble;
    this.trouble = undefined;
    return trouble;
  }
}

/** What is said with a snapshot; see SourceEvent. */
export interface SnapshotMarks {
  readonly doubt?: string | undefined;
  readonly unread?: string | undefined;
}

/** What is said with changes. */
export interface ChangesMarks {
  readonly doubt?: string | undefined;
  readonly isPartial?: boolean;
}

type Data =
  | {
      readonly kind: 'snapshot';
      readonly instances: Map<string, Instance>;
      readonly observedAt: number;
      readonly unread: string | undefined;
      doubt: string | undefined;
    }
  | {
      readonly kind: 'changes';
      readonly byId: Map<string, Change>;
      observedAt: number;
      isPartial: boolean;
      doubt: string | undefined;
    };

function merge(data: Data, change: Change): void {
  const id = change.kind === 'upsert' ? change.instance.id : change.id;
  if (data.kind === 'changes') data.byId.set(id, change);
  else if (change.kind === 'upsert') data.instances.set(id, change.instance);
  else data.instances.delete(id);
}

function toEvent(data: Data): SourceEvent {
  const { observedAt } = data;
  const doubt = data.doubt === undefined ? {} : { doubt: data.doubt };
  if (data.kind === 'snapshot') {
    const unread = data.unread === undefined ? {} : { unread: data.unread };
    return { kind: 'snapshot', instances: data.instances, observedAt, ...doubt, ...unread };
  }
  const isPartial = data.isPartial ? { isPartial: true } : {};
  return {
    kind: 'changes',
    changes: [...data.byId.values()],
    observedAt,
    ...doubt,
    ...isPartial,
  };
}
