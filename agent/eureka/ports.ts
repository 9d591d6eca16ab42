import type { Port } from '../../common/instance.ts';
import type { PortPolicy } from './options.ts';
import type { EurekaPort, EurekaRecord } from './record.ts';

/** The protocols that istiod knows for a port of a service (case-insensitively). */
const meshProtocols: ReadonlySet<string> = new Set([
  'tcp',
  'udp',
  'grpc',
  'grpc-web',
  'http',
  'http_proxy',
  'http2',
  'https',
  'tls',
  'mongo',
  'redis',
  'mysql',
]);

/** By which gRPC servers in Spring applications tell their port, the first that is there. */
const grpcKeys = ['gRPC_port', 'gRPC.port', 'grpc.port', 'grpc_port', 'grpcPort'];

const noPorts: readonly Port[] = Object.freeze([]);

/**
 * The ports of a record that are used, sorted by protocol, at most one of each. None when both ports are disabled,
 * unless metadata tell a gRPC port.
 *
 * Metadata `istio.protocol` says what the plain port speaks, `http` otherwise; and what the secure one speaks
 * when it says `https` or `tls`, `https` otherwise. When both speak the same, the secure one counts.
 */
export function portsOf(record: EurekaRecord, policy: PortPolicy): readonly Port[] {
  const hint = (record.metadata.get('istio.protocol') ?? '').trim().toLowerCase();
  const secure =
    policy === 'plain' ? undefined : toPort(record.securePort, hint === 'tls' ? 'tls' : 'https');
  const isPlainWanted = policy !== 'secure' && (policy !== 'prefer-secure' || secure === undefined);
  const plain = isPlainWanted
    ? toPort(record.port, meshProtocols.has(hint) ? hint : 'http')
    : undefined;
  const ports = plain === undefined || plain.protocol === secure?.protocol ? [] : [plain];
  if (secure !== undefined) ports.push(secure);
  const grpc = policy === 'secure' ? undefined : grpcPort(record);
  if (grpc !== undefined && !ports.some(({ protocol }) => protocol === 'grpc')) ports.push(grpc);
  if (ports.length === 0) return noPorts;
  return ports.sort((a, b) => (a.protocol < b.protocol ? -1 : 1));
}

function toPort(port: EurekaPort | undefined, protocol: string): Port | undefined {
  if (port?.enabled !== true) return undefined;
  return isPortNumber(port.number) ? { protocol, number: port.number } : undefined;
}

function grpcPort({ metadata }: EurekaRecord): Port | undefined {
  if (metadata.size === 0) return undefined;
  for (const key of grpcKeys) {
    const text = metadata.get(key)?.trim() ?? '';
    if (/^\d{1,5}$/.test(text) && isPortNumber(Number(text))) {
      return { protocol: 'grpc', number: Number(text) };
    }
  }
  return undefined;
}

function isPortNumber(number: number): boolean {
  return Number.isInteger(number) && number >= 1 && number <= 65_535;
}
