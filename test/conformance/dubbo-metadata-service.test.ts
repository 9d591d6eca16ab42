import assert from 'node:assert/strict';
import { createAskProvider } from '../../agent/zookeeper/dubbo/applications/metadata-service.ts';
import { readDubboInstance } from '../../agent/zookeeper/dubbo/applications/record.ts';
import type { DubboInstanceRecord } from '../../agent/zookeeper/dubbo/applications/record.ts';
import { Sharing } from '../../agent/zookeeper/sharing.ts';
import type { JsonObject } from '../../common/json-object.ts';
import { startDubboProvider } from '../rigs/dubbo.ts';
import { rigTest } from '../rigs/rig-test.ts';
import { connectRigClient } from '../rigs/zookeeper-client.ts';
import type { RigClient } from '../rigs/zookeeper-client.ts';
import { startZooKeeper } from '../rigs/zookeeper.ts';

const DEMO = 'com.example.DemoService';

async function registrationOf(
  client: RigClient,
  application: string,
): Promise<DubboInstanceRecord> {
  const [name = ''] = await client.children(`/services/${application}`);
  const data = await client.data(`/services/${application}/${name}`);
  const context = { labelKeys: [], zones: {}, sharing: new Sharing() };
  const record = readDubboInstance(JSON.parse(data) as JsonObject, context);
  assert.ok(typeof record !== 'string', data);
  return record;
}

rigTest('a Dubbo 3.3 provider tells what it keeps to itself', 'every', async () => {
  await using server = await startZooKeeper();
  await using provider = await startDubboProvider({
    generation: '3.3',
    registry: server.connectString,
    ip: '192.0.2.31',
    application: 'orders',
    services: [
      { interface: DEMO, group: 'g1', version: '1.0.0', weight: 150, tag: 'gray' },
      { interface: 'com.acme.Billing' },
    ],
    protocols: ['dubbo', 'tri'],
    registerMode: 'instance',
    metadataType: 'local',
  });
  using client = await connectRigClient(server.connectString);
  const record = await registrationOf(client, 'orders');
  const [dubboPort = 0, triPort = 0] = provider.ports;
  assert.deepEqual(
    [record.storage, record.metadataVersion, record.metadataService],
    ['local', '2.0.0', { protocol: 'tri', port: triPort }],
  );
  assert.deepEqual(await client.children('/dubbo/metadata/orders'), []);

  // What it registers cannot be reached from here; it listens on all addresses.
  const dial = ({ metadataService }: DubboInstanceRecord): string =>
    `127.0.0.1:${metadataService?.port ?? 0}`;
  const wanted = new Set(['application', 'weight', 'dubbo.tag']);
  const ask = createAskProvider({ wanted, dial });
  const { signal } = new AbortController();
  const info = await ask(record, signal);
  const services = [...(info?.services ?? [])].map(({ parameters, ...service }) => ({
    ...service,
    parameters: Object.fromEntries(parameters),
  }));
  services.sort((a, b) => a.interfaceName.localeCompare(b.interfaceName) || a.port - b.port);
  const billing = { root: '', interfaceName: 'com.acme.Billing', group: '', version: '' };
  const demo = { root: '', interfaceName: DEMO, group: 'g1', version: '1.0.0' };
  const gray = { application: 'orders', weight: '150', 'dubbo.tag': 'gray' };
  const byPort = [
    { protocol: 'dubbo', port: dubboPort },
    { protocol: 'tri', port: triPort },
  ].sort((a, b) => a.port - b.port);
  assert.deepEqual(services, [
    ...byPort.map((at) => ({ ...billing, ...at, parameters: { application: 'orders' } })),
    ...byPort.map((at) => ({ ...demo, ...at, parameters: gray })),
  ]);

  await assert.rejects(ask({ ...record, revision: 'unknown' }, signal), /GetMetadataInfo/);
  await assert.rejects(
    createAskProvider({ wanted, dial: () => `127.0.0.1:${dubboPort}`, deadlineMs: 2000 })(
      record,
      signal,
    ),
    /GetMetadataInfo/,
  );
});
