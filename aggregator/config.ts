import { isIPv4 } from 'node:net';
import { z } from 'zod';
import { isLoopback } from '../common/address.ts';
import type { HostPort } from '../common/address.ts';
import { hostPortSchema, formatHostPort } from '../common/address.ts';
import type { Given, Program } from '../common/config.ts';
import { generalOptions, guardByRegistry, guardOptions } from '../common/general-options.ts';
import {
  choice,
  domainSchema,
  duration,
  file,
  labelSchema,
  list,
  listen,
  number,
  option,
  readableFileSchema,
  registrySchema,
  structure,
  text,
  textSchema,
  toggle,
  writableDirectorySchema,
} from '../common/option.ts';
import { textOr } from '../common/option.ts';
import type { Values } from '../common/option.ts';
import type { RegistryId } from '../common/registry.ts';
import { tlsProblems } from '../common/tls-files.ts';
import type { FeedClientAccess } from './feed-access.ts';
import { isAddressRange } from './mcp/addresses.ts';
import { mcpDefaults } from './mcp/server.ts';

/** The aggregator's configuration table. */

const hour = 3_600_000;
const mcp = 'MCP';
const feed = 'Feed';
const mesh = 'Mesh';
const listeners = 'Listeners';
const catalog = 'Registries';

const mcpOptions = {
  mcpListen: listen(
    { group: listeners, description: 'MCP, for istiod' },
    { host: '0.0.0.0', port: 9902 },
  ),
  mcpCert: file({ group: mcp, description: 'certificate of the MCP listener, PEM' }),
  mcpKey: file({ group: mcp, description: 'its key, PEM' }),
  mcpClientCa: file({ group: mcp, description: 'authorities of client certificates, PEM' }),
  mcpRequireClientCertificate: toggle({
    group: mcp,
    description: 'reject subscribers without a client certificate (istiod itself shows none)',
  }),
  mcpAllowedNames: list(
    { group: mcp, description: 'subject alternative names that a client certificate may have' },
    textSchema,
  ),
  mcpAllow: list(
    { group: mcp, description: 'addresses and ranges that may subscribe; all when empty' },
    z.string().refine(isAddressRange, 'expected an address or a range like 10.0.0.0/8'),
  ),
  mcpShare: number(
    {
      group: mcp,
      unit: 'fraction',
      isWhole: false,
      description: "part of an istiod's time that pushes may take",
    },
    mcpDefaults.pace.share,
    [0.01, 1],
  ),
  mcpMinInterval: duration(
    { group: mcp, description: 'least time between two pushes to a subscriber, after the first' },
    mcpDefaults.pace.minIntervalMs,
    [0, 60_000],
  ),
  mcpMaxConnectionAge: duration(
    { group: mcp, description: 'age at which connections are closed, so that subscribers spread' },
    mcpDefaults.maxConnectionAgeMs,
    [1000, 24 * hour],
  ),
};

const feedClientSchema = structure({
  token_file: readableFileSchema.optional(),
  identities: z.array(textSchema).optional(),
  registries: z.array(textSchema).min(1, 'expected registry ids, <datacenter>/* or *'),
}).transform(({ token_file: tokenFile, identities, registries }): FeedClientAccess => ({
  ...(tokenFile === undefined ? {} : { tokenFile }),
  ...(identities === undefined ? {} : { identities }),
  registries,
}));

