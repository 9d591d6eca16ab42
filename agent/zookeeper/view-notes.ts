import type { Logger } from 'pino';
import type { SourceReport } from '../source.ts';
import type { NodeState } from './endpoints.ts';
import type { IgnoredKind } from './reading.ts';

/** What an operator should see of a view beside its endpoints. The log tells of each sort of thing once. */
export class ViewNotes {
  private readonly report: SourceReport;
  private readonly log: Logger;
  private readonly seen = new Set<string>();
  private readonly counts = new Map<NodeState, number>();
  private readonly changed = new Set<NodeState>();
  private unreadableCount = 0;

  constructor(report: SourceReport, log: Logger) {
    this.report = report;
    this.log = log;
  }

  dropped(reason: string, record: string): void {
    this.report.dropped(reason, record);
    this.once(reason, () => {
      this.log.warn({ reason, record }, 'a record is left out: it cannot be understood');
    });
  }

  ignored(kind: IgnoredKind, path: string): void {
    if (kind === 'directory') return;
    this.once(kind, () => {
      const record = path.slice(0, path.lastIndexOf('/'));
      this.log.info({ kind, record }, 'nodes of this kind are left alone');
    });
  }

  /** A path may not be read, for this reason. */
  hidden(reason: string, description: string): void {
    this.once(`hidden ${reason}`, () => {
      this.log.warn({ reason }, description);
    });
  }

  /** So many paths may not be read. */
  unreadable(count: number): void {
    if (count === this.unreadableCount) return;
    this.unreadableCount = count;
    this.report.unreadable?.(count);
  }

  /** A node was ignored as the one kind and is now as the other; undefined: not ignored, or not there. */
  counted(before: NodeState | undefined, now: NodeState | undefined): void {
    this.add(before, -1);
    this.add(now, 1);
  }

  /** Reports which counts have changed since the last call. */
  tellCounts(): void {
    for (const kind of this.changed) this.report.ignored?.(kind, this.counts.get(kind) ?? 0);
    this.changed.clear();
  }

  private add(kind: NodeState | undefined, by: number): void {
    if (kind === undefined || kind === 'fact' || kind === 'directory') return;
    this.counts.set(kind, (this.counts.get(kind) ?? 0) + by);
    this.changed.add(kind);
  }

  private once(what: string, note: () => void): void {
    if (this.seen.has(what)) return;
    this.seen.add(what);
    note();
  }
}
