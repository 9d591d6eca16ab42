import type { Registration } from '../../standalone/eureka-registry/model.ts';
import { EurekaRegistry } from '../../standalone/eureka-registry/registry.ts';
import type { EurekaRegistryOptions } from '../../standalone/eureka-registry/registry.ts';
import type { InstanceStatus } from '../../standalone/eureka-registry/model.ts';
import { sleep } from '../../common/sleep.ts';
import { registrationOf } from './eureka-registration.ts';
import { startFakeEureka } from './fake-eureka.ts';
import type { FakeEureka, FakeEurekaNode, FakeEurekaOptions } from './fake-eureka.ts';

/** A registry that knows since when each of its instances has been UP, live, without a break. */
class WatchedRegistry extends EurekaRegistry {
  private readonly since = new Map<string, number>();

  /** `performance.now()`; Infinity for what is not UP now. */
  upSince(app: string, id: string): number {
    this.look(app, id);
    return this.since.get(`${app}/${id}`) ?? Infinity;
  }

  override register(registration: Registration, isReplicated = false): void {
    this.around(registration.app, registration.instanceId ?? '', () => {
      super.register(registration, isReplicated);
    });
  }

  override heartbeat(...args: Parameters<EurekaRegistry['heartbeat']>): boolean {
    return this.around(args[0], args[1], () => super.heartbeat(...args));
  }

  override cancel(app: string, id: string, isReplicated = false): boolean {
    return this.around(app, id, () => super.cancel(app, id, isReplicated));
  }

  override setStatus(...args: Parameters<EurekaRegistry['setStatus']>): boolean {
    return this.around(args[0], args[1], () => super.setStatus(...args));
  }

  override deleteStatus(...args: Parameters<EurekaRegistry['deleteStatus']>): boolean {
    return this.around(args[0], args[1], () => super.deleteStatus(...args));
  }

  private around<T>(app: string, id: string, change: () => T): T {
    this.look(app, id);
    const result = change();
    this.look(app, id);
    return result;
  }

  private look(app: string, id: string): void {
    const key = `${app}/${id}`;
    if (this.lease(app, id)?.status !== 'UP') this.since.delete(key);
    else if (!this.since.has(key)) this.since.set(key, performance.now());
  }
}

/** An application's instance as a client library acts for it: it beats, and registers again when it is not known. */
interface Client {
  readonly app: string;
  readonly id: string;
  home: number;
  isAlive: boolean;
  registration: Registration;
}

const beatMs = 30_000;

/** A fake cluster with the applications that are registered in it. */
export class EurekaCluster implements AsyncDisposable {
  private readonly fake: FakeEureka;
  private readonly clients: readonly Client[];
  private readonly ended = new AbortController();
  private dirtyAt = 0;

  constructor(
    fake: FakeEureka,
    instances: readonly { readonly app: string; readonly id: string }[],
  ) {
    this.fake = fake;
    this.clients = instances.map(({ app, id }, index) => ({
      app,
      id,
      home: index % fake.nodes.length,
      isAlive: false,
      registration: registrationOf(app, id, { ipAddr: `10.0.0.${index + 1}` }),
    }));
    void this.beatForever();
  }

  get nodes(): readonly FakeEurekaNode[] {
    return this.fake.nodes;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.ended.abort();
    await this.fake.stop();
  }

  /** The instance is registered (anew) at its server, in this status. */
  register(index: number, status: InstanceStatus, version: string): void {
    const client = this.client(index);
    this.dirtyAt = Math.max(this.dirtyAt + 1, Date.now());
    client.isAlive = true;
    client.registration = {
      ...client.registration,
      status,
      metadata: { version },
      lastDirtyTimestamp: this.dirtyAt,
    };
    this.serverOf(client)?.registry.register(client.registration);
  }

  /** The instance says goodbye and goes. */
  cancel(index: number): void {
    const client = this.client(index);
    if (!client.isAlive) return;
    client.isAlive = false;
    this.serverOf(client)?.registry.cancel(client.app, client.id);
  }

  /** The instance dies: nobody beats for it any more. */
  crash(index: number): void {
    this.client(index).isAlive = false;
  }

  /** The instance talks to this server from now on. */
  move(index: number, server: number): void {
    this.client(index).home = server;
  }

  /** An operator overrides the status at this server; undefined takes the override away. */
  override(index: number, server: number, status: InstanceStatus | undefined): void {
    const { app, id } = this.client(index);
    const node = this.nodes[server];
    if (node?.isRunning !== true) return;
    if (status === undefined) node.registry.deleteStatus(app, id, 'UP');
    else node.registry.setStatus(app, id, status);
  }

  putMetadata(index: number, version: string): void {
    const client = this.client(index);
    const { app, id } = client;
    this.serverOf(client)?.registry.setMetadata(app, id, { version });
  }

  /** Every living instance beats once, and registers where it is not known. */
  beat(): void {
    for (const client of this.clients) {
      const registry = client.isAlive ? this.serverOf(client)?.registry : undefined;
      if (registry === undefined) continue;
      const { app, id, registration } = client;
      const isKnown =
        registry.heartbeat(app, id) && !registry.isOlder(app, id, registration.lastDirtyTimestamp);
      if (!isKnown) registry.register(registration);
    }
  }

  /** Since when the instance has been UP at this server, live: see WatchedRegistry. */
  upSince(node: FakeEurekaNode, key: string): number {
    const [app = '', id = ''] = key.split('/');
    const { registry } = node;
    return registry instanceof WatchedRegistry ? registry.upSince(app, id) : Infinity;
  }

  private async beatForever(): Promise<void> {
    const { signal } = this.ended;
    while (!signal.aborted) {
      await sleep(beatMs, signal);
      if (!this.ended.signal.aborted) this.beat();
    }
  }

  private client(index: number): Client {
    const client = this.clients[index % this.clients.length];
    if (client === undefined) throw new Error('a cluster without applications');
    return client;
  }

  /** The server that the instance talks to: another one when its own is not there. */
  private serverOf(client: Client): FakeEurekaNode | undefined {
    const { nodes } = this;
    const at = nodes.findIndex(
      (_, offset) => nodes[(client.home + offset) % nodes.length]?.isRunning === true,
    );
    if (at === -1) return undefined;
    client.home = (client.home + at) % nodes.length;
    return nodes[client.home];
  }
}

/** Starts a cluster whose servers pass writes on to each other in batches, nobody registered. */
export async function startEurekaCluster(
  size: number,
  instances: readonly { readonly app: string; readonly id: string }[],
  options: FakeEurekaOptions = {},
): Promise<EurekaCluster> {
  const makeRegistry = (own: EurekaRegistryOptions): EurekaRegistry => new WatchedRegistry(own);
  const all = { replication: {}, makeRegistry, now: () => Date.now(), ...options };
  return new EurekaCluster(await startFakeEureka(size, all), instances);
}