const feedOptions = {
  feedListen: option<HostPort | undefined>({
    shape: 'text',
    schema: hostPortSchema.optional(),
    fallback: undefined,
    placeholder: 'HOST:PORT',
    group: listeners,
    description:
      'feed, for agents; default 0.0.0.0:9903 once TLS or tokens are configured (or with --insecure-feed), else 127.0.0.1:9903',
    format: (value) => (value === undefined ? undefined : formatHostPort(value)),
  }),
  insecureFeed: toggle({
    group: feed,
    description: 'let agents in without TLS or tokens from other machines too',
  }),
  feedCert: file({ group: feed, description: 'certificate of the feed listener, PEM' }),
  feedKey: file({ group: feed, description: 'its key, PEM' }),
  feedClientCa: file({ group: feed, description: "authorities of agents' certificates, PEM" }),
  feedTokenFile: file({
    group: feed,
    description: 'file with tokens, one a line, each good for every registry',
  }),
  feedClients: option<readonly FeedClientAccess[]>({
    shape: 'structure',
    schema: z.array(feedClientSchema),
    fallback: [],
    group: feed,
    description:
      'who may feed what: a list of { token_file, identities: [SPIFFE ids or DNS names], registries }',
  }),
};

const pipelineOptions = {
  expect: option<readonly RegistryId[]>({
    shape: 'list',
    schema: z.array(registrySchema).min(1, 'expected at least one registry'),
    fallback: [],
    requiredText:
      'which registries are served? Write --expect <datacenter>/<name>[,...], like --expect dc1/orders,dc1/dubbo',
    placeholder: 'ID,ID,...',
    group: catalog,
    description: 'the registries that are served; nothing is answered before each has been heard',
  }),
  stateDir: text(
    {
      group: catalog,
      description: 'directory in which the catalog is saved, so that a restart serves at once',
      placeholder: 'DIRECTORY',
    },
    writableDirectorySchema,
  ),
  priorities: option<Readonly<Record<string, number>>>({
    shape: 'structure',
    schema: z.record(registrySchema, z.int()),
    fallback: {},
    group: catalog,
    description: 'precedence in conflicts by registry: the smaller goes first, 100 by default',
  }),
  domain: textOr(
    { group: mesh, description: 'DNS domain of all hosts', placeholder: 'DOMAIN' },
    'tributary.internal',
    domainSchema.refine((value) => value.length <= 100, 'expected at most 100 characters'),
  ),
  namespace: textOr(
    { group: mesh, description: 'namespace of all resources', placeholder: 'NAME' },
    'tributary',
    labelSchema,
  ),
  pins: option<Readonly<Record<string, string>>>({
    shape: 'structure',
    schema: z.record(domainSchema, z.string().refine(isIPv4, 'expected an IPv4 address')),
    fallback: {},
    group: mesh,
    description: 'virtual addresses by host, instead of the computed ones',
  }),
  dubboTags: choice(
    {
      group: mesh,
      description:
        'where Dubbo providers with a tag stand: under a host of the tag only, or under the plain host with their label dubbo.tag',
    },
    ['own-host', 'label'],
    'own-host',
  ),
  dubboInterfaceHosts: toggle({
    group: mesh,
    description:
      'give Dubbo interfaces one more host for all their groups and versions together, with labels dubbo-group and dubbo-version',
  }),
};

/** What standalone takes of the aggregator's table: everything but the feed and what is expected. */
export const servingOptions = {
  ...mcpOptions,
  stateDir: pipelineOptions.stateDir,
  priorities: pipelineOptions.priorities,
  domain: pipelineOptions.domain,
  namespace: pipelineOptions.namespace,
  pins: pipelineOptions.pins,
  dubboTags: pipelineOptions.dubboTags,
  dubboInterfaceHosts: pipelineOptions.dubboInterfaceHosts,
  ...guardOptions,
  guard: guardByRegistry,
  metricsListen: listen(
    { group: listeners, description: '/metrics, /healthz and /readyz, for everyone' },
    { host: '0.0.0.0', port: 9904 },
  ),
  adminListen: listen(
    { group: listeners, description: 'status page and API, and what changes something' },
    { host: '127.0.0.1', port: 9905 },
  ),
  ...generalOptions,
};

const aggregatorOptions = { expect: pipelineOptions.expect, ...servingOptions, ...feedOptions };

/** Values of the options that every aggregator has, standalone or not. */
export type ServingValues = Values<typeof servingOptions>;

