import assert from 'node:assert/strict';
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { pino } from 'pino';
import type { PushOptions } from '../../../../../agent/eureka/options.ts';
import { PushSecurity } from '../../../../../agent/eureka/push/security.ts';
import { ConfigurationError } from '../../../../../common/errors.ts';
import { Certificates } from '../../../../support/certificates.ts';

const open: PushOptions = {
  listen: { host: '127.0.0.1', port: 0 },
  userFile: undefined,
  certFile: undefined,
  keyFile: undefined,
  clientCaFile: undefined,
};
const basic = (text: string): string => `Basic ${Buffer.from(text).toString('base64')}`;

let folder: string;
let lines: string[] = [];
const certificates = new Certificates();
const log = pino({}, { write: (line: string) => lines.push(line) });
const file = (name: string): string => join(folder, name);

before(() => {
  folder = mkdtempSync(join(tmpdir(), 'tributary-push-security-'));
});

after(() => {
  rmSync(folder, { recursive: true });
  certificates.remove();
});

test('without files anybody may push, in plain text', async () => {
  const security = new PushSecurity(open, log);
  await security.reread();
  assert.equal(security.tls, undefined);
  assert.equal(security.isProtected, false);
  assert.ok(security.isAllowed(undefined));
});

test('a new password counts, a file that became useless does not', async () => {
  const userFile = file('user');
  lines = [];
  writeFileSync(userFile, 'eureka:öld:1\n');
  const security = new PushSecurity({ ...open, userFile }, log);
  assert.ok(!security.isAllowed(basic('eureka:öld:1')), 'not before it is read');
  await security.reread();
  assert.ok(security.isProtected);
  assert.ok(security.isAllowed(basic('eureka:öld:1')));
  for (const wrong of ['', 'eureka', 'eureka:öld', 'eureka:öld:1 ', 'Eureka:öld:1']) {
    assert.ok(!security.isAllowed(basic(wrong)), wrong);
  }
  for (const header of [undefined, '', 'Basic', 'Basic !', 'Bearer x']) {
    assert.ok(!security.isAllowed(header), header);
  }
  for (const useless of ['', 'eureka', ':\n', 'eureka:new\nmore']) {
    writeFileSync(userFile, useless);
    await security.reread();
    assert.ok(security.isAllowed(basic('eureka:öld:1')), useless);
  }
  rmSync(userFile);
  await security.reread();
  assert.ok(security.isAllowed(basic('eureka:öld:1')));
  writeFileSync(userFile, 'eureka:new');
  await security.reread();
  assert.ok(security.isAllowed(basic('eureka:new')));
  assert.ok(!security.isAllowed(basic('eureka:öld:1')));
  assert.ok(!/öld|new/.test(lines.join('')));
});

test('a certificate is replaced when it fits its key, and stays otherwise', async () => {
  const authority = certificates.authority();
  const [first, second] = [certificates.issue(authority), certificates.issue(authority)];
  const [certFile, keyFile, clientCaFile] = [file('cert'), file('key'), file('ca')];
  copyFileSync(first.certFile, certFile);
  copyFileSync(first.keyFile, keyFile);
  copyFileSync(authority.certFile, clientCaFile);
  const security = new PushSecurity({ ...open, certFile, keyFile, clientCaFile }, log);
  const tls = () => security.tls;
  await security.reread();
  const before = tls();
  assert.ok(before?.requestCert === true && before.rejectUnauthorized);
  copyFileSync(second.certFile, certFile);
  await security.reread();
  assert.equal(tls(), before, 'its key is not there yet');
  copyFileSync(second.keyFile, keyFile);
  await security.reread();
  assert.deepEqual(tls()?.cert, second.cert);
  writeFileSync(clientCaFile, 'nothing');
  await security.reread();
  assert.deepEqual(tls()?.ca, authority.cert);
});

test('what cannot be used at the start is a mistake of configuration', async () => {
  writeFileSync(file('empty'), '');
  for (const options of [
    { userFile: file('none') },
    { userFile: file('empty') },
    { certFile: file('none'), keyFile: file('none') },
  ]) {
    await assert.rejects(
      new PushSecurity({ ...open, ...options }, log).reread(),
      ConfigurationError,
    );
  }
});
