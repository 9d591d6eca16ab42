import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { after, afterEach, describe, test } from 'node:test';
import type { TlsOptions } from 'node:tls';
import { tuningFor } from '../../../../../agent/zookeeper/client/driver.ts';
import { plainAccess } from '../../../../../agent/zookeeper/client/tree.ts';
import type { ZooKeeperAccess } from '../../../../../agent/zookeeper/client/tree.ts';
import { Certificates } from '../../../../support/certificates.ts';
import { eventually } from '../../../../support/eventually.ts';
import { secretFile } from '../../../../support/secret-file.ts';
import { TreeRecorder, exampleInterest } from '../../../../support/tree-recorder.ts';
import { ZooKeeperStub } from '../../../../support/zookeeper-stub.ts';
import type { StubOptions } from '../../../../support/zookeeper-stub.ts';

const certificates = new Certificates();
const authority = certificates.authority();
const other = certificates.authority('another authority');
const server = certificates.issue(authority, ['DNS:localhost', 'DNS:zk.example']);
const forAddress = certificates.issue(authority, ['IP:127.0.0.1', 'IP:::1']);
const client = certificates.issue(authority, ['URI:spiffe://cluster.local/agent']);
const foreign = certificates.issue(other);
const tls = { isTls: true, caFile: authority.certFile };
const mutual = { ...tls, certFile: client.certFile, keyFile: client.keyFile };
const demanding: TlsOptions = {
  cert: server.cert,
  key: server.key,
  ca: authority.cert,
  requestCert: true,
  rejectUnauthorized: true,
};
const everything = { '/dubbo/i/providers/p': null, '/services/s/i': 'one' };
const timing = { ...tuningFor(600).timing, connectTimeoutMs: 400 };

let stub = new ZooKeeperStub();
let recorder: TreeRecorder | undefined;

after(() => {
  certificates.remove();
});

afterEach(async () => {
  await recorder?.stop();
  recorder = undefined;
  await stub.dispose();
});

async function start(options: StubOptions = {}): Promise<void> {
  stub = new ZooKeeperStub(options);
  await stub.start();
  stub.create('/dubbo/i/providers/p');
  stub.create('/services/s/i', Buffer.from('one'));
}

function watch(
  access: Partial<ZooKeeperAccess>,
  host = 'localhost',
  port = stub.port,
): TreeRecorder {
  recorder = new TreeRecorder(
    {
      servers: [`${host}:${port}`],
      chroot: '',
      sessionTimeoutMs: 600,
      access: { ...plainAccess, ...access },
    },
    exampleInterest,
    { timing },
  );
  return recorder;
}

/** Every attempt ends so, nothing is ever shown, and no text holds a secret. */
async function isRefused(
  access: Partial<ZooKeeperAccess>,
  reason: RegExp,
  host?: string,
): Promise<void> {
  const seen = watch(access, host);
  await eventually(() => assert.ok(seen.count('lost') >= 2));
  assert.equal(seen.count('snapshot'), 0);
  assert.equal(seen.disconnected[0], 'refused');
  for (const loss of seen.losses) assert.match(loss, reason);
  assert.match(
    seen.losses[0] ?? '',
    new RegExp(`^zookeeper ${host ?? 'localhost'}`.replace('[', '\\[')),
  );
  assert.ok(!`${seen.losses.join('')}${seen.lines.join('')}`.includes('secret'));
}

