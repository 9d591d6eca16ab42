import { builtModule } from './build.ts';
import { onFreePorts, startRig } from './process.ts';
import type { Rig } from './process.ts';

/**
 * One exported service. `com.example.DemoService` (add, sayHello) and `com.example.OtherService` (echo) are real
 * interfaces; any other name is exported as a generic service.
 */
interface DubboService {
  readonly interface: string;
  readonly group?: string;
  readonly version?: string;
  readonly weight?: number;
  readonly tag?: string;
}

/** How to set up a Dubbo provider. */
export interface DubboOptions {
  /** 2.7.23 or 3.3.6. */
  readonly generation: '2.7' | '3.3';
  /** A ZooKeeper connect string, `host:port[,host:port...]`. */
  readonly registry: string;
  /** The address it registers: not 127.x, which Dubbo refuses; 192.0.2.n is meant for this. */
  readonly ip: string;
  /** The port of the first protocol; a free one by default. */
  readonly port?: number;
  /** `rig-dubbo` by default. */
  readonly application?: string;
  readonly services: readonly [DubboService, ...DubboService[]];
  /** `['dubbo']` by default; each on a port of its own. */
  readonly protocols?: readonly ('dubbo' | 'tri')[];
  /** 3.3 only: `all` by default. */
  readonly registerMode?: 'all' | 'interface' | 'instance';
  /** `local` by default. */
  readonly metadataType?: 'local' | 'remote';
  /** Parameters of the registry URL: `simplified`, `group`, `username`, `password`, ... */
  readonly registryParameters?: Readonly<Record<string, string>>;
  /** Further JVM arguments; Dubbo's own `-Ddubbo....` settings among them. */
  readonly jvm?: readonly string[];
}

/** A running provider. `stop()` withdraws it: its leaves go at once, the process a few seconds later. */
export interface DubboRig extends Rig {
  readonly application: string;
  readonly ip: string;
  /** The port of the first protocol. */
  readonly port: number;
  /** One for each protocol, in their order. */
  readonly ports: readonly number[];
}

/** Starts a provider and resolves when all it exports is registered. */
export async function startDubboProvider(options: DubboOptions): Promise<DubboRig> {
  const { classpath } = await builtModule(`dubbo-${options.generation}`);
  const protocols = options.protocols ?? ['dubbo'];
  const application = options.application ?? 'rig-dubbo';
  return onFreePorts(protocols.length, async ([free = 0, ...others]) => {
    const ports = [options.port ?? free, ...others];
    const settings = {
      'rig.application': application,
      'rig.registry': registryUrl(options),
      ...Object.fromEntries(
        protocols.map((name, i) => [`rig.protocol.${i}`, `${name}:${ports[i] ?? 0}`]),
      ),
      ...serviceSettings(options.services),
      ...dubboSettings(options),
    };
    const rig = await startRig({
      name: `dubbo-${options.generation}-${application}`,
      heapMib: 256,
      ports: [ports[0] ?? 0],
      args: () => [
        ...['--add-opens', 'java.base/java.lang=ALL-UNNAMED'],
        ...Object.entries(settings).map(([key, value]) => `-D${key}=${value}`),
        ...(options.jvm ?? []),
        ...['-cp', classpath, 'tributary.rigs.DubboProvider'],
      ],
      isReady: (output) => output.includes('rig: registered'),
    });
    return { ...rig, application, ip: options.ip, port: ports[0] ?? 0, ports };
  });
}

function registryUrl({ registry, registryParameters = {} }: DubboOptions): string {
  const [first = '', ...backup] = registry.split(',');
  const parameters = new URLSearchParams(registryParameters);
  if (backup.length > 0) parameters.set('backup', backup.join(','));
  const query = decodeURIComponent(parameters.toString());
  return `zookeeper://${first}${query === '' ? '' : `?${query}`}`;
}

function serviceSettings(services: readonly DubboService[]): Record<string, string> {
  const settings: Record<string, string> = {};
  services.forEach(({ interface: name, ...attributes }, i) => {
    settings[`rig.service.${i}`] = name;
    for (const [key, value] of Object.entries(attributes)) {
      settings[`rig.service.${i}.${key}`] = String(value);
    }
  });
  return settings;
}

function dubboSettings(options: DubboOptions): Record<string, string> {
  return {
    DUBBO_IP_TO_REGISTRY: options.ip,
    ...(options.registerMode !== undefined && {
      'dubbo.application.register-mode': options.registerMode,
    }),
    ...(options.metadataType !== undefined && {
      'dubbo.application.metadata-type': options.metadataType,
    }),
  };
}
