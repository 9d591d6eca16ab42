import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RegistrationCounts } from '../../../../../../agent/zookeeper/dubbo/applications/registration-counts.ts';
import { RegistrationIndex } from '../../../../../../agent/zookeeper/dubbo/applications/registration-index.ts';
import {
  Registration,
  Revisions,
} from '../../../../../../agent/zookeeper/dubbo/applications/registration.ts';
import { recordOf, registration } from './registered.ts';

const record = recordOf(registration({}));
const node = (path: string): Registration => new Registration(path, record, 0);
const noServices = { services: [], isInferred: false };

test('registrations of one revision share it', () => {
  const revisions = new Revisions();
  const [a, b] = [node('a'), node('b')];
  const revision = revisions.show(a, 'orders', 'r1');
  assert.equal(revisions.show(b, 'orders', 'r1'), revision);
  assert.notEqual(revisions.show(node('c'), 'shop', 'r1'), revision);
  assert.equal(revisions.leave(a), undefined);
  assert.equal(revisions.leave(a), undefined);
  assert.equal(revisions.leave(b), revision);
});

test('a revision that was never known is forgotten with its last registration', () => {
  const revisions = new Revisions();
  const a = node('a');
  const revision = revisions.show(a, 'orders', 'r1');
  revisions.leave(a);
  assert.notEqual(revisions.show(a, 'orders', 'r1'), revision);
});

function retire(revisions: Revisions, name: string, services: number): void {
  const a = node(name);
  const parameters = new Map<string, string>();
  const service = {
    root: '',
    interfaceName: 'a',
    group: '',
    version: '',
    protocol: '',
    port: 0,
    parameters,
  };
  const resolution = {
    services: Array.from({ length: services }, () => service),
    isInferred: false,
  };
  revisions.show(a, 'orders', name).resolution = resolution;
  revisions.leave(a);
}

function isKnown(revisions: Revisions, name: string): boolean {
  const a = node(name);
  const { resolution } = revisions.show(a, 'orders', name);
  revisions.leave(a);
  return resolution !== undefined;
}

test('revisions that nobody shows are kept up to a number, the longest unused go', () => {
  const revisions = new Revisions();
  for (let i = 0; i <= 20_000; i += 1) {
    const a = node(String(i));
    revisions.show(a, 'orders', `r${i}`).resolution = noServices;
    revisions.leave(a);
  }
  assert.deepEqual([isKnown(revisions, 'r0'), isKnown(revisions, 'r1')], [false, true]);
});

test('revisions that nobody shows are kept up to a number of services', () => {
  const revisions = new Revisions();
  for (const name of ['r1', 'r2', 'r3']) retire(revisions, name, 20_000);
  assert.deepEqual(
    ['r1', 'r2', 'r3'].map((name) => isKnown(revisions, name)),
    [false, true, true],
  );
});

test('registrations are found by application and address', () => {
  const index = new RegistrationIndex();
  const [a, b] = [node('a'), node('b')];
  index.add(a);
  index.add(b);
  assert.deepEqual([...index.at('orders', '192.0.2.1')], [a, b]);
  index.delete(a);
  assert.deepEqual([...index.at('orders', '192.0.2.1')], [b]);
  assert.deepEqual([index.get('a'), index.get('b')], [undefined, b]);
  index.delete(b);
  index.delete(b);
  assert.deepEqual([...index.at('orders', '192.0.2.1')], []);
});

test('counts are told once for all changes of a turn', async () => {
  const told: (readonly number[])[] = [];
  const counts = new RegistrationCounts((...numbers) => told.push(numbers));
  const [a, b] = [node('a'), node('b')];
  counts.move(a, 'unresolved');
  counts.move(b, 'inferred');
  counts.move(b, 'inferred');
  await new Promise((resolve) => setImmediate(resolve));
  counts.move(a, 'resolved');
  counts.move(b, 'unresolved');
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(told, [
    [1, 1],
    [1, 0],
  ]);
});
