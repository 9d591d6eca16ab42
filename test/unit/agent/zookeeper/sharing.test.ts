import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Sharing } from '../../../../agent/zookeeper/sharing.ts';

test('equal parts are the same object', () => {
  const sharing = new Sharing();
  assert.equal(sharing.dubbo('a', 'g', '1'), sharing.dubbo('a', 'g', '1'));
  assert.equal(sharing.application('application', 'a'), sharing.application('application', 'a'));
  assert.notEqual(
    sharing.application('application', 'a'),
    sharing.application('dubbo-application', 'a'),
  );
  assert.equal(sharing.ports(['tri', 'dubbo'], 1), sharing.ports(['tri', 'dubbo'], 1));
  assert.equal(sharing.labels([['a', '1']]), sharing.labels([['a', '1']]));
});

test('different parts are never mixed up', () => {
  const sharing = new Sharing();
  assert.deepEqual(sharing.dubbo('ab', '', 'c').group, '');
  assert.deepEqual(sharing.dubbo('a', 'b', 'c').group, 'b');
  assert.deepEqual(sharing.dubbo('a', 'bc', '').version, '');
  assert.equal(sharing.application('application', 'd1:0:a').kind, 'application');
  assert.equal(sharing.dubbo('a', '', '').kind, 'dubbo');
  assert.deepEqual(sharing.labels([['a', '1,b=2']]), { a: '1,b=2' });
  assert.deepEqual(sharing.ports(['dubbo'], 2), [{ protocol: 'dubbo', number: 2 }]);
});

test('sharing is bounded', () => {
  const sharing = new Sharing();
  const first = sharing.application('application', 'first');
  for (let index = 0; index < 50_001; index++) sharing.application('application', `app-${index}`);
  const again = sharing.application('application', 'first');
  assert.notEqual(again, first);
  assert.deepEqual(again, first);
});
