import type { RegistryId } from '../../common/registry.ts';
import type { ZooKeeperTarget } from './client/tree.ts';

/** How a ZooKeeper ensemble is read as a registry. */
export interface ZooKeeperOptions {
  readonly registry: RegistryId;
  readonly target: ZooKeeperTarget;
  /** Roots of Dubbo's registry. No root may be or lie below another one. */
  readonly dubboRoots: readonly string[];
  /** Roots of Spring Cloud's and Dubbo 3's instances. */
  readonly serviceRoots: readonly string[];
  /** Dubbo interfaces that are never shown. */
  readonly hiddenInterfaces: readonly string[];
  /** URL parameters of a Dubbo provider that become labels. Secrets never do. */
  readonly dubboLabelKeys: readonly string[];
  /** Whether Dubbo 3 applications have a host of their own, beside those of their interfaces. */
  readonly hasDubboApplications: boolean;
  /** Whether Dubbo providers that keep their metadata to themselves are asked for it over the network. */
  readonly asksDubboProviders: boolean;
  /** Metadata of a Spring Cloud instance that becomes labels. Secrets never do. */
  readonly metadataLabelKeys: readonly string[];
  /** Region by zone, for instances that name their zone only. */
  readonly zones: Readonly<Record<string, string>>;
  /** How long an endpoint must have been away before that is said, milliseconds. */
  readonly removalDelayMs: number;
}

/** Everything but which ensemble it is. */
export const defaultZooKeeperOptions: Omit<ZooKeeperOptions, 'registry' | 'target'> = {
  dubboRoots: ['/dubbo'],
  serviceRoots: ['/services'],
  hiddenInterfaces: [
    'com.alibaba.dubbo.monitor.MonitorService',
    'com.alibaba.dubbo.registry.RegistryService',
    'org.apache.dubbo.metadata.MetadataService',
    'org.apache.dubbo.metadata.MetadataServiceV2',
    'org.apache.dubbo.monitor.MetricsService',
    'org.apache.dubbo.monitor.MonitorService',
    'org.apache.dubbo.registry.RegistryService',
  ],
  dubboLabelKeys: ['application', 'dubbo.tag', 'release'],
  hasDubboApplications: true,
  asksDubboProviders: false,
  metadataLabelKeys: ['cluster', 'group', 'profile', 'version'],
  zones: {},
  removalDelayMs: 100,
};
