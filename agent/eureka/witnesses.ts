import { TransientError } from '../../common/errors.ts';
import type { Instance } from '../../common/instance.ts';
import type { EurekaClient } from './client.ts';
import { confirmMass, confirmSingle } from './confirm.ts';
import type { Poller } from './poller.ts';
import type { ServiceUrl } from './service-url.ts';
import type { RegistryView } from './view.ts';

/** Three heartbeats: a server that has known nobody for so long may miss who is only late. */
export const memoryMinMs = 90_000;

/** The servers of one cluster, asked whether what seems to be lost is lost. */
export class Witnesses {
  private readonly client: EurekaClient;
  private readonly poller: Poller;
  private distrustUntil = 0;

  constructor(client: EurekaClient, poller: Poller) {
    this.client = client;
    this.poller = poller;
  }

  /** Until then (`performance.now()`) the word of the server that is followed is not enough. */
  distrust(until: number): void {
    this.distrustUntil = until;
  }

  /** See Source.confirmGone. */
  async confirm(
    instances: readonly Instance[],
    scale: 'single' | 'mass',
    signal: AbortSignal,
  ): Promise<ReadonlySet<string>> {
    const { client, poller } = this;
    const { session } = poller;
    if (session === undefined) throw new TransientError('eureka: nothing has been read yet');
    const read = (server: ServiceUrl): Promise<RegistryView | undefined> =>
      this.readWitness(server, signal);
    if (scale === 'mass') return confirmMass(instances, poller.others, read);
    const relist = async (): Promise<RegistryView | undefined> =>
      (await poller.readOnce(session.server, signal))?.view;
    const witness = { client, server: session.server, view: session.view, relist };
    const gone = await confirmSingle(instances, witness, signal);
    if (gone.size === 0 || performance.now() >= this.distrustUntil) return gone;
    const denied = instances.filter(({ id }) => gone.has(id));
    return confirmMass(denied, poller.others, read);
  }

  /** The registry of another server, unless it is unreadable or young. */
  private async readWitness(
    server: ServiceUrl,
    signal: AbortSignal,
  ): Promise<RegistryView | undefined> {
    const session = await this.poller.readOnce(server, signal);
    return session === undefined || session.memoryMs < memoryMinMs ? undefined : session.view;
  }
}
