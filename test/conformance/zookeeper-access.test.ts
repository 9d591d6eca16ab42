import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import zookeeper from 'node-zookeeper-client';
import { tuningFor } from '../../agent/zookeeper/client/driver.ts';
import type { DriverTuning } from '../../agent/zookeeper/client/driver.ts';
import { plainAccess } from '../../agent/zookeeper/client/tree.ts';
import type { ZooKeeperAccess } from '../../agent/zookeeper/client/tree.ts';
import { requireRigs, rigTest } from '../rigs/rig-test.ts';
import { startEnsemble, startZooKeeper } from '../rigs/zookeeper.ts';
import { Certificates } from '../support/certificates.ts';
import { eventually } from '../support/eventually.ts';
import { openZooKeeperWriter } from '../support/independent-writer.ts';
import { secretFile } from '../support/secret-file.ts';
import { startSecureZooKeeper } from '../support/secure-zookeeper.ts';
import { TreeRecorder, exampleInterest } from '../support/tree-recorder.ts';
import { treeWatcherSuite } from './tree-watcher-suite.ts';

const certificates = new Certificates();
const authority = certificates.authority();
const other = certificates.authority('another authority');
const server = certificates.issue(authority);
const client = certificates.issue(authority, ['URI:spiffe://cluster.local/agent']);
const foreign = certificates.issue(other);
const tls = { ...plainAccess, isTls: true, caFile: authority.certFile };
const mutual = { ...tls, certFile: client.certFile, keyFile: client.keyFile };
const users = { reader: 'secret-word', umlaut: 'secret-pässwörd', euro: 'secret-€' };
const sasl = { ...plainAccess, saslFile: secretFile('reader:secret-word') };
const wrongSasl = { ...plainAccess, saslFile: secretFile('reader:secret-other') };
const tooOld = /older than 3\.6 .*TLS and SASL need ZooKeeper 3\.6 or later$/;

after(() => {
  certificates.remove();
});

function watch(
  address: string,
  access: ZooKeeperAccess,
  tuning: Partial<DriverTuning> = {},
): TreeRecorder {
  return new TreeRecorder(
    { servers: [address], chroot: '', sessionTimeoutMs: 3_000, access },
    exampleInterest,
    tuning,
  );
}

async function isFollowed(address: string, access: ZooKeeperAccess): Promise<void> {
  await using seen = watch(address, access);
  await seen.sees({ '/dubbo/i/providers/p': null, '/services/s/i': 'one' });
  assert.deepEqual(
    seen.connected.map((one) => one.driver),
    ['persistent'],
  );
}

async function isRefused(address: string, access: ZooKeeperAccess, reason: RegExp): Promise<void> {
  await using seen = watch(address, access);
  await eventually(() => assert.ok(seen.losses.length >= 2));
  for (const loss of seen.losses) assert.match(loss, reason);
  assert.equal(seen.disconnected[0], 'refused');
  assert.equal(seen.count('snapshot'), 0);
  assert.ok(!`${seen.losses.join('')}${seen.lines.join('')}`.includes('secret-'));
}

async function fill(address: string): Promise<void> {
  await using writer = await openZooKeeperWriter(address);
  await writer.create('/dubbo/i/providers/p');
  await writer.create('/services/s/i', 'one');
}

for (const [version, set] of [
  ['3.9.5', 'every'],
  ['3.6.4', 'ci'],
  ['3.5.10', 'ci'],
] as const) {
  void test(
    `a permission that is taken away while ZooKeeper ${version} is followed`,
    { ...requireRigs(set), timeout: 120_000 },
    async () => {
      await using rig = await startZooKeeper({ version });
      const { connectString: address } = rig;
      await fill(address);
      const { timing } = tuningFor(3_000);
      await using seen = watch(address, plainAccess, {
        timing: { ...timing, recheckIntervalMs: 200, auditIntervalMs: 50 },
      });
      const all = { '/dubbo/i/providers/p': null, '/services/s/i': 'one' };
      await seen.sees(all);
      const owner = { scheme: 'auth', id: '' };
      await restrict(address, '/dubbo/i/providers', owner);
      if (version === '3.5.10') {
        await using writer = await openZooKeeperWriter(address);
        await writer.create('/dubbo/i/providers/q');
      }
      const path = '/dubbo/i/providers';
      await eventually(() =>
        assert.ok(seen.events.some((event) => event.kind === 'unreadable' && event.path === path)),
      );
      assert.deepEqual([seen.count('lost'), seen.count('removed')], [0, 0]);
      await restrict(address, path);
      const q = version === '3.5.10' ? { '/dubbo/i/providers/q': null } : {};
      await seen.sees({ ...all, ...q });
      assert.equal(seen.count('lost'), version === '3.5.10' ? 1 : 0);
    },
  );
}

