import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { pino } from 'pino';
import { checkFeedAccess, loadDialCredentials } from '../../../agent/feed-credentials.ts';
import { FeedTargets } from '../../../agent/feed-targets.ts';
import { Outbox } from '../../../agent/outbox.ts';
import { ConfigurationError, TransientError } from '../../../common/errors.ts';
import { eventually } from '../../support/eventually.ts';
import { rawHello } from '../../support/feed-agent.ts';

const log = pino({ level: 'silent' });

test('every address of every name is fed, and a name that cannot be resolved changes nothing', async () => {
  const nothing = (): void => undefined;
  const observer = {
    ...{ observedToSent: nothing, roundTrip: nothing, sent: nothing, connected: nothing },
    ...{ disconnected: nothing, forgotten: nothing, guardActivated: nothing, dropped: nothing },
    census: nothing,
  };
  const health = () =>
    ({ state: 'lost', reason: '', registryAgeMs: 0, hiddenDelayMs: 0, heldRemovals: 0 }) as const;
  const feeder = { hello: rawHello(), outbox: new Outbox(), health };
  const resolve = (host: string): Promise<readonly string[]> =>
    host === 'feed'
      ? Promise.resolve(['127.0.0.1', '::1'])
      : Promise.reject(new Error('ENOTFOUND'));
  const aggregators = [
    { host: 'feed', port: 1 },
    { host: '127.0.0.2', port: 2 },
    { host: 'missing', port: 3 },
  ];
  const targets = new FeedTargets({ aggregators, access: {}, resolve }, feeder, observer, log);
  const abort = new AbortController();
  const running = targets.run(abort.signal);
  await eventually(() => {
    const addresses = targets.status().map(({ address }) => address);
    assert.deepStrictEqual(addresses, ['127.0.0.1:1', '[::1]:1', '127.0.0.2:2']);
    assert.match(targets.status()[0]?.reason ?? '', /UNAVAILABLE/);
  });
  abort.abort();
  await running;
});

test('access that would expose a token or can never work is a configuration error', () => {
  assert.throws(() => checkFeedAccess({ tokenFile: 'x' }), ConfigurationError);
  assert.throws(() => checkFeedAccess({ tls: { certFile: 'x' } }), /needs its key/);
  checkFeedAccess({ tokenFile: 'x', insecure: true });
  checkFeedAccess({ tokenFile: 'x', tls: {} });
});

test('files that are missing or hold no token are worth another try', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tributary-feed-credentials-'));
  try {
    const file = join(folder, 'token');
    const access = { tokenFile: file, insecure: true };
    await assert.rejects(() => loadDialCredentials(access, 'h'), TransientError);
    writeFileSync(file, 'two words');
    await assert.rejects(() => loadDialCredentials(access, 'h'), /holds no token/);
    writeFileSync(file, 'secret\n');
    const { metadata } = await loadDialCredentials(access, 'h');
    assert.deepStrictEqual(metadata.get('authorization'), ['Bearer secret']);
    const tls = { certFile: file, keyFile: file };
    await assert.rejects(() => loadDialCredentials({ tls }, 'h'), /no usable certificates/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('an aggregator is checked by the name the operator wrote, not by its address', async () => {
  const named = await loadDialCredentials({ tls: {} }, 'feed.example');
  assert.equal(named.options['grpc.ssl_target_name_override'], 'feed.example');
  const numbered = await loadDialCredentials({ tls: {} }, '10.0.0.1');
  assert.deepStrictEqual(numbered.options, {});
  const other = await loadDialCredentials({ tls: { serverName: 'other' } }, '10.0.0.1');
  assert.equal(other.options['grpc.default_authority'], 'other');
});
