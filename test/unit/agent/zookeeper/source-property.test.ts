import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { createTreeSource } from '../../../../agent/zookeeper/source.ts';
import type { Instance } from '../../../../common/instance.ts';
import { optionsForTests, silent } from '../../../conformance/zookeeper-source-suite.ts';
import { eventually } from '../../../support/eventually.ts';
import { FollowedSource, RememberedReport } from '../../../support/followed-source.ts';
import { TreeFake } from '../../../support/tree-fake.ts';
import { providerLeaf } from '../../../support/zookeeper-writer.ts';

/**
 * Whatever the order of what happens to a tree and to its connection: the view ends as the
 * tree does, and no endpoint was ever taken back while a node vouched for it.
 */

type Step =
  | { readonly kind: 'toggle'; readonly node: number }
  | { readonly kind: 'data'; readonly node: number; readonly data: number }
  | { readonly kind: 'lose' | 'resync' | 'confirm' | 'turn' | 'wait' };

const removalDelayMs = 3;
const endpointCount = 3;
const leavesPerEndpoint = 3;
const springNodes = 3;
const nodeCount = endpointCount * leavesPerEndpoint + springNodes;

/** Nodes 0..8: three leaves for each of three Dubbo endpoints. Nodes 9..11: Spring Cloud. */
function pathOf(node: number): string {
  const spring = node - endpointCount * leavesPerEndpoint;
  if (spring >= 0) return `/services/orders/orders-${spring}`;
  const leaf = providerLeaf({
    interfaceName: 'com.example.A',
    host: `192.0.2.${node % endpointCount}`,
    parameters: { timestamp: Math.floor(node / endpointCount), weight: node + 1 },
  });
  return `/dubbo/com.example.A/providers/${leaf}`;
}

function isSpring(node: number): boolean {
  return node >= endpointCount * leavesPerEndpoint;
}

function dataOf(node: number, data: number): string | null {
  if (!isSpring(node)) return null;
  if (data === 0) return '{"broken":';
  return JSON.stringify({ name: 'orders', address: `198.51.100.${data}`, port: 8080 });
}

/** What the tree says, computed anew from nothing but the tree: `address weight` by endpoint. */
function expectedProviders(tree: TreeFake): readonly string[] {
  const said: string[] = [];
  for (let endpoint = 0; endpoint < endpointCount; endpoint++) {
    const newest = Array.from({ length: leavesPerEndpoint }, (_, leaf) => leaf)
      .map((leaf) => leaf * endpointCount + endpoint)
      .findLast((index) => tree.has(pathOf(index)));
    if (newest !== undefined) said.push(`192.0.2.${endpoint} ${newest + 1}`);
  }
  return said;
}

function assertSame(tree: TreeFake, instances: readonly Instance[]): void {
  const providers = instances
    .filter((instance) => instance.service.kind === 'dubbo')
    .map((instance) => `${instance.address} ${instance.weight}`);
  assert.deepEqual(providers, expectedProviders(tree));
  for (let index = endpointCount * leavesPerEndpoint; index < nodeCount; index++) {
    const path = pathOf(index);
    const seen = instances.find((instance) => instance.id === idOf(index));
    if (!tree.has(path)) assert.equal(seen, undefined, path);
    const address = /198\.51\.100\.\d/.exec(tree.data(path) ?? '')?.[0];
    if (address !== undefined) assert.equal(seen?.address, address);
  }
}

function idOf(index: number): string {
  return isSpring(index)
    ? `spring-cloud:${pathOf(index)}`
    : `dubbo:com.example.A:::dubbo://192.0.2.${index % endpointCount}:20880`;
}

const node = fc.nat({ max: nodeCount - 1 });
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('toggle' as const), node }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('data' as const), node, data: fc.nat({ max: 3 }) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constantFrom('lose' as const, 'resync' as const, 'confirm' as const),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constantFrom('turn' as const, 'wait' as const) }) },
);

async function perform(tree: TreeFake, one: Step): Promise<void> {
  switch (one.kind) {
    case 'toggle': {
      const path = pathOf(one.node);
      if (tree.has(path)) tree.remove(path);
      else tree.create(path, dataOf(one.node, 1));
      return;
    }
    case 'data':
      if (tree.has(pathOf(one.node))) tree.setData(pathOf(one.node), dataOf(one.node, one.data));
      return;
    case 'lose':
      tree.lose();
      return;
    case 'resync':
      tree.resync();
      return;
    case 'confirm':
      tree.confirm();
      return;
    case 'turn':
      await new Promise((resolve) => setImmediate(resolve));
      return;
    case 'wait':
      await new Promise((resolve) => setTimeout(resolve, removalDelayMs));
  }
}

test('any interleaving ends as the tree does and removes nothing that lives', async () => {
  const nodes = Array.from({ length: nodeCount }, (_, index) => index);
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const tree = new TreeFake();
      const options = { ...optionsForTests, removalDelayMs };
      const source = createTreeSource(tree, options, new RememberedReport(), silent);
      const followed = new FollowedSource(source);
      await eventually(() => assert.equal(followed.count('snapshot'), 1));
      for (const one of steps) {
        const before = nodes.filter((index) => tree.has(pathOf(index)));
        const removed = followed.removed.length;
        await perform(tree, one);
        const living = before.filter((index) => tree.has(pathOf(index))).map(idOf);
        const wrong = followed.removed.slice(removed).filter((id) => living.includes(id));
        assert.deepEqual(wrong, []);
      }
      tree.resync();
      await eventually(() => assertSame(tree, followed.instances()), 5_000);
      await followed.stop();
    }),
    { numRuns: 150 },
  );
});
