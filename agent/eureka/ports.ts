import type { Port } from '../../common/instance.ts';
import { grpcPort, plainProtocol, secureProtocol } from '../metadata-ports.ts';
import type { PortPolicy } from './options.ts';
import type { EurekaPort, EurekaRecord } from './record.ts';

const noPorts: readonly Port[] = Object.freeze([]);

/**
 * The ports of a record that are used, sorted by protocol, at most one of each. None when both ports are disabled,
 * unless metadata tell a gRPC port.
 *
 * Metadata `istio.protocol` says what the plain port speaks, `http` otherwise; and what the secure one speaks
 * when it says `https` or `tls`, `https` otherwise. When both speak the same, the secure one counts.
 */
export function portsOf(record: EurekaRecord, policy: PortPolicy): readonly Port[] {
  const { metadata } = record;
  const secure =
    policy === 'plain' ? undefined : toPort(record.securePort, secureProtocol(metadata));
  const isPlainWanted = policy !== 'secure' && (policy !== 'prefer-secure' || secure === undefined);
  const plain = isPlainWanted ? toPort(record.port, plainProtocol(metadata) ?? 'http') : undefined;
  const ports = plain === undefined || plain.protocol === secure?.protocol ? [] : [plain];
  if (secure !== undefined) ports.push(secure);
  const grpc = policy === 'secure' ? undefined : grpcPort(metadata);
  if (grpc !== undefined && !ports.some(({ protocol }) => protocol === 'grpc')) ports.push(grpc);
  if (ports.length === 0) return noPorts;
  return ports.sort((a, b) => (a.protocol < b.protocol ? -1 : 1));
}

function toPort(port: EurekaPort | undefined, protocol: string): Port | undefined {
  if (port?.enabled !== true) return undefined;
  return isPortNumber(port.number) ? { protocol, number: port.number } : undefined;
}

function isPortNumber(number: number): boolean {
  return Number.isInteger(number) && number >= 1 && number <= 65_535;
}
