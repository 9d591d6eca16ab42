import assert from 'node:assert/strict';
import { test } from 'node:test';
import { routeOf } from '../../../../../agent/eureka/push/route.ts';

const replicated = { 'x-netflix-discovery-replication': 'true' };
const kindOf = (method: string, target: string, headers = {}): string =>
  routeOf(method, target, headers).kind;

test('a batch is one under every base path that a server may be given', () => {
  for (const base of ['', '/eureka', '/eureka/v2', '/shop/eureka']) {
    assert.equal(kindOf('POST', `${base}/peerreplication/batch/`), 'batch');
    assert.equal(kindOf('POST', `${base}/peerreplication/batch`), 'batch');
    assert.equal(kindOf('GET', `${base}/peerreplication/batch/`), 'not-a-registry');
  }
});

test('what is asked of a registry is refused in the way that sends servers on', () => {
  for (const [method, target] of [
    ['GET', '/eureka/apps'],
    ['GET', '/eureka/apps/'],
    ['GET', '/eureka/v2/apps/delta?regions=a'],
    ['GET', '/eureka/apps/ORDERS/1'],
    ['GET', '/eureka/vips/orders'],
    ['GET', '/eureka/status'],
    ['POST', '/eureka/apps/ORDERS'],
    ['PUT', '/eureka/apps/ORDERS/1?status=UP'],
    ['DELETE', '/eureka/apps/ORDERS/1'],
    ['PUT', '/eureka/asg/group/status?value=ENABLED'],
  ] as const) {
    assert.equal(kindOf(method, target), 'not-a-registry', `${method} ${target}`);
  }
  assert.equal(kindOf('GET', '/eureka/apps', replicated), 'not-a-registry');
});

test('single calls are taken when a server passes them on', () => {
  assert.deepEqual(routeOf('POST', '/eureka/apps/ORDERS', replicated), {
    kind: 'register',
    app: 'ORDERS',
  });
  for (const [method, target, kind] of [
    ['PUT', '/eureka/apps/orders/h%3A1?status=UP&lastDirtyTimestamp=7', 'heartbeat'],
    ['DELETE', '/eureka/v2/apps/orders/h%3A1', 'cancel'],
    ['PUT', '/eureka/apps/orders/h:1/status?value=DOWN', 'status'],
    ['DELETE', '/eureka/apps/orders/h:1/status?value=UP', 'status-withdrawn'],
  ] as const) {
    const route = routeOf(method, target, replicated);
    assert.equal(route.kind, kind);
    assert.equal('key' in route ? route.key : '', 'ORDERS/h:1');
  }
  assert.equal(kindOf('PUT', '/eureka/asg/group/status?value=DISABLED', replicated), 'ignored');
  assert.equal(kindOf('PUT', '/eureka/apps/orders/1/metadata?a=b', replicated), 'ignored');
});

test('an application may have any name', () => {
  const route = routeOf('DELETE', '/eureka/apps/apps/asg', replicated);
  assert.equal('key' in route ? route.key : '', 'APPS/asg');
});

test('anything else is unknown', () => {
  for (const target of ['/', '/login', 'http://elsewhere/eureka/apps', '*', '/%', '']) {
    assert.equal(kindOf('GET', target), 'unknown', target);
  }
  assert.equal(kindOf('PATCH', '/eureka/apps/A/1', replicated), 'unknown');
  assert.equal(kindOf('POST', '/eureka/apps/A/1/2/3', replicated), 'unknown');
});
