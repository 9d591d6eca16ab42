import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RegistryReport } from '../../../agent/metrics.ts';
import { SourceNotes } from '../../../agent/source-facts.ts';

const quiet: RegistryReport = {
  dropped: () => undefined,
  connected: () => undefined,
  hiddenDelay: () => undefined,
  expiredButListed: () => undefined,
};

test('what a source reports is passed on and kept', () => {
  const seen: unknown[] = [];
  const notes = new SourceNotes();
  const report = notes.readAlong({
    ...quiet,
    connected: (server: string) => seen.push(server),
    hiddenDelay: (ms: number) => seen.push(ms),
    pushItems: (action: string, count: number) => seen.push(action, count),
  });
  report.connected('http://a/');
  report.hiddenDelay(35_000);
  report.expiredButListed(2, ['A/1', 'A/2']);
  report.unresolvedHosts?.(3);
  assert.equal(notes.facts(0).push, undefined, 'nobody has pushed');
  report.pushItems('register', 2);
  report.pushItems('register', 1);
  report.pushPeer?.('10.0.0.1');
  const facts = notes.facts(performance.now());
  assert.equal(facts.server, 'http://a/');
  assert.equal(facts.hiddenDelayMs, 35_000);
  assert.deepEqual(facts.expired, { count: 2, examples: ['A/1', 'A/2'] });
  assert.equal(facts.unresolvedHosts, 3);
  assert.deepEqual(facts.push?.items, { register: 3 });
  assert.deepEqual(
    facts.push.peers.map(({ address }) => address),
    ['10.0.0.1'],
  );
  assert.deepEqual(seen, ['http://a/', 35_000, 'register', 2, 'register', 1]);
});

test('servers that have not pushed for long are not named, and there is no end of names', () => {
  const notes = new SourceNotes();
  const report = notes.readAlong(quiet);
  for (let i = 0; i < 200; i += 1) report.pushPeer?.(`10.0.0.${i}`);
  assert.equal(notes.facts(performance.now()).push?.peers.length, 100);
  assert.equal(notes.facts(performance.now() + 301_000).push?.peers.length, 0);
});
