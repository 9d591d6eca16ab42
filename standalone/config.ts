import { z } from 'zod';
import { checkReading, readingOptions } from '../agent/config.ts';
import { checkServing, servingOptions } from '../aggregator/config.ts';
import type { Given, Program } from '../common/config.ts';
import { option } from '../common/option.ts';
import type { Values } from '../common/option.ts';
import {
  eurekaAddressSchema,
  formatEurekaAddress,
  formatZooKeeperAddress,
  zooKeeperAddressSchema,
} from '../common/registry-address.ts';
import type { EurekaAddress, ZooKeeperAddress } from '../common/registry-address.ts';

/** The table of `npm start`: any number of registries, and what the aggregator and the reading take. */
const standaloneOptions = {
  eureka: option<readonly EurekaAddress[]>({
    shape: 'lists',
    schema: z.array(eurekaAddressSchema),
    fallback: [],
    placeholder: 'ID=URL[,URL...]',
    group: 'Registry',
    description: 'an Eureka cluster to read; may be repeated',
    format: (value) => value.map(formatEurekaAddress),
  }),
  zookeeper: option<readonly ZooKeeperAddress[]>({
    shape: 'lists',
    schema: z.array(zooKeeperAddressSchema),
    fallback: [],
    placeholder: 'ID=HOST:PORT[,...]',
    group: 'Registry',
    description: 'a ZooKeeper ensemble to read; may be repeated',
    format: (value) => value.map(formatZooKeeperAddress),
  }),
  ...readingOptions,
  ...servingOptions,
};

/** The configuration of a standalone process. */
export type StandaloneValues = Values<typeof standaloneOptions>;

function checkStandalone({ values, isValid, nameOf }: Given<typeof standaloneOptions>): string[] {
  const problems = checkServing({
    values,
    isValid: (...keys) => isValid(...keys),
    nameOf: (key) => nameOf(key),
  });
  problems.push(
    ...checkReading({
      values,
      isValid: (...keys) => isValid(...keys),
      nameOf: (key) => nameOf(key),
    }),
  );
  if (isValid('eureka') && values.eurekaPushListen !== undefined && values.eureka.length > 1) {
    problems.push(
      `${nameOf('eurekaPushListen')}: takes the pushes of one registry, but ${values.eureka.length} are read; start an agent for each`,
    );
  }
  if (isValid('eureka', 'zookeeper')) {
    const ids = [...values.eureka, ...values.zookeeper].map(({ registry }) => registry);
    const twice = new Set(ids.filter((id, index) => ids.indexOf(id) !== index));
    for (const id of twice) {
      problems.push(
        `--eureka, --zookeeper: the registry id ${id} stands twice; each needs its own`,
      );
    }
  }
  return problems;
}

export const standaloneProgram: Program<typeof standaloneOptions> = {
  name: 'tributary',
  summary:
    'Agents and aggregator in one process, for a small site. Without a registry: a demo with a registry of its own.',
  examples: [
    'npm start',
    'npm start -- --eureka dc1/main=http://eureka:8761/eureka/ --zookeeper dc1/dubbo=zk1:2181,zk2:2181',
  ],
  options: standaloneOptions,
  check: checkStandalone,
};
