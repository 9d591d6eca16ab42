import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Claim } from '../../../../agent/zookeeper/description.ts';
import { EndpointTable } from '../../../../agent/zookeeper/endpoints.ts';
import type { SweptNode } from '../../../../agent/zookeeper/endpoints.ts';
import type { NodeReading, Reading } from '../../../../agent/zookeeper/reading.ts';
import type { Instance } from '../../../../common/instance.ts';

/** A node `/r/<id>/<order>` vouches for `id`; data `bad`, `other` or none say what they say. */
const reading: Reading = {
  roots: ['/r'],
  want: () => ({ node: true, data: true, children: true }),
  read(path, data): NodeReading {
    const text = data?.toString() ?? '';
    if (text === 'bad') return { kind: 'dropped', reason: 'json', record: path };
    if (text === 'other') return { kind: 'ignored', what: 'not-a-provider' };
    if (text === '') return { kind: 'ignored', what: 'directory' };
    const [, , id = '', order = '0'] = path.split('/');
    return { kind: 'endpoint', instance: instance(id, text), order: Number.parseInt(order) };
  },
};

function instance(id: string, address: string): Instance {
  const service = { kind: 'application', name: id, group: '', version: '' } as const;
  const base = { id, service, address, ports: [], labels: {}, locality: '', weight: 0 };
  return { ...base, status: 'UP' };
}

function table(): { table: EndpointTable; told: string[] } {
  const told: string[] = [];
  const observer = {
    dropped: (reason: string, record: string) => told.push(`${reason} ${record}`),
    ignored: (what: string, path: string) => told.push(`${what} ${path}`),
    counted: () => undefined,
    fact: () => undefined,
    factGone: () => undefined,
    joined: () => undefined,
    left: () => undefined,
  };
  return { table: new EndpointTable([reading], observer), told };
}

const data = (text: string): Buffer => Buffer.from(text);
const sweptOf = (endpoints: EndpointTable): readonly SweptNode[] =>
  [...endpoints.swept()].filter((node) => node !== undefined);

test('the newest node describes the endpoint; of two as old the one that came last', () => {
  const { table: endpoints } = table();
  const shown = (): string | undefined => endpoints.current('a')?.instance.address;
  endpoints.set('/r/a/2x', data('two-x'));
  endpoints.set('/r/a/1', data('one'));
  assert.equal(shown(), 'two-x');
  endpoints.set('/r/a/2y', data('two-y'));
  assert.equal(shown(), 'two-y');
  endpoints.set('/r/a/2z', data('two-z'));
  assert.equal(shown(), 'two-z');
  endpoints.set('/r/a/2x', data('again'));
  assert.equal(shown(), 'again', 'who says something new came last');
  endpoints.delete('/r/a/2x');
  assert.equal(shown(), 'two-z');
});

test('what came in one snapshot came in no order, and behind what was known', () => {
  const shown = (...ids: readonly string[]): string | undefined => {
    const { table: endpoints } = table();
    endpoints.set('/r/a/2old', data('old'));
    endpoints.beginSweep();
    for (const id of ids) endpoints.set(`/r/a/2${id}`, data(id));
    endpoints.set('/r/a/2old', data('old'));
    assert.deepEqual(sweptOf(endpoints), []);
    const inSnapshot = endpoints.current('a')?.instance.address;
    endpoints.set('/r/a/2live', data('live'));
    assert.equal(endpoints.current('a')?.instance.address, 'live');
    return inSnapshot;
  };
  assert.notEqual(shown('x', 'y'), 'old');
  assert.equal(shown('x', 'y'), shown('y', 'x'));
});

test('what a snapshot does not name has gone, unless it is kept', () => {
  const { table: endpoints } = table();
  for (const id of ['a', 'b', 'c', 'd']) endpoints.set(`/r/${id}/1`, data('x'));
  endpoints.takeMarked();
  endpoints.beginSweep();
  endpoints.set('/r/a/1', data('x'));
  endpoints.set('/r/d/1', data('y'));
  endpoints.keep('/r/b/1');
  endpoints.keep('/r/unknown');
  const swept = sweptOf(endpoints);
  assert.deepEqual(
    swept.map(({ directory }) => directory),
    ['/r/c'],
  );
  for (const node of swept) endpoints.sweep(node);
  for (const node of swept) endpoints.sweep(node);
  assert.deepEqual([...endpoints.takeMarked()], ['d', 'c']);
  assert.equal(endpoints.current('c'), undefined);
  assert.equal(endpoints.current('b')?.instance.address, 'x');
  assert.deepEqual(endpoints.lastPaths('c'), []);
});

