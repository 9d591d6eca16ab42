import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { pino } from 'pino';
import { Credentials } from '../../../../agent/eureka/credentials.ts';
import { parseServiceUrl } from '../../../../agent/eureka/service-url.ts';

let lines: string[] = [];
const log = pino({ level: 'warn' }, { write: (line: string) => lines.push(line) });
const basic = (text: string): string => `Basic ${Buffer.from(text).toString('base64')}`;
const asked = parseServiceUrl('https://u:p@a/eureka/');

beforeEach(() => {
  lines = [];
});

test('credentials go to the origin they were given for, and to no other', () => {
  const known = { servers: [asked, parseServiceUrl('https://v:q@b/eureka/v2/')] };
  const credentials = new Credentials(known, log);
  assert.equal(credentials.forBase(asked.url, asked, undefined), basic('u:p'));
  assert.equal(credentials.forBase('https://a/other/', asked, undefined), basic('u:p'));
  assert.equal(credentials.forBase('https://b/eureka/', asked, undefined), basic('v:q'));
  for (const base of ['https://a:8443/eureka/', 'http://a/eureka/', 'https://c/eureka/']) {
    assert.equal(credentials.forBase(base, asked, undefined), undefined);
    assert.equal(credentials.forBase(base, asked, 'Bearer t'), undefined);
  }
  assert.equal(lines.length, 0);
});

test('what a file says goes before what the URLs say', () => {
  const credentials = new Credentials({ servers: [] }, log);
  assert.equal(credentials.forBase(asked.url, asked, 'Bearer t'), 'Bearer t');
  const plain = parseServiceUrl('https://c/');
  assert.equal(credentials.forBase(plain.url, plain, undefined), undefined);
});

test('credentials in plain text to another machine are warned of once for each server', () => {
  const credentials = new Credentials({ servers: [] }, log);
  const send = (text: string, fromFile?: string): void => {
    const server = parseServiceUrl(text);
    credentials.forBase(server.url, server, fromFile);
  };
  for (const text of ['http://u:hidden@a:8761/eureka/', 'http://u:hidden@a:8761/eureka/'])
    send(text);
  for (const text of ['http://u:p@127.0.0.1:1/', 'http://u:p@[::1]:1/', 'http://c/']) send(text);
  assert.equal(lines.length, 1);
  assert.match(lines[0] ?? '', /"server":"http:\/\/a:8761\/eureka\/".*plain text/);
  assert.doesNotMatch(lines.join(), /hidden/);
  send('http://c/', 'Bearer hidden');
  assert.equal(lines.length, 2);
  assert.doesNotMatch(lines.join(), /hidden/);
});
