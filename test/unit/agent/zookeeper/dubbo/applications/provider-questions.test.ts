import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AskProvider } from '../../../../../../agent/zookeeper/dubbo/applications/provider-questions.ts';
import { eventually } from '../../../../../support/eventually.ts';
import { Harness } from './harness.ts';
import { definition, leafOf, registration } from './registered.ts';

const params = JSON.stringify({ port: '50051', protocol: 'tri' });
const metadata = { 'meta-v': '2.0.0', 'dubbo.metadata-service.url-params': params };
const pathOf = (index: number): string => `/services/orders/${index}`;

function process(index: number, more: Parameters<typeof registration>[0] = {}): string {
  return registration({ address: `192.0.2.${index}`, storage: 'local', metadata, ...more });
}

function exporting(name: string): Awaited<ReturnType<AskProvider>> {
  const parameters = new Map([['application', 'orders']]);
  const service = {
    root: '',
    interfaceName: name,
    group: '',
    version: '',
    protocol: 'tri',
    port: 50051,
  };
  return { services: [{ ...service, parameters }], malformed: 0 };
}

const idAt = (index: number): string => `dubbo:a.A:::tri://192.0.2.${index}:50051`;

test('one process is asked for all of its revision', async () => {
  const asked: string[] = [];
  await using harness = new Harness({
    askProvider: ({ address }) => {
      asked.push(address);
      return Promise.resolve(exporting('a.A'));
    },
  }).start();
  for (const index of [1, 2, 3]) harness.set(pathOf(index), process(index));
  await harness.applications.settle(5000);
  assert.deepEqual(harness.ids(), [1, 2, 3].map(idAt));
  assert.deepEqual(asked, ['192.0.2.1']);
  harness.set(pathOf(4), process(4));
  assert.deepEqual(harness.idsAt(pathOf(4)), [idAt(4)]);
});

test('when one process does not answer, the next one is asked', async () => {
  const asked: string[] = [];
  await using harness = new Harness({
    askProvider: ({ address }) => {
      asked.push(address);
      if (address === '192.0.2.1') return Promise.reject(new Error('refused'));
      return Promise.resolve(address === '192.0.2.2' ? undefined : exporting('a.A'));
    },
  }).start();
  for (const index of [1, 2, 3]) harness.set(pathOf(index), process(index));
  await harness.applications.settle(5000);
  assert.deepEqual(harness.ids(), [1, 2, 3].map(idAt));
  assert.deepEqual(asked, ['192.0.2.1', '192.0.2.2', '192.0.2.3']);
  assert.deepEqual(harness.failures, ['provider', 'provider']);
});

test('until one answers, services are inferred', async () => {
  let isUp = false;
  await using harness = new Harness({
    askProvider: () => (isUp ? Promise.resolve(exporting('a.A')) : Promise.reject(new Error('no'))),
  }).start();
  harness.tree.create('/dubbo/mapping/a.B', 'orders');
  harness.tree.create('/dubbo/metadata/a.B/provider/orders', definition('a.B', 'orders'));
  harness.set(pathOf(1), process(1));
  await harness.applications.settle(5000);
  assert.deepEqual(harness.ids(), ['dubbo:a.B:::dubbo://192.0.2.1:20880*']);
  isUp = true;
  await eventually(() => assert.deepEqual(harness.ids(), [idAt(1)]));
});

test('only who can be asked is asked', async () => {
  const asked: string[] = [];
  await using harness = new Harness({
    askProvider: ({ address }) => {
      asked.push(address);
      return Promise.resolve(undefined);
    },
  }).start();
  harness.set(pathOf(1), process(1, { metadata: { ...metadata, 'meta-v': '1.0.0' } }));
  harness.set(pathOf(2), process(2, { metadata: { 'meta-v': '2.0.0' } }));
  const params = JSON.stringify({ port: '20880', protocol: 'dubbo' });
  const plain = { ...metadata, 'dubbo.metadata-service.url-params': params };
  harness.set(pathOf(3), process(3, { metadata: plain }));
  harness.set(pathOf(4), process(4, { storage: 'remote', revision: 'r2' }));
  harness.applications.leafSeen(leafOf({ address: '192.0.2.5' }));
  harness.set(pathOf(5), process(5));
  await harness.applications.settle(5000);
  assert.deepEqual(asked, []);
});

test('a few that never answer do not keep the others waiting', async () => {
  let underWay = 0;
  let most = 0;
  await using harness = new Harness({
    askProvider: async ({ application }, signal) => {
      underWay += 1;
      most = Math.max(most, underWay);
      await new Promise((resolve) => setTimeout(resolve, application.startsWith('bad') ? 20 : 1));
      underWay -= 1;
      if (signal.aborted || application.startsWith('bad')) throw new Error('no answer');
      return exporting('a.A');
    },
  }).start();
  for (let index = 1; index <= 80; index += 1) {
    const application = index <= 20 ? `bad-${index % 10}` : `good-${index}`;
    harness.set(pathOf(index), process(index, { application }));
  }
  await harness.applications.settle(5000);
  assert.equal(harness.ids().length, 60);
  assert.equal(most, 8);
});

test('a process that goes while it is asked leaves nothing behind', async () => {
  let isAsked = false;
  await using harness = new Harness({
    askProvider: () => {
      isAsked = true;
      harness.delete(pathOf(1));
      return Promise.reject(new Error('gone'));
    },
  }).start();
  harness.set(pathOf(1), process(1));
  await harness.applications.settle(5000);
  await eventually(() => assert.ok(isAsked));
  assert.deepEqual([harness.ids(), harness.failures], [[], []]);
});

test('a process that is asked when everything ends is not waited for in vain', async () => {
  const harness = new Harness({
    askProvider: (_record, signal) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => {
          reject(new Error('ended'));
        });
      }),
  }).start();
  harness.set(pathOf(1), process(1));
  await harness.applications.settle(50);
  await harness[Symbol.asyncDispose]();
  assert.deepEqual(harness.failures, []);
});
