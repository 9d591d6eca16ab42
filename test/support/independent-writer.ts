import zookeeper from 'node-zookeeper-client';
import type { Client } from 'node-zookeeper-client';

/** Writes to a ZooKeeper server through a client that is not ours: an independent witness. */
export interface ZooKeeperWriter extends AsyncDisposable {
  /** Creates a node and whatever is missing above it. */
  create(path: string, data?: string | Buffer): Promise<void>;
  /** A node that goes with this writer's session; its parents are created too. */
  createEphemeral(path: string, data?: string | Buffer): Promise<void>;
  setData(path: string, data: string | Buffer): Promise<void>;
  /** Deletes a node that has no children. */
  remove(path: string): Promise<void>;
  /** Ends the session: its ephemerals go. */
  close(): Promise<void>;
}

/** Connects. `connectString` is `host:port`. */
export async function openZooKeeperWriter(
  connectString: string,
  digest?: string,
): Promise<ZooKeeperWriter> {
  const client = zookeeper.createClient(connectString, { sessionTimeout: 10_000, retries: 3 });
  if (digest !== undefined) client.addAuthInfo('digest', Buffer.from(digest));
  await new Promise<void>((resolve) => {
    client.once('connected', resolve);
    client.connect();
  });
  return writerOf(client);
}

function writerOf(client: Client): ZooKeeperWriter {
  const createAs = async (path: string, mode: number, data?: string | Buffer): Promise<void> => {
    const parent = path.slice(0, path.lastIndexOf('/'));
    if (parent !== '') await ask((done) => client.mkdirp(parent, done));
    const bytes = data === undefined ? undefined : Buffer.from(data);
    await ask((done) => {
      if (bytes === undefined) client.create(path, mode, done);
      else client.create(path, bytes, mode, done);
    });
  };
  const close = (): Promise<void> =>
    new Promise((resolve) => {
      if (client.getState() === zookeeper.State.DISCONNECTED) {
        resolve();
        return;
      }
      client.once('disconnected', resolve);
      client.close();
    });
  return {
    create: (path, data) => createAs(path, zookeeper.CreateMode.PERSISTENT, data),
    createEphemeral: (path, data) => createAs(path, zookeeper.CreateMode.EPHEMERAL, data),
    setData: (path, data) => ask((done) => client.setData(path, Buffer.from(data), done)),
    remove: (path) => ask((done) => client.remove(path, done)),
    close,
    [Symbol.asyncDispose]: close,
  };
}

function ask(operation: (done: (error: unknown) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    operation((error) => {
      if (error === null || error === undefined) resolve();
      else reject(error instanceof Error ? error : new Error('writing to zookeeper failed'));
    });
  });
}
