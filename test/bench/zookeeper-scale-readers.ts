import { Child } from './child.ts';
import type { FloorMessage, FloorOptions, FloorRead } from './zookeeper-scale-floor.ts';
import type {
  ReaderChanges,
  ReaderMessage,
  ReaderOptions,
  ReaderSnapshot,
  ReaderUsage,
} from './zookeeper-scale-reader.ts';

/** One of the agent's two drivers, and the server that it reads. */
export interface Followed {
  readonly name: 'persistent' | 'one-shot' | 'one-shot, 3.4.14';
  readonly server: string;
  readonly driver: ReaderOptions['driver'];
}

/** The agent's reader, alone in a process. */
export class ZooKeeperReader {
  private readonly child: Child<ReaderMessage>;

  constructor({ server, driver }: Followed, freshRelease: string) {
    const options: ReaderOptions = { server, driver, freshRelease };
    this.child = new Child(new URL('zookeeper-scale-reader.ts', import.meta.url), [
      JSON.stringify(options),
    ]);
  }

  /** Throws when it is not of so many instances. */
  async snapshot(instances: number): Promise<ReaderSnapshot> {
    const snapshot = await this.child.next('snapshot');
    if (snapshot.instances === instances) return snapshot;
    throw new Error(`a snapshot of ${snapshot.instances} instead of ${instances} instances`);
  }

  changes(isFit: (changes: ReaderChanges) => boolean): Promise<ReaderChanges> {
    return this.child.next('changes', isFit);
  }

  /** Forgets what has been said so far. */
  clear(): void {
    this.child.clear();
  }

  /** What was used since the last call. */
  async usage(isLoopWatched: boolean): Promise<ReaderUsage> {
    this.child.send(isLoopWatched);
    return this.child.next('usage');
  }

  async stop(): Promise<void> {
    await this.child.stop();
  }
}

/** A bare client, alone in a process. */
export class ZooKeeperFloor {
  private readonly child: Child<FloorMessage>;

  constructor(options: FloorOptions) {
    this.child = new Child(new URL('zookeeper-scale-floor.ts', import.meta.url), [
      JSON.stringify(options),
    ]);
  }

  read(): Promise<FloorRead> {
    return this.child.next('read');
  }

  async watching(): Promise<void> {
    await this.child.next('watching');
  }

  /** When the next event came. */
  async event(): Promise<number> {
    return (await this.child.next('event')).at;
  }

  async stop(): Promise<void> {
    await this.child.stop();
  }
}
