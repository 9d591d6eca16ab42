import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  parseServiceEntry,
  parseServiceUrl,
  withHost,
} from '../../../../agent/eureka/service-url.ts';
import { ConfigurationError } from '../../../../common/errors.ts';

test('service URLs are taken as they stand, with a slash at the end', () => {
  assert.equal(parseServiceUrl('http://h:8761/eureka').url, 'http://h:8761/eureka/');
  assert.equal(parseServiceUrl('https://[::1]/a/eureka/v2/').url, 'https://[::1]/a/eureka/v2/');
  for (const text of [
    'h:8761',
    'ftp://h/eureka/',
    'http://h/?token=hidden',
    'http://h/#a',
    '//h',
  ]) {
    assert.throws(() => parseServiceUrl(text), ConfigurationError, text);
  }
  const secret = 'http://user:hid%den@h/eureka/';
  assert.throws(
    () => parseServiceUrl(secret),
    (error: Error) => error instanceof ConfigurationError && !error.message.includes('hid'),
  );
  assert.throws(
    () => parseServiceUrl('http://user:hidden@/'),
    (error: Error) => error instanceof ConfigurationError && !error.message.includes('hidden'),
  );
});

test('txt+ names a DNS record that lists the servers', () => {
  const entry = parseServiceEntry('TXT+https://u:p@txt.EU.example.com:8761/eureka');
  assert.ok(entry.kind === 'txt');
  assert.equal(entry.name, 'txt.eu.example.com');
  assert.equal(entry.template.url, 'https://txt.eu.example.com:8761/eureka/');
  assert.equal(entry.template.authorization, `Basic ${Buffer.from('u:p').toString('base64')}`);
  const server = withHost(entry.template, 'host1.example.com');
  assert.equal(server?.url, 'https://host1.example.com:8761/eureka/');
  assert.equal(server.authorization, entry.template.authorization);
  assert.equal(parseServiceEntry('http://h/').kind, 'server');
});

test('a record is named, not addressed, and its URL is checked like every other', () => {
  for (const text of ['txt+http://10.0.0.1/', 'txt+http://[::1]:8761/', 'txt+ftp://a/', 'txt+a']) {
    assert.throws(() => parseServiceEntry(text), ConfigurationError, text);
  }
  assert.throws(() => parseServiceEntry('txt+http://u:hid%den@a/'), /percent-encoded$/);
});

test('servers get the scheme, port and path of the template', () => {
  const template = parseServiceUrl('http://txt.a/eureka/v2');
  assert.equal(withHost(template, 'b')?.url, 'http://b/eureka/v2/');
  assert.equal(withHost(template, '2001:db8::1')?.url, 'http://[2001:db8::1]/eureka/v2/');
  assert.equal(withHost(template, 'a b'), undefined);
});
