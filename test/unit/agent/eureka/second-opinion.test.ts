import assert from 'node:assert/strict';
import { afterEach, beforeEach, mock, test } from 'node:test';
import { pino } from 'pino';
import type { Asked } from '../../../../agent/eureka/ask.ts';
import { EurekaClient } from '../../../../agent/eureka/client.ts';
import { defaultEurekaOptions } from '../../../../agent/eureka/options.ts';
import { SecondOpinions } from '../../../../agent/eureka/second-opinion.ts';
import { parseServiceUrl } from '../../../../agent/eureka/service-url.ts';
import type { SuspectedLoss } from '../../../../agent/source.ts';
import type { Instance } from '../../../../common/instance.ts';
import { registrationOf } from '../../../support/eureka-registration.ts';
import { eventually } from '../../../support/eventually.ts';
import { startFakeEureka } from '../../../support/fake-eureka.ts';
import type { FakeEureka } from '../../../support/fake-eureka.ts';

const { signal } = new AbortController();
let fake: FakeEureka;
let client: EurekaClient;
let others: readonly Asked[];

const loss = (id: string): SuspectedLoss => {
  const instance: Instance = {
    id: `SHOP/${id}`,
    service: { kind: 'application', name: 'shop', group: '', version: '' },
    address: '10.0.0.1',
    ports: [],
    labels: {},
    locality: '',
    weight: 0,
    status: 'UP',
  };
  return { instance, kind: 'removal' };
};

beforeEach(async () => {
  fake = await startFakeEureka(2);
  const options = { ...defaultEurekaOptions, registry: 'a/b', serviceUrls: [], environment: {} };
  client = new EurekaClient(options, { servers: [] }, pino({ level: 'silent' }));
  others = fake.nodes.map((node) => ({
    client,
    server: parseServiceUrl(node.serviceUrl),
    upStatuses: ['UP'],
  }));
  const [first, second] = fake.nodes;
  assert.ok(first !== undefined && second !== undefined);
  first.isReplicating = false;
  first.registry.register(registrationOf('SHOP', '1'));
  first.registry.register(registrationOf('SHOP', '2', { status: 'DOWN' }));
});

afterEach(async () => {
  mock.restoreAll();
  await client.close();
  await fake.stop();
});

test('one server that knows an instance as UP is enough to doubt its removal', async () => {
  const opinions = new SecondOpinions();
  const refuted = await opinions.refuted([loss('1'), loss('2'), loss('3')], others, signal);
  assert.deepEqual([...refuted], ['SHOP/1'], 'neither one that is DOWN nor one that nobody knows');
});

test('a cancel that is still on its way to the others is none to doubt', async () => {
  const [first] = fake.nodes;
  const waiting = new SecondOpinions().refuted([loss('1')], others, signal);
  await eventually(() => assert.ok(first?.requests.some(({ path }) => path.endsWith('SHOP/1'))));
  first?.registry.cancel('SHOP', '1');
  assert.equal((await waiting).size, 0);
});

test('after a while the server that is followed is believed', async () => {
  let now = 1_000_000;
  mock.method(performance, 'now', () => now);
  const opinions = new SecondOpinions();
  assert.equal((await opinions.refuted([loss('1')], others, signal)).size, 1);
  now += 45_000;
  assert.equal((await opinions.refuted([loss('1')], others, signal)).size, 1);
  now += 1;
  assert.equal((await opinions.refuted([loss('1')], others, signal)).size, 0);
  now += 45_001;
  assert.equal((await opinions.refuted([loss('1')], others, signal)).size, 1, 'another time');
});

test('servers that do not answer hold nothing up, nor does anybody ask about many at once', async () => {
  for (const node of fake.nodes) node.fail({ kind: 'slow-loris' }, /apps/);
  const opinions = new SecondOpinions();
  assert.equal((await opinions.refuted([loss('1')], others, signal)).size, 0);
  for (const node of fake.nodes) node.heal();
  const many = Array.from({ length: 51 }, (_, i) => loss(String(i)));
  assert.equal((await opinions.refuted(many, others, signal)).size, 0);
});
