import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { createTreeSource } from '../../../../../agent/zookeeper/source.ts';
import type { Source } from '../../../../../agent/source.ts';
import type { Instance } from '../../../../../common/instance.ts';
import {
  optionsForTests,
  providerPath,
  silent,
} from '../../../../conformance/zookeeper-source-suite.ts';
import { eventually } from '../../../../support/eventually.ts';
import { FollowedSource, RememberedReport } from '../../../../support/followed-source.ts';
import { TreeFake } from '../../../../support/tree-fake.ts';
import { confirmedBy } from '../../../../support/verdicts.ts';

/** What rules and application-level registrations make of the endpoints of a whole source. */

interface Setup {
  readonly tree: TreeFake;
  readonly source: Source;
  readonly followed: FollowedSource;
  readonly ignored: Map<string, number>;
  /** The endpoints of the interface, `address weight status tag`, sorted. */
  readonly shown: () => readonly string[];
}

async function follow(context: TestContext, prepare: (tree: TreeFake) => void): Promise<Setup> {
  const tree = new TreeFake();
  prepare(tree);
  const ignored = new Map<string, number>();
  const report = Object.assign(new RememberedReport(), {
    ignored: (kind: string, count: number) => ignored.set(kind, count),
  });
  const source = createTreeSource(tree, optionsForTests, report, silent);
  const followed = new FollowedSource(source);
  context.after(() => followed.stop());
  await eventually(() => assert.ok(followed.count('snapshot') > 0));
  const shown = (): readonly string[] =>
    followed
      .instances()
      .filter(({ service }) => service.kind === 'dubbo')
      .map(describe)
      .sort();
  return { tree, source, followed, ignored, shown };
}

function describe({ address, weight, status, labels }: Instance): string {
  return `${address} ${weight} ${status} ${labels['dubbo.tag'] ?? '-'}`;
}

const [one, two] = ['192.0.2.1', '192.0.2.2'];
const interfaceName = 'com.example.Greeter';
const application = { application: 'greeter-app' };
const configurator = (url: string): string =>
  `/dubbo/${interfaceName}/configurators/${encodeURIComponent(url)}`;
const document = `/dubbo/config/dubbo/${interfaceName}::.configurators`;
const tagRouter = '/dubbo/config/dubbo/greeter-app.tag-router';
const weights = (weight: number): string =>
  `configVersion: v2.7\nscope: service\nkey: ${interfaceName}\nenabled: true\nconfigs:\n- side: provider\n  parameters:\n    weight: ${weight}\n`;

const twoProviders = (tree: TreeFake): void => {
  tree.create(providerPath(application, one));
  tree.create(providerPath(application, two));
};

test('a rule changes the providers that it concerns as long as it stands', async (context) => {
  const { tree, shown } = await follow(context, twoProviders);
  const all = configurator(`override://0.0.0.0/${interfaceName}?weight=200`);
  const single = configurator(`override://${two}:20880/${interfaceName}?disabled=true`);
  tree.create(all);
  await eventually(() => assert.deepEqual(shown(), [`${one} 200 UP -`, `${two} 200 UP -`]));
  tree.create(single);
  await eventually(() =>
    assert.deepEqual(shown(), [`${one} 200 UP -`, `${two} 200 OUT_OF_SERVICE -`]),
  );
  tree.remove(all);
  tree.remove(single);
  await eventually(() => assert.deepEqual(shown(), [`${one} 0 UP -`, `${two} 0 UP -`]));
});

test('a document that changes counts at once; one that is no document leaves the last one', async (context) => {
  const { tree, shown } = await follow(context, (fake) => {
    twoProviders(fake);
    fake.create(document, weights(30));
  });
  assert.deepEqual(shown(), [`${one} 30 UP -`, `${two} 30 UP -`]);
  tree.setData(document, weights(40));
  await eventually(() => assert.deepEqual(shown(), [`${one} 40 UP -`, `${two} 40 UP -`]));
  tree.setData(document, '[');
  tree.create(
    tagRouter,
    'enabled: true\nkey: greeter-app\ntags:\n- name: blue\n  addresses: [192.0.2.2]\n',
  );
  await eventually(() => assert.deepEqual(shown(), [`${one} 40 UP -`, `${two} 40 UP blue`]));
  tree.setData(document, '');
  await eventually(() => assert.deepEqual(shown(), [`${one} 0 UP -`, `${two} 0 UP blue`]));
});

