import zookeeper from 'node-zookeeper-client';
import type { Client } from 'node-zookeeper-client';

/** Fills a ZooKeeper with Dubbo providers and changes them, through a client that is not ours. */

const batchOperationsMax = 500;

export async function connectLoader(address: string): Promise<Client> {
  const client = zookeeper.createClient(address, { sessionTimeout: 30_000 });
  await new Promise<void>((resolve) => {
    client.once('connected', resolve);
    client.connect();
  });
  return client;
}

export function interfaceName(index: number): string {
  return `com.example.bench.Service${String(index).padStart(5, '0')}`;
}

/** One life of a provider: each has another timestamp, an upgrade another release. */
export interface ProviderLife {
  readonly timestamp: number;
  readonly release: string;
}

export const firstLife: ProviderLife = { timestamp: 1_795_344_588_412, release: '2.7.23' };

/** The leaf of one provider, as a Dubbo 2.7 application writes it (about 535 bytes). */
export function providerPath(
  service: number,
  provider: number,
  { timestamp, release }: ProviderLife = firstLife,
): string {
  const name = interfaceName(service);
  const address = `10.${(provider >> 16) & 255}.${(provider >> 8) & 255}.${provider & 255}`;
  const url =
    `dubbo://${address}:20880/${name}?anyhost=true&application=bench-app-${service % 50}` +
    `&deprecated=false&dubbo=2.0.2&dynamic=true&generic=false&interface=${name}` +
    `&methods=sayHello,add,remove,list,find&metadata-type=remote&pid=4711&release=${release}` +
    `&revision=1.0.0&service.name=ServiceBean:/${name}:1.0.0&side=provider&timestamp=${timestamp}`;
  return `/dubbo/${name}/providers/${encodeURIComponent(url)}`;
}

/** Creates `services` interfaces with `endpoints` providers each. */
export async function seed(client: Client, services: number, endpoints: number): Promise<void> {
  const paths: string[] = ['/dubbo'];
  for (let service = 0; service < services; service += 1) {
    paths.push(...directoriesOf(service));
    for (let endpoint = 0; endpoint < endpoints; endpoint += 1) {
      paths.push(providerPath(service, service * endpoints + endpoint + 1));
    }
  }
  await createAll(client, paths);
}

/** Adds one interface with so many providers; `firstProvider` numbers them. */
export async function seedInterface(
  client: Client,
  service: number,
  { firstProvider, count }: { readonly firstProvider: number; readonly count: number },
): Promise<void> {
  const providers = Array.from({ length: count }, (_, i) =>
    providerPath(service, firstProvider + i),
  );
  await createAll(client, [...directoriesOf(service), ...providers]);
}

function directoriesOf(service: number): string[] {
  const base = `/dubbo/${interfaceName(service)}`;
  return [base, `${base}/providers`, `${base}/configurators`];
}

async function createAll(client: Client, paths: readonly string[]): Promise<void> {
  for (let at = 0; at < paths.length; at += batchOperationsMax) {
    const transaction = client.transaction();
    for (const path of paths.slice(at, at + batchOperationsMax)) transaction.create(path);
    await new Promise<void>((resolve, reject) => {
      transaction.commit((error: unknown) => {
        if (error instanceof Error) reject(error);
        else resolve();
      });
    });
  }
}

/** Creates one node. */
export function create(client: Client, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    client.create(path, (error: unknown) => {
      if (error instanceof Error) reject(error);
      else resolve();
    });
  });
}

/** Deletes one node. */
export function remove(client: Client, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    client.remove(path, (error: unknown) => {
      if (error instanceof Error) reject(error);
      else resolve();
    });
  });
}
