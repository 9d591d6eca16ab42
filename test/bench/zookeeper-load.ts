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

/** The leaf of one provider, as a Dubbo 2.7 application writes it (about 535 bytes). */
export function providerPath(service: number, provider: number): string {
  const name = interfaceName(service);
  const address = `10.${(provider >> 16) & 255}.${(provider >> 8) & 255}.${provider & 255}`;
  const url =
    `dubbo://${address}:20880/${name}?anyhost=true&application=bench-app-${service % 50}` +
    `&deprecated=false&dubbo=2.0.2&dynamic=true&generic=false&interface=${name}` +
    `&methods=sayHello,add,remove,list,find&metadata-type=remote&pid=4711&release=2.7.23` +
    `&revision=1.0.0&service.name=ServiceBean:/${name}:1.0.0&side=provider&timestamp=1795344588412`;
  return `/dubbo/${name}/providers/${encodeURIComponent(url)}`;
}

/** Creates `services` interfaces with `endpoints` providers each. */
export async function seed(client: Client, services: number, endpoints: number): Promise<void> {
  const paths: string[] = ['/dubbo'];
  for (let service = 0; service < services; service += 1) {
    const base = `/dubbo/${interfaceName(service)}`;
    paths.push(base, `${base}/providers`, `${base}/configurators`);
    for (let endpoint = 0; endpoint < endpoints; endpoint += 1) {
      paths.push(providerPath(service, service * endpoints + endpoint + 1));
    }
  }
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
