import zookeeper from 'node-zookeeper-client';
import type { Client } from 'node-zookeeper-client';
import { eventually } from './eventually.ts';
import { providerLeaf } from './zookeeper-writer.ts';

/**
 * Dubbo providers of an ensemble that loses servers, through a client that shares no code with ours: it finds another
 * server by itself and keeps its session. Some providers stay, others come and go all the time.
 */
export class EnsembleProviders implements AsyncDisposable {
  /** Ids of endpoints that stay for as long as the session of their owner lives. */
  readonly staying = new Set<string>();
  private readonly owners: readonly Owner[];
  private readonly churner: Owner;
  private isOver = false;
  private churning: Promise<void> = Promise.resolve();
  private registered = 0;

  private constructor(owners: readonly Owner[], churner: Owner) {
    this.owners = owners;
    this.churner = churner;
  }

  /** Registers those that stay, and begins with the others. */
  static async open(servers: string): Promise<EnsembleProviders> {
    const [churner, ...owners] = await Promise.all([1, 2, 3].map(() => openOwner(servers)));
    if (churner === undefined) throw new Error('no client');
    const providers = new EnsembleProviders(owners, churner);
    const directories = ['/dubbo', ...[stayingName, comingName].map((name) => `/dubbo/${name}`)];
    for (const path of [...directories, folderOf(stayingName), folderOf(comingName)]) {
      await create(churner.client, path, false);
    }
    for (let count = 0; count < stayingCount; count += 1) await providers.registerOne();
    providers.churning = providers.churn();
    return providers;
  }

  /** One more that stays. Resolves with its id when the ensemble has it, however long that takes. */
  async registerOne(): Promise<string> {
    this.registered += 1;
    const host = `192.0.2.${this.registered}`;
    const owner = this.owners[this.registered % this.owners.length];
    if (owner === undefined) throw new Error('nobody to own it');
    await eventually(() => create(owner.client, leafOf(stayingName, host), true), 60_000);
    const id = `dubbo:${stayingName}:::dubbo://${host}:20880`;
    this.staying.add(id);
    owner.ids.push(id);
    return id;
  }

  /** Which of these ids have been there all the time. */
  living(ids: readonly string[]): readonly string[] {
    const expired = new Set(this.owners.flatMap((owner) => (owner.hasExpired ? owner.ids : [])));
    return ids.filter((id) => this.staying.has(id) && !expired.has(id));
  }

  /** From here on nothing changes any more. */
  async settle(): Promise<void> {
    this.isOver = true;
    await this.churning;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.settle();
    for (const { client } of [this.churner, ...this.owners]) client.close();
  }

  /** Leaves appear and vanish, as fast as the ensemble answers; what it does not answer is left alone. */
  private async churn(): Promise<void> {
    for (let turn = 0; !this.isOver; turn += 1) {
      const path = leafOf(comingName, `198.51.100.${1 + ((turn * 7) % comingCount)}`);
      const { client } = this.churner;
      const write = turn % 3 === 0 ? remove(client, path) : create(client, path, true);
      await Promise.race([write.catch(() => undefined), pause(patienceMs)]);
      await pause(churnPauseMs);
    }
  }
}

interface Owner {
  readonly client: Client;
  readonly ids: string[];
  hasExpired: boolean;
}

const stayingName = 'com.example.Staying';
const comingName = 'com.example.Coming';
const stayingCount = 12;
const comingCount = 20;
const churnPauseMs = 2;
const patienceMs = 500;

async function openOwner(servers: string): Promise<Owner> {
  const client = zookeeper.createClient(servers, {
    sessionTimeout: 10_000,
    retries: 20,
    spinDelay: 100,
  });
  const owner: Owner = { client, ids: [], hasExpired: false };
  client.on('expired', () => (owner.hasExpired = true));
  await new Promise<void>((resolve) => {
    client.once('connected', resolve);
    client.connect();
  });
  return owner;
}

function folderOf(name: string): string {
  return `/dubbo/${name}/providers`;
}

function leafOf(interfaceName: string, host: string): string {
  return `${folderOf(interfaceName)}/${providerLeaf({ interfaceName, host, parameters: {} })}`;
}

/** Resolves also when the node is there already: the answer to an earlier request may have been lost. */
async function create(client: Client, path: string, isEphemeral: boolean): Promise<void> {
  const { EPHEMERAL, PERSISTENT } = zookeeper.CreateMode;
  await new Promise<void>((resolve, reject) => {
    client.create(path, isEphemeral ? EPHEMERAL : PERSISTENT, (error) => {
      settle(error, zookeeper.Exception.NODE_EXISTS, resolve, reject);
    });
  });
}

async function remove(client: Client, path: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    client.remove(path, (error) => {
      settle(error, zookeeper.Exception.NO_NODE, resolve, reject);
    });
  });
}

function settle(
  error: unknown,
  harmless: number,
  resolve: () => void,
  reject: (error: Error) => void,
): void {
  const isHarmless = error instanceof zookeeper.Exception && error.getCode() === harmless;
  if (error instanceof Error && !isHarmless) reject(error);
  else resolve();
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