for (const [version, set] of [
  ['3.9.5', 'every'],
  ['3.8.4', 'ci'],
  ['3.6.4', 'ci'],
  ['3.5.10', 'ci'],
] as const) {
  void test(
    `nodes that only others may read come and go on ZooKeeper ${version}`,
    { ...requireRigs(set), timeout: 120_000 },
    async () => {
      await using rig = await startZooKeeper({ version });
      const { connectString: address } = rig;
      await fill(address);
      const { timing } = tuningFor(3_000);
      await using seen = watch(address, plainAccess, {
        timing: { ...timing, recheckIntervalMs: 200, auditIntervalMs: 50 },
      });
      const all = { '/dubbo/i/providers/p': null, '/services/s/i': 'one' };
      await seen.sees(all);
      const [one, two] = ['/dubbo/i/providers/one', '/dubbo/i/providers/two'];
      await createAs('owner:secret-word', address, one);
      await seen.sees({ ...all, [one]: null });
      await createAs('owner:secret-word', address, two);
      await using writer = await openZooKeeperWriter(address);
      await writer.remove(one);
      await seen.sees({ ...all, [two]: null });
      await writer.remove(two);
      await createAs('owner:secret-word', address, one);
      await seen.sees({ ...all, [one]: null });
      const unseen = seen.unseenChanges;
      for (let left = 20; left > 0; left -= 1) {
        await writer.create('/dubbo/i/providers/q');
        await writer.remove('/dubbo/i/providers/q');
      }
      await writer.create('/dubbo/i/providers/r');
      await seen.sees({ ...all, [one]: null, '/dubbo/i/providers/r': null });
      assert.equal(seen.unseenChanges, unseen);
      assert.deepEqual([seen.count('lost'), seen.count('unreadable')], [0, 0]);
    },
  );
}

