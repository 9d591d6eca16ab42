import type { Given } from '../../common/config.ts';
import { choice, duration, file, list, text, textSchema, toggle } from '../../common/option.ts';
import type { Values } from '../../common/option.ts';
import type { ZooKeeperAddress } from '../../common/registry-address.ts';
import { tlsProblems } from '../../common/tls-files.ts';
import type { NamedFile } from '../../common/tls-files.ts';
import { defaultZooKeeperOptions } from './options.ts';
import type { ZooKeeperOptions } from './options.ts';

/** The part of the configuration table that says how ZooKeeper is read. */

const minute = 60_000;
const group = 'ZooKeeper';
const access = 'ZooKeeper access';

export const zooKeeperTable = {
  dubboRoots: list(
    {
      group,
      description: 'roots of Dubbo registries',
      fallback: defaultZooKeeperOptions.dubboRoots,
    },
    textSchema,
  ),
  serviceRoots: list(
    {
      group,
      description: 'roots of Spring Cloud and Dubbo 3 registrations',
      fallback: defaultZooKeeperOptions.serviceRoots,
    },
    textSchema,
  ),
  dubboHiddenInterfaces: list(
    {
      group,
      description: 'Dubbo interfaces that are never shown',
      fallback: defaultZooKeeperOptions.hiddenInterfaces,
    },
    textSchema,
  ),
  dubboLabels: list(
    {
      group,
      description: 'parameters of Dubbo providers that become endpoint labels',
      fallback: defaultZooKeeperOptions.dubboLabelKeys,
    },
    textSchema,
  ),
  dubboApplicationHosts: choice(
    {
      group,
      description: 'whether Dubbo 3 applications have a host beside those of their interfaces',
    },
    ['on', 'off'],
    'on',
  ),
  dubboAskProviders: toggle({
    group,
    description:
      'ask Dubbo 3.3 providers that keep their metadata to themselves for it (the agent must reach them)',
  }),
  zookeeperSessionTimeout: duration(
    { group, description: 'session timeout of the agent itself' },
    10_000,
    [1000, 2 * minute],
  ),
  zookeeperTls: toggle({ group: access, description: 'speak TLS to the servers' }),
  zookeeperCa: file({
    group: access,
    description: "authorities of the servers' certificates, PEM; means TLS",
  }),
  zookeeperCert: file({ group: access, description: 'client certificate, PEM; means TLS' }),
  zookeeperKey: file({ group: access, description: 'key of the client certificate, PEM' }),
  zookeeperServerName: text(
    {
      group: access,
      description: "name that the servers' certificates must have",
      placeholder: 'NAME',
    },
    textSchema,
  ),
  zookeeperDigestFile: file({
    group: access,
    description: 'file with user:password for ZooKeeper digest authentication',
  }),
  zookeeperSaslFile: file({
    group: access,
    description: 'file with user:password for SASL (DIGEST-MD5)',
  }),
};

/** Values of these options. */
type ZooKeeperValues = Values<typeof zooKeeperTable>;

/** Problems over several of these options. */
export function checkZooKeeper({
  values,
  isValid,
  nameOf,
}: Given<typeof zooKeeperTable>): string[] {
  if (!isValid('zookeeperCert', 'zookeeperKey', 'zookeeperCa')) return [];
  const named = (key: 'zookeeperCert' | 'zookeeperKey' | 'zookeeperCa'): NamedFile => ({
    path: values[key],
    name: nameOf(key),
  });
  return tlsProblems(named('zookeeperCert'), named('zookeeperKey'), named('zookeeperCa'));
}

/** How one ensemble is read by these values. */
export function zooKeeperOptionsOf(
  address: ZooKeeperAddress,
  values: ZooKeeperValues & {
    readonly metadataLabels: readonly string[];
    readonly zones: Readonly<Record<string, string>>;
  },
): ZooKeeperOptions {
  return {
    registry: address.registry,
    target: {
      servers: address.servers,
      chroot: address.chroot,
      sessionTimeoutMs: values.zookeeperSessionTimeout,
      access: {
        isTls:
          values.zookeeperTls ||
          values.zookeeperCa !== undefined ||
          values.zookeeperCert !== undefined ||
          values.zookeeperServerName !== undefined,
        caFile: values.zookeeperCa,
        certFile: values.zookeeperCert,
        keyFile: values.zookeeperKey,
        serverName: values.zookeeperServerName,
        digestFile: values.zookeeperDigestFile,
        saslFile: values.zookeeperSaslFile,
      },
    },
    dubboRoots: values.dubboRoots,
    serviceRoots: values.serviceRoots,
    hiddenInterfaces: values.dubboHiddenInterfaces,
    dubboLabelKeys: values.dubboLabels,
    hasDubboApplications: values.dubboApplicationHosts === 'on',
    asksDubboProviders: values.dubboAskProviders,
    metadataLabelKeys: values.metadataLabels,
    zones: values.zones,
    removalDelayMs: defaultZooKeeperOptions.removalDelayMs,
  };
}
