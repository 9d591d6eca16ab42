import pino from 'pino';
import { DubboApplications } from '../../../../../../agent/zookeeper/dubbo/applications/applications.ts';
import type { DubboApplicationsParts } from '../../../../../../agent/zookeeper/dubbo/applications/applications.ts';
import type { TreeAnswer, TreeQuestion } from '../../../../../../agent/zookeeper/client/tree.ts';
import { TreeFake } from '../../../../../support/tree-fake.ts';
import { dubbo, recordOf, shown } from './registered.ts';

/** Applications over a tree in memory, as a registry's view uses them: what changes is asked for anew. */
export class Harness implements AsyncDisposable {
  readonly tree = new TreeFake();
  readonly applications: DubboApplications;
  /** Paths that were said to have changed. */
  readonly changed: string[] = [];
  readonly dropped: string[] = [];
  readonly failures: string[] = [];
  /** Paths asked for. */
  readonly asked: string[] = [];
  /** How many questions each request had. */
  readonly batches: number[] = [];
  counts: readonly [number, number] = [0, 0];
  explorations = 0;
  /** Called before a request is answered. */
  beforeAnswer: ((questions: readonly TreeQuestion[]) => unknown) | undefined;
  private readonly controller = new AbortController();
  private readonly claimed = new Map<string, readonly string[]>();
  private readonly running: Promise<unknown>[] = [];

  constructor(parts: Partial<DubboApplicationsParts> = {}) {
    this.applications = new DubboApplications({
      roots: ['/dubbo'],
      ask: (questions) => this.ask(questions),
      askProvider: undefined,
      dubbo,
      hiddenInterfaces: new Set(),
      hasApplicationHosts: false,
      changed: (path) => {
        this.changed.push(path);
        this.claim(path);
      },
      report: {
        dropped: (reason) => this.dropped.push(reason),
        dubboRegistrations: (...counts) => {
          this.counts = counts;
        },
        metadataFailed: (reason) => this.failures.push(reason),
        explored: () => {
          this.explorations += 1;
        },
      },
      log: pino({ level: 'silent' }),
      ...parts,
      times: {
        ...{ graceMs: 20, exploreMinMs: 10, exploreAgainMs: 40, retryMinMs: 4, retryMaxMs: 30 },
        ...parts.times,
      },
    });
  }

  /** Runs everything, the tree's connection included. */
  start(): this {
    const { signal } = this.controller;
    const interest = {
      roots: ['/services'],
      want: () => ({ node: false, data: false, children: false }),
    };
    this.running.push(this.tree.watch(interest, () => undefined, signal));
    this.running.push(this.applications.run(signal));
    return this;
  }

  /** The registration at this path says this. */
  set(path: string, text: string): void {
    this.applications.set(path, recordOf(text));
    this.claim(path);
  }

  delete(path: string): void {
    this.applications.delete(path);
    this.claimed.delete(path);
  }

  /** What is vouched for, sorted, as `shown` writes it. */
  ids(): readonly string[] {
    return [...new Set([...this.claimed.values()].flat())].sort();
  }

  idsAt(path: string): readonly string[] {
    return this.claimed.get(path) ?? [];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.controller.abort();
    await Promise.all(this.running);
  }

  private async ask(questions: readonly TreeQuestion[]): Promise<readonly TreeAnswer[]> {
    this.batches.push(questions.length);
    this.asked.push(...questions.map(({ path }) => path));
    await this.beforeAnswer?.(questions);
    return await this.tree.ask(questions);
  }

  private claim(path: string): void {
    const claims = this.applications.claims(path);
    this.claimed.set(path, claims.map(({ instance }) => shown(instance)).sort());
  }
}