for (const [version, set] of [
  ['3.9.5', 'every'],
  ['3.8.4', 'ci'],
  ['3.6.4', 'ci'],
] as const) {
  void describe(`access to ZooKeeper ${version}`, { ...requireRigs(set), timeout: 180_000 }, () => {
    void test('TLS with certificates on both sides, of which each refuses the wrong one', async () => {
      await using rig = await startSecureZooKeeper({ version, tls: { authority, server }, users });
      const [plain, secure] = [rig.connectString, `127.0.0.1:${rig.securePort}`];
      await fill(plain);
      await isFollowed(secure, mutual);
      await isFollowed(`localhost:${rig.securePort}`, mutual);
      await isFollowed(secure, { ...mutual, saslFile: sasl.saslFile });
      await isRefused(
        secure,
        { ...mutual, serverName: 'zk.example' },
        /certificate is rejected: .*zk\.example/,
      );
      await isRefused(
        secure,
        { ...mutual, caFile: other.certFile },
        /its certificate is rejected: unable to verify/,
      );
      await isRefused(secure, tls, /it wants a client certificate/);
      const unknown = { ...tls, certFile: foreign.certFile, keyFile: foreign.keyFile };
      await isRefused(secure, unknown, /it does not accept our client certificate/);
      await isRefused(plain, mutual, /it does not speak TLS on this port/);
      await isRefused(secure, plainAccess, /it expects TLS|speaks TLS on this port/);
    });

    void test('certificates that are replaced on disk, on both sides', async () => {
      const folder = mkdtempSync(join(tmpdir(), 'tributary-rotation-'));
      const [certFile, keyFile] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
      const put = (pair: typeof client): void => {
        writeFileSync(certFile, pair.cert);
        writeFileSync(keyFile, pair.key);
      };
      try {
        put(client);
        await using rig = await startSecureZooKeeper({ version, tls: { authority, server } });
        await fill(rig.connectString);
        await using seen = watch(`127.0.0.1:${rig.securePort}`, { ...tls, certFile, keyFile });
        await seen.snapshots(1);
        writeFileSync(certFile, 'half of a');
        await rig.kill();
        await rig.restart();
        await seen.snapshots(2);
        assert.match(seen.lines.join(''), /files for access to zookeeper cannot be used/);
        put(certificates.issue(authority, ['URI:spiffe://cluster.local/next']));
        const next = certificates.issue(authority);
        await rig.kill();
        writeFileSync(rig.keyStore, Buffer.concat([next.key, next.cert]));
        await rig.restart();
        await seen.snapshots(3);
        assert.equal(seen.withdrawn.size, 0);
      } finally {
        rmSync(folder, { recursive: true });
      }
    });

    void test('SASL, with and without compulsion, and what it gives access to', async () => {
      {
        await using rig = await startSecureZooKeeper({ version, users });
        const { connectString } = rig;
        await fill(connectString);
        await isFollowed(connectString, sasl);
        for (const user of ['umlaut', 'euro'] as const) {
          const saslFile = secretFile(`${user}:${users[user]}`);
          await isFollowed(connectString, { ...plainAccess, saslFile });
        }
        await isRefused(
          connectString,
          wrongSasl,
          /SASL: user or password is not accepted: AUTH_FAILED \(-115\)$/,
        );
        await createFor(connectString, '/services/hidden', { scheme: 'sasl', id: 'reader' });
        await hidesFrom(connectString, plainAccess);
        await showsTo(connectString, sasl);
      }
      await using strict = await startSecureZooKeeper({ version, users, isSaslEnforced: true });
      const { connectString } = strict;
      await using seen = watch(connectString, sasl);
      await seen.snapshots(1);
      await isRefused(
        connectString,
        plainAccess,
        /\(-124\): the server requires SASL, and no credential/,
      );
      const digestFile = secretFile('user:secret-x');
      await isRefused(
        connectString,
        { ...plainAccess, digestFile },
        /\(-124\): the server requires SASL/,
      );
      await isRefused(connectString, wrongSasl, /SASL: user or password is not accepted: /);
    });

    void test('a server without SASL', async () => {
      await using rig = await startZooKeeper({ version });
      await isRefused(rig.connectString, sasl, /SASL: the server is not set up for it/);
    });

    void test('digest credentials', async () => {
      await using rig = await startZooKeeper({ version });
      await fill(rig.connectString);
      await showsDigest(rig.connectString);
    });
  });
}

for (const [version, set] of [
  ['3.4.14', 'every'],
  ['3.5.10', 'ci'],
] as const) {
  void describe(`access to ZooKeeper ${version}`, { ...requireRigs(set), timeout: 180_000 }, () => {
    void test('TLS and SASL are refused, digest credentials are not', async () => {
      const hasTls = version !== '3.4.14';
      await using rig = await startSecureZooKeeper({
        version,
        ...(hasTls ? { tls: { authority, server } } : {}),
        users,
      });
      await fill(rig.connectString);
      await isRefused(rig.connectString, sasl, tooOld);
      await isRefused(rig.connectString, wrongSasl, /SASL: .*user or password is not accepted/);
      await isRefused(rig.connectString, mutual, /it does not speak TLS on this port/);
      if (hasTls) await isRefused(`127.0.0.1:${rig.securePort}`, mutual, tooOld);
      await showsDigest(rig.connectString);
    });
  });
}

rigTest(
  'a read-only server, which has lost its quorum, refuses us, and withdraws nothing',
  'every',
  async () => {
    await using ensemble = await startEnsemble({ jvm: ['-Dreadonlymode.enabled=true'] });
    const [first] = ensemble.members;
    assert.ok(first);
    await fill(first.connectString);
    await using seen = watch(first.connectString, plainAccess);
    await seen.snapshots(1);
    await Promise.all([ensemble.kill(1), ensemble.kill(2)]);
    await eventually(async () => assert.equal((await first.srvr())['Mode'], 'read-only'), 60_000);
    const { length } = seen.losses;
    await eventually(() => assert.ok(seen.losses.length >= length + 2));
    assert.match(
      seen.losses.at(-1) ?? '',
      /closed instead of granting a session: it has no quorum or is read-only/,
    );
    assert.equal(seen.count('snapshot'), 1);
    await ensemble.restart(1);
    await seen.snapshots(2);
    assert.equal(seen.withdrawn.size, 0);
  },
);

