import assert from 'node:assert/strict';
import { test } from 'node:test';
import { attentionOf, describeSilence } from '../../../aggregator/attention.ts';
import { renderStatusPage } from '../../../aggregator/status-page.ts';
import type { RegistryId } from '../../../common/registry.ts';
import { fakeRegistry, fakeService, fakeSubscriber } from '../../support/aggregator-view.ts';

const waiting = (id: string) =>
  fakeRegistry({
    id: id as RegistryId,
    isHeard: false,
    state: 'waiting',
    agents: [],
    ageMs: undefined,
  });

test('who is waited for is named, and a long list is cut', () => {
  assert.equal(describeSilence([fakeRegistry(), waiting('dc1/x')]), 'waiting for dc1/x');
  assert.equal(describeSilence([waiting('dc1/x'), waiting('dc1/y')]), 'waiting for dc1/x, dc1/y');
  const many = Array.from({ length: 12 }, (_, number) => waiting(`dc1/r${number}`));
  assert.match(describeSilence(many), /^waiting for dc1\/r0, .*, dc1\/r9 and 2 more$/);
});

test('nobody waits for a registry that is not expected', () => {
  const other = { ...waiting('dc1/x'), isExpected: false };
  assert.equal(describeSilence([other, waiting('dc1/y')]), 'waiting for dc1/y');
});

test('when everybody was heard the first answer is being prepared', () => {
  assert.equal(describeSilence([fakeRegistry()]), 'preparing the first answer');
  const points = attentionOf(
    { isComplete: false, registries: [fakeRegistry()], subscribers: [] },
    [],
  );
  assert.match(points[0]?.text ?? '', /^Preparing the first answer\. /);
});

test('the page says in its head who is waited for, and above all else what needs attention', () => {
  const status = {
    version: '0.1.0',
    uptimeMs: 1000,
    isComplete: false,
    registries: [fakeRegistry(), waiting('dc1/x')],
    serviceCount: 1,
    subscribers: [fakeSubscriber()],
  };
  const list = { filter: '', services: [fakeService()], isCut: false };
  const { body } = renderStatusPage(status, list);
  const head = body.slice(0, body.indexOf('</header>'));
  assert.ok(head.includes('Not ready: waiting for dc1/x'));
  assert.ok(body.includes('never heard of'));
  assert.ok(body.indexOf('Needs attention') < body.indexOf('>Registries<'));
  const fine = renderStatusPage(
    { ...status, isComplete: true, registries: [fakeRegistry()] },
    list,
  ).body;
  const searched = renderStatusPage(status, { ...list, filter: 'orders' }).body;
  assert.ok(searched.indexOf('>Services ') < searched.indexOf('Needs attention'));
  assert.ok(!fine.includes('Not ready'));
  assert.ok(fine.indexOf('Needs attention') > fine.indexOf('>Registries<'));
});

test('a host leads to its explanation', () => {
  const { body } = renderStatusPage(
    {
      version: '0.1.0',
      uptimeMs: 1000,
      isComplete: true,
      registries: [],
      serviceCount: 1,
      subscribers: [],
    },
    { filter: '', services: [fakeService({ host: 'a"b/c' })], isCut: false },
  );
  assert.ok(body.includes('href="/api/services/a%22b%2Fc"'));
});

test('a registry that is not live is told with what is served of it', () => {
  const [agent] = fakeRegistry().agents;
  assert.ok(agent !== undefined);
  const told = (changes: readonly Partial<typeof agent>[]): string => {
    const agents = changes.map((change) => ({ ...agent, ...change }));
    const stale = fakeRegistry({ state: 'stale', agents });
    const status = { isComplete: true, registries: [stale], subscribers: [] };
    return attentionOf(status, [])[0]?.text ?? '';
  };
  assert.match(told([]), /: its last good data is served\. No agent speaks for it\.$/);
  assert.match(
    told([{ isConnected: false, state: 'lost', reason: 'gone' }]),
    /: its last good data is served\. .*: gone$/,
  );
  assert.match(
    told([{ isConnected: true, state: 'suspect', reason: 'no permission' }]),
    /: what its agents doubt or cannot see stays as it was\. .*: no permission$/,
  );
});
