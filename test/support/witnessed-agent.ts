import { pino } from 'pino';
import { RegistryAgent } from '../../agent/agent.ts';
import { defaultEurekaOptions } from '../../agent/eureka/options.ts';
import type { EurekaOptions } from '../../agent/eureka/options.ts';
import { createEurekaSource } from '../../agent/eureka/source.ts';
import type { AgentObserver } from '../../agent/observer.ts';
import type { Outbox } from '../../agent/outbox.ts';
import type { Source } from '../../agent/source.ts';
import type { Instance } from '../../common/instance.ts';
import type { RegistryId } from '../../common/registry.ts';

/** An instance that was UP as the agent told it, and is no longer told. Times are `performance.now()`. */
export interface Removal {
  readonly id: string;
  readonly at: number;
  /** What let it pass: the answer to a question, asked at `askedAt`, or nothing but time. */
  readonly cause: 'single' | 'mass' | 'time';
  readonly askedAt: number;
}

const nothing = (): void => undefined;
const silentObserver: AgentObserver = {
  observedToSent: nothing,
  roundTrip: nothing,
  sent: nothing,
  connected: nothing,
  disconnected: nothing,
  forgotten: nothing,
  guardActivated: nothing,
  dropped: nothing,
  census: nothing,
};

/** An answer that lets a removal pass does so in the same moment. */
const answerMaxMs = 10_000;

/** A whole agent of an Eureka cluster, without an aggregator, and what it says. */
export class WitnessedAgent implements AsyncDisposable {
  readonly removals: Removal[] = [];
  /** The servers that were followed, and since when. */
  readonly followed: { readonly url: string; readonly at: number }[] = [];
  private readonly agent: RegistryAgent;
  private readonly outbox: Outbox;
  private readonly stop = new AbortController();
  private readonly done: Promise<void>;
  private readonly answers = new Map<string, Omit<Removal, 'id'>>();

  /** @param onRemoval called at the very moment in which an instance is withdrawn */
  constructor(options: Partial<EurekaOptions>, onRemoval: (removal: Removal) => void) {
    const log = pino({ level: process.env['TEST_LOG_LEVEL'] ?? 'silent' });
    const registry = 'dc1/eureka' as RegistryId;
    const report = {
      dropped: nothing,
      connected: (url: string) => this.followed.push({ url, at: performance.now() }),
      hiddenDelay: nothing,
      expiredButListed: nothing,
    };
    const source = createEurekaSource(
      { ...defaultEurekaOptions, registry, serviceUrls: [], ...options },
      report,
      log,
    );
    this.agent = new RegistryAgent(
      {
        registry,
        kind: 'eureka',
        agentId: 'agent-1',
        datacenter: 'dc1',
        network: '',
        defaultLocality: '',
        software: 'test',
        feed: { aggregators: [], access: {} },
      },
      this.noteAnswers(source),
      silentObserver,
      log,
    );
    this.outbox = outboxOf(this.agent);
    this.watchOutbox(onRemoval);
    this.done = this.agent.run(this.stop.signal);
  }

  /** What the agent tells of each instance, empty services left out. */
  instances(): ReadonlyMap<string, Instance> {
    const told = new Map<string, Instance>();
    for (const id of this.outbox.ids()) {
      const instance = this.outbox.get(id)?.instance;
      if (instance !== undefined && instance.status !== 'GONE') told.set(id, instance);
    }
    return told;
  }

  get followedUrl(): string {
    return this.followed.at(-1)?.url ?? '';
  }

  status(): ReturnType<RegistryAgent['status']> {
    return this.agent.status();
  }

  release(): number {
    return this.agent.release();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.stop.abort();
    await this.done;
  }

  private noteAnswers(source: Source): Source {
    return {
      watch: (signal) => source.watch(signal),
      confirmLosses: async (losses, scale, signal) => {
        const askedAt = performance.now();
        const verdicts = await source.confirmLosses(losses, scale, signal);
        const at = performance.now();
        for (const id of verdicts.confirmed) this.answers.set(id, { at, cause: scale, askedAt });
        return verdicts;
      },
    };
  }

  private watchOutbox(onRemoval: (removal: Removal) => void): void {
    const { outbox } = this;
    const put = outbox.put.bind(outbox);
    const remove = outbox.remove.bind(outbox);
    const before = (id: string): void => {
      if (outbox.get(id)?.instance.status !== 'UP') return;
      const at = performance.now();
      const answer = this.answers.get(id);
      const isAnswered = answer !== undefined && at - answer.at <= answerMaxMs;
      const { cause, askedAt } = isAnswered ? answer : { cause: 'time' as const, askedAt: at };
      this.answers.delete(id);
      const removal = { id, at, cause, askedAt };
      this.removals.push(removal);
      onRemoval(removal);
    };
    outbox.put = (entry, bytes) => {
      if (entry.instance.status === 'GONE') before(entry.instance.id);
      put(entry, bytes);
    };
    outbox.remove = (id) => {
      before(id);
      remove(id);
    };
  }
}

/** The one place in which each withdrawal is seen at its moment; nobody else has a use for it. */
function outboxOf(agent: RegistryAgent): Outbox {
  return (agent as unknown as { readonly outbox: Outbox }).outbox;
}
