import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { claimsOf } from '../../../../../../agent/zookeeper/dubbo/applications/claims.ts';
import type { Resolution } from '../../../../../../agent/zookeeper/dubbo/applications/claims.ts';
import {
  readDefinition,
  readMetadataInfo,
} from '../../../../../../agent/zookeeper/dubbo/applications/metadata.ts';
import type {
  ProcessLeaf,
  ProcessWord,
} from '../../../../../../agent/zookeeper/dubbo/applications/process-leaves.ts';
import type { DubboInstanceRecord } from '../../../../../../agent/zookeeper/dubbo/applications/record.ts';
import type { TreeFake } from '../../../../../support/tree-fake.ts';
import { eventually } from '../../../../../support/eventually.ts';
import { Harness } from './harness.ts';
import {
  definition,
  dubbo,
  leafOf,
  metadataInfo,
  originOf,
  recordOf,
  registration,
  shown,
} from './registered.ts';

/** Few of everything, so that steps meet. */
const applications = ['orders', 'shop'];
const revisions = ['0', 'r1', 'r2', 'r3'];
const addresses = ['192.0.2.1', '192.0.2.2'];
const interfaces = ['a.A', 'a.B', 'a.C'];

type Step =
  | {
      readonly kind: 'set';
      readonly application: string;
      readonly address: string;
      readonly revision: string;
      readonly storage: 'local' | 'remote';
    }
  | { readonly kind: 'delete'; readonly application: string; readonly address: string }
  | { readonly kind: 'metadata'; readonly application: string; readonly revision: string }
  | { readonly kind: 'define'; readonly application: string; readonly name: string }
  | {
      readonly kind: 'leaf';
      readonly application: string;
      readonly address: string;
      readonly port: number;
      readonly tag: string;
      readonly isDisabled: boolean;
    }
  | { readonly kind: 'wait'; readonly ms: number }
  | { readonly kind: 'cut' };

const application = fc.constantFrom(...applications);
const address = fc.constantFrom(...addresses);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('set' as const),
      application,
      address,
      revision: fc.constantFrom(...revisions),
      storage: fc.constantFrom('local' as const, 'remote' as const),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('delete' as const), application, address }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('metadata' as const),
      application,
      revision: fc.constantFrom(...revisions.slice(1)),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('define' as const),
      application,
      name: fc.constantFrom(...interfaces),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('leaf' as const),
      application,
      address,
      port: fc.constantFrom(20_880, 20_881, 20_882),
      tag: fc.constantFrom('', '', 'gray'),
      isDisabled: fc.constantFrom(false, false, true),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('wait' as const),
      ms: fc.integer({ min: 1, max: 9 }),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: 'cut' as const }) },
);

function put(tree: TreeFake, path: string, data: string): void {
  if (tree.has(path)) tree.setData(path, data);
  else tree.create(path, data);
}

/** Every process speaks at two ports. */
const endpoints = [
  { protocol: 'dubbo', port: 20_880 },
  { protocol: 'tri', port: 20_881 },
];

/** The services that a revision exports: different for each. */
function exported(application: string, revision: string): readonly string[] {
  return [`${application}.${revision}`, 'a.A'];
}

class Model {
  readonly records = new Map<string, string>();
  readonly leaves = new Map<string, ProcessLeaf>();

  apply(step: Step, harness: Harness): void {
    const { tree } = harness;
    switch (step.kind) {
      case 'set': {
        const path = `/services/${step.application}/${step.address}`;
        const text = registration({ ...step, endpoints });
        this.records.set(path, text);
        harness.set(path, text);
        return;
      }
      case 'delete': {
        const path = `/services/${step.application}/${step.address}`;
        this.records.delete(path);
        harness.delete(path);
        return;
      }
      case 'metadata': {
        const { application, revision } = step;
        const text = metadataInfo(application, revision, exported(application, revision));
        put(tree, `/dubbo/metadata/${application}/${revision}`, text);
        return;
      }
      case 'define': {
        const mapping = `/dubbo/mapping/${step.name}`;
        const names = new Set([...(tree.data(mapping) ?? '').split(','), step.application]);
        put(tree, mapping, [...names].filter(Boolean).join(','));
        const path = `/dubbo/metadata/${step.name}/provider/${step.application}`;
        put(tree, path, definition(step.name, step.application));
        return;
      }
      case 'leaf': {
        const leaf = leafOf(step);
        const key = JSON.stringify(leaf);
        if (this.leaves.delete(key)) harness.applications.leafGone(leaf);
        else {
          this.leaves.set(key, leaf);
          harness.applications.leafSeen(leaf);
        }
        return;
      }
      case 'cut':
        tree.lose();
        setTimeout(() => tree.resync(), 3);
        return;
      case 'wait':
    }
  }

