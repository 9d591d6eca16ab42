import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { OneShotTree } from '../../../../../agent/zookeeper/client/one-shot-tree.ts';
import type { OneShotTreeListener } from '../../../../../agent/zookeeper/client/one-shot-tree.ts';
import { exampleInterest } from '../../../../support/tree-recorder.ts';

function opened(portion?: number): { readonly tree: OneShotTree; readonly log: string[] } {
  const log: string[] = [];
  const listener: OneShotTreeListener = {
    needsRead: (path) => log.push(`read ${path}`),
    changed: (path, data) => log.push(`changed ${path} ${data?.toString() ?? '-'}`),
    removed: (path) => log.push(`removed ${path}`),
  };
  const tree = new OneShotTree(exampleInterest, listener, portion);
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

void test('a large listing is looked at in portions', () => {
  const { tree, log } = opened(2);
  tree.listed('/dubbo', ['i']);
  taken(log);
  const providers = '/dubbo/i/providers';
  tree.listed(providers, ['a', 'b', 'c', 'd', 'e']);
  assert.deepEqual(taken(log), [`changed ${providers}/a -`, `changed ${providers}/b -`]);
  assert.equal(tree.isPlanned, false);
  tree.listed(providers, ['b', 'd', 'e', 'f']);
  const next = [`removed ${providers}/a`, `changed ${providers}/d -`, `changed ${providers}/e -`];
  assert.deepEqual(taken(log), next);
  tree.plan();
  assert.deepEqual(taken(log), [`changed ${providers}/f -`]);
  assert.equal(tree.isPlanned, true);
  tree.listed(providers, ['g', 'h', 'i', 'b']);
  taken(log);
  assert.equal(tree.absent(providers), true);
  assert.equal(tree.isPlanned, true);
  const gone = ['g', 'h', 'b'].map((name) => `removed ${providers}/${name}`);
  assert.deepEqual(taken(log).sort(), gone.sort());
});

void test('however listings and portions follow each other, what is told is what was listed last', () => {
  const providers = '/dubbo/i/providers';
  const step = fc.oneof(
    fc.subarray(['a', 'b', 'c', 'd', 'e', 'f']),
    fc.constantFrom('plan' as const, 'absent' as const, 'interface' as const),
  );
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 4 }), fc.array(step), (portion, steps) => {
      const told = new Set<string>();
      const listener: OneShotTreeListener = {
        needsRead: () => undefined,
        changed: (path) => assert.ok(!told.has(path) && told.add(path)),
        removed: (path) => assert.ok(told.delete(path)),
      };
      const tree = new OneShotTree(exampleInterest, listener, portion);
      tree.start();
      tree.listed('/dubbo', ['i']);
      let last: readonly string[] = [];
      for (const one of steps) {
        if (one === 'plan') tree.plan();
        else if (one === 'absent') tree.absent(providers);
        else if (one === 'interface') tree.listed('/dubbo', []);
        else tree.listed(providers, one);
        if (one === 'interface') tree.listed('/dubbo', ['i']);
        if (one === 'absent' || one === 'interface') last = [];
        else if (one !== 'plan') last = one;
      }
      while (!tree.isPlanned) tree.plan();
      assert.deepEqual([...told].sort(), last.map((name) => `${providers}/${name}`).sort());
    }),
  );
});
