import { hostname } from 'node:os';
import { z } from 'zod';
import { formatHostPort, hostPortSchema, isLoopback } from '../common/address.ts';
import type { HostPort } from '../common/address.ts';
import type { Given, Program } from '../common/config.ts';
import { generalOptions, guardOptions } from '../common/general-options.ts';
import type { GuardValues } from '../common/guard-limits.ts';
import {
  duration,
  file,
  list,
  listen,
  option,
  text,
  textOr,
  textSchema,
  toggle,
} from '../common/option.ts';
import type { Values } from '../common/option.ts';
import {
  eurekaAddressSchema,
  formatEurekaAddress,
  formatZooKeeperAddress,
  zooKeeperAddressSchema,
} from '../common/registry-address.ts';
import type { EurekaAddress, ZooKeeperAddress } from '../common/registry-address.ts';
import { tlsProblems } from '../common/tls-files.ts';
import type { NamedFile } from '../common/tls-files.ts';
import { checkEureka, eurekaTable } from './eureka/config.ts';
import { defaultEurekaOptions } from './eureka/options.ts';
import { checkZooKeeper, zooKeeperTable } from './zookeeper/config.ts';

/** The agent's configuration table; standalone takes most of it too. */

const minute = 60_000;
const hour = 60 * minute;

const registry = 'Registry';
const feed = 'Feed';

/** How registries are read, whichever process reads them. */
export const readingOptions = {
  ...eurekaTable,
  ...zooKeeperTable,
  metadataLabels: list(
    {
      group: registry,
      description: 'metadata keys that become endpoint labels',
      fallback: defaultEurekaOptions.conversion.labelKeys,
    },
    textSchema,
  ),
  zones: option<Readonly<Record<string, string>>>({
    shape: 'structure',
    schema: z.record(z.string(), textSchema),
    fallback: {},
    group: registry,
    description: 'region by zone, for zones whose name does not show it',
  }),
  locality: textOr(
    {
      group: registry,
      description: 'region/zone/subzone of instances that name none',
      placeholder: 'LOCALITY',
    },
    '',
    z.string(),
  ),
  network: textOr(
    { group: registry, description: 'Istio network of all endpoints', placeholder: 'NAME' },
    '',
    z.string(),
  ),
  emptyServiceTime: duration(
    {
      group: registry,
      description: 'how long a service that lost its last instance stays known, without endpoints',
    },
    10 * minute,
    [0, 24 * hour],
  ),
};

/** How the agent shows who it is. */
const feedOptions = {
  aggregator: option<readonly HostPort[]>({
    shape: 'list',
    schema: z.array(hostPortSchema).min(1, 'expected host:port'),
    fallback: [],
    requiredText: 'where is the aggregator? Write --aggregator HOST:9903',
    placeholder: 'HOST:PORT,...',
    group: feed,
    description: 'aggregators; each is fed at every address its name resolves to',
    format: (value) => value.map(formatHostPort),
  }),
  agentId: {
    ...textOr(
      {
        group: feed,
        description: 'name of this agent, stable over restarts, unique among those of its registry',
        placeholder: 'NAME',
      },
      hostname(),
      z.string().min(1, 'expected a name').max(253, 'expected at most 253 characters'),
    ),
    fallbackText: 'the host name',
  },
  feedTls: toggle({ group: feed, description: 'speak TLS to the aggregator' }),
  feedCa: file({ group: feed, description: "authorities of the aggregator's certificate, PEM" }),
  feedCert: file({ group: feed, description: 'client certificate, PEM' }),
  feedKey: file({ group: feed, description: 'key of the client certificate, PEM' }),
  feedServerName: text(
    {
      group: feed,
      description: "name that the aggregator's certificate must have",
      placeholder: 'NAME',
    },
    textSchema,
  ),
  feedTokenFile: file({ group: feed, description: 'file with a bearer token' }),
  insecureFeed: toggle({
    group: feed,
    description: 'allow the token to travel without TLS, where the network itself is trusted',
  }),
};

