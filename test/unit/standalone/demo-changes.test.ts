import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeChanges } from '../../../standalone/demo-changes.ts';
import type { DemoServiceEntry } from '../../../standalone/demo-changes.ts';

type Endpoint = DemoServiceEntry['endpoints'][number];

function endpoint(address: string, fields: Partial<Endpoint> = {}): Endpoint {
  return { address, ports: { http: 8080 }, labels: {}, locality: '', weight: 0, ...fields };
}

function services(entries: Readonly<Record<string, readonly Endpoint[]>>, vip = '240.0.0.1') {
  return new Map(
    Object.entries(entries).map(([host, endpoints]): [string, DemoServiceEntry] => [
      host,
      {
        hosts: [host],
        addresses: [vip],
        ports: [{ number: 80, protocol: 'HTTP', name: 'http' }],
        endpoints,
      },
    ]),
  );
}

const none = services({});

test('a new service is shown with its address, port and endpoints', () => {
  const now = services({
    'b.test': [],
    'a.test': [
      endpoint('10.0.0.2', { weight: 10, locality: 'r/z', labels: { version: '2', b: '1' } }),
      endpoint('10.0.0.1', { ports: {} }),
    ],
  });
  assert.deepEqual(describeChanges(none, now), [
    '+ a.test  240.0.0.1:80 HTTP  2 endpoints',
    '    + 10.0.0.1:80',
    '    + 10.0.0.2:8080  r/z  weight 10  b=1 version=2',
    '+ b.test  240.0.0.1:80 HTTP  no endpoints',
  ]);
});

test('what has not changed is not shown', () => {
  const state = services({ 'a.test': [endpoint('10.0.0.1'), endpoint('10.0.0.2')], 'b.test': [] });
  assert.deepEqual(describeChanges(state, state), []);
  const turned = services({ 'b.test': [], 'a.test': [endpoint('10.0.0.2'), endpoint('10.0.0.1')] });
  assert.deepEqual(describeChanges(state, turned), []);
});

test('of a changed service only what changed is shown', () => {
  const before = services({
    'a.test': [
      endpoint('10.0.0.1', { weight: 10, labels: { version: '1' } }),
      endpoint('10.0.0.2'),
      endpoint('10.0.0.3'),
    ],
  });
  const after = services({
    'a.test': [
      endpoint('10.0.0.1', { weight: 20 }),
      endpoint('10.0.0.3'),
      endpoint('2001:db8::1', { locality: 'r/z' }),
    ],
  });
  assert.deepEqual(describeChanges(before, after), [
    '~ a.test  240.0.0.1:80 HTTP  3 endpoints',
    '    ~ 10.0.0.1:8080  weight 10 -> weight 20  version=1 -> nothing',
    '    - 10.0.0.2:8080',
    '    + [2001:db8::1]:8080  r/z',
  ]);
});

test('a service that goes and one whose address moves are shown', () => {
  const before = services({ 'a.test': [endpoint('10.0.0.1')], 'b.test': [] });
  const after = services({ 'a.test': [endpoint('10.0.0.1')] }, '240.0.0.2');
  assert.deepEqual(describeChanges(before, after), [
    '~ a.test  240.0.0.2:80 HTTP  1 endpoint',
    '- b.test',
  ]);
});
