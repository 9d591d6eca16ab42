import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Emission } from '../../../../agent/zookeeper/emission.ts';
import { Processes } from '../../../../agent/zookeeper/processes.ts';
import type { Instance } from '../../../../common/instance.ts';

function instance(address: string): Instance {
  const service = { kind: 'application', name: 'a', group: '', version: '' } as const;
  const base = { id: 'a', service, address, ports: [], labels: {}, locality: '', weight: 0 };
  return { ...base, status: 'UP' };
}

const one = instance('192.0.2.1');
const removal = { kind: 'removal', id: 'a' };

test('additions and changes are said at once, equal descriptions never', () => {
  const emission = new Emission(100);
  assert.deepEqual(emission.update('a', one, 0), { kind: 'upsert', instance: one });
  assert.equal(emission.update('a', one, 1), undefined);
  assert.equal(emission.update('a', instance('192.0.2.1'), 2), undefined);
  const moved = instance('192.0.2.2');
  assert.deepEqual(emission.update('a', moved, 3), { kind: 'upsert', instance: moved });
  assert.equal(emission.size, 1);
});

test('a removal is said when it has waited, with the time of its observation', () => {
  const emission = new Emission(100);
  emission.update('a', one, 0);
  assert.equal(emission.update('a', undefined, 10), undefined);
  assert.equal(emission.update('a', undefined, 50), undefined);
  assert.equal(emission.nextDueAt(), 110);
  assert.deepEqual(emission.takeDue(109), { changes: [], observedAt: 109 });
  assert.deepEqual([...new Map(emission.instances()).keys()], ['a']);
  assert.deepEqual(emission.takeDue(110), { changes: [removal], observedAt: 10 });
  assert.equal(emission.nextDueAt(), undefined);
  assert.equal(emission.size, 0);
});

test('an endpoint that comes back in time was never gone', () => {
  const emission = new Emission(100);
  emission.update('a', one, 0);
  emission.update('a', undefined, 10);
  assert.equal(emission.update('a', instance('192.0.2.1'), 20), undefined);
  assert.equal(emission.nextDueAt(), undefined);
  assert.deepEqual(emission.takeDue(1_000).changes, []);
});

test('an endpoint that comes back after its removal is added again', () => {
  const emission = new Emission(0);
  emission.update('a', one, 0);
  emission.update('a', undefined, 10);
  assert.deepEqual(emission.takeDue(10).changes, [removal]);
  assert.deepEqual(emission.update('a', one, 11), { kind: 'upsert', instance: one });
});

test('what was never said is not taken back', () => {
  const emission = new Emission(0);
  assert.equal(emission.update('a', undefined, 0), undefined);
  assert.deepEqual(emission.takeDue(1_000).changes, []);
});

test('removals wait while they are held, and anew afterwards', () => {
  const emission = new Emission(100);
  emission.update('a', one, 0);
  emission.update('a', undefined, 10);
  emission.hold();
  assert.equal(emission.nextDueAt(), undefined);
  assert.deepEqual(emission.takeDue(5_000).changes, []);
  emission.resume(5_000);
  emission.resume(5_050);
  assert.equal(emission.nextDueAt(), 5_100);
  assert.deepEqual(emission.takeDue(5_100), { changes: [removal], observedAt: 10 });
});

test('processes are told of every endpoint', () => {
  const processes = new Processes(1000);
  const emission = new Emission(100, processes);
  const counts = (now: number): string => {
    const { processes: vanished, of } = processes.vanished(now);
    return `${vanished} of ${of}`;
  };
  emission.update('a', one, 0);
  assert.equal(counts(0), '0 of 1');
  emission.update('a', undefined, 10);
  assert.equal(counts(10), '1 of 1');
  emission.update('a', one, 20);
  assert.equal(counts(20), '0 of 1');
  emission.update('a', instance('192.0.2.2'), 30);
  assert.equal(counts(30), '0 of 1');
  emission.update('a', undefined, 40);
  emission.takeDue(140);
  assert.equal(counts(140), '1 of 1');
  assert.equal(counts(1040), '0 of 0');
});
