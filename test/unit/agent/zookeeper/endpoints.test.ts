import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EndpointTable } from '../../../../agent/zookeeper/endpoints.ts';
import type { NodeReading, Reading } from '../../../../agent/zookeeper/reading.ts';
import type { Instance } from '../../../../common/instance.ts';

/** A node `/r/<id>/<order>` vouches for `id`; data `bad`, `other` or none say what they say. */
const reading: Reading = {
  roots: ['/r'],
  want: () => ({ node: true, data: true, children: true }),
  read(path, data): NodeReading {
    const text = data?.toString() ?? '';
    if (text === 'bad') return { kind: 'dropped', reason: 'json', record: path };
    if (text === 'other') return { kind: 'ignored', what: 'dubbo-instance' };
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
  };
  return { table: new EndpointTable([reading], observer), told };
}

const data = (text: string): Buffer => Buffer.from(text);

test('the newest node describes the endpoint; of two as old always the same one does', () => {
  const { table: endpoints } = table();
  endpoints.set('/r/a/2x', data('two-x'));
  endpoints.set('/r/a/1', data('one'));
  assert.equal(endpoints.current('a')?.address, 'two-x');
  endpoints.set('/r/a/2y', data('two-y'));
  const { table: others } = table();
  others.set('/r/a/2y', data('two-y'));
  others.set('/r/a/2x', data('two-x'));
  assert.equal(endpoints.current('a')?.address, others.current('a')?.address);
  endpoints.delete('/r/a/2y');
  assert.equal(endpoints.current('a')?.address, 'two-x');
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
  const swept = [...endpoints.swept()];
  assert.deepEqual(
    swept.map(({ directory }) => directory),
    ['/r/c'],
  );
  for (const node of swept) endpoints.sweep(node);
  for (const node of swept) endpoints.sweep(node);
  assert.deepEqual([...endpoints.takeMarked()], ['d', 'c']);
  assert.equal(endpoints.current('c'), undefined);
  assert.equal(endpoints.current('b')?.address, 'x');
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
  assert.equal(endpoints.current('a')?.address, 'good');
  assert.deepEqual(told, ['json /r/a/1', 'json /r/a/1']);
  endpoints.set('/r/a/1', data('better'));
  assert.equal(endpoints.current('a')?.address, 'better');
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
  assert.deepEqual(told, ['dubbo-instance /r/a/1']);
});

test('a directory is no record, and told as what it is', () => {
  const { table: endpoints, told } = table();
  endpoints.set('/r/a', null);
  endpoints.set('/elsewhere', data('x'));
  assert.deepEqual(told, ['directory /r/a']);
  endpoints.beginSweep();
  assert.equal([...endpoints.swept()].length, 1);
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
