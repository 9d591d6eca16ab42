import assert from 'node:assert/strict';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, beforeEach, test } from 'node:test';
import { pino } from 'pino';
import { AccessFiles } from '../../../../../agent/zookeeper/client/access.ts';
import { plainAccess } from '../../../../../agent/zookeeper/client/tree.ts';
import type { ZooKeeperAccess } from '../../../../../agent/zookeeper/client/tree.ts';
import { TransientError } from '../../../../../common/errors.ts';
import { Certificates } from '../../../../support/certificates.ts';

const folder = mkdtempSync(join(tmpdir(), 'tributary-zookeeper-access-'));
const certificates = new Certificates();
const authority = certificates.authority();
const [caFile, certFile, keyFile, digestFile, saslFile] = [
  join(folder, 'ca.pem'),
  join(folder, 'cert.pem'),
  join(folder, 'key.pem'),
  join(folder, 'digest'),
  join(folder, 'sasl'),
];
const lines: string[] = [];

beforeEach(() => {
  lines.length = 0;
});

after(() => {
  certificates.remove();
  rmSync(folder, { recursive: true });
});

function filesOf(access: Partial<ZooKeeperAccess>): AccessFiles {
  const log = pino({ level: 'info' }, { write: (line: string) => lines.push(line) });
  return new AccessFiles({ ...plainAccess, ...access }, log);
}

void test('without files there is nothing to prove, and TLS is spoken only when it is wanted', async () => {
  assert.deepEqual(await filesOf({}).read(), {
    tls: undefined,
    digest: undefined,
    sasl: undefined,
  });
  const { tls } = await filesOf({ isTls: true, serverName: 'zk' }).read();
  assert.equal(tls?.serverName, 'zk');
  assert.equal(tls.hasCertificate, false);
  assert.equal((await filesOf({ caFile: join(folder, 'nowhere') }).read()).tls, undefined);
});

void test('credentials are one line each, user before the first colon', async () => {
  writeFileSync(digestFile, 'reader:first:second\n');
  writeFileSync(saslFile, ' user:pass:word \n');
  const { digest, sasl } = await filesOf({ digestFile, saslFile }).read();
  assert.equal(digest, 'reader:first:second');
  assert.deepEqual(sasl, { user: 'user', password: 'pass:word' });
});

void test('what was never good is refused, names the file and shows nothing of it', async () => {
  for (const text of ['', 'hidden', ':hidden', 'user:hidden\nmore', 'us\u0000er:hidden']) {
    writeFileSync(saslFile, text);
    await assert.rejects(filesOf({ saslFile }).read(), (error: Error) => {
      assert.ok(error instanceof TransientError);
      assert.match(error.message, /expected user:password on one line/);
      assert.ok(error.message.includes(saslFile));
      assert.ok(!error.message.includes('hidden'));
      return true;
    });
  }
  await assert.rejects(filesOf({ digestFile: join(folder, 'nowhere') }).read(), /ENOENT.*nowhere/);
  writeFileSync(caFile, 'no certificate');
  await assert.rejects(filesOf({ isTls: true, caFile }).read(), /ca\.pem: holds no certificate/);
  assert.ok(!lines.join('').includes('hidden'));
});

void test('files are read again at each dial; half of a change leaves the last good one, told once', async () => {
  const [first, second] = [certificates.issue(authority), certificates.issue(authority)];
  writeFileSync(caFile, authority.cert);
  writeFileSync(certFile, first.cert);
  writeFileSync(keyFile, first.key);
  writeFileSync(digestFile, 'user:one');
  const files = filesOf({ isTls: true, caFile, certFile, keyFile, digestFile });
  const before = await files.read();
  assert.equal(before.tls?.hasCertificate, true);
  assert.equal((await files.read()).tls?.context, before.tls.context);
  writeFileSync(certFile, second.cert);
  renameSync(digestFile, `${digestFile}.away`);
  for (let round = 0; round < 3; round += 1) {
    const half = await files.read();
    assert.equal(half.tls?.context, before.tls.context);
    assert.equal(half.digest, 'user:one');
  }
  assert.equal(lines.length, 2);
  assert.match(lines.join(''), /files for access to zookeeper cannot be used/);
  assert.match(lines.join(''), /key values mismatch/);
  writeFileSync(keyFile, second.key);
  writeFileSync(digestFile, 'user:two');
  const whole = await files.read();
  assert.notEqual(whole.tls?.context, before.tls.context);
  assert.equal(whole.digest, 'user:two');
  assert.equal(lines.length, 4);
});
