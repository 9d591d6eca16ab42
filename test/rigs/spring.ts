import { builtModule } from './build.ts';
import { appsStatus } from './eureka.ts';
import type { EurekaRig } from './eureka.ts';
import { onFreePorts, startRig } from './process.ts';
import type { Rig } from './process.ts';

/** Spring settings, as on a command line: `{ 'server.port': 8080 }`. They win over ours. */
export type SpringProperties = Readonly<Record<string, string | number | boolean>>;

/** A running Spring Boot application. `stop()` deregisters it first. */
export interface SpringAppRig extends Rig {
  readonly application: string;
  readonly port: number;
}

/**
 * Starts Spring Cloud's Eureka server (4.3.1): no self-preservation, eviction each second, caches that hide nothing. It tells
 * itself from its peers by host name alone, ports do not count.
 */
export async function startSpringEureka(
  options: {
    /** The name in its URL, `127.0.0.1` (default) or `localhost`. */
    readonly host?: string;
    /** Service URLs of its peers. */
    readonly peers?: readonly string[];
    readonly properties?: SpringProperties;
  } = {},
): Promise<EurekaRig> {
  const { classpath } = await builtModule('eureka-spring');
  const host = options.host ?? '127.0.0.1';
  const peers = options.peers ?? [];
  return onFreePorts(1, async ([port = 0]) => {
    const serviceUrl = `http://${host}:${port}/eureka/`;
    const rig = await startSpring('eureka-spring', classpath, {
      port,
      main: 'EurekaServer',
      properties: {
        'eureka.instance.hostname': host,
        // Without this it would replicate to whatever listens on port 8761; its own URL is no peer.
        'eureka.client.service-url.defaultZone': peers.length === 0 ? serviceUrl : peers.join(','),
        'eureka.client.register-with-eureka': false,
        'eureka.client.fetch-registry': peers.length > 0,
        'eureka.server.peer-node-read-timeout-ms': 2_000,
        'eureka.server.enable-self-preservation': false,
        'eureka.server.eviction-interval-timer-in-ms': 1_000,
        'eureka.server.use-read-only-response-cache': false,
        'eureka.server.wait-time-in-ms-when-sync-empty': 0,
        ...options.properties,
      },
      isReady: async () => (await appsStatus(serviceUrl, 2_000)) === 200,
    });
    return { ...rig, host, port, serviceUrl };
  });
}

/** Starts an application with Spring Cloud's Eureka client (4.3.1); resolves when a server has taken its registration. */
export async function startSpringEurekaClient(options: {
  /** Of a Spring or a Netflix server, or several, separated by commas. */
  readonly serviceUrl: string;
  readonly application: string;
  readonly properties?: SpringProperties;
}): Promise<SpringAppRig> {
  const { classpath } = await builtModule('spring-eureka-client');
  return onFreePorts(1, async ([port = 0]) => {
    const rig = await startSpring('spring-eureka-client', classpath, {
      port,
      main: 'EurekaClientApplication',
      properties: {
        'spring.application.name': options.application,
        'eureka.client.service-url.defaultZone': options.serviceUrl,
        'eureka.instance.prefer-ip-address': true,
        'eureka.instance.lease-renewal-interval-in-seconds': 1,
        'eureka.instance.lease-expiration-duration-in-seconds': 5,
        ...options.properties,
      },
      isReady: (output) => output.includes('registration status: 204'),
    });
    return { ...rig, application: options.application, port };
  });
}

/** Starts an application with Spring Cloud ZooKeeper (4.3.0); resolves when it has registered itself. */
export async function startSpringZooKeeperApp(options: {
  readonly connectString: string;
  readonly application: string;
  readonly properties?: SpringProperties;
}): Promise<SpringAppRig> {
  const { classpath } = await builtModule('spring-zookeeper');
  return onFreePorts(1, async ([port = 0]) => {
    const rig = await startSpring('spring-zookeeper', classpath, {
      port,
      main: 'ZooKeeperApplication',
      properties: {
        'spring.application.name': options.application,
        'spring.cloud.zookeeper.connect-string': options.connectString,
        ...options.properties,
      },
      isReady: (output) => / Started ZooKeeperApplication in /.test(output),
    });
    return { ...rig, application: options.application, port };
  });
}

function startSpring(
  name: string,
  classpath: string,
  app: {
    readonly port: number;
    readonly main: string;
    readonly properties: SpringProperties;
    readonly isReady: (output: string) => boolean | Promise<boolean>;
  },
): Promise<Rig> {
  const properties: SpringProperties = {
    'server.port': app.port,
    'server.address': '127.0.0.1',
    'spring.main.banner-mode': 'off',
    'management.endpoints.web.exposure.include': '*',
    ...app.properties,
  };
  return startRig({
    name,
    heapMib: 256,
    ports: [app.port],
    args: () => [
      ...['-cp', classpath, `tributary.rigs.${app.main}`],
      ...Object.entries(properties).map(([key, value]) => `--${key}=${value}`),
    ],
    isReady: app.isReady,
  });
}
