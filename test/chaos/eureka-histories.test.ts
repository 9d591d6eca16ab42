import { eurekaHistories } from '../conformance/eureka-histories-suite.ts';
import { isWholeSetWanted } from '../rigs/rig-test.ts';

// `RUNS=n` says how many, `SEED=n` repeats those of a failure.
eurekaHistories(Number(process.env['RUNS'] ?? (isWholeSetWanted() ? 150 : 30)), {
  isShrinking: false,
});
