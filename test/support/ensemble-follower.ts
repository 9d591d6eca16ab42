import { TreeDriver, tuningFor } from '../../agent/zookeeper/client/driver.ts';
import { plainAccess } from '../../agent/zookeeper/client/tree.ts';
import { createTreeSource } from '../../agent/zookeeper/source.ts';
import { optionsForTests, silent } from '../conformance/zookeeper-source-suite.ts';
import type { EndpointWitness } from './endpoint-witness.ts';
import { RememberedReport } from './followed-source.ts';

/** A driver of ours over all servers of an ensemble, which does not wait long between attempts. */
export function driverOf(
  servers: readonly string[],
  connected: (server: string) => void,
): TreeDriver {
  const target = { servers, chroot: '', sessionTimeoutMs: 4_000, access: plainAccess };
  return new TreeDriver(target, { connected }, silent, {
    ...tuningFor(target.sessionTimeoutMs),
    backoff: { minMs: 10, maxMs: 300, random: Math.random },
  });
}

/** The agent's source, followed under the eyes of a witness. */
export class EnsembleFollower implements AsyncDisposable {
  readonly witness: EndpointWitness;
  /** Ids of all that was ever taken back. */
  readonly removed = new Set<string>();
  /** What the iteration threw. */
  failure: unknown;
  private readonly driver: TreeDriver;
  private readonly stopping = new AbortController();
  private readonly running: Promise<void>;
  private lastServer = '';

  constructor(servers: readonly string[], witness: EndpointWitness) {
    this.witness = witness;
    this.driver = driverOf(servers, (server) => {
      this.lastServer = server;
    });
    this.running = this.run();
  }

  /** The server that was connected last. */
  get server(): string {
    return this.lastServer;
  }

  /** Rejects when no server is followed. */
  async probe(): Promise<void> {
    await this.driver.missing(['/']);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.stopping.abort();
    await this.running;
  }

  private async run(): Promise<void> {
    const { witness } = this;
    const source = createTreeSource(this.driver, optionsForTests, new RememberedReport(), silent);
    try {
      for await (const event of source.watch(this.stopping.signal)) {
        const before = new Set(witness.view.keys());
        witness.heard(event);
        for (const id of before) if (!witness.view.has(id)) this.removed.add(id);
      }
    } catch (error) {
      this.failure = error;
    }
  }
}
