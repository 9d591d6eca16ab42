import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { builtModule } from './build.ts';
import type { BuiltModule } from './build.ts';
import type { ZooKeeperVersion } from './modules.ts';
import { onFreePorts, startRig } from './process.ts';
import type { Rig } from './process.ts';

/** How to set up a ZooKeeper server; all have defaults that suit tests. */
export interface ZooKeeperOptions {
  /** 3.9.5 by default. */
  readonly version?: ZooKeeperVersion;
  /** 500; session expiry is rounded up to it. */
  readonly tickTimeMs?: number;
  /** 1,000. */
  readonly minSessionTimeoutMs?: number;
  /** 10,000. Sessions never get more, whatever they ask for: 2,000 lets ephemerals of a killed client go soon. */
  readonly maxSessionTimeoutMs?: number;
  /** Further lines of zoo.cfg; they win over ours. Paths are relative to nothing: give absolute ones. */
  readonly extraConfig?: Readonly<Record<string, string | number>>;
  /** Further JVM arguments, such as `-Djava.security.auth.login.config=...`. */
  readonly jvm?: readonly string[];
}

/** A running ZooKeeper server, plain, on loopback. */
export interface ZooKeeperRig extends Rig {
  readonly version: ZooKeeperVersion;
  readonly port: number;
  /** `127.0.0.1:<port>` */
  readonly connectString: string;
  /** The answer to a four-letter word (`ruok`, `mntr`, `cons`, `wchp`, ...). Rejects when none comes in time. */
  command(word: string, timeoutMs?: number): Promise<string>;
  /** The answer to `srvr`, by its keys (`Mode`, `Node count`, `Zookeeper version`, ...). */
  srvr(): Promise<Readonly<Record<string, string>>>;
}

/** Three servers (or as many as asked) that form one ensemble. */
export interface EnsembleRig extends AsyncDisposable {
  readonly members: readonly ZooKeeperRig[];
  /** All members, `127.0.0.1:<port>,...` */
  readonly connectString: string;
  /** The index of the present leader; rejects while there is none. */
  leader(): Promise<number>;
  kill(index: number): Promise<void>;
  /** Resolves when the member serves again (it needs a quorum for that). */
  restart(index: number): Promise<void>;
  stop(): Promise<void>;
}

/** Starts one server. */
export async function startZooKeeper(options: ZooKeeperOptions = {}): Promise<ZooKeeperRig> {
  const built = await builtModule(`zookeeper-${options.version ?? '3.9.5'}`);
  return onFreePorts(1, ([port]) => startMember(built, options, { port: port ?? 0, lines: [] }));
}

/** Starts an ensemble and resolves when every member serves. */
export async function startEnsemble(
  options: ZooKeeperOptions & { readonly size?: number } = {},
): Promise<EnsembleRig> {
  const built = await builtModule(`zookeeper-${options.version ?? '3.9.5'}`);
  const size = options.size ?? 3;
  const members = await onFreePorts(size * 3, (ports) => startMembers(built, options, ports));
  return {
    members,
    connectString: members.map((member) => member.connectString).join(','),
    leader: async () => {
      const modes = await Promise.all(members.map(modeOf));
      const leader = modes.indexOf('leader');
      if (leader < 0) throw new Error(`no leader among ${modes.join(', ')}`);
      return leader;
    },
    kill: (index) => at(members, index).kill(),
    restart: (index) => at(members, index).restart(),
    stop: async () => {
      await Promise.all(members.map((member) => member.stop()));
    },
    [Symbol.asyncDispose]: async () => {
      await Promise.all(members.map((member) => member[Symbol.asyncDispose]()));
    },
  };
}

async function startMembers(
  built: BuiltModule,
  options: ZooKeeperOptions,
  ports: readonly number[],
): Promise<ZooKeeperRig[]> {
  const size = ports.length / 3;
  const clientPorts = ports.slice(0, size);
  const servers = clientPorts.map(
    (_, i) => `server.${i + 1}=127.0.0.1:${ports[size + i] ?? 0}:${ports[2 * size + i] ?? 0}`,
  );
  const lines = [...servers, 'initLimit=20', 'syncLimit=5'];
  const started = await Promise.allSettled(
    clientPorts.map((port, i) => startMember(built, options, { port, lines, id: i + 1 })),
  );
  const members = started.filter((one) => one.status === 'fulfilled').map((one) => one.value);
  const failure = started.find((one) => one.status === 'rejected');
  if (failure === undefined) return members;
  await Promise.all(members.map((member) => member[Symbol.asyncDispose]()));
  throw failure.reason;
}

