import assert from 'node:assert/strict';
import { test } from 'node:test';
import { proxiesOf } from '../../../../agent/eureka/proxies.ts';

test('each proxy is for its own sort of URL, and without a scheme it is one of http', () => {
  assert.deepEqual(proxiesOf({}), {
    http: undefined,
    https: undefined,
    except: '',
    problem: undefined,
  });
  const proxies = proxiesOf({ HTTP_PROXY: 'proxy.corp:3128', NO_PROXY: 'localhost' });
  assert.equal(proxies.http, 'http://proxy.corp:3128/');
  assert.equal(proxies.https, undefined);
  assert.equal(proxies.except, 'localhost');
  assert.equal(proxiesOf({ HTTPS_PROXY: 'https://u:p@p:1' }).https, 'https://u:p@p:1/');
});

test('the spelling in small letters goes first, also when it is empty', () => {
  const environment = {
    http_proxy: '',
    HTTP_PROXY: 'http://a',
    no_proxy: 'b',
    NO_PROXY: 'c',
    https_proxy: 'http://d',
  };
  const { http, https, except } = proxiesOf(environment);
  assert.deepEqual([http, https, except], [undefined, 'http://d/', 'b']);
});

test('a proxy that is none is told without its secrets', () => {
  for (const wrong of [
    'http://',
    'ftp://u:hidden@p',
    'http://u:hid%den@p',
    'http://u:hidden@p:x',
  ]) {
    const { problem, http } = proxiesOf({ HTTP_PROXY: wrong });
    assert.equal(http, undefined);
    assert.match(problem ?? '', /^HTTP_PROXY: expected the URL of a proxy/);
    assert.doesNotMatch(problem ?? '', /hid/);
  }
});
