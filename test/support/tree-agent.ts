import { pino } from 'pino';
import { RegistryAgent } from '../../agent/agent.ts';
import type { AgentObserver } from '../../agent/observer.ts';
import type { Outbox } from '../../agent/outbox.ts';
import { defaultZooKeeperOptions } from '../../agent/zookeeper/options.ts';
import { createTreeSource } from '../../agent/zookeeper/source.ts';
import type { TreeWatcher } from '../../agent/zookeeper/client/tree.ts';
import type { RegistryId } from '../../common/registry.ts';

const nothing = (): void => undefined;
const observer: AgentObserver = {
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
const report = {
  dropped: nothing,
  connected: nothing,
  hiddenDelay: nothing,
  expiredButListed: nothing,
};

/** A whole agent of a ZooKeeper tree, without an aggregator, and what it withdraws. */
export class TreeAgent implements AsyncDisposable {
  /** Ids of instances that were UP as the agent told it, and are no longer told, in order. */
  readonly withdrawn: string[] = [];
  private readonly agent: RegistryAgent;
  private readonly stop = new AbortController();
  private readonly done: Promise<void>;

  constructor(tree: TreeWatcher) {
    const log = pino({ level: process.env['TEST_LOG_LEVEL'] ?? 'silent' });
    const registry = 'dc1/dubbo' as RegistryId;
    const source = createTreeSource(tree, { ...defaultZooKeeperOptions, registry }, report, log);
    this.agent = new RegistryAgent(
      {
        registry,
        kind: 'zookeeper',
        agentId: 'agent-1',
        datacenter: 'dc1',
        network: '',
        defaultLocality: '',
        software: 'test',
        feed: { aggregators: [], access: {} },
      },
      source,
      observer,
      log,
    );
    this.watchOutbox(outboxOf(this.agent));
    this.done = this.agent.run(this.stop.signal);
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

  private watchOutbox(outbox: Outbox): void {
    const put = outbox.put.bind(outbox);
    const remove = outbox.remove.bind(outbox);
    const before = (id: string): void => {
      if (outbox.get(id)?.instance.status === 'UP') this.withdrawn.push(id);
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
