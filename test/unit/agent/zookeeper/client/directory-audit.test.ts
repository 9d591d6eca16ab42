import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DirectoryAudit } from '../../../../../agent/zookeeper/client/directory-audit.ts';
import type { ReadResult } from '../../../../../agent/zookeeper/client/wire.ts';

const listedAt = 50n;

function stat(children: number, changes: number, changedAt = 1n): ReadResult {
  return { error: 0, children: [], data: null, stat: { children, changes, changedAt } };
}

function failed(error: number): ReadResult {
  return { error, children: [], data: null };
}

function auditOf(directories: Readonly<Record<string, number>>): DirectoryAudit {
  const audit = new DirectoryAudit(1000);
  for (const [path, children] of Object.entries(directories))
    audit.listed(path, children, listedAt);
  audit.begin(0);
  return audit;
}

function look(audit: DirectoryAudit, path: string, result: ReadResult): string | undefined {
  return audit.judge([path], [result], 100)?.kind;
}

test('all have their turn, none more often than allowed', () => {
  const paths = Array.from({ length: 25 }, (_, index) => `/d${index}`);
  const audit = auditOf(Object.fromEntries(paths.map((path) => [path, 0])));
  assert.deepEqual(audit.next(999), [], 'they have just been read');
  assert.deepEqual(audit.next(1000), paths.slice(0, 10));
  assert.deepEqual(audit.next(1001), paths.slice(10, 20));
  assert.deepEqual(audit.next(1002), paths.slice(20));
  assert.deepEqual(audit.next(1999), []);
  assert.deepEqual(audit.next(2000), paths.slice(0, 10));
});

test('what comes and goes in a round is in it or not', () => {
  const audit = auditOf(
    Object.fromEntries(Array.from({ length: 12 }, (_, index) => [`/d${index}`, 0])),
  );
  assert.equal(audit.next(1000).length, 10);
  audit.deleted('/d10', '/');
  audit.add('/new');
  assert.deepEqual(audit.next(1001), ['/d11', '/new']);
});

test('so many are asked for that the answers stay small', () => {
  const paths = Array.from({ length: 1000 }, (_, index) => `/d${index}`);
  const audit = auditOf(Object.fromEntries(paths.map((path) => [path, 0])));
  const ask = (now: number, bytes: number): number => {
    const asked = audit.next(now);
    audit.judge(
      asked,
      asked.map(() => stat(0, 0)),
      bytes,
    );
    return asked.length;
  };
  assert.deepEqual([ask(1000, 1000), ask(1001, 1000), ask(1002, 1 << 20)], [10, 100, 100]);
  assert.equal(ask(1003, 1 << 20), 7);
});

test('what events have told is expected', () => {
  const audit = auditOf({ '/d': 2 });
  audit.created('/d');
  assert.equal(look(audit, '/d', stat(3, 41)), undefined, 'how it came to that was not seen');
  audit.deleted('/d/x', '/d');
  audit.created('/d');
  audit.deleted('/d/y', '/d');
  assert.equal(look(audit, '/d', stat(2, 44)), undefined);
  audit.created('/elsewhere');
  audit.deleted('/elsewhere/x', '/elsewhere');
  assert.equal(look(audit, '/elsewhere', stat(7, 7)), undefined, 'never listed');
});

test('a change of which no event came is found, by the number of children or of changes', () => {
  assert.equal(look(auditOf({ '/d': 2 }), '/d', stat(3, 41)), 'unseen');
  const audit = auditOf({ '/d': 2 });
  assert.equal(look(audit, '/d', stat(2, 41)), undefined);
  assert.equal(look(audit, '/d', stat(2, 43)), 'unseen', 'one has come and another gone');
  audit.created('/d');
  audit.deleted('/d/x', '/d');
  assert.equal(look(audit, '/d', stat(2, 43)), undefined);
});

test('a first look finds what has come and gone since the listing by its time', () => {
  assert.equal(look(auditOf({ '/d': 2 }), '/d', stat(2, 43, 50n)), undefined);
  assert.equal(look(auditOf({ '/d': 2 }), '/d', stat(2, 43, 51n)), 'unseen');
  const audit = auditOf({ '/d': 2 });
  audit.created('/d');
  assert.equal(look(audit, '/d', stat(3, 43, 51n)), undefined, 'that was the event');
});

test('a directory that has come is known from its beginning', () => {
  const audit = auditOf({});
  audit.add('/d');
  audit.created('/d');
  assert.equal(look(audit, '/d', stat(1, 1)), undefined);
  assert.equal(look(audit, '/d', stat(1, 3)), 'unseen');
});

test('a count that runs over is still a count', () => {
  const audit = auditOf({ '/d': 2 });
  assert.equal(look(audit, '/d', stat(2, 0x7fff_ffff)), undefined);
  audit.created('/d');
  assert.equal(look(audit, '/d', stat(3, -0x8000_0000)), undefined);
});

test('a directory that may not be read any more, or is gone without an event, is told', () => {
  const audit = auditOf({ '/a': 0, '/b': 0, '/c': 0 });
  const results = [failed(-101), failed(-102), stat(1, 1)];
  assert.deepEqual(audit.judge(['/a', '/b', '/c'], results, 300), {
    kind: 'forbidden',
    path: '/b',
  });
  assert.equal(look(audit, '/a', failed(-101)), 'unseen');
  audit.deleted('/a', '/');
  assert.equal(look(audit, '/a', failed(-101)), undefined);
});

test('a directory that goes with children of which no event came is told', () => {
  const audit = auditOf({ '/d': 1, '/e': 1 });
  assert.equal(audit.deleted('/d/x', '/d'), true);
  assert.equal(audit.deleted('/d', '/'), true);
  assert.equal(audit.deleted('/e', '/'), false);
});

test('a directory with much data of its own is looked at once', () => {
  const audit = auditOf({ '/d': 0 });
  assert.deepEqual(audit.next(1000), ['/d']);
  assert.equal(look(audit, '/d', { ...stat(0, 0), data: Buffer.alloc(5000) }), undefined);
  assert.deepEqual(audit.next(9000), []);
});
