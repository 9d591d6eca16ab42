import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLogger } from '../../../common/logger.ts';
import { redactUserinfo } from '../../../common/redact.ts';

function capture(): { readonly lines: string[]; readonly write: (line: string) => void } {
  const lines: string[] = [];
  return { lines, write: (line) => void lines.push(line) };
}

test('a line is JSON with level, time, name and message', () => {
  const out = capture();
  createLogger('tributary-agent', 'info', out).info({ registry: 'dc1/orders' }, 'connected');
  const line = JSON.parse(out.lines[0] ?? '') as Record<string, unknown>;
  assert.equal(line['level'], 'info');
  assert.equal(line['name'], 'tributary-agent');
  assert.equal(line['msg'], 'connected');
  assert.equal(line['registry'], 'dc1/orders');
  assert.ok(!Number.isNaN(Date.parse(String(line['time']))));
});

test('the level decides what is written', () => {
  const out = capture();
  const log = createLogger('a', 'warn', out);
  log.info('no');
  log.warn('yes');
  assert.equal(out.lines.length, 1);
});

test('secrets do not reach a line', () => {
  const out = capture();
  const log = createLogger('a', 'info', out);
  const error = new Error('GET http://user:hunter2@h/eureka failed', {
    cause: new Error('https://user:hunter2@h: refused'),
  });
  log.error({ err: error }, 'http://user:hunter2@h is away');
  log.error({ error, token: 'hunter2', options: { password: 'hunter2', digest: 'hunter2' } }, 'x');
  log.child({ part: 'x' }).error({ tls: { secret: 'hunter2' } }, 'see http://a:hunter2@b and %s', {
    a: 1,
  });
  assert.equal(out.lines.length, 3);
  assert.doesNotMatch(out.lines.join(''), /hunter2/);
  assert.match(out.lines.join(''), /\*\*\*@h/);
});

test('only the user part of a URL is replaced', () => {
  assert.equal(
    redactUserinfo('see http://u:p@h:1/a?x=b@c for x@y'),
    'see http://***@h:1/a?x=b@c for x@y',
  );
  assert.equal(redactUserinfo('http://u:p@h1/,http://u:p@q@h2/'), 'http://***@h1/,http://***@h2/');
  assert.equal(redactUserinfo('mail a@b'), 'mail a@b');
});