async function startMember(
  built: BuiltModule,
  options: ZooKeeperOptions,
  place: { readonly port: number; readonly lines: readonly string[]; readonly id?: number },
): Promise<ZooKeeperRig> {
  const version = options.version ?? '3.9.5';
  const { port } = place;
  const securePort = options.extraConfig?.['secureClientPort'];
  const rig = await startRig({
    name: `zookeeper-${version}`,
    heapMib: 128,
    // The secure port opens a moment after the plain one.
    ports: securePort === undefined ? [port] : [port, Number(securePort)],
    args: (folder) => {
      const data = join(folder, 'data');
      if (place.id !== undefined) writeFileSync(join(data, 'myid'), String(place.id));
      const file = join(folder, 'zoo.cfg');
      writeFileSync(file, [...config(options, port, data), ...place.lines, ''].join('\n'));
      return [
        ...['-Dzookeeper.admin.enableServer=false', '-Dzookeeper.jmx.log4j.disable=true'],
        ...(options.jvm ?? []),
        ...['-cp', built.classpath, 'org.apache.zookeeper.server.quorum.QuorumPeerMain', file],
      ];
    },
    isReady: async () => {
      const answer = parseSrvr(await fourLetterWord(port, 'srvr', 300));
      return answer['Mode'] !== undefined && isVersion(answer, version);
    },
  });
  return {
    ...rig,
    version,
    port,
    connectString: `127.0.0.1:${port}`,
    command: (word, timeoutMs = 2_000) => fourLetterWord(port, word, timeoutMs),
    srvr: async () => parseSrvr(await fourLetterWord(port, 'srvr', 2_000)),
  };
}

function config(options: ZooKeeperOptions, port: number, data: string): string[] {
  const settings: Record<string, string | number> = {
    tickTime: options.tickTimeMs ?? 500,
    dataDir: data,
    clientPort: port,
    clientPortAddress: '127.0.0.1',
    minSessionTimeout: options.minSessionTimeoutMs ?? 1_000,
    maxSessionTimeout: options.maxSessionTimeoutMs ?? 10_000,
    maxClientCnxns: 0,
    '4lw.commands.whitelist': '*',
    forceSync: 'no', // a killed server loses nothing by it: only a machine that goes down would
    ...options.extraConfig,
  };
  return Object.entries(settings).map(([key, value]) => `${key}=${value}`);
}

function isVersion(srvr: Readonly<Record<string, string>>, version: ZooKeeperVersion): boolean {
  return srvr['Zookeeper version']?.startsWith(`${version}-`) === true;
}

async function modeOf(member: ZooKeeperRig): Promise<string> {
  try {
    return (await member.srvr())['Mode'] ?? 'none';
  } catch {
    return 'down';
  }
}

function parseSrvr(answer: string): Record<string, string> {
  const pairs = answer
    .split('\n')
    .map((line) => line.split(': '))
    .filter((parts) => parts.length > 1)
    .map(([key, ...value]) => [key, value.join(': ')] as const);
  return Object.fromEntries(pairs) as Record<string, string>;
}

/** A word sent while a server starts may never be answered, nor its connection be closed: hence the timeout. */
async function fourLetterWord(port: number, word: string, timeoutMs: number): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1', signal: AbortSignal.timeout(timeoutMs) });
  let answer = '';
  return new Promise((resolve, reject) => {
    socket.setEncoding('utf8');
    socket.on('connect', () => socket.write(word));
    socket.on('data', (text: string) => (answer += text));
    socket.on('end', () => resolve(answer));
    socket.on('error', reject);
    socket.on('close', () => reject(new Error(`${word}: connection closed without an answer`)));
  });
}

function at<T>(items: readonly T[], index: number): T {
  const item = items[index];
  if (item === undefined) throw new RangeError(`no member ${index}`);
  return item;
}
