import { eurekaHistories } from '../../../conformance/eureka-histories-suite.ts';

// Many more in test/chaos/eureka-histories.test.ts.
eurekaHistories(15, { isShrinking: true });
