import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Processes } from '../../../../agent/zookeeper/processes.ts';
import type { Instance } from '../../../../common/instance.ts';

const windowMs = 1000;

function endpoint(name: string, address: string, port = 20_880): Instance {
  return {
    id: `${name}@${address}:${port}`,
    service: { kind: 'dubbo', name, group: '', version: '' },
    address,
    ports: port === 0 ? [] : [{ protocol: 'dubbo', number: port }],
    labels: {},
    locality: '',
    weight: 0,
    status: 'UP',
  };
}

test('a process has vanished when its last endpoint leaves, not before', () => {
  const processes = new Processes(windowMs);
  const [a, b] = [endpoint('a', '10.0.0.1'), endpoint('b', '10.0.0.1')];
  for (const each of [a, b, endpoint('a', '10.0.0.2')]) processes.said(undefined, each);
  processes.leaving(a, 0);
  processes.gone(a);
  assert.deepStrictEqual(processes.vanished(0), { addresses: 0, processes: 0, of: 2 });
  processes.leaving(b, 10);
  assert.deepStrictEqual(processes.vanished(10), { addresses: 1, processes: 1, of: 2 });
  processes.gone(b);
  assert.deepStrictEqual(processes.vanished(10), { addresses: 1, processes: 1, of: 2 });
  assert.deepStrictEqual(processes.vanished(1010), { addresses: 0, processes: 0, of: 1 });
});

test('a service that is retired makes no process vanish', () => {
  const processes = new Processes(windowMs);
  const retired = Array.from({ length: 9 }, (_, index) => endpoint('a', `10.0.0.${index}`));
  for (const each of retired) {
    processes.said(undefined, each);
    processes.said(undefined, { ...each, service: { ...each.service, name: 'b' } });
  }
  for (const each of retired) processes.leaving(each, 0);
  assert.deepStrictEqual(processes.vanished(0), { addresses: 0, processes: 0, of: 9 });
});

test('a process that is back, by an old endpoint or by a new one, has not vanished', () => {
  const processes = new Processes(windowMs);
  const [a, b] = [endpoint('a', '10.0.0.1'), endpoint('a', '10.0.0.2')];
  processes.said(undefined, a);
  processes.said(undefined, b);
  processes.leaving(a, 0);
  processes.leaving(b, 0);
  assert.equal(processes.vanished(0).processes, 2);
  processes.staying(a);
  assert.deepStrictEqual(processes.vanished(0), { addresses: 1, processes: 1, of: 2 });
  processes.gone(b);
  processes.said(undefined, endpoint('c', '10.0.0.2'));
  assert.deepStrictEqual(processes.vanished(0), { addresses: 0, processes: 0, of: 2 });
});

test('several processes of one address are one address', () => {
  const processes = new Processes(windowMs);
  for (const port of [1, 2, 0]) {
    const each = endpoint('a', '10.0.0.1', port);
    processes.said(undefined, each);
    processes.leaving(each, 0);
  }
  assert.deepStrictEqual(processes.vanished(0), { addresses: 1, processes: 3, of: 3 });
  processes.staying(endpoint('a', '10.0.0.1', 2));
  assert.deepStrictEqual(processes.vanished(0), { addresses: 1, processes: 2, of: 3 });
});

test('an endpoint that moves leaves its process without making it vanish', () => {
  const processes = new Processes(windowMs);
  const [before, after] = [endpoint('a', '10.0.0.1', 1), endpoint('a', '10.0.0.1', 2)];
  processes.said(undefined, before);
  processes.said(before, { ...before, weight: 7 });
  processes.said(before, after);
  assert.deepStrictEqual(processes.vanished(0), { addresses: 0, processes: 0, of: 1 });
  for (const unknown of [before, endpoint('x', '10.9.9.9')]) {
    processes.leaving(unknown, 0);
    processes.staying(unknown);
    processes.gone(unknown);
  }
  assert.deepStrictEqual(processes.vanished(0), { addresses: 0, processes: 0, of: 1 });
});

type Step =
  | { readonly kind: 'toggle' | 'depart'; readonly service: number; readonly process: number }
  | { readonly kind: 'wait'; readonly ms: number };

test('after any history it counts what a plain look at the endpoints counts', () => {
  const at = { service: fc.nat(2), process: fc.nat(5) };
  const step: fc.Arbitrary<Step> = fc.oneof(
    fc.record({ kind: fc.constantFrom('toggle', 'depart'), ...at }),
    fc.record({ kind: fc.constant('wait'), ms: fc.nat(600) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      const processes = new Processes(windowMs);
      const states = new Map<string, { process: number; isLeaving: boolean }>();
      const vanishedAt = new Map<number, number>();
      let now = 0;
      for (const step of steps) {
        if (step.kind === 'wait') now += step.ms;
        else {
          const instance = endpoint(
            `s${step.service}`,
            `10.0.0.${step.process >> 1}`,
            step.process,
          );
          const state = states.get(instance.id);
          if (state === undefined) {
            if (step.kind === 'depart') continue;
            processes.said(undefined, instance);
            states.set(instance.id, { process: step.process, isLeaving: false });
          } else if (step.kind === 'depart') {
            if (!state.isLeaving) continue;
            processes.gone(instance);
            states.delete(instance.id);
          } else if (state.isLeaving) {
            processes.staying(instance);
            state.isLeaving = false;
          } else {
            processes.leaving(instance, now);
            state.isLeaving = true;
          }
          const own = [...states.values()].filter(({ process }) => process === step.process);
          if (own.some(({ isLeaving }) => !isLeaving)) vanishedAt.delete(step.process);
          else if (!vanishedAt.has(step.process)) vanishedAt.set(step.process, now);
        }
        for (const [process, time] of vanishedAt) {
          if (time <= now - windowMs) vanishedAt.delete(process);
        }
        const known = new Set([...states.values()].map(({ process }) => process));
        assert.deepStrictEqual(processes.vanished(now), {
          addresses: new Set([...vanishedAt.keys()].map((process) => process >> 1)).size,
          processes: vanishedAt.size,
          of: new Set([...known, ...vanishedAt.keys()]).size,
        });
      }
    }),
  );
});
