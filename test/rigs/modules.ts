/** `every`: part of each test run; `ci`: only where RIGS=all (or CI=true) asks for the whole set. */
export type RigSet = 'every' | 'ci';

/** The ZooKeeper servers there are rigs for. */
export type ZooKeeperVersion = '3.4.14' | '3.5.10' | '3.6.4' | '3.7.2' | '3.8.4' | '3.9.5';

/** The modules that can be built. */
export type ModuleName =
  | `zookeeper-${ZooKeeperVersion}`
  | 'eureka-netflix'
  | 'eureka-spring'
  | 'spring-eureka-client'
  | 'spring-zookeeper'
  | 'dubbo-2.7'
  | 'dubbo-3.3';

/** What is built: `folders` (the first holds the pom, all count for the hash), with Maven properties. */
export interface RigModule {
  readonly set: RigSet;
  readonly folders: readonly [string, ...string[]];
  readonly properties: Readonly<Record<string, string>>;
  readonly hasSources: boolean;
}

function zookeeper(version: ZooKeeperVersion, set: RigSet, slf4j: string): RigModule {
  const properties = { 'zk.version': version, 'slf4j.version': slf4j };
  return { set, folders: ['zookeeper'], properties, hasSources: false };
}

function application(set: RigSet, ...folders: [string, ...string[]]): RigModule {
  return { set, folders, properties: {}, hasSources: true };
}

/** Every rig module, in the order of building: what most tests need first. */
export const MODULES: Readonly<Record<ModuleName, RigModule>> = {
  'zookeeper-3.9.5': zookeeper('3.9.5', 'every', '2.0.13'),
  'zookeeper-3.4.14': zookeeper('3.4.14', 'every', '1.7.36'),
  'eureka-netflix': { ...application('every', 'eureka-netflix'), hasSources: false },
  'dubbo-2.7': application('every', 'dubbo-2.7', 'dubbo-provider'),
  'dubbo-3.3': application('every', 'dubbo-3.3', 'dubbo-provider'),
  'zookeeper-3.5.10': zookeeper('3.5.10', 'ci', '1.7.36'),
  'zookeeper-3.6.4': zookeeper('3.6.4', 'ci', '1.7.36'),
  'zookeeper-3.7.2': zookeeper('3.7.2', 'ci', '1.7.36'),
  'zookeeper-3.8.4': zookeeper('3.8.4', 'ci', '1.7.36'),
  'eureka-spring': application('ci', 'eureka-spring'),
  'spring-eureka-client': application('ci', 'spring-eureka-client'),
  'spring-zookeeper': application('ci', 'spring-zookeeper'),
};

/** The modules of a set; `ci` is the whole of it. */
export function modulesOf(set: RigSet): ModuleName[] {
  const names = Object.keys(MODULES) as ModuleName[];
  return names.filter((name) => set === 'ci' || MODULES[name].set === 'every');
}
