import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OneShotTree } from '../../../../../agent/zookeeper/client/one-shot-tree.ts';
import { exampleInterest } from '../../../../support/tree-recorder.ts';

function opened(): { readonly tree: OneShotTree; readonly log: string[] } {
  const log: string[] = [];
  const tree = new OneShotTree(exampleInterest, {
    needsRead: (path) => log.push(`read ${path}`),
    changed: (path, data) => log.push(`changed ${path} ${data?.toString() ?? '-'}`),
    removed: (path) => log.push(`removed ${path}`),
  });
  tree.start();
  return { tree, log };
}

const taken = (log: string[]): string[] => log.splice(0);

void test('listings lead to further reads and to differences', () => {
  const { tree, log } = opened();
  assert.deepEqual(taken(log), ['read /dubbo', 'read /services']);
  tree.listed('/dubbo', ['i', 'metadata']);
  assert.deepEqual(taken(log), ['read /dubbo/i/providers', 'read /dubbo/i/configurators']);
  tree.listed('/dubbo/i/providers', ['p', 'q']);
  assert.deepEqual(taken(log), [
    'changed /dubbo/i/providers/p -',
    'changed /dubbo/i/providers/q -',
  ]);
  tree.listed('/dubbo/i/providers', ['q', 'r']);
  assert.deepEqual(taken(log), ['removed /dubbo/i/providers/p', 'changed /dubbo/i/providers/r -']);
  tree.listed('/dubbo', []);
  assert.deepEqual(taken(log), ['removed /dubbo/i/providers/q', 'removed /dubbo/i/providers/r']);
  assert.equal(tree.has('/dubbo/i/providers'), false);
});

void test('only what a path needs is read', () => {
  const { tree } = opened();
  tree.listed('/services', ['s']);
  tree.listed('/services/s', ['i']);
  assert.deepEqual(tree.readOf('/services'), { children: true, data: false, existence: false });
  assert.deepEqual(tree.readOf('/services/s/i'), { children: false, data: true, existence: false });
  assert.equal(tree.readOf('/services/x'), undefined);
});

void test('data is reported when it differs', () => {
  const { tree, log } = opened();
  tree.listed('/services', ['s']);
  tree.listed('/services/s', ['i']);
  taken(log);
  tree.found('/services/s/i', Buffer.from('1'));
  tree.found('/services/s/i', Buffer.from('1'));
  tree.found('/services/s/i', Buffer.from('2'));
  assert.deepEqual(taken(log), ['changed /services/s/i 1', 'changed /services/s/i 2']);
});

void test('a listed node that is gone is found again by the next listing', () => {
  const { tree, log } = opened();
  tree.listed('/services', ['s']);
  tree.listed('/services/s', ['i']);
  tree.found('/services/s/i', Buffer.from('1'));
  taken(log);
  assert.equal(tree.absent('/services/s/i'), false);
  tree.listed('/services/s', ['i']);
  assert.deepEqual(taken(log), ['removed /services/s/i', 'read /services/s/i']);
});

void test('a node wanted by name that is gone has to be waited for', () => {
  const { tree, log } = opened();
  tree.listed('/dubbo', ['i']);
  tree.listed('/dubbo/i/providers', ['p']);
  taken(log);
  assert.equal(tree.absent('/dubbo/i/providers'), true);
  assert.equal(tree.absent('/nowhere'), false);
  assert.deepEqual(taken(log), ['removed /dubbo/i/providers/p']);
  tree.listed('/dubbo/i/providers', ['p']);
  assert.deepEqual(taken(log), ['changed /dubbo/i/providers/p -']);
});

void test('answers about forgotten paths change nothing', () => {
  const { tree, log } = opened();
  taken(log);
  tree.listed('/services/x', ['y']);
  tree.found('/services/x/y', null);
  assert.deepEqual(log, []);
});