treeWatcherSuite(
  'ZooKeeper 3.9.5 over TLS with SASL',
  'persistent',
  async () => {
    const rig = await startSecureZooKeeper({ tls: { authority, server }, users });
    const access = { ...mutual, saslFile: sasl.saslFile };
    return { ...rig, watchedPort: rig.securePort, access };
  },
  requireRigs('ci').skip,
);

async function showsDigest(address: string): Promise<void> {
  const digestFile = secretFile('reader:secret-word');
  await createFor(address, '/services/hidden', { scheme: 'auth', id: '' }, 'reader:secret-word');
  await hidesFrom(address, plainAccess);
  await showsTo(address, { ...plainAccess, digestFile });
  await hidesFrom(address, { ...plainAccess, digestFile: secretFile('reader:secret-other') });
}

async function hidesFrom(address: string, access: ZooKeeperAccess): Promise<void> {
  await using seen = watch(address, access);
  await seen.sees({ '/dubbo/i/providers/p': null, '/services/s/i': 'one' });
  const [first] = seen.events;
  assert.deepEqual(first, {
    kind: 'unreadable',
    path: '/services/hidden',
    reason: 'NO_AUTH (-102)',
  });
}

async function showsTo(address: string, access: ZooKeeperAccess): Promise<void> {
  await using seen = watch(address, access);
  await seen.sees({
    '/dubbo/i/providers/p': null,
    '/services/s/i': 'one',
    '/services/hidden/i': 'two',
  });
  assert.equal(seen.count('unreadable'), 0);
}

/** A directory with one node in it, both for one identity alone. */
async function createFor(
  address: string,
  path: string,
  identity: Identity,
  digest?: string,
): Promise<void> {
  await asWriter(address, digest, async (writer) => {
    const access = accessFor(identity);
    const create = (node: string, data: Buffer): Promise<void> =>
      answered((done) => {
        writer.create(node, data, access, zookeeper.CreateMode.PERSISTENT, done);
      });
    await create(path, Buffer.from('none'));
    await create(`${path}/i`, Buffer.from('two'));
  });
}

/** A node that only the user may read. */
async function createAs(user: string, address: string, path: string): Promise<void> {
  const access = accessFor({ scheme: 'auth', id: '' });
  await asWriter(address, user, (writer) =>
    answered((done) => {
      writer.create(path, Buffer.alloc(0), access, zookeeper.CreateMode.PERSISTENT, done);
    }),
  );
}

interface Identity {
  readonly scheme: string;
  readonly id: string;
}

/** All for one identity; nodes may be created and deleted below by everybody. */
function accessFor({ scheme, id }: Identity): zookeeper.ACL[] {
  const { ALL, CREATE, DELETE } = zookeeper.Permission;
  return [
    new zookeeper.ACL(ALL, new zookeeper.Id(scheme, id)),
    new zookeeper.ACL(CREATE, new zookeeper.Id('world', 'anyone')),
    new zookeeper.ACL(DELETE, new zookeeper.Id('world', 'anyone')),
  ];
}

/** From now on the node is for one identity alone, or for everybody again. */
async function restrict(address: string, path: string, identity?: Identity): Promise<void> {
  const anyone = new zookeeper.ACL(zookeeper.Permission.ALL, new zookeeper.Id('world', 'anyone'));
  const access = identity === undefined ? [anyone] : accessFor(identity);
  await asWriter(address, 'owner:secret-word', (writer) =>
    answered((done) => {
      writer.setACL(path, access, done);
    }),
  );
}

async function asWriter(
  address: string,
  digest: string | undefined,
  work: (writer: zookeeper.Client) => Promise<void>,
): Promise<void> {
  const writer = zookeeper.createClient(address, { sessionTimeout: 10_000, retries: 3 });
  if (digest !== undefined) writer.addAuthInfo('digest', Buffer.from(digest));
  await new Promise<void>((resolve) => {
    writer.once('connected', resolve);
    writer.connect();
  });
  try {
    await work(writer);
  } finally {
    const closed = new Promise<void>((resolve) => writer.once('disconnected', resolve));
    writer.close();
    await closed;
  }
}

function answered(ask: (done: (error: unknown) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    ask((error) => {
      if (error instanceof zookeeper.Exception) reject(new Error(error.toString()));
      else resolve();
    });
  });
}