void describe('TLS', () => {
  void test('a server with a good certificate is followed, by its name', async () => {
    const names: unknown[] = [];
    await start({
      tls: {
        ...demanding,
        SNICallback: (name, done) => {
          names.push(name);
          done(null);
        },
      },
    });
    const seen = watch(mutual);
    await seen.sees(everything);
    stub.setData('/services/s/i', Buffer.from('two'));
    await seen.sees({ ...everything, '/services/s/i': 'two' });
    assert.deepEqual(names, ['localhost']);
    assert.deepEqual(
      seen.connected.map((one) => one.driver),
      ['persistent'],
    );
  });

  void test('a server that is given as an address is not asked for by name, and must have that address', async () => {
    const names: unknown[] = [];
    const SNICallback: TlsOptions['SNICallback'] = (name, done) => {
      names.push(name);
      done(null);
    };
    await start({ tls: { cert: forAddress.cert, key: forAddress.key, SNICallback } });
    await watch(tls, '127.0.0.1').sees(everything);
    assert.deepEqual(names, []);
    await recorder?.stop();
    await stub.dispose();
    await start({ tls: { cert: server.cert, key: server.key } });
    await isRefused(
      tls,
      /127\.0\.0\.1:\d+: its certificate is rejected: .*IP: 127\.0\.0\.1/,
      '127.0.0.1',
    );
  });

  void test('a bracketed IPv6 address is dialled, and checked against the certificate', async () => {
    await start({ host: '::1', tls: { cert: forAddress.cert, key: forAddress.key } });
    await watch(tls, '[::1]').sees(everything);
  });

  void test('a server name in the configuration stands for every host', async () => {
    await start({ tls: demanding });
    await watch({ ...mutual, serverName: 'zk.example' }, '127.0.0.1').sees(everything);
    await recorder?.stop();
    await isRefused({ ...mutual, serverName: 'zk.other' }, /certificate is rejected: .*zk\.other/);
  });

  void test('a certificate of an unknown authority is rejected', async () => {
    await start({ tls: { cert: foreign.cert, key: foreign.key } });
    await isRefused(tls, /its certificate is rejected: unable to verify the first certificate$/);
  });

  void test('a certificate of an authority of the system is needed when none is given', async () => {
    await start({ tls: { cert: server.cert, key: server.key } });
    await isRefused({ isTls: true }, /its certificate is rejected/);
  });

  void test('a server that wants a client certificate says so, in every version of TLS', async () => {
    for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
      await start({ tls: { ...demanding, maxVersion } });
      await isRefused(tls, /wants a client certificate/);
      await recorder?.stop();
      await stub.dispose();
    }
  });

  void test('a client certificate of an unknown authority is not accepted', async () => {
    for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
      await start({ tls: { ...demanding, maxVersion } });
      const access = { ...tls, certFile: foreign.certFile, keyFile: foreign.keyFile };
      await isRefused(access, /does not accept our client certificate/);
      await recorder?.stop();
      await stub.dispose();
    }
  });

  void test('no version before 1.2 is spoken', async () => {
    await start({
      tls: { ...demanding, minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'ALL:@SECLEVEL=0' },
    });
    await isRefused(mutual, /TLS|no version from 1\.2 on/);
  });

  void test('a plain server behind a TLS client is told from others', async () => {
    await start();
    await isRefused(tls, /does not speak TLS on this port/);
  });

  void test('a TLS server behind a plain client is told from others', async () => {
    await start({ tls: demanding });
    await isRefused({}, /it speaks TLS on this port|it expects TLS/);
  });

  void test('a server that accepts and never shakes hands is given up in time', async () => {
    const held = new Set<Socket>();
    const mute = createServer((socket) => held.add(socket.on('error', () => undefined)));
    await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve));
    try {
      const seen = watch(tls, '127.0.0.1', (mute.address() as AddressInfo).port);
      await eventually(() => assert.ok(seen.count('lost') >= 2));
      assert.match(seen.losses[0] ?? '', /no TLS handshake within 400 ms$/);
      assert.equal(seen.disconnected[0], 'unreachable');
    } finally {
      for (const socket of held) socket.destroy();
      await new Promise((resolve) => mute.close(resolve));
    }
  });

  void test('a new certificate on disk counts at the next dial', async () => {
    const [first, second] = [foreign, client];
    const certFile = secretFile('');
    const keyFile = secretFile('');
    const put = (pair: typeof first): void => {
      writeFileSync(certFile, readFileSync(pair.certFile));
      writeFileSync(keyFile, readFileSync(pair.keyFile));
    };
    put(first);
    await start({ tls: demanding });
    const seen = watch({ ...tls, certFile, keyFile });
    await eventually(() => assert.ok(seen.count('lost') >= 1));
    put(second);
    await seen.sees(everything);
    put(first);
    assert.equal(seen.count('snapshot'), 1);
    stub.dropConnections();
    await eventually(() => assert.match(seen.losses.at(-1) ?? '', /does not accept our client/));
    assert.equal(seen.withdrawn.size, 0);
  });

  void test('bytes that come one by one make the same view', async () => {
    await start({ tls: demanding });
    stub.faults.isDribbling = true;
    await watch(mutual).sees(everything);
  });
});

