import assert from 'node:assert/strict';
import { pino } from 'pino';
import { TreeDriver, tuningFor } from '../../agent/zookeeper/client/driver.ts';
import type { DriverTuning } from '../../agent/zookeeper/client/driver.ts';
import type {
  TreeEvent,
  TreeInterest,
  Want,
  ZooKeeperTarget,
} from '../../agent/zookeeper/client/tree.ts';
import { eventually } from './eventually.ts';
import { wholeSnapshots } from './whole-snapshots.ts';

/** Watches a tree, keeps what is reported, and the view that a reader would have of it. */
export class TreeRecorder {
  readonly events: TreeEvent[] = [];
  readonly connected: { readonly server: string; readonly driver: string }[] = [];
  readonly disconnected: string[] = [];
  readonly unknownErrors: number[] = [];
  unseenChanges = 0;
  /** What was logged, JSON. */
  readonly lines: string[] = [];
  /** What a reader holds: null for nodes without data. */
  readonly view = new Map<string, string | null>();
  readonly driver: TreeDriver;
  private readonly stopping = new AbortController();
  private readonly running: Promise<void>;

  constructor(target: ZooKeeperTarget, interest: TreeInterest, tuning?: Partial<DriverTuning>) {
    const report = {
      connected: (server: string, driver: string) => {
        this.connected.push({ server, driver });
      },
      disconnected: (_server: string, cause: string) => {
        this.disconnected.push(cause);
      },
      unknownError: (code: number) => {
        this.unknownErrors.push(code);
      },
      unseenChange: () => {
        this.unseenChanges += 1;
      },
    };
    const tuned = {
      ...tuningFor(target.sessionTimeoutMs),
      backoff: { minMs: 10, maxMs: 200, random: Math.random },
      ...tuning,
    };
    const log = pino({ level: 'debug' }, { write: (line) => this.lines.push(line) });
    this.driver = new TreeDriver(target, report, log, tuned);
    this.running = this.driver.watch(
      interest,
      wholeSnapshots((event) => {
        this.apply(event);
      }),
      this.stopping.signal,
    );
  }

  count(kind: TreeEvent['kind']): number {
    return this.events.filter((event) => event.kind === kind).length;
  }

  /** Why the view was lost, each time. */
  get losses(): string[] {
    return this.events.flatMap((event) => (event.kind === 'lost' ? [event.reason] : []));
  }

  /** Every path that was ever reported as removed, or was in a view and not in the next snapshot. */
  readonly withdrawn = new Set<string>();

  /** Resolves when so many snapshots have come. */
  async snapshots(count: number): Promise<void> {
    await eventually(() => assert.ok(this.count('snapshot') >= count));
  }

  /** Resolves when the view is this. */
  async sees(expected: Readonly<Record<string, string | null>>): Promise<void> {
    await eventually(() => assert.deepEqual(Object.fromEntries(sorted(this.view)), sort(expected)));
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    await this.running;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  private apply(event: TreeEvent): void {
    this.events.push(event);
    if (event.kind === 'snapshot') {
      for (const path of this.view.keys()) {
        if (!event.nodes.has(path)) this.withdrawn.add(path);
      }
      this.view.clear();
      for (const [path, data] of event.nodes) this.view.set(path, data?.toString() ?? null);
    } else if (event.kind === 'changed') {
      this.view.set(event.path, event.data?.toString() ?? null);
    } else if (event.kind === 'removed') {
      this.withdrawn.add(event.path);
      this.view.delete(event.path);
    }
  }
}

function sorted<T>(map: ReadonlyMap<string, T>): [string, T][] {
  return [...map].sort(([left], [right]) => (left < right ? -1 : 1));
}

function sort<T>(record: Readonly<Record<string, T>>): Record<string, T> {
  return Object.fromEntries(sorted(new Map(Object.entries(record))));
}

const nothing: Want = { node: false, data: false, children: false };

/**
 * The shape of both real readings: `/dubbo/<interface>/{providers,configurators}/<leaf>` by name only,
 * `/services/<application>/<instance>` with data.
 */
export const exampleInterest: TreeInterest = {
  roots: ['/dubbo', '/services'],
  want: (path) => {
    const parts = path.slice(1).split('/');
    const [root, second, third] = parts;
    if (root === 'dubbo') {
      if (parts.length === 1) return { ...nothing, children: true };
      if (second === 'metadata' || second === 'config') return nothing;
      if (parts.length === 2) return { ...nothing, children: ['providers', 'configurators'] };
      if (third !== 'providers' && third !== 'configurators') return nothing;
      if (parts.length === 3) return { ...nothing, children: true };
      return parts.length === 4 ? { node: true, data: false, children: false } : nothing;
    }
    if (parts.length <= 2) return { ...nothing, children: true };
    return parts.length === 3 ? { node: true, data: true, children: false } : nothing;
  },
};
