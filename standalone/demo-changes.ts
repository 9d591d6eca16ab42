import { formatHostPort } from '../common/address.ts';

/** What the demo reads of a ServiceEntry. */
export interface DemoServiceEntry {
  readonly hosts: readonly string[];
  readonly addresses: readonly string[];
  readonly ports: readonly {
    readonly number: number;
    readonly protocol: string;
    readonly name: string;
  }[];
  readonly endpoints: readonly {
    readonly address: string;
    readonly ports: Readonly<Record<string, number>>;
    readonly labels: Readonly<Record<string, string>>;
    readonly locality: string;
    /** 0 when none was given. */
    readonly weight: number;
  }[];
}

/** A service in the words in which the demo shows it. */
interface Shown {
  readonly address: string;
  /** By `address:port`: locality, weight, labels, in this order. */
  readonly endpoints: ReadonlyMap<string, readonly string[]>;
}

/** Resources by host. */
export type DemoServices = ReadonlyMap<string, DemoServiceEntry>;

/**
 * Tells the difference between two states in lines: `+` what came, `~` what changed, `-` what went; the
 * endpoints of a service are indented below it. Hosts and endpoints are in alphabetical order.
 */
export function describeChanges(before: DemoServices, after: DemoServices): string[] {
  const lines: string[] = [];
  for (const host of [...new Set([...before.keys(), ...after.keys()])].sort()) {
    const [old, now] = [show(before.get(host)), show(after.get(host))];
    if (now === undefined) lines.push(`- ${host}`);
    else lines.push(...describeService(host, old, now));
  }
  return lines;
}

function describeService(host: string, old: Shown | undefined, now: Shown): string[] {
  const endpoints = describeEndpoints(old?.endpoints ?? new Map<string, never>(), now.endpoints);
  if (old?.address === now.address && endpoints.length === 0) return [];
  const count = now.endpoints.size;
  const size = count === 0 ? 'no endpoints' : count === 1 ? '1 endpoint' : `${count} endpoints`;
  const sign = old === undefined ? '+' : '~';
  return [`${sign} ${host}  ${now.address}  ${size}`, ...endpoints.map((line) => `    ${line}`)];
}

function describeEndpoints(old: Shown['endpoints'], now: Shown['endpoints']): string[] {
  const lines: string[] = [];
  for (const name of [...new Set([...old.keys(), ...now.keys()])].sort()) {
    const [facts, newFacts] = [old.get(name), now.get(name)];
    if (newFacts === undefined) lines.push(`- ${name}`);
    else if (facts === undefined) lines.push(spaced(['+', name, ...newFacts]));
    else {
      const changes = newFacts.flatMap((fact, index) => {
        const was = facts[index] ?? '';
        return was === fact ? [] : [`${was || 'nothing'} -> ${fact || 'nothing'}`];
      });
      if (changes.length > 0) lines.push(spaced(['~', name, ...changes]));
    }
  }
  return lines;
}

function spaced([sign = '', ...texts]: readonly string[]): string {
  return `${sign} ${texts.filter((text) => text !== '').join('  ')}`;
}

function show(entry: DemoServiceEntry | undefined): Shown | undefined {
  if (entry === undefined) return undefined;
  const { addresses, ports, endpoints } = entry;
  const numbers = ports.map(({ number, protocol }) => `${number} ${protocol}`).join(', ');
  return {
    address: `${addresses.join(', ')}:${numbers}`,
    endpoints: new Map(
      endpoints.map((endpoint) => {
        const { labels, locality, weight } = endpoint;
        const pairs = Object.entries(labels).map(([key, value]) => `${key}=${value}`);
        const facts = [locality, weight === 0 ? '' : `weight ${weight}`, pairs.sort().join(' ')];
        return [addressOf(endpoint, ports), facts] as const;
      }),
    ),
  };
}

/** An endpoint without a port of its own is called on the service's. */
function addressOf(
  endpoint: DemoServiceEntry['endpoints'][number],
  ports: DemoServiceEntry['ports'],
): string {
  return ports
    .map(({ name, number }) =>
      formatHostPort({ host: endpoint.address, port: endpoint.ports[name] ?? number }),
    )
    .join(', ');
}