void describe('SASL', () => {
  const users = new Map([['reader', 'secret-word']]);
  const saslFile = secretFile('reader:secret-word');
  const wrongFile = secretFile('reader:secret-other');

  void test('a server that requires it is followed with it, and with a digest credential beside it', async () => {
    await start();
    stub.faults.saslUsers = users;
    stub.faults.requiresSasl = true;
    stub.faults.unreadable.add('/services');
    stub.faults.digest = 'user:pass';
    await watch({ saslFile, digestFile: secretFile('user:pass') }).sees(everything);
    assert.deepEqual(stub.histories[0]?.slice(0, 4), [100, 102, 102, 9], 'nothing precedes it');
  });

  void test('over TLS as well', async () => {
    await start({ tls: demanding });
    stub.faults.saslUsers = users;
    stub.faults.requiresSasl = true;
    await watch({ ...mutual, saslFile }).sees(everything);
  });

  void test('a server that requires it refuses whoever has none', async () => {
    await start();
    stub.faults.requiresSasl = true;
    await isRefused({}, /REQUIRE_SASL_AUTH \(-124\): the server requires SASL, and no credential/);
    await recorder?.stop();
    await isRefused({ digestFile: secretFile('user:pass') }, /\(-124\): the server requires SASL/);
  });

  void test('a wrong password is refused, whichever way the server says so', async () => {
    await start();
    stub.faults.saslUsers = users;
    for (const [sasl, isRequired, reason] of [
      ['right', false, /SASL: user or password is not accepted: AUTH_FAILED \(-115\)$/],
      ['right', true, /SASL: user or password is not accepted: .*\(-124\)$/],
      ['dropping', false, /SASL: closed by the server: user or password is not accepted$/],
      ['lax', false, /SASL: user or password is not accepted$/],
    ] as const) {
      stub.faults.sasl = sasl;
      stub.faults.requiresSasl = isRequired;
      await isRefused({ saslFile: wrongFile }, reason);
      await recorder?.stop();
    }
  });

  void test('a password on disk that was corrected counts at the next dial', async () => {
    await start();
    stub.faults.saslUsers = users;
    const file = secretFile('reader:secret-other');
    const seen = watch({ saslFile: file });
    await eventually(() => assert.ok(seen.count('lost') >= 1));
    writeFileSync(file, 'reader:secret-word');
    await seen.sees(everything);
  });

  void test('a server that does not know the password itself is not believed', async () => {
    await start();
    stub.faults.saslUsers = users;
    stub.faults.sasl = 'lying';
    await isRefused({ saslFile }, /SASL: the server does not prove that it knows the password$/);
  });

  void test('a server without SASL, of Kerberos, or with nonsense is told from others', async () => {
    await start();
    await isRefused({ saslFile }, /SASL: the server is not set up for it/);
    await recorder?.stop();
    stub.faults.saslUsers = users;
    stub.faults.sasl = Buffer.from([0x60, 0x82, 0x01, 0x02, 0x06, 0x09]);
    await isRefused({ saslFile }, /SASL: not a DIGEST-MD5 challenge \(Kerberos, GSSAPI, is not/);
    await recorder?.stop();
    stub.faults.sasl = Buffer.from('nonsense');
    await isRefused({ saslFile }, /SASL: not a DIGEST-MD5 challenge$/);
  });

  void test('a server that never answers SASL is given up in time', async () => {
    await start();
    stub.faults.ignoredOpcodes.add(102);
    const seen = watch({ saslFile });
    await eventually(() => assert.ok(seen.count('lost') >= 2));
    assert.match(seen.losses[0] ?? '', /no answer to SASL within 400 ms$/);
    stub.faults.ignoredOpcodes.clear();
    stub.faults.saslUsers = users;
    await seen.sees(everything);
  });
});

void describe('a server before 3.6', () => {
  const tooOld = /older than 3\.6 .*TLS and SASL need ZooKeeper 3\.6 or later$/;

  void test('is refused with TLS or SASL, never followed in plain text, and followed once it is upgraded', async () => {
    await start({ tls: { cert: server.cert, key: server.key } });
    stub.faults.isOld = true;
    await isRefused(tls, tooOld);
    stub.faults.isOld = false;
    await recorder?.sees(everything);
    await recorder?.stop();
    await stub.dispose();
    await start();
    stub.faults.isOld = true;
    stub.faults.saslUsers = new Map([['reader', 'secret']]);
    await isRefused({ saslFile: secretFile('reader:secret') }, tooOld);
  });

  void test('that becomes one keeps the view', async () => {
    await start({ tls: { cert: server.cert, key: server.key } });
    const seen = watch(tls);
    await seen.sees(everything);
    stub.faults.isOld = true;
    stub.dropConnections();
    await eventually(() => assert.match(seen.losses.at(-1) ?? '', tooOld));
    assert.equal(seen.withdrawn.size, 0);
    assert.equal(seen.count('removed'), 0);
  });
});

void describe('files for access', () => {
  void test('that are not there yet are a loss with a reason, and waited for', async () => {
    await start();
    stub.faults.saslUsers = new Map([['reader', 'secret']]);
    const saslFile = `${secretFile('')}.later`;
    const seen = watch({ saslFile });
    await eventually(() => assert.ok(seen.count('lost') >= 2));
    assert.match(seen.losses[0] ?? '', /^zookeeper: access files cannot be used: ENOENT.*\.later/);
    assert.equal(stub.connections, 0);
    writeFileSync(saslFile, 'reader:secret\n');
    await seen.sees(everything);
  });

  void test('a server whose name cannot be resolved is another matter', async () => {
    await start();
    const seen = watch({}, 'no-such-host.invalid');
    await eventually(() => assert.ok(seen.count('lost') >= 2));
    assert.match(
      seen.losses[0] ?? '',
      /^zookeeper: servers cannot be used: .*no-such-host\.invalid/,
    );
  });
});