test('an endpoint ends with its last node, and its paths are remembered', () => {
  const { table: endpoints } = table();
  endpoints.set('/r/a/1', data('one'));
  endpoints.set('/r/a/2', data('two'));
  endpoints.delete('/r/a/1');
  assert.equal(endpoints.lastPaths('a'), undefined);
  endpoints.delete('/r/a/2');
  assert.equal(endpoints.current('a'), undefined);
  assert.deepEqual(endpoints.lastPaths('a'), ['/r/a/1', '/r/a/2']);
  endpoints.set('/r/a/3', data('three'));
  assert.equal(endpoints.lastPaths('a'), undefined);
  endpoints.settle('a');
  endpoints.delete('/r/a/3');
  assert.deepEqual(endpoints.lastPaths('a'), ['/r/a/3']);
  assert.equal(endpoints.lastPaths('never'), undefined);
});

test('only what may have changed is marked', () => {
  const { table: endpoints } = table();
  endpoints.set('/r/a/1', data('one'));
  endpoints.set('/r/b/1', data('one'));
  assert.deepEqual([...endpoints.takeMarked()], ['a', 'b']);
  endpoints.set('/r/a/1', data('one'));
  endpoints.delete('/r/c/1');
  assert.deepEqual([...endpoints.takeMarked()], []);
  endpoints.set('/r/a/1', data('other address'));
  assert.deepEqual([...endpoints.takeMarked()], ['a']);
});

test('unreadable data keeps the last good reading, and is told once', () => {
  const { table: endpoints, told } = table();
  endpoints.set('/r/a/1', data('good'));
  for (const text of ['bad', 'bad', '']) endpoints.set('/r/a/1', data(text));
  assert.equal(endpoints.current('a')?.instance.address, 'good');
  assert.deepEqual(told, ['json /r/a/1', 'json /r/a/1']);
  endpoints.set('/r/a/1', data('better'));
  assert.equal(endpoints.current('a')?.instance.address, 'better');
  endpoints.delete('/r/a/1');
  assert.equal(endpoints.current('a'), undefined);
});

test('unreadable data of a node that was never good is no endpoint', () => {
  const { table: endpoints, told } = table();
  endpoints.set('/r/a/1', data('bad'));
  assert.equal(endpoints.current('a'), undefined);
  assert.deepEqual([...endpoints.takeMarked()], []);
  endpoints.delete('/r/a/1');
  endpoints.set('/r/a/1', data('bad'));
  assert.deepEqual(told, ['json /r/a/1', 'json /r/a/1']);
});

test('a node that turns into something else takes its endpoint with it', () => {
  const { table: endpoints, told } = table();
  endpoints.set('/r/a/1', data('good'));
  endpoints.set('/r/a/1', data('other'));
  assert.equal(endpoints.current('a'), undefined);
  assert.deepEqual(told, ['not-a-provider /r/a/1']);
});

test('a directory is no record, and told as what it is', () => {
  const { table: endpoints, told } = table();
  endpoints.set('/r/a', null);
  endpoints.set('/elsewhere', data('x'));
  assert.deepEqual(told, ['directory /r/a']);
  endpoints.beginSweep();
  assert.equal(sweptOf(endpoints).length, 1);
});

test('what is remembered of the past is bounded', () => {
  const { table: endpoints } = table();
  for (let order = 1; order <= 20; order++) endpoints.set(`/r/a/${order}`, data('x'));
  for (let order = 1; order <= 20; order++) endpoints.delete(`/r/a/${order}`);
  assert.equal(endpoints.lastPaths('a')?.length, 8);
  for (let index = 0; index < 10_000; index++) {
    endpoints.set(`/r/e${index}/1`, data('x'));
    endpoints.delete(`/r/e${index}/1`);
  }
  assert.equal(endpoints.lastPaths('a'), undefined);
  assert.deepEqual(endpoints.lastPaths('e0'), ['/r/e0/1']);
});

