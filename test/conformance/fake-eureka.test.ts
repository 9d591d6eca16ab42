import type { EurekaRegistryOptions } from '../../standalone/eureka-registry/registry.ts';
import { startFakeEureka } from '../support/fake-eureka.ts';
import { eurekaSourceSuite, restHandle } from './eureka-source-suite.ts';
import type { EurekaServerHandle } from './eureka-source-suite.ts';

async function start(options: EurekaRegistryOptions): Promise<EurekaServerHandle> {
  const fake = await startFakeEureka(1, options);
  return restHandle(
    fake.nodes.map((node) => node.serviceUrl),
    () => fake.stop(),
  );
}

eurekaSourceSuite('the fake server', () => start({}));
eurekaSourceSuite('the fake server with a cache that follows', () =>
  start({ readOnlyCacheMs: 100 }),
);
eurekaSourceSuite('the fake server without deltas', () => start({ disableDelta: true }));
eurekaSourceSuite('the fake server with the codec of old servers', () =>
  start({ codec: 'xstream' }),
);
