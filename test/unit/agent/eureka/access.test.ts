import assert from 'node:assert/strict';
import { mkdtempSync, renameSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, beforeEach, test } from 'node:test';
import { pino } from 'pino';
import { AccessFiles } from '../../../../agent/eureka/access.ts';
import { plainAccess } from '../../../../agent/eureka/options.ts';
import type { EurekaAccess } from '../../../../agent/eureka/options.ts';
import { TransientError } from '../../../../common/errors.ts';
import { Certificates } from '../../../support/certificates.ts';

const folder = mkdtempSync(join(tmpdir(), 'tributary-access-'));
const certificates = new Certificates();
let lines: string[] = [];
const log = pino({ level: 'info' }, { write: (line: string) => lines.push(line) });
const caFile = join(folder, 'ca.pem');
const certFile = join(folder, 'cert.pem');
const keyFile = join(folder, 'key.pem');
const userFile = join(folder, 'user');
const tokenFile = join(folder, 'token');

after(() => {
  certificates.remove();
  rmSync(folder, { recursive: true });
});
beforeEach(() => {
  lines = [];
});

const filesOf = (access: Partial<EurekaAccess>): AccessFiles =>
  new AccessFiles({ ...plainAccess, ...access }, log);
const basic = (text: string): string => `Basic ${Buffer.from(text).toString('base64')}`;

test('without files there is nothing to add to the URLs', async () => {
  assert.deepEqual(await filesOf({}).read(), {
    tls: undefined,
    authorization: undefined,
    problem: undefined,
  });
});

test('a token file goes before a user file', async () => {
  writeFileSync(userFile, 'us er:p:w\u00f6rd\n');
  writeFileSync(tokenFile, '\tabc.def==\r\n');
  assert.equal((await filesOf({ userFile }).read()).authorization, basic('us er:p:w\u00f6rd'));
  assert.equal((await filesOf({ userFile, tokenFile }).read()).authorization, 'Bearer abc.def==');
});

test('a file that has never been good fails the request and shows no secret', async () => {
  for (const [text, wrong] of [
    ['', /expected user:password on one line/],
    ['hidden', /expected user:password/],
    [':hidden', /expected user:password/],
    ['user:hidden\nuser:hidden', /expected user:password/],
  ] as const) {
    writeFileSync(userFile, text);
    const files = filesOf({ userFile });
    await assert.rejects(files.read(), (error: Error) => {
      assert.ok(error instanceof TransientError);
      assert.match(error.message, wrong);
      assert.ok(error.message.includes(userFile));
      assert.ok(!error.message.includes('hidden'));
      return true;
    });
    writeFileSync(userFile, 'user:word');
    assert.equal((await files.read()).authorization, basic('user:word'), 'and is tried again');
  }
  for (const text of ['', 'two words', 'caf\u00e9', 'x'.repeat(9_000)]) {
    writeFileSync(tokenFile, text);
    await assert.rejects(filesOf({ tokenFile }).read(), /expected a token/);
  }
  const missing = filesOf({ tokenFile: join(folder, 'nowhere') });
  await assert.rejects(missing.read(), /ENOENT.*nowhere/);
  assert.equal(lines.filter((line) => line.includes('hidden')).length, 0);
});

test('a changed file counts at the next request, however soon after the last change', async () => {
  writeFileSync(userFile, 'user:word0');
  const files = filesOf({ userFile });
  for (let index = 0; index < 20; index += 1) {
    writeFileSync(userFile, `user:word${index % 10}`);
    assert.equal((await files.read()).authorization, basic(`user:word${index % 10}`));
  }
});

test('a file that goes missing or wrong keeps its last good content and is told once', async () => {
  writeFileSync(tokenFile, 'first');
  const files = filesOf({ tokenFile });
  await files.read();
  renameSync(tokenFile, `${tokenFile}.away`);
  for (let index = 0; index < 3; index += 1) {
    const { authorization, problem } = await files.read();
    assert.equal(authorization, 'Bearer first');
    assert.match(problem ?? '', /ENOENT/);
  }
  assert.equal(lines.length, 1);
  renameSync(`${tokenFile}.away`, tokenFile);
  assert.equal((await files.read()).problem, undefined);
  assert.equal(lines.length, 2);
  assert.match(lines[1] ?? '', /can be used again/);
  writeFileSync(tokenFile, 'not a token');
  const broken = await files.read();
  assert.equal(broken.authorization, 'Bearer first');
  assert.match(broken.problem ?? '', /expected a token/);
  assert.equal((await files.read()).problem, broken.problem);
  assert.equal(lines.length, 3);
  assert.doesNotMatch(lines.join(''), /not a token/);
});

test('a certificate and its key change together: half of a change is waited for', async () => {
  const authority = certificates.authority();
  const [first, second] = [certificates.issue(authority), certificates.issue(authority)];
  writeFileSync(caFile, authority.cert);
  writeFileSync(certFile, first.cert);
  writeFileSync(keyFile, first.key);
  const files = filesOf({ caFile, certFile, keyFile });
  const { tls } = await files.read();
  assert.ok(tls?.cert?.equals(first.cert));
  assert.equal((await files.read()).tls, tls, 'the same object while nothing changes');
  writeFileSync(certFile, second.cert);
  const half = await files.read();
  assert.equal(half.tls, tls);
  assert.match(half.problem ?? '', /key values mismatch/);
  writeFileSync(keyFile, second.key);
  const whole = await files.read();
  assert.equal(whole.problem, undefined);
  assert.ok(whole.tls?.cert?.equals(second.cert));
  assert.ok(whole.tls?.key?.equals(second.key));
});

test('authorities are checked one by one', async () => {
  const good = certificates.authority();
  const bad = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n';
  writeFileSync(caFile, `# a comment\n${good.cert.toString()}${good.cert.toString()}`);
  assert.ok((await filesOf({ caFile }).read()).tls?.ca);
  writeFileSync(caFile, `${good.cert.toString()}${bad}`);
  await assert.rejects(filesOf({ caFile }).read(), /holds a broken certificate/);
  writeFileSync(caFile, 'nothing');
  await assert.rejects(filesOf({ caFile }).read(), /holds no certificate in PEM/);
});

test('a file that has been quiet for a while is only looked at', async () => {
  writeFileSync(tokenFile, 'quiet');
  const files = filesOf({ tokenFile });
  await files.read();
  await Promise.all([files.read(), files.read()]);
  const longAgo = new Date(Date.now() - 60_000);
  utimesSync(tokenFile, longAgo, longAgo);
  assert.equal((await files.read()).authorization, 'Bearer quiet');
});
