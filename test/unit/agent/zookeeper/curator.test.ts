import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isDubboRecord, readCurator } from '../../../../agent/zookeeper/curator.ts';

const read = (value: unknown): ReturnType<typeof readCurator> =>
  readCurator(Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)));

test('nothing, or the address of the writer, is a directory', () => {
  assert.equal(readCurator(null), 'directory');
  for (const text of ['', '127.0.0.1', 'fd00::1']) assert.equal(read(text), 'directory');
});

test('what is no record says why', () => {
  for (const text of ['{', '[]', 'null', '"x"', 'hello']) assert.equal(read(text), 'json', text);
  assert.equal(read(`{"x":"${'x'.repeat(262_144)}"}`), 'too-long');
});

test('the payload is found in both forms, with its class and its metadata as text', () => {
  const metadata = { a: 'text', b: 7, c: true, d: null, e: {} };
  for (const payload of [
    { '@class': 'com.example.Own', metadata },
    ['com.example.Own', { metadata }],
    { '@class': 'com.example.Own', metadata: ['java.util.TreeMap', metadata] },
  ]) {
    const found = read({ payload });
    assert.ok(typeof found !== 'string');
    assert.equal(found.className, 'com.example.Own');
    assert.deepEqual(Object.fromEntries(found.metadata), { a: 'text', b: '7', c: 'true' });
  }
});

test('a payload that is no object is none', () => {
  for (const payload of [null, undefined, 'x', [], [1, 2], ['c', 'x'], { metadata: [] }]) {
    const found = read({ payload });
    assert.ok(typeof found !== 'string');
    assert.equal(found.metadata.size, 0);
    assert.equal(isDubboRecord(found), false);
  }
});

test('a record of Dubbo is told by its class, else by its metadata', () => {
  const metadata = { 'dubbo.endpoints': '[]' };
  const cases: readonly (readonly [unknown, boolean])[] = [
    [{ '@class': 'org.apache.dubbo.registry.zookeeper.ZookeeperInstance' }, true],
    [{ '@class': 'com.alibaba.dubbo.Own' }, true],
    [{ '@class': 'com.example.Own', metadata }, true],
    [{ metadata }, true],
    [{ metadata: { 'dubbo.metadata.revision': '0' } }, true],
    [{ metadata: { 'dubbo.tag': 'gray' } }, false],
    [
      { '@class': 'org.springframework.cloud.zookeeper.discovery.ZookeeperInstance', metadata },
      false,
    ],
    [{ '@class': 'org.springframework.cloud.zookeeper.Other', metadata }, false],
  ];
  for (const [payload, expected] of cases) {
    const found = read({ payload });
    assert.ok(typeof found !== 'string');
    assert.equal(isDubboRecord(found), expected, JSON.stringify(payload));
  }
});

test('no data makes it throw', () => {
  fc.assert(
    fc.property(fc.oneof(fc.json(), fc.string()), (text) => {
      const found = read(text);
      if (typeof found !== 'string') isDubboRecord(found);
    }),
  );
});
