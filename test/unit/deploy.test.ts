import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Registry } from 'prom-client';
import { parse } from 'yaml';
import { z } from 'zod';
import { AgentMetrics } from '../../agent/metrics.ts';
import { AggregatorMetrics } from '../../aggregator/metrics.ts';
import { addProcessMetrics, measureEventLoop } from '../../common/metrics.ts';
import type { MetricFactory } from '../../common/metrics.ts';
import { fakeView } from '../support/aggregator-view.ts';

const rulesSchema = z.strictObject({
  groups: z.array(
    z.strictObject({
      name: z.string(),
      rules: z.array(
        z.strictObject({
          alert: z.string().regex(/^Tributary[A-Za-z]+$/),
          expr: z.string(),
          for: z.string().optional(),
          labels: z.strictObject({ severity: z.enum(['warning', 'critical']) }),
          annotations: z.strictObject({ summary: z.string(), description: z.string() }),
        }),
      ),
    }),
  ),
});

const panelSchema = z.object({
  id: z.int(),
  type: z.enum(['row', 'stat', 'timeseries']),
  title: z.string().min(1),
  gridPos: z.object({ x: z.int(), y: z.int(), w: z.int(), h: z.int() }),
  targets: z.array(z.object({ refId: z.string(), expr: z.string(), legendFormat: z.string() })),
});

const dashboardSchema = z.object({
  uid: z.literal('tributary'),
  templating: z.object({ list: z.array(z.object({ name: z.string(), query: z.string() })) }),
  panels: z.array(panelSchema.partial({ targets: true })),
});

function read(name: string): string {
  return readFileSync(new URL(`../../deploy/${name}`, import.meta.url), 'utf8');
}

async function addAll(factory: MetricFactory): Promise<ReadonlyMap<string, string>> {
  addProcessMetrics(factory, '0');
  await measureEventLoop(factory, AbortSignal.abort());
  const kinds = await factory.registry.getMetricsAsJSON();
  return new Map(kinds.map(({ name, type }) => [name, String(type)]));
}

/** The type of each metric of both binaries. */
async function metricTypes(): Promise<ReadonlyMap<string, string>> {
  const agent = new AgentMetrics(new Registry());
  const aggregator = new AggregatorMetrics(new Registry());
  aggregator.watch(fakeView(), () => ({ conflicts: 0, withheld: new Map() }));
  return new Map([...(await addAll(agent.factory)), ...(await addAll(aggregator.factory))]);
}

function namesIn(expression: string): readonly string[] {
  return expression.match(/\b(?:tributary|process)_[a-z_]+\b/g) ?? [];
}

async function checkNames(expressions: readonly string[]): Promise<void> {
  const types = await metricTypes();
  for (const expression of expressions) {
    const names = namesIn(expression);
    assert.ok(names.length > 0, expression);
    for (const name of names) {
      const family = name.replace(/_(bucket|sum|count)$/, '');
      const isKnown = types.has(name) || types.get(family) === 'histogram';
      assert.ok(isKnown, `${name}, in: ${expression}`);
    }
  }
}

test('metric names are valid, with units and totals as they should be', async () => {
  for (const [name, type] of await metricTypes()) {
    assert.match(name, /^(tributary_(agent|aggregator)|process)_[a-z]+(_[a-z]+)*$/);
    assert.equal(name.endsWith('_total'), type === 'counter', name);
    if (type === 'histogram') assert.match(name, /_seconds$/);
    assert.doesNotMatch(name, /_(ms|milliseconds|kilobytes|bucket|count|sum)$/);
  }
});

test('the alerts parse, are named once and ask for metrics that exist', async () => {
  const rules = rulesSchema
    .parse(parse(read('prometheus/rules.yaml')))
    .groups.flatMap((group) => group.rules);
  const alerts = rules.map(({ alert }) => alert);
  assert.equal(new Set(alerts).size, alerts.length);
  assert.ok(alerts.length >= 10);
  await checkNames(rules.map(({ expr }) => expr));
});

test('the texts of alerts name only metrics that exist', async () => {
  const { groups } = rulesSchema.parse(parse(read('prometheus/rules.yaml')));
  const texts = groups
    .flatMap(({ rules }) => rules)
    .map(({ annotations }) => `${annotations.summary} ${annotations.description}`)
    .filter((text) => namesIn(text).length > 0);
  await checkNames(texts);
});

test('the panels parse, ask for metrics that exist and do not overlap', async () => {
  const { panels, templating } = dashboardSchema.parse(JSON.parse(read('grafana/dashboard.json')));
  assert.equal(new Set(panels.map(({ id }) => id)).size, panels.length);
  const taken = new Set<string>();
  for (const { title, gridPos, type, targets = [] } of panels) {
    assert.equal(targets.length === 0, type === 'row', title);
    assert.equal(new Set(targets.map(({ refId }) => refId)).size, targets.length, title);
    for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
      assert.ok(x < 24, title);
      for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
        assert.ok(!taken.has(`${x},${y}`), title);
        taken.add(`${x},${y}`);
      }
    }
  }
  await checkNames(panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr)));
  const queries = templating.list.map(({ query }) => query).filter((each) => each.includes('('));
  await checkNames(queries);
});