/** The one registry of an agent. */
const registryOptions = {
  eureka: option<EurekaAddress | undefined>({
    shape: 'text',
    schema: eurekaAddressSchema.optional(),
    fallback: undefined,
    placeholder: 'ID=URL[,URL...]',
    group: registry,
    description:
      'Eureka cluster to read: <datacenter>/<name>=<service URL>[,<service URL>...]; txt+http://NAME:PORT/eureka/ names a DNS TXT record that lists the servers',
    format: (value) => (value === undefined ? undefined : formatEurekaAddress(value)),
  }),
  zookeeper: option<ZooKeeperAddress | undefined>({
    shape: 'text',
    schema: zooKeeperAddressSchema.optional(),
    fallback: undefined,
    placeholder: 'ID=HOST:PORT[,...]',
    group: registry,
    description:
      'ZooKeeper ensemble to read: <datacenter>/<name>=<host:port>[,<host:port>...][/chroot]',
    format: (value) => (value === undefined ? undefined : formatZooKeeperAddress(value)),
  }),
};

const listenerOptions = {
  metricsListen: listen(
    { group: 'Listeners', description: '/metrics, /healthz and /readyz, for everyone' },
    { host: '0.0.0.0', port: 9906 },
  ),
  adminListen: listen(
    { group: 'Listeners', description: 'status page and API' },
    { host: '127.0.0.1', port: 9907 },
  ),
};

const agentOptions = {
  ...registryOptions,
  ...readingOptions,
  ...feedOptions,
  ...guardOptions,
  ...listenerOptions,
  ...generalOptions,
};

/** Values of the options that say how registries are read. */
export type ReadingValues = Values<typeof readingOptions & typeof guardOptions> &
  Pick<GuardValues, 'guard'>;

/** The agent's whole configuration. */
export type AgentValues = Values<typeof agentOptions>;

/** Problems over several of the options that say how registries are read. */
export function checkReading({ values, isValid, nameOf }: Given<typeof readingOptions>): string[] {
  const given = {
    values,
    isValid: (...keys: (keyof typeof readingOptions)[]) => isValid(...keys),
    nameOf: (key: keyof typeof readingOptions) => nameOf(key),
  };
  return [...checkEureka(given), ...checkZooKeeper(given)];
}

/** Problems over several options, in the words of the operator. */
function checkAgent({ values, isValid, nameOf }: Given<typeof agentOptions>): string[] {
  const problems = checkReading({
    values,
    isValid: (...keys) => isValid(...keys),
    nameOf: (key) => nameOf(key),
  });
  if (isValid('eureka', 'zookeeper')) {
    const hasEureka = values.eureka !== undefined;
    if (hasEureka && values.zookeeper !== undefined) {
      problems.push(
        `${nameOf('eureka')}, ${nameOf('zookeeper')}: an agent reads one registry; start another agent for the other`,
      );
    } else if (!hasEureka && values.zookeeper === undefined) {
      problems.push(
        '--eureka or --zookeeper: one is required, like --eureka dc1/orders=http://eureka:8761/eureka/',
      );
    }
  }
  if (isValid('feedCert', 'feedKey', 'feedCa')) {
    const named = (key: 'feedCert' | 'feedKey' | 'feedCa'): NamedFile => ({
      path: values[key],
      name: nameOf(key),
    });
    problems.push(...tlsProblems(named('feedCert'), named('feedKey'), named('feedCa')));
  }
  const isTls = values.feedTls || values.feedCa !== undefined || values.feedCert !== undefined;
  const isLocal = values.aggregator.every(({ host }) => isLoopback(host));
  if (values.feedTokenFile !== undefined && !isTls && !values.insecureFeed && !isLocal) {
    problems.push(
      `${nameOf('feedTokenFile')}: the token would travel in plain text; configure TLS (--feed-tls, --feed-ca) or allow it with --insecure-feed`,
    );
  }
  return problems;
}

export const agentProgram: Program<typeof agentOptions> = {
  name: 'tributary-agent',
  summary:
    'Reads one Eureka or ZooKeeper registry and pushes what changes to a Tributary aggregator.',
  examples: [
    'npm run agent -- --eureka dc1/orders=http://eureka:8761/eureka/ --aggregator aggregator:9903',
    'npm run agent -- --zookeeper dc1/dubbo=zk1:2181,zk2:2181 --aggregator aggregator:9903',
  ],
  options: agentOptions,
  check: checkAgent,
};
