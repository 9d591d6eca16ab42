import { TreeDriver, tuningFor } from '../../agent/zookeeper/client/driver.ts';
import { plainAccess } from '../../agent/zookeeper/client/tree.ts';
import { createTreeSource } from '../../agent/zookeeper/source.ts';
import type { Source } from '../../agent/source.ts';
import type { HistoryPlace, Trouble } from '../conformance/zookeeper-histories-suite.ts';
import { optionsForTests, silent } from '../conformance/zookeeper-source-suite.ts';
import { RememberedReport } from './followed-source.ts';
import { startTcpProxy } from './tcp-proxy.ts';
import { WireGate } from './wire-gate.ts';
import { ZooKeeperStub } from './zookeeper-stub.ts';
import { ZooKeeperWriter } from './zookeeper-writer.ts';

/** Places for histories: a source that reads with a driver of ours what a stub or a real server holds. */

/** A stub behind a gate, where every reply and event can be held. */
export async function openStubPlace(isOld: boolean): Promise<HistoryPlace> {
  const stub = new ZooKeeperStub();
  stub.faults.isOld = isOld;
  await stub.start();
  const gate = new WireGate(stub.port);
  await gate.start();
  let writes = 0;
  const done = async (action: () => void): Promise<void> => {
    action();
    writes += 1;
    // Now and then what was written is seen before the next write is made.
    if (writes % 4 === 0) await turns();
  };
  return {
    put: (path, data) =>
      done(() => {
        const bytes = data === null ? null : Buffer.from(data);
        if (stub.tree().has(path) && bytes !== null) stub.setData(path, bytes);
        else stub.create(path, bytes);
      }),
    delete: (path) => done(() => stub.remove(path)),
    source: () => sourceAt(gate.port, ''),
    trouble: async (trouble: Trouble) => {
      switch (trouble.kind) {
        case 'cut':
          gate.cutAfter(trouble.after);
          break;
        case 'hold':
          gate.hold();
          break;
        case 'open':
          gate.open();
          break;
        case 'expire':
          stub.expireSessions();
          stub.dropConnections();
          break;
        case 'pass':
          gate.letRequests(trouble.requests);
          await turns();
          gate.letBytes(100_000);
          break;
        case 'wait':
          await pause(trouble.ms);
      }
      await turns();
    },
    heal: () => {
      gate.open();
      return Promise.resolve();
    },
    [Symbol.asyncDispose]: async () => {
      gate.open();
      await gate.close();
      await stub.dispose();
    },
  };
}

/** A directory of its own on a real server, read over a link that breaks. */
export async function openRealPlace(
  server: { readonly port: number; readonly connectString: string },
  chroot: string,
): Promise<HistoryPlace> {
  const root = await ZooKeeperWriter.connect(server.connectString);
  await root.create(chroot);
  await root.close();
  const writer = await ZooKeeperWriter.connect(`${server.connectString}${chroot}`);
  const proxy = await startTcpProxy(server);
  const existing = new Set<string>();
  return {
    put: async (path, data, isEphemeral) => {
      if (existing.has(path)) await writer.setData(path, data);
      else await writer.create(path, data, isEphemeral);
      existing.add(path);
    },
    delete: async (path) => {
      existing.delete(path);
      await writer.remove(path);
    },
    source: () => sourceAt(proxy.port, chroot),
    trouble: async (trouble: Trouble) => {
      switch (trouble.kind) {
        case 'cut':
          proxy.cutAfter(trouble.after + 1);
          break;
        case 'hold':
          proxy.suspend();
          break;
        case 'open':
          proxy.resume();
          break;
        case 'expire':
          proxy.cut();
          break;
        case 'pass':
          proxy.resume();
          await turns();
          proxy.suspend();
          break;
        case 'wait':
          await pause(trouble.ms);
      }
      await turns();
    },
    heal: () => {
      proxy.resume();
      return Promise.resolve();
    },
    [Symbol.asyncDispose]: async () => {
      proxy.resume();
      await writer.close();
      await proxy.close();
    },
  };
}

function sourceAt(port: number, chroot: string): Source {
  const target = {
    servers: [`127.0.0.1:${port}`],
    chroot,
    sessionTimeoutMs: 3_000,
    access: plainAccess,
  };
  const tuning = tuningFor(target.sessionTimeoutMs);
  const driver = new TreeDriver(target, { connected: () => undefined }, silent, {
    ...tuning,
    timing: { ...tuning.timing, closeTimeoutMs: 20 },
    backoff: { minMs: 1, maxMs: 10, random: Math.random },
  });
  const options = { ...optionsForTests, removalDelayMs: 4 };
  return createTreeSource(driver, options, new RememberedReport(), silent);
}

/** Whatever is on its way between the sockets of this process arrives. */
async function turns(): Promise<void> {
  for (let turn = 0; turn < 6; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
