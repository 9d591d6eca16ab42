import zookeeper from 'node-zookeeper-client';

/** A connected ZooKeeper client that shares no code with the product: it sees what a server really holds. */
export interface RigClient extends Disposable {
  /** The names of the children; none when the node does not exist. */
  children(path: string): Promise<string[]>;
  /** The data as text; rejects when the node does not exist. */
  data(path: string): Promise<string>;
  /** Creates a node, and its parents if they are missing. */
  create(path: string, data: string, mode?: 'persistent' | 'ephemeral'): Promise<void>;
}

/** Connects, within ten seconds. Dispose it before its server: it would go on trying to connect. */
export async function connectRigClient(connectString: string): Promise<RigClient> {
  const client = zookeeper.createClient(connectString, { sessionTimeout: 10_000 });
  const { promise: connected, resolve, reject } = Promise.withResolvers<undefined>();
  const timer = setTimeout(() => reject(new Error(`no session with ${connectString}`)), 10_000);
  client.once('connected', () => resolve(undefined));
  client.connect();
  try {
    await connected;
  } catch (error) {
    client.close();
    throw error;
  } finally {
    clearTimeout(timer);
  }
  return {
    children: async (path) => {
      try {
        return await answer<string[]>((done) => client.getChildren(path, done));
      } catch (error) {
        if (isMissing(error)) return [];
        throw error;
      }
    },
    data: async (path) =>
      (await answer<Buffer | undefined>((done) => client.getData(path, done)))?.toString() ?? '',
    create: async (path, data, mode = 'persistent') => {
      const parent = path.slice(0, path.lastIndexOf('/'));
      if (parent !== '') await answer<string>((done) => client.mkdirp(parent, done));
      const createMode = zookeeper.CreateMode[mode === 'ephemeral' ? 'EPHEMERAL' : 'PERSISTENT'];
      await answer<string>((done) => client.create(path, Buffer.from(data), createMode, done));
    },
    [Symbol.dispose]: () => client.close(),
  };
}

/** The client's callbacks: no error is null, or undefined with some calls. */
type Done<T> = (error: Error | zookeeper.Exception | null | undefined, value: T) => void;

function answer<T>(call: (done: Done<T>) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    call((error, value) => {
      if (error === null || error === undefined) resolve(value);
      else reject(error instanceof Error ? error : new Error(error.toString()));
    });
  });
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === zookeeper.Exception.NO_NODE;
}