  /** What must be vouched for, by the final state alone: for each path what is right. */
  expected(tree: TreeFake): ReadonlyMap<string, readonly (readonly string[])[]> {
    const context = { dubbo, hiddenInterfaces: new Set<string>(), hasApplicationHosts: true };
    return new Map(
      [...this.records].map(([path, text]) => {
        const rightOnes = this.resolutions(text, tree).map((resolution) => {
          const record = recordOf(text);
          const word = this.wordOf(record);
          const { claims } = claimsOf({ path, record, resolution, word }, context);
          return claims.map(({ instance }) => shown(instance)).sort();
        });
        return [path, rightOnes];
      }),
    );
  }

  private leavesOf({ application, address }: DubboInstanceRecord): readonly ProcessLeaf[] {
    return [...this.leaves.values()].filter(
      (leaf) =>
        leaf.application === application && leaf.address === address && leaf.port !== 20_882,
    );
  }

  private wordOf(record: DubboInstanceRecord): ProcessWord | undefined {
    const leaves = this.leavesOf(record);
    const [first] = leaves;
    if (first === undefined) return undefined;
    const isOut = leaves.every(({ traits }) => traits.isDisabled);
    const counting = leaves.filter(({ traits }) => isOut || !traits.isDisabled);
    const tag = counting.every((leaf) => leaf.tag !== '') ? 'gray' : '';
    return { tag, traffic: isOut ? 'disabled' : 'taken', traits: first.traits };
  }

  private resolutions(text: string, tree: TreeFake): readonly Resolution[] {
    const record = recordOf(text);
    const { application, revision, storage } = record;
    const nothing = { services: [], isInferred: false };
    if (revision === '') return [nothing];
    const hasLeaves = storage === 'local' && this.leavesOf(record).length > 0;
    const metadata = tree.data(`/dubbo/metadata/${application}/${revision}`);
    if (metadata !== undefined) {
      const info = readMetadataInfo(Buffer.from(metadata), originOf(application));
      const exact = { services: info?.services ?? [], isInferred: false };
      // Whoever has leaves is not looked up again when its metadata come late.
      return hasLeaves ? [exact, nothing] : [exact];
    }
    if (hasLeaves) return [nothing];
    const services = interfaces.flatMap((name) => {
      const data = tree.data(`/dubbo/metadata/${name}/provider/${application}`);
      if (data === undefined) return [];
      return readDefinition(Buffer.from(data), originOf(application)) ?? [];
    });
    return [{ services, isInferred: true }];
  }
}

test('whatever the order of events, in the end the claims are those of the final state', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 5, maxLength: 40, size: 'max' }),
      async (steps) => {
        await using harness = new Harness({
          hasApplicationHosts: true,
          times: { graceMs: 3, exploreMinMs: 1, exploreAgainMs: 8, retryMinMs: 1, retryMaxMs: 5 },
        }).start();
        const model = new Model();
        model.apply({ kind: 'define', application: 'orders', name: 'a.A' }, harness);
        for (const next of steps) {
          model.apply(next, harness);
          if (next.kind === 'wait') await new Promise((resolve) => setTimeout(resolve, next.ms));
        }
        // Remote metadata come at last, as they must: what is not known keeps what was.
        for (const text of model.records.values()) {
          const { application, revision, storage } = recordOf(text);
          if (storage === 'local' || revision === '') continue;
          model.apply({ kind: 'metadata', application, revision }, harness);
        }
        const expected = model.expected(harness.tree);
        const check = (): void => {
          for (const [path, rightOnes] of expected) {
            const ids = harness.idsAt(path);
            const isRight = rightOnes.some((right) => isDeepStrictEqual(ids, right));
            if (!isRight) assert.deepEqual(ids, rightOnes[0], path);
          }
        };
        await eventually(check, 5000);
        await new Promise((resolve) => setTimeout(resolve, 30));
        check();
      },
    ),
    { numRuns: 80, endOnFailure: true },
  );
});

test('an endpoint that was known stays while its process shows what is not known yet', async () => {
  const later = fc.array(fc.constantFrom('r2', 'r3', 'r4'), { minLength: 1, maxLength: 6 });
  await fc.assert(
    fc.asyncProperty(later, async (revisions) => {
      await using harness = new Harness().start();
      harness.tree.create('/dubbo/metadata/orders/r1', metadataInfo('orders', 'r1', ['a.A']));
      harness.set('/services/orders/1', registration({}));
      await harness.applications.settle(5000);
      for (const revision of revisions) {
        harness.set('/services/orders/1', registration({ revision }));
        assert.equal(harness.ids().length, 1);
        await new Promise((resolve) => setTimeout(resolve, 1));
        assert.equal(harness.ids().length, 1);
      }
    }),
    { numRuns: 20 },
  );
});