test('rules that went while the tree was not read count no more', async (context) => {
  const { tree, shown } = await follow(context, (fake) => {
    twoProviders(fake);
    fake.create(document, weights(30));
    fake.create(configurator(`override://${one}:20880/${interfaceName}?disabled=true`));
  });
  assert.deepEqual(shown(), [`${one} 30 OUT_OF_SERVICE -`, `${two} 30 UP -`]);
  tree.lose();
  tree.remove(document);
  tree.remove(configurator(`override://${one}:20880/${interfaceName}?disabled=true`));
  tree.resync();
  await eventually(() => assert.deepEqual(shown(), [`${one} 0 UP -`, `${two} 0 UP -`]));
});

test('a provider that comes after its rule is under it', async (context) => {
  const { tree, shown } = await follow(context, (fake) => fake.create(document, weights(30)));
  twoProviders(tree);
  await eventually(() => assert.deepEqual(shown(), [`${one} 30 UP -`, `${two} 30 UP -`]));
});

test('many rules at a time are all looked at', async (context) => {
  const { tree, shown } = await follow(context, twoProviders);
  for (let number = 0; number < 40; number++) {
    tree.create(
      configurator(`override://192.0.2.${number}:20880/${interfaceName}?weight=${number + 1}`),
    );
  }
  await eventually(() => assert.deepEqual(shown(), [`${one} 2 UP -`, `${two} 3 UP -`]));
});

test('what is not projected is counted by kind', async (context) => {
  const { tree, ignored } = await follow(context, (fake) => {
    twoProviders(fake);
    fake.create('/dubbo/config/dubbo/greeter-app.condition-router', 'conditions: []');
  });
  tree.create(`/dubbo/${interfaceName}/routers/condition%3A%2F%2F0.0.0.0%2Fx`);
  await eventually(() => {
    assert.deepEqual(Object.fromEntries(ignored), { 'condition-router': 1, 'route-leaf': 1 });
  });
  tree.remove('/dubbo/config');
  await eventually(() => assert.equal(ignored.get('condition-router'), 0));
});

const revision = 'r1';
const instancePath = `/services/greeter-app/${one}:20880`;
const registration = JSON.stringify({
  name: 'greeter-app',
  address: one,
  port: 20880,
  payload: {
    '@class': 'org.apache.dubbo.registry.zookeeper.ZookeeperInstance',
    metadata: {
      'dubbo.endpoints': JSON.stringify([{ port: 20880, protocol: 'dubbo' }]),
      'dubbo.metadata.revision': revision,
      'dubbo.metadata.storage-type': 'remote',
    },
  },
});
const metadata = JSON.stringify({
  app: 'greeter-app',
  revision,
  services: {
    [`${interfaceName}:dubbo`]: {
      name: interfaceName,
      protocol: 'dubbo',
      port: 20880,
      params: { weight: '60', application: 'greeter-app' },
    },
  },
});
const metadataPath = `/dubbo/metadata/greeter-app/${revision}`;

test('an endpoint lives as long as its leaf or its registration vouches for it', async (context) => {
  const leaf = providerPath({ ...application, weight: 50 }, one);
  const { tree, shown, followed } = await follow(context, (fake) => {
    fake.create(metadataPath, metadata);
    fake.create(instancePath, registration);
    fake.create(leaf);
  });
  assert.deepEqual(shown(), [`${one} 50 UP -`]);
  tree.remove(leaf);
  await eventually(() => assert.deepEqual(shown(), [`${one} 60 UP -`]));
  tree.create(document, weights(7));
  await eventually(() => assert.deepEqual(shown(), [`${one} 7 UP -`]));
  assert.deepEqual(followed.removed, []);
  tree.remove(instancePath);
  await eventually(() => assert.equal(followed.view.size, 0));
});

test('metadata that comes later than the registration is found', async (context) => {
  const { tree, shown, followed } = await follow(context, () => undefined);
  tree.create(instancePath, registration);
  await eventually(() => assert.equal(followed.view.size, 1));
  tree.create(metadataPath, metadata);
  await eventually(() => assert.deepEqual(shown(), [`${one} 60 UP -`]));
});

test('a loss that a living node tells is confirmed without looking for the node', async (context) => {
  const { tree, source, followed } = await follow(context, (fake) => {
    fake.create(metadataPath, metadata);
    fake.create(instancePath, registration);
  });
  const instances = followed.instances();
  assert.equal(instances.length, 2);
  assert.deepEqual(await confirmedBy(source, instances, 'single'), new Set());
  tree.setData(instancePath, registration.replaceAll(revision, '0'));
  await eventually(() => assert.equal(followed.view.size, 0));
  const ids = new Set(instances.map(({ id }) => id));
  assert.deepEqual(await confirmedBy(source, instances, 'single'), ids);
});
