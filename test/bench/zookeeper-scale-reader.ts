import { subscribe } from 'node:diagnostics_channel';
import type { Socket } from 'node:net';
import { pino } from 'pino';
import type { SourceReport } from '../../agent/source.ts';
import { OneShotWatcher } from '../../agent/zookeeper/client/one-shot-watcher.ts';
import { parseServer } from '../../agent/zookeeper/client/servers.ts';
import { plainAccess } from '../../agent/zookeeper/client/tree.ts';
import type { TreeWatcher } from '../../agent/zookeeper/client/tree.ts';
import { timingFor } from '../../agent/zookeeper/client/watch-life.ts';
import { defaultZooKeeperOptions } from '../../agent/zookeeper/options.ts';
import { createTreeSource, createZooKeeperSource } from '../../agent/zookeeper/source.ts';
import { limitYoungHeap, tidyHeapAfter } from '../../common/heap.ts';
import type { RegistryId } from '../../common/registry.ts';
import { LoopWatch } from './loop-watch.ts';
import type { LoopUsage } from './loop-watch.ts';
import { monotonicMs } from './statistics.ts';

/**
 * The agent's reader of ZooKeeper, alone in a process: what reading costs without guard, outbox and feed. Argument: JSON
 * of `ReaderOptions`. Says `ReaderSnapshot` and `ReaderChanges`; each message asks for a `ReaderUsage`, and says
 * whether the event loop is watched from then on (which costs some CPU).
 */
export interface ReaderOptions {
  readonly server: string;
  /** `as usual`: what the server knows decides. `one-shot`: as if it were an old one. */
  readonly driver: 'as usual' | 'one-shot';
  /** The label `release` of providers that `fresh` counts. */
  readonly freshRelease: string;
}

/** Milliseconds. */
export interface ReaderSnapshot {
  readonly kind: 'snapshot';
  readonly instances: number;
  /** Since the reader was started: what loading the program took is not in it. */
  readonly sinceStartMs: number;
  readonly cpuMs: number;
}

/** An event that changes something. */
export interface ReaderChanges {
  readonly kind: 'changes';
  readonly upserts: number;
  readonly removals: number;
  /** Instances of the fresh release that have been seen since the last usage message. */
  readonly fresh: number;
  /** CLOCK_MONOTONIC. */
  readonly at: number;
}

/** What was used since the last such message, or since the start. */
export interface ReaderUsage extends LoopUsage {
  readonly kind: 'usage';
  /** From ZooKeeper, on all connections. */
  readonly bytes: number;
  readonly events: number;
  readonly upserts: number;
  readonly removals: number;
}

export type ReaderMessage = ReaderSnapshot | ReaderChanges | ReaderUsage;

const sessionTimeoutMs = 30_000;
const { server, driver, freshRelease } = JSON.parse(process.argv[2] ?? '{}') as ReaderOptions;
const target = { servers: [server], chroot: '', sessionTimeoutMs, access: plainAccess };
const options = { ...defaultZooKeeperOptions, registry: 'bench/zookeeper' as RegistryId, target };
const log = pino({ level: 'silent' });
const report: SourceReport = {
  dropped: () => undefined,
  connected: () => undefined,
  hiddenDelay: () => undefined,
  expiredButListed: () => undefined,
};

const sockets: Socket[] = [];
subscribe('net.client.socket', (message) => {
  sockets.push((message as { readonly socket: Socket }).socket);
});
const received = (): number => sockets.reduce((sum, socket) => sum + socket.bytesRead, 0);

const loop = new LoopWatch();
let bytesBefore = 0;
let seen = { events: 0, upserts: 0, removals: 0 };
const fresh = new Set<string>();

process.on('message', (isWatched: boolean) => {
  const bytes = received() - bytesBefore;
  const usage: ReaderUsage = { kind: 'usage', ...loop.look(), bytes, ...seen };
  process.send?.(usage);
  bytesBefore += bytes;
  seen = { events: 0, upserts: 0, removals: 0 };
  fresh.clear();
  loop.watch(isWatched);
});
process.on('disconnect', () => process.exit(0));

/** One life of the driver for old servers, whatever the server. */
function oneShotTree(): TreeWatcher {
  let life: OneShotWatcher | undefined;
  const current = (): OneShotWatcher => {
    if (life === undefined) throw new Error('not watched');
    return life;
  };
  return {
    watch: async (interest, deliver, signal) => {
      const { host: address, port } = parseServer(server);
      life = new OneShotWatcher({
        candidate: { server, address, port },
        target,
        credentials: { tls: undefined, digest: undefined, sasl: undefined },
        chroot: '',
        interest,
        deliver,
        report: {
          resynced: () => undefined,
          unknownError: () => undefined,
          unseenChange: () => undefined,
          zxidSeen: () => undefined,
        },
        timing: timingFor(sessionTimeoutMs),
        lastZxid: 0n,
      });
      const end = await life.run(signal);
      if (end.kind === 'over') throw end.error;
    },
    missing: (paths) => current().missing(paths),
    ask: (questions) => current().ask(questions),
  };
}

const source =
  driver === 'one-shot'
    ? createTreeSource(oneShotTree(), options, report, log)
    : createZooKeeperSource(options, report, log);
loop.watch(true);
// As the agent does it.
void limitYoungHeap(new AbortController().signal);
const startedAt = performance.now();
for await (const event of source.watch(new AbortController().signal)) {
  if (event.kind === 'snapshot') {
    const said: ReaderSnapshot = {
      kind: 'snapshot',
      instances: event.instances.size,
      sinceStartMs: performance.now() - startedAt,
      cpuMs: loop.cpuMs(),
    };
    process.send?.(said);
    tidyHeapAfter(event.instances.size);
  } else if (event.kind === 'changes' && event.changes.length > 0) {
    let upserts = 0;
    for (const change of event.changes) {
      if (change.kind === 'removal') continue;
      upserts += 1;
      const { id, labels } = change.instance;
      if (labels['release'] === freshRelease) fresh.add(id);
    }
    const removals = event.changes.length - upserts;
    seen.events += 1;
    seen.upserts += upserts;
    seen.removals += removals;
    const said: ReaderChanges = {
      kind: 'changes',
      upserts,
      removals,
      fresh: fresh.size,
      at: monotonicMs(),
    };
    process.send?.(said);
  }
}
