import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { status } from '@grpc/grpc-js';
import { pino } from 'pino';
import { FeedAccessControl, parseAlternativeNames } from '../../../aggregator/feed-access.ts';
import { FeedEnd } from '../../../aggregator/feed-session.ts';
import type { RegistryId } from '../../../common/registry.ts';

const log = pino({ level: 'silent' });
const orders = 'dc1/orders' as RegistryId;
const dubbo = 'dc2/dubbo' as RegistryId;
const nobody = { authorization: '', alternativeNames: undefined };

const withCode =
  (code: status) =>
  (error: unknown): boolean =>
    error instanceof FeedEnd && error.code === code;

test('nothing configured lets everyone in, client authorities only those with a certificate', async () => {
  await new FeedAccessControl([], false, log).check(nobody, orders);
  const strict = new FeedAccessControl([], true, log);
  await assert.rejects(() => strict.check(nobody, orders), withCode(status.UNAUTHENTICATED));
  await strict.check({ authorization: '', alternativeNames: '' }, orders);
});

test('a token or an identity opens its registries and no others', async () => {
  const access = new FeedAccessControl(
    [
      { tokens: ['secret-1'], registries: ['dc1/orders'] },
      { identities: ['spiffe://cluster/ns/a/sa/b', 'Agent.DC2'], registries: ['dc2/*'] },
      { tokens: ['root'], registries: ['*'] },
    ],
    false,
    log,
  );
  const token = (text: string): { authorization: string; alternativeNames: undefined } => ({
    authorization: text,
    alternativeNames: undefined,
  });
  await access.check(token('Bearer secret-1'), orders);
  await access.check(token('bearer root'), dubbo);
  await assert.rejects(
    () => access.check(token('Bearer secret-1'), dubbo),
    withCode(status.PERMISSION_DENIED),
  );
  for (const text of ['Bearer wrong', 'secret-1', 'Basic secret-1', '']) {
    await assert.rejects(() => access.check(token(text), orders), withCode(status.UNAUTHENTICATED));
  }
  const cert = { authorization: '', alternativeNames: 'DNS:x, URI:spiffe://cluster/ns/a/sa/b' };
  await access.check(cert, dubbo);
  await access.check({ authorization: '', alternativeNames: 'DNS:agent.dc2' }, dubbo);
  await access.check({ ...cert, authorization: 'Bearer secret-1' }, orders);
  await assert.rejects(() => access.check(cert, orders), withCode(status.PERMISSION_DENIED));
});

test('a token file holds one token a line', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tributary-feed-access-'));
  try {
    const tokenFile = join(folder, 'tokens');
    writeFileSync(tokenFile, 'old\n\n  new  \n');
    const access = new FeedAccessControl([{ tokenFile, registries: ['*'] }], false, log);
    for (const token of ['old', 'new']) {
      await access.check({ ...nobody, authorization: `Bearer ${token}` }, orders);
    }
    const missing = join(folder, 'missing');
    const closed = new FeedAccessControl([{ tokenFile: missing, registries: ['*'] }], false, log);
    await assert.rejects(
      () => closed.check({ ...nobody, authorization: 'Bearer old' }, orders),
      withCode(status.UNAUTHENTICATED),
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('alternative names are read as Node.js writes them, and nothing is read into a quoted one', () => {
  const names = parseAlternativeNames(
    'DNS:A.example, IP Address:10.0.0.1, URI:spiffe://x/y, DNS:"a\\", DNS:evil", URI:"spiffe://q,r"',
  );
  assert.deepStrictEqual(names, ['a.example', 'spiffe://x/y', 'a", dns:evil', 'spiffe://q,r']);
  assert.deepStrictEqual(parseAlternativeNames(''), []);
  assert.deepStrictEqual(parseAlternativeNames('othername:a"DNS:evil'), []);
  assert.deepStrictEqual(parseAlternativeNames('DNS:"\\x"'), ['']);
});
