import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { connect } from 'node:tls';
import type { ConnectionOptions } from 'node:tls';
import { appsStatus, startEurekaPeers, startNetflixEureka } from '../rigs/eureka.ts';
import { findProgram } from '../rigs/java.ts';
import type { RigSet, ZooKeeperVersion } from '../rigs/modules.ts';
import { freePorts, listensOn } from '../rigs/ports.ts';
import { RigStartError } from '../rigs/process.ts';
import { rigTest } from '../rigs/rig-test.ts';
import { connectRigClient } from '../rigs/zookeeper-client.ts';
import { startEnsemble, startZooKeeper } from '../rigs/zookeeper.ts';
import { Certificates } from '../support/certificates.ts';
import { eventually } from '../support/eventually.ts';

const VERSIONS: readonly (readonly [ZooKeeperVersion, RigSet])[] = [
  ['3.9.5', 'every'],
  ['3.4.14', 'every'],
  ['3.5.10', 'ci'],
  ['3.6.4', 'ci'],
  ['3.7.2', 'ci'],
  ['3.8.4', 'ci'],
];

for (const [version, set] of VERSIONS) {
  rigTest(`ZooKeeper ${version} has its data after a kill and a restart`, set, async () => {
    await using server = await startZooKeeper({ version });
    {
      using client = await connectRigClient(server.connectString);
      await client.create('/a/b', 'kept');
    }
    await server.kill();
    assert.equal(server.pid(), undefined);
    await assert.rejects(server.srvr());
    await server.restart();
    using client = await connectRigClient(server.connectString);
    assert.equal(await client.data('/a/b'), 'kept');
    assert.match((await server.srvr())['Zookeeper version'] ?? '', new RegExp(`^${version}-`));
  });
}

rigTest('a suspended server answers nothing until it is resumed', 'every', async () => {
  await using server = await startZooKeeper();
  server.suspend();
  // The signal takes effect in the server's own time.
  await eventually(() => assert.rejects(server.command('ruok', 200)));
  server.resume();
  await eventually(async () => assert.equal(await server.command('ruok'), 'imok'));
});

rigTest('a server can be set up for TLS with client certificates', 'every', async () => {
  const certificates = new Certificates();
  try {
    const authority = certificates.authority();
    const { cert, key, certFile } = certificates.issue(authority);
    const serverFile = `${certFile}.server.pem`;
    writeFileSync(serverFile, Buffer.concat([key, cert]));
    const [securePort = 0] = await freePorts(1);
    await using server = await startZooKeeper({
      extraConfig: {
        secureClientPort: securePort,
        secureClientPortAddress: '127.0.0.1',
        serverCnxnFactory: 'org.apache.zookeeper.server.NettyServerCnxnFactory',
        'ssl.keyStore.location': serverFile,
        'ssl.keyStore.type': 'PEM',
        'ssl.trustStore.location': authority.certFile,
        'ssl.trustStore.type': 'PEM',
        'ssl.clientAuth': 'need',
      },
    });
    assert.ok(server.pid() !== undefined);
    const secure = { port: securePort, host: '127.0.0.1', ca: authority.cert };
    assert.equal(await askOverTls({ ...secure, cert, key }), 'imok');
    await assert.rejects(askOverTls(secure));
  } finally {
    certificates.remove();
  }
});

rigTest('an ensemble elects another leader and takes the killed one back', 'every', async () => {
  await using ensemble = await startEnsemble();
  const first = await ensemble.leader();
  await ensemble.kill(first);
  const second = await eventually(() => ensemble.leader());
  assert.notEqual(second, first);
  await ensemble.restart(first);
  assert.equal((await ensemble.members[first]?.srvr())?.['Mode'], 'follower');
});

rigTest(
  'Eureka peers replicate, and a restarted one reads its registry back',
  'every',
  async () => {
    await using peers = await startEurekaPeers();
    const [a, b] = peers.servers;
    assert.equal(await register(a.serviceUrl), 204);
    const onB = () => fetch(`${b.serviceUrl}apps/ORDERS/orders-1`);
    await eventually(async () => assert.equal((await onB()).status, 200));
    await b.kill();
    await b.restart();
    assert.equal((await onB()).status, 200);
  },
);

rigTest('a Eureka that warms up answers 403 first', 'every', async () => {
  await using server = await startNetflixEureka({ warmUpMs: 6_000 });
  assert.equal(await appsStatus(server.serviceUrl, 5_000), 403);
  await eventually(async () => assert.equal(await appsStatus(server.serviceUrl, 5_000), 200));
});

rigTest('a rig that cannot start says what it printed', 'every', async () => {
  const extraConfig = { minSessionTimeout: 'nonsense' };
  await assert.rejects(startZooKeeper({ extraConfig }), (error) => {
    assert.ok(error instanceof RigStartError);
    assert.match(error.message, /^rig zookeeper-3\.9\.5 ended with 2\n[^]*nonsense/);
    return true;
  });
});

const hasDeathSignal = process.platform === 'linux' && findProgram('setpriv') !== undefined;

for (const [how, end] of [
  ['throws', 'throw new Error("crash")'],
  ['is told to stop', 'process.kill(process.pid, "SIGTERM")'],
  ...(hasDeathSignal ? ([['is killed', 'process.kill(process.pid, "SIGKILL")']] as const) : []),
] as const) {
  rigTest(`a rig ends with a process that ${how}`, 'every', async () => {
    const module = new URL('../rigs/zookeeper.ts', import.meta.url).href;
    const script = `
      const { startZooKeeper } = await import(${JSON.stringify(module)});
      const server = await startZooKeeper();
      console.log(server.pid());
      ${end};`;
    const child = spawn(process.execPath, ['--input-type=module', '--eval', script], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
    await once(child, 'close');
    const pid = Number(output);
    assert.ok(pid > 0, output);
    await eventually(() => assert.ok(hasEnded(pid)));
  });
}

test('free ports are distinct and below those that the kernel hands out', async () => {
  const ports = await freePorts(50);
  assert.equal(new Set(ports).size, 50);
  assert.ok(ports.every((port) => port >= 12_000 && port < 31_000));
});

test('who listens on a port is told by process', async () => {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const other = spawn(process.execPath, ['--eval', 'setTimeout(() => {}, 60_000)']);
  try {
    assert.notEqual(listensOn(process.pid, port), false);
    assert.notEqual(listensOn(other.pid ?? 0, port), true);
  } finally {
    other.kill();
    server.close();
  }
});

async function askOverTls(options: ConnectionOptions): Promise<string> {
  const socket = connect({ ...options, timeout: 5_000 });
  socket.on('timeout', () => socket.destroy(new Error('no answer')));
  socket.write('ruok');
  let answer = '';
  for await (const chunk of socket) answer += String(chunk);
  return answer;
}

/** Gone, or dead and merely not yet collected by the process that inherited it. */
function hasEnded(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return /\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return true;
  }
}

async function register(serviceUrl: string): Promise<number> {
  const instance = {
    instanceId: 'orders-1',
    hostName: '192.0.2.1',
    app: 'ORDERS',
    ipAddr: '192.0.2.1',
    status: 'UP',
    port: { $: 8080, '@enabled': 'true' },
    dataCenterInfo: {
      '@class': 'com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo',
      name: 'MyOwn',
    },
  };
  const response = await fetch(`${serviceUrl}apps/ORDERS`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ instance }),
  });
  return response.status;
}
