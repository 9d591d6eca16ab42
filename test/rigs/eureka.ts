import { join } from 'node:path';
import { builtModule } from './build.ts';
import { onFreePorts, startRig } from './process.ts';
import type { Rig } from './process.ts';

/** A running Eureka server of either make, on loopback. */
export interface EurekaRig extends Rig {
  readonly host: string;
  readonly port: number;
  /** What clients are given: ends in `/eureka/v2/` (Netflix) or `/eureka/` (Spring Cloud). */
  readonly serviceUrl: string;
}

/** How to set up a Netflix Eureka server. */
export interface NetflixEurekaOptions {
  /** The name in its URL, `127.0.0.1` (default) or `localhost`. It listens on 127.0.0.1 in either case. */
  readonly host?: string;
  /** Service URLs of its peers, itself not among them: it replicates to them and reads its first registry there. */
  readonly peers?: readonly string[];
  /**
   * How long a server that found no registry at its peers answers 403 to fetches (0: not at all). With it, the
   * starter returns once the server answers anything.
   */
  readonly warmUpMs?: number;
  /** Server settings in camel case, `eureka.` included; they win over ours. */
  readonly systemProperties?: Readonly<Record<string, string | number | boolean>>;
}

/** Two servers that replicate to each other. */
export interface EurekaPeersRig extends AsyncDisposable {
  readonly servers: readonly [EurekaRig, EurekaRig];
  readonly serviceUrls: readonly [string, string];
}

/** Starts one Netflix Eureka 1.10.1: no self-preservation, eviction each second, caches that hide nothing. */
export async function startNetflixEureka(options: NetflixEurekaOptions = {}): Promise<EurekaRig> {
  return onFreePorts(1, ([port]) => startOn(port ?? 0, options));
}

/** Starts two servers that are peers of each other, and of whatever `peers` says. */
export async function startEurekaPeers(
  options: Omit<NetflixEurekaOptions, 'host'> = {},
): Promise<EurekaPeersRig> {
  return onFreePorts(2, async ([first = 0, second = 0]) => {
    const hosts = [
      { host: 'localhost', port: first, other: netflixUrl('127.0.0.1', second) },
      { host: '127.0.0.1', port: second, other: netflixUrl('localhost', first) },
    ];
    const started = await Promise.allSettled(
      hosts.map(({ host, port, other }) =>
        startOn(port, { ...options, host, peers: [other, ...(options.peers ?? [])] }),
      ),
    );
    const servers = started.filter((one) => one.status === 'fulfilled').map((one) => one.value);
    const dispose = async (): Promise<void> => {
      await Promise.all(servers.map((server) => server[Symbol.asyncDispose]()));
    };
    const [a, b] = servers;
    if (a !== undefined && b !== undefined) {
      const serviceUrls = [a.serviceUrl, b.serviceUrl] as const;
      return { servers: [a, b], serviceUrls, [Symbol.asyncDispose]: dispose };
    }
    await dispose();
    throw started.find((one) => one.status === 'rejected')?.reason;
  });
}

/** The status that a GET of `apps` is answered with: 200 serving, 403 while warming up. Rejects when it is not up. */
export async function appsStatus(serviceUrl: string, timeoutMs: number): Promise<number> {
  const response = await fetch(`${serviceUrl}apps`, { signal: AbortSignal.timeout(timeoutMs) });
  await response.arrayBuffer();
  return response.status;
}

async function startOn(port: number, options: NetflixEurekaOptions): Promise<EurekaRig> {
  const { lib } = await builtModule('eureka-netflix');
  const host = options.host ?? '127.0.0.1';
  const serviceUrl = netflixUrl(host, port);
  const warmUpMs = options.warmUpMs ?? 0;
  let patienceMs = 300;
  const rig = await startRig({
    name: 'eureka-netflix',
    heapMib: 256,
    ports: [port],
    args: () => [
      ...['--add-opens', 'java.base/java.lang=ALL-UNNAMED'],
      ...Object.entries(settings(serviceUrl, warmUpMs, options)).map(([k, v]) => `-D${k}=${v}`),
      ...['-jar', join(lib, 'jetty-runner.jar'), '--host', '127.0.0.1', '--port', String(port)],
      ...['--path', '/eureka', join(lib, 'eureka-server.war')],
    ],
    isReady: async () => {
      patienceMs = Math.min(patienceMs * 1.5, 3_000); // the first answer of a busy machine may take longer
      const status = await appsStatus(serviceUrl, patienceMs);
      return status === 200 || (status === 403 && warmUpMs > 0);
    },
  });
  return { ...rig, host, port, serviceUrl };
}

function netflixUrl(host: string, port: number): string {
  return `http://${host}:${port}/eureka/v2/`;
}

function settings(
  serviceUrl: string,
  warmUpMs: number,
  { peers = [], systemProperties = {} }: NetflixEurekaOptions,
): Record<string, string | number | boolean> {
  // Its own URL, known by myUrl, is no peer: so a server without peers has none.
  const serviceUrls = peers.length === 0 ? serviceUrl : peers.join(',');
  return {
    'eureka.myUrl': serviceUrl,
    'eureka.serviceUrl.default': serviceUrls,
    'eureka.serviceUrl.defaultZone': serviceUrls,
    'eureka.shouldUseDns': false,
    'eureka.registration.enabled': false,
    'eureka.shouldFetchRegistry': peers.length > 0,
    'eureka.numberRegistrySyncRetries': peers.length > 0 ? 1 : 0,
    'eureka.waitTimeInMsWhenSyncEmpty': warmUpMs,
    'eureka.peerNodeReadTimeoutMs': 2_000,
    'eureka.enableSelfPreservation': false,
    'eureka.evictionIntervalTimerInMs': 1_000,
    'eureka.shouldUseReadOnlyResponseCache': false,
    ...systemProperties,
  };
}
