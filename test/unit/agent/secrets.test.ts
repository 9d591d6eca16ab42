import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isSecretKey, isSecretValue } from '../../../agent/secrets.ts';

test('keys that name a secret', () => {
  for (const key of [
    'password',
    'user.password',
    'spring.datasource.PASSWORD',
    'passwd',
    'passphrase',
    'pwd',
    'dbPwd',
    'db.pwd',
    'secret',
    'client_secret',
    'accessToken',
    'credentials',
    'api-key',
    'apiKey',
    'access.key',
    'private_key',
    'auth',
    'x-auth-header',
    'authorization',
    'jwt',
    'user',
    'user.name',
    'username',
    'user.pass',
    'ak',
    'my-sk',
    'signature',
    'session_cookie',
  ]) {
    assert.ok(isSecretKey(key), key);
  }
  for (const key of [
    'version',
    'zone',
    'author',
    'group',
    'users',
    'cluster',
    'oauth2',
    'passed',
    'bypass',
    'task',
    'disk',
  ]) {
    assert.ok(!isSecretKey(key), key);
  }
});

test('values that look like a secret', () => {
  for (const value of [
    'http://user:pass@host/',
    'amqp://guest@mq',
    'jdbc:mysql://h/db?user=a&password=b',
    'Password: x',
    'token=abc',
    'Basic dXNlcjpwYXNz',
    'bearer abc',
    '{"password":"x"}',
    'ak=1;secretKey=abc',
    'redis://u:p/w@host',
    'pass=abc',
    'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln',
    '-----BEGIN PRIVATE KEY-----',
  ]) {
    assert.ok(isSecretValue(value), value);
  }
  for (const value of ['1.10', 'http://host/path', 'me@example.com', 'basic', 'blue', '']) {
    assert.ok(!isSecretValue(value), value);
  }
});