/** A table over nodes `/f/<name>`, whose data is a fact, and `/r/...` as above; what its observer was told. */
function factual(): { table: EndpointTable; told: string[] } {
  const told: string[] = [];
  const facts: Reading = {
    roots: ['/f'],
    want: () => ({ node: true, data: true, children: true }),
    read: (path, data) => {
      if (data?.toString() === 'other') return { kind: 'ignored', what: 'not-a-provider' };
      if (data?.toString() === 'bad') return { kind: 'dropped', reason: 'json', record: path };
      return { kind: 'fact', fact: { kind: 'rules', rules: [] } };
    },
  };
  const observer = {
    dropped: (reason: string, record: string) => told.push(`${reason} ${record}`),
    ignored: () => undefined,
    counted: (before = 'nothing', now = 'nothing') => told.push(`${before} -> ${now}`),
    fact: (_key: string, path: string) => told.push(`fact ${path}`),
    factGone: () => told.push('fact gone'),
    joined: ({ id, address }: Instance) => told.push(`joined ${id} ${address}`),
    left: ({ id, address }: Instance) => told.push(`left ${id} ${address}`),
  };
  return { table: new EndpointTable([reading, facts], observer), told };
}

const claim = (id: string, address: string): Claim => ({
  instance: instance(id, address),
  traits: undefined,
});

test('what is claimed for a node lives as long as the node and the claim', () => {
  const { table: endpoints } = factual();
  endpoints.claim('/f/none', [claim('a', 'nobody')]);
  assert.equal(endpoints.current('a'), undefined);
  endpoints.set('/f/x', data('1'));
  endpoints.claim('/f/x', [claim('a', 'one'), claim('b', 'one')]);
  assert.equal(endpoints.current('a')?.instance.address, 'one');
  endpoints.claim('/f/x', [claim('b', 'two')]);
  assert.equal(endpoints.current('a'), undefined);
  assert.deepEqual(endpoints.lastPaths('a'), []);
  assert.equal(endpoints.current('b')?.instance.address, 'two');
  endpoints.set('/f/x', data('2'));
  assert.equal(endpoints.current('b')?.instance.address, 'two');
  assert.deepEqual([...endpoints.takeMarked()].sort(), ['a', 'b']);
  endpoints.delete('/f/x');
  assert.equal(endpoints.current('b'), undefined);
  assert.deepEqual(endpoints.lastPaths('b'), ['/f/x']);
});

test('a node of its own describes an endpoint before what is claimed for another', () => {
  const { table: endpoints } = factual();
  endpoints.set('/f/x', data('1'));
  endpoints.claim('/f/x', [claim('a', 'claimed')]);
  endpoints.set('/r/a/0', data('own'));
  assert.equal(endpoints.current('a')?.instance.address, 'own');
  endpoints.delete('/r/a/0');
  assert.equal(endpoints.current('a')?.instance.address, 'claimed');
});

test('a swept node takes its claims along', () => {
  const { table: endpoints } = factual();
  endpoints.set('/f/x', data('1'));
  endpoints.claim('/f/x', [claim('a', 'one')]);
  endpoints.beginSweep();
  for (const node of sweptOf(endpoints)) endpoints.sweep(node);
  assert.equal(endpoints.current('a'), undefined);
  assert.deepEqual(endpoints.lastPaths('a'), []);
});

test('facts and own endpoints are told when they come, change and go', () => {
  const { table: endpoints, told } = factual();
  endpoints.set('/f/x', data('1'));
  endpoints.set('/f/x', data('bad'));
  endpoints.claim('/f/x', [claim('c', 'one')]);
  endpoints.set('/f/x', data('other'));
  assert.equal(endpoints.current('c'), undefined);
  endpoints.delete('/f/x');
  endpoints.set('/r/a/1', data('one'));
  endpoints.set('/r/a/1', data('two'));
  endpoints.delete('/r/a/1');
  assert.deepEqual(told, [
    'nothing -> fact',
    'fact /f/x',
    'json /f/x',
    'fact gone',
    'fact -> not-a-provider',
    'not-a-provider -> nothing',
    'joined a one',
    'left a one',
    'joined a two',
    'left a two',
  ]);
});

test('endpoints that are so can be marked', () => {
  const { table: endpoints } = factual();
  endpoints.set('/r/a/1', data('one'));
  for (let number = 0; number < 2_000; number++) endpoints.set(`/r/${number}/1`, data('two'));
  endpoints.delete('/r/7/1');
  endpoints.takeMarked();
  const steps = [...endpoints.mark(({ instance: { address } }) => address === 'one')];
  assert.ok(steps.length >= 2);
  assert.deepEqual([...endpoints.takeMarked()], ['a']);
});
