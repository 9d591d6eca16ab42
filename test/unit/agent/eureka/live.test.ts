import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { pino } from 'pino';
import { defaultEurekaOptions } from '../../../../agent/eureka/options.ts';
import type { PushOptions } from '../../../../agent/eureka/options.ts';
import { createEurekaSource } from '../../../../agent/eureka/source.ts';
import { ListenError } from '../../../../common/listening.ts';
import type { RegistryId } from '../../../../common/registry.ts';
import { eventually } from '../../../support/eventually.ts';
import { startFakeEureka } from '../../../support/fake-eureka.ts';
import type { FakeEureka, FakeEurekaNode } from '../../../support/fake-eureka.ts';
import { FollowedSource, RememberedReport } from '../../../support/followed-source.ts';
import { registrationOf } from '../../../support/eureka-registration.ts';
import { freePorts } from '../../../rigs/ports.ts';

/** The source with its push listener, on a fake server that it polls once and never again. */
let fake: FakeEureka;
let node: FakeEurekaNode;
let followed: FollowedSource;
let port: number;

const options = (more: Partial<PushOptions> = {}): PushOptions => ({
  listen: { host: '127.0.0.1', port },
  userFile: undefined,
  certFile: undefined,
  keyFile: undefined,
  clientCaFile: undefined,
  ...more,
});

function follow(push: PushOptions): FollowedSource {
  const source = createEurekaSource(
    {
      ...defaultEurekaOptions,
      registry: 'dc1/shop' as RegistryId,
      serviceUrls: [node.serviceUrl],
      pollIntervalMs: 3_600_000,
      push,
    },
    new RememberedReport(),
    pino({ level: 'silent' }),
  );
  return new FollowedSource(source);
}

async function push(...entries: readonly object[]): Promise<readonly number[]> {
  const response = await fetch(`http://127.0.0.1:${port}/eureka/peerreplication/batch/`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ replicationList: entries }),
  });
  const { responseList } = (await response.json()) as { responseList: { statusCode: number }[] };
  return responseList.map(({ statusCode }) => statusCode);
}

const entry = (action: string, id: string, more: object = {}) => ({
  appName: 'SHOP',
  id,
  action,
  ...more,
});

beforeEach(async () => {
  [port = 0] = await freePorts(1);
  fake = await startFakeEureka(1);
  const [first] = fake.nodes;
  assert.ok(first !== undefined);
  node = first;
  node.registry.register(registrationOf('SHOP', '1'));
  node.registry.register(registrationOf('SHOP', '2'));
  followed = follow(options());
  await eventually(() => assert.equal(followed.view.size, 2));
});

afterEach(async () => {
  await followed.stop().catch(() => undefined);
  await fake.stop();
});

test('a pushed cancel counts when the server denies the instance, and not while it knows it', async () => {
  await push(entry('Cancel', '1'), entry('Cancel', '2'));
  node.registry.cancel('SHOP', '2');
  await eventually(() => assert.deepEqual([...followed.view.keys()], ['SHOP/1']));
  // The questions about the other one go on for a while, and all of them find it.
  await eventually(() =>
    assert.ok(node.requests.filter(({ path }) => path.endsWith('/SHOP/1')).length >= 3),
  );
  assert.ok(followed.view.has('SHOP/1'));
});

test('a heartbeat of a stranger asks for the whole of him, once', async () => {
  assert.deepEqual(await push(entry('Heartbeat', '1'), entry('Heartbeat', '9')), [200, 404]);
  assert.deepEqual(await push(entry('Heartbeat', '9')), [200]);
  const instanceInfo = { instanceId: '9', app: 'SHOP', ipAddr: '10.0.0.9', status: 'UP' };
  assert.deepEqual(await push(entry('Register', '9', { instanceInfo })), [200]);
  await eventually(() => assert.equal(followed.view.get('SHOP/9')?.address, '10.0.0.9'));
});

test('a status that is withdrawn, or that a heartbeat tells otherwise, is looked up', async () => {
  node.registry.setStatus('SHOP', '1', 'OUT_OF_SERVICE');
  await push(entry('Heartbeat', '1', { status: 'OUT_OF_SERVICE' }));
  await eventually(() => assert.equal(followed.view.get('SHOP/1')?.status, 'OUT_OF_SERVICE'));
  node.registry.deleteStatus('SHOP', '1', 'UP');
  await push(entry('DeleteStatusOverride', '1', { status: 'UP' }));
  await eventually(() => assert.equal(followed.view.get('SHOP/1')?.status, 'UP'));
});

test('pushed changes say nothing of the rest of the registry', async () => {
  await push(entry('StatusUpdate', '1', { status: 'DOWN' }));
  await eventually(() => assert.equal(followed.view.get('SHOP/1')?.status, 'DOWN'));
  const last = followed.events.at(-1);
  assert.ok(last?.kind === 'changes' && last.isPartial === true);
});

test('a port that is taken ends the source', async () => {
  const second = follow(options());
  await eventually(() => assert.ok(second.hasFailed));
  await assert.rejects(second.stop(), ListenError);
});
