import { formatHostPort, hostPortSchema } from '../../common/address.ts';
import type { HostPort } from '../../common/address.ts';
import type { Given } from '../../common/config.ts';
import { choice, duration, file, list, option, text, textOr, toggle } from '../../common/option.ts';
import { textSchema } from '../../common/option.ts';
import type { Values } from '../../common/option.ts';
import type { EurekaAddress } from '../../common/registry-address.ts';
import { tlsProblems } from '../../common/tls-files.ts';
import type { NamedFile } from '../../common/tls-files.ts';
import { z } from 'zod';
import { defaultEurekaOptions, portPolicies } from './options.ts';
import type { EurekaOptions } from './options.ts';
import type { EurekaStatus } from './record.ts';

/** The part of the configuration table that says how Eureka is read. */

const minute = 60_000;
const hour = 60 * minute;
const group = 'Eureka';
const access = 'Eureka access';
const push = 'Eureka push';

const statuses = ['UP', 'STARTING', 'DOWN', 'OUT_OF_SERVICE', 'UNKNOWN'] as const;

export const eurekaTable = {
  eurekaPollInterval: duration(
    { group, description: 'from one poll of an Eureka server to the next' },
    defaultEurekaOptions.pollIntervalMs,
    [100, hour],
  ),
  eurekaFullInterval: duration(
    { group, description: 'mean time between full reads of an Eureka registry' },
    defaultEurekaOptions.fullIntervalMs,
    [1000, 24 * hour],
  ),
  eurekaRequestTimeout: duration(
    { group, description: 'from the start of a request to the end of its answer' },
    defaultEurekaOptions.requestTimeoutMs,
    [100, 10 * minute],
  ),
  eurekaEmptyHold: duration(
    {
      group,
      description: 'how long an Eureka registry that is empty at the start is not believed',
    },
    defaultEurekaOptions.emptyHoldMs,
    [0, 24 * hour],
  ),
  eurekaZone: textOr(
    {
      group,
      description: 'zone whose servers are asked first, of those that a DNS TXT record lists',
      placeholder: 'ZONE',
    },
    '',
    z.string(),
  ),
  eurekaCompact: toggle({
    group,
    description:
      'read records in their short form: a third of the bytes, but no metadata (no labels, zones, protocols)',
  }),
  eurekaRegions: list(
    { group, description: 'remote regions that the servers are asked to add to their own' },
    textSchema,
  ),
  eurekaUpStatuses: list<EurekaStatus>(
    {
      group,
      description: 'statuses that take traffic',
      fallback: defaultEurekaOptions.conversion.upStatuses,
    },
    z.enum(statuses, { error: `expected one of ${statuses.join(', ')}` }),
  ),
  eurekaPorts: choice(
    { group, description: 'which of the enabled ports of an instance are used' },
    portPolicies,
    defaultEurekaOptions.conversion.ports,
  ),
  eurekaVipAliases: choice(
    { group, description: 'whether VIP addresses are further hosts of a service' },
    ['on', 'off'],
    'on',
  ),
  eurekaCa: file({ group: access, description: "authorities of the servers' certificates, PEM" }),
  eurekaCert: file({ group: access, description: 'client certificate, PEM' }),
  eurekaKey: file({ group: access, description: 'key of the client certificate, PEM' }),
  eurekaServerName: text(
    {
      group: access,
      description: "name that the servers' certificates must have",
      placeholder: 'NAME',
    },
    textSchema,
  ),
  eurekaUserFile: file({
    group: access,
    description: 'file with user:password; goes before what the URLs say',
  }),
  eurekaTokenFile: file({ group: access, description: 'file with a bearer token' }),
  eurekaPushListen: option<HostPort | undefined>({
    shape: 'text',
    schema: hostPortSchema.optional(),
    fallback: undefined,
    placeholder: 'HOST:PORT',
    format: (value) => (value === undefined ? undefined : formatHostPort(value)),
    group: push,
    description: 'take what Eureka servers replicate to their peers; they must list this address',
  }),
  eurekaPushUserFile: file({
    group: push,
    description: 'file with the user:password that Eureka servers must show here',
  }),
  eurekaPushCert: file({ group: push, description: 'certificate of the listener, PEM' }),
  eurekaPushKey: file({ group: push, description: 'its key, PEM' }),
  eurekaPushClientCa: file({
    group: push,
    description: 'authorities of the certificates that Eureka servers must show here, PEM',
  }),
};

/** What the table above came to. */
export type EurekaValues = Values<typeof eurekaTable>;

/** Problems over several options, in the words of the operator. */
export function checkEureka({ values, isValid, nameOf }: Given<typeof eurekaTable>): string[] {
  const named = (key: keyof EurekaValues & `eureka${string}`): NamedFile => ({
    path: values[key] as string | undefined,
    name: nameOf(key),
  });
  const problems: string[] = [];
  if (isValid('eurekaCert', 'eurekaKey', 'eurekaCa')) {
    problems.push(...tlsProblems(named('eurekaCert'), named('eurekaKey'), named('eurekaCa')));
  }
  if (isValid('eurekaPushCert', 'eurekaPushKey', 'eurekaPushClientCa')) {
    const ca = named('eurekaPushClientCa');
    problems.push(...tlsProblems(named('eurekaPushCert'), named('eurekaPushKey'), ca));
    if (ca.path !== undefined && values.eurekaPushCert === undefined) {
      problems.push(`${ca.name}: client certificates need ${nameOf('eurekaPushCert')}`);
    }
  }
  return problems;
}

/** How one cluster is read by these values. */
export function eurekaOptionsOf(
  address: EurekaAddress,
  values: EurekaValues & {
    readonly metadataLabels: readonly string[];
    readonly zones: Readonly<Record<string, string>>;
  },
): EurekaOptions {
  return {
    registry: address.registry,
    serviceUrls: address.servers,
    zone: values.eurekaZone,
    pollIntervalMs: values.eurekaPollInterval,
    fullIntervalMs: values.eurekaFullInterval,
    requestTimeoutMs: values.eurekaRequestTimeout,
    bodyLimitBytes: defaultEurekaOptions.bodyLimitBytes,
    emptyHoldMs: values.eurekaEmptyHold,
    isCompact: values.eurekaCompact,
    regions: values.eurekaRegions,
    access: {
      caFile: values.eurekaCa,
      certFile: values.eurekaCert,
      keyFile: values.eurekaKey,
      serverName: values.eurekaServerName,
      userFile: values.eurekaUserFile,
      tokenFile: values.eurekaTokenFile,
    },
    conversion: {
      labelKeys: values.metadataLabels,
      zones: values.zones,
      upStatuses: values.eurekaUpStatuses,
      ports: values.eurekaPorts,
      hasVipAliases: values.eurekaVipAliases === 'on',
    },
    push:
      values.eurekaPushListen === undefined
        ? undefined
        : {
            listen: values.eurekaPushListen,
            userFile: values.eurekaPushUserFile,
            certFile: values.eurekaPushCert,
            keyFile: values.eurekaPushKey,
            clientCaFile: values.eurekaPushClientCa,
          },
  };
}