/** The aggregator's whole configuration. */
export type AggregatorValues = Values<typeof aggregatorOptions>;

/** Problems of the serving options that concern several of them. */
export function checkServing({ values, isValid, nameOf }: Given<typeof servingOptions>): string[] {
  const problems: string[] = [];
  if (isValid('mcpCert', 'mcpKey', 'mcpClientCa')) {
    problems.push(
      ...tlsProblems(
        { path: values.mcpCert, name: nameOf('mcpCert') },
        { path: values.mcpKey, name: nameOf('mcpKey') },
        { path: values.mcpClientCa, name: nameOf('mcpClientCa') },
      ),
    );
  }
  const needsTls = values.mcpClientCa !== undefined || values.mcpRequireClientCertificate;
  if (isValid('mcpCert', 'mcpClientCa') && needsTls && values.mcpCert === undefined) {
    problems.push('--mcp-client-ca: client certificates need TLS: give --mcp-cert and --mcp-key');
  }
  return problems;
}

/** Whether the feed is protected by TLS with client certificates, or by tokens. */
function isFeedProtected(values: AggregatorValues): boolean {
  const { feedCert, feedTokenFile, feedClients } = values;
  return feedCert !== undefined || feedTokenFile !== undefined || feedClients.length > 0;
}

/** Where the feed listens. */
export function feedAddress(values: AggregatorValues): HostPort {
  const isOpen = isFeedProtected(values) || values.insecureFeed;
  return values.feedListen ?? { host: isOpen ? '0.0.0.0' : '127.0.0.1', port: 9903 };
}

function checkAggregator(given: Given<typeof aggregatorOptions>): string[] {
  const { values, isValid, nameOf } = given;
  const problems = checkServing({
    values,
    isValid: (...keys) => isValid(...keys),
    nameOf: (key) => nameOf(key),
  });
  if (isValid('feedCert', 'feedKey', 'feedClientCa')) {
    problems.push(
      ...tlsProblems(
        { path: values.feedCert, name: nameOf('feedCert') },
        { path: values.feedKey, name: nameOf('feedKey') },
        { path: values.feedClientCa, name: nameOf('feedClientCa') },
      ),
    );
  }
  if (
    isValid('feedCert', 'feedClientCa') &&
    values.feedClientCa !== undefined &&
    values.feedCert === undefined
  ) {
    problems.push(
      '--feed-client-ca: client certificates need TLS: give --feed-cert and --feed-key',
    );
  }
  const namesCertificates = values.feedClients.some(({ identities = [] }) => identities.length > 0);
  if (
    isValid('feedClients', 'feedClientCa') &&
    namesCertificates &&
    values.feedClientCa === undefined
  ) {
    problems.push(
      `${nameOf('feedClients')}: identities come from client certificates: give --feed-cert, --feed-key and --feed-client-ca`,
    );
  }
  if (isValid('feedListen', 'feedCert', 'feedTokenFile', 'feedClients')) {
    const { host } = feedAddress(values);
    if (!isFeedProtected(values) && !values.insecureFeed && !isLoopback(host)) {
      problems.push(
        `${nameOf('feedListen')}: everybody who reaches ${host} could feed: configure TLS (--feed-cert, --feed-key, --feed-client-ca) or tokens (--feed-token-file), or allow it with --insecure-feed`,
      );
    }
  }
  return problems;
}

export const aggregatorProgram: Program<typeof aggregatorOptions> = {
  name: 'tributary-aggregator',
  summary:
    'Merges what agents feed and serves it to istiod over MCP (Mesh Configuration Protocol).',
  examples: [
    'npm run aggregator -- --expect dc1/orders,dc1/dubbo --state-dir /var/lib/tributary',
    'npm run aggregator -- --expect dc1/orders --feed-token-file /etc/tributary/token --feed-cert tls.crt --feed-key tls.key',
  ],
  options: aggregatorOptions,
  check: checkAggregator,
};
