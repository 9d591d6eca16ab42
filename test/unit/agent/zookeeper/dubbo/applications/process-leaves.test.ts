import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ProcessLeaves } from '../../../../../../agent/zookeeper/dubbo/applications/process-leaves.ts';
import { leafOf } from './registered.ts';

const leaf = leafOf();
const process = { application: 'orders', address: '192.0.2.1', ports: [20_880, 50_051] };
const nobody = { ...process, application: 'other' };

/** A process's leaves, and how often it was said that their word has changed. */
function startLeaves(): { readonly leaves: ProcessLeaves; readonly news: string[] } {
  const news: string[] = [];
  const leaves = new ProcessLeaves(1000, ({ application, address, port }) => {
    news.push(`${application} ${address}:${port}`);
  });
  return { leaves, news };
}

test('only the first leaf and the last one are news', () => {
  const { leaves } = startLeaves();
  assert.equal(leaves.seen(leaf, 0), true);
  assert.equal(leaves.seen(leaf, 0), false);
  assert.equal(leaves.gone(leaf, 1), false);
  assert.equal(leaves.gone(leaf, 1), true);
  assert.equal(leaves.gone(leaf, 1), false);
  assert.equal(leaves.gone(leafOf({ application: 'other' }), 1), false);
});

test('that there are none can be said once it has lasted', () => {
  const { leaves } = startLeaves();
  assert.equal(leaves.has(process, 500, 1499), undefined);
  assert.equal(leaves.has(process, 500, 1500), false);
});

test('leaves that come and go count once that has lasted', () => {
  const { leaves } = startLeaves();
  leaves.seen(leaf, 0);
  assert.equal(leaves.has(process, 0, 999), undefined);
  assert.equal(leaves.hasAny(process), true);
  assert.equal(leaves.has(process, 0, 1000), true);
  leaves.gone(leaf, 2000);
  assert.equal(leaves.hasAny(process), false);
  assert.equal(leaves.has(process, 0, 2999), undefined);
  assert.equal(leaves.has(process, 0, 3000), false);
});

test('nothing is waited for when everything is known', () => {
  const { leaves } = startLeaves();
  leaves.seen(leaf, 10);
  leaves.settle(20);
  assert.equal(leaves.has(process, 15, 21), true);
  assert.equal(leaves.has(nobody, 15, 21), false);
  leaves.gone(leaf, 30);
  assert.equal(leaves.has(process, 15, 40), undefined);
});

test('what has been none for long is forgotten, what came back is not', () => {
  const { leaves } = startLeaves();
  leaves.seen(leafOf({ application: 'a' }), 0);
  leaves.seen(leafOf({ application: 'b' }), 0);
  leaves.gone(leafOf({ application: 'a' }), 10);
  leaves.gone(leafOf({ application: 'b' }), 10);
  leaves.seen(leafOf({ application: 'b' }), 20);
  assert.equal(leaves.prune(500), 1010);
  assert.equal(leaves.has({ ...process, application: 'a' }, 0, 500), undefined);
  assert.equal(leaves.prune(2000), Infinity);
  leaves.prune(2000);
  assert.equal(leaves.has({ ...process, application: 'a' }, 0, 2000), false);
  assert.equal(leaves.has({ ...process, application: 'b' }, 0, 2000), true);
});

test('a process has the leaves at its own ports only', () => {
  const { leaves } = startLeaves();
  leaves.seen(leafOf({ port: 20_881 }), 0);
  assert.equal(leaves.hasAny(process), false);
  assert.equal(leaves.has(process, 0, 1000), false);
  leaves.seen(leafOf({ port: 50_051 }), 0);
  assert.equal(leaves.hasAny(process), true);
});

test('what goes for all services that take traffic goes for the process', () => {
  const { leaves, news } = startLeaves();
  const word = (): string | undefined => {
    const found = leaves.wordOf(process);
    return found && `${found.traffic} ${found.tag}`;
  };
  const gray = leafOf({ tag: 'gray' });
  const blue = leafOf({ tag: 'blue', port: 50_051 });
  const disabled = leafOf({ isDisabled: true });
  const weightless = leafOf({ weight: 0, tag: 'x' });
  assert.equal(word(), undefined);
  leaves.seen(leaf, 0);
  assert.deepEqual([word(), news], ['taken ', []], 'nothing out of the ordinary is no news');
  leaves.seen(gray, 0);
  leaves.gone(leaf, 0);
  assert.deepEqual([word(), news.length], ['taken gray', 1]);
  leaves.seen(blue, 0);
  assert.equal(word(), 'taken blue', 'of several tags the first by name');
  leaves.seen(disabled, 0);
  assert.equal(word(), 'taken blue', 'who takes no traffic has no say');
  leaves.gone(blue, 0);
  leaves.gone(gray, 0);
  assert.equal(word(), 'disabled ');
  leaves.seen(weightless, 0);
  assert.equal(word(), 'weightless x');
  leaves.gone(weightless, 0);
  assert.equal(word(), 'disabled ');
});

test('a process whose leaf is being replaced is what it was, for a while', () => {
  const { leaves, news } = startLeaves();
  const gray = leafOf({ tag: 'gray' });
  leaves.seen(gray, 0);
  leaves.gone(gray, 10);
  assert.equal(leaves.wordOf(process)?.tag, 'gray');
  leaves.seen(gray, 13);
  leaves.gone(gray, 20);
  const before = news.length;
  leaves.prune(1020);
  assert.equal(leaves.wordOf(process), undefined);
  assert.equal(news.length, before + 1);
});

test('parameters of its own are news', () => {
  const { leaves, news } = startLeaves();
  const parameters = new Map([['env', 'gray']]);
  leaves.seen(leaf, 0);
  leaves.gone(leaf, 0);
  leaves.seen(leafOf({ parameters }), 0);
  assert.equal(leaves.wordOf(process)?.traits.parameters, parameters);
  assert.equal(news.length, 1);
});

test('what comes or goes on another port of a process is news where it can matter', () => {
  const { leaves, news } = startLeaves();
  const word = (): string | undefined => leaves.wordOf(process)?.tag;
  const gray = leafOf({ tag: 'gray', port: 50_051 });
  leaves.seen(leaf, 0);
  leaves.gone(leaf, 0);
  assert.deepEqual(news, []);
  leaves.seen(gray, 0);
  assert.deepEqual([word(), news.length], ['gray', 1]);
  leaves.seen(leaf, 1);
  assert.deepEqual([word(), news.length], ['', 2]);
  leaves.gone(leaf, 2);
  assert.deepEqual([word(), news.length], ['gray', 3]);
  leaves.gone(gray, 3);
  leaves.prune(5000);
  const before = news.length;
  leaves.seen(leaf, 6000);
  assert.deepEqual([word(), news.length], ['', before], 'where all are plain nothing is news');
});
