import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { startNetflixEureka } from '../rigs/eureka.ts';
import { findProgram } from '../rigs/java.ts';
import { isCi, rigTest } from '../rigs/rig-test.ts';
import { aggregatorPorts, startAgent, startAggregator } from '../support/binaries.ts';

/** Named by the environment (as CI does), else whatever is on PATH. */
const promtool = process.env['PROMTOOL'] ?? findProgram('promtool');

async function lint(program: string, metricsPort: number): Promise<void> {
  const response = await fetch(`http://127.0.0.1:${metricsPort}/metrics`);
  assert.equal(response.status, 200);
  const { status, stdout, stderr } = spawnSync(program, ['check', 'metrics'], {
    input: await response.text(),
    encoding: 'utf8',
  });
  assert.equal(status, 0, `${stdout}${stderr}`);
}

const name = 'promtool finds no fault with the metrics of either binary';

if (promtool === undefined && !isCi()) {
  void test(name, { skip: 'no promtool on this machine' });
} else {
  rigTest(name, 'every', async () => {
    assert.ok(promtool !== undefined, 'PROMTOOL names no program, and none is on PATH');
    await using eureka = await startNetflixEureka();
    const ports = await aggregatorPorts();
    const registry = 'dc1/eureka';
    const aggregator = await startAggregator(ports, registry);
    try {
      const agent = await startAgent(
        ['--eureka', `${registry}=${eureka.serviceUrl}`],
        `127.0.0.1:${ports.feed}`,
      );
      try {
        await lint(promtool, ports.metrics);
        await lint(promtool, agent.metricsPort);
      } finally {
        await agent.stop();
      }
    } finally {
      await aggregator.stop();
    }
  });
}
