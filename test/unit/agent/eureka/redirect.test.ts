import assert from 'node:assert/strict';
import { test } from 'node:test';
import { redirectTarget } from '../../../../agent/eureka/redirect.ts';

const asked = { url: 'http://a:8761/eureka/apps/delta', path: 'apps/delta', query: '' };

const followed: readonly [location: string, base: string][] = [
  ['http://b:8761/eureka/apps/delta', 'http://b:8761/eureka/'],
  ['http://b/eureka/v2/apps/delta/', 'http://b/eureka/v2/'],
  ['https://a/apps/delta', 'https://a/'],
  ['/other/eureka/apps/delta', 'http://a:8761/other/eureka/'],
  ['//[::1]:1/x/apps/delta', 'http://[::1]:1/x/'],
  ['http://b/eureka/%61pps/delta', 'http://b/eureka/'],
];
for (const [location, base] of followed) {
  test(`a redirect to ${location} is followed`, () => {
    for (const status of [301, 302, 307, 308]) {
      const target = redirectTarget(status, location, asked);
      assert.deepEqual(target, { base, url: `${base}apps/delta` });
    }
  });
}

const refused = [
  '',
  'http://',
  'http://b/login',
  'http://b/login?next=/eureka/apps/delta',
  'http://b/eureka/apps',
  'http://b/eureka/myapps/delta',
  'http://b/eureka/apps/delta?token=x',
  'http://user@b/eureka/apps/delta',
  'http://:secret@b/eureka/apps/delta',
  'ftp://b/eureka/apps/delta',
  'http://b/eureka/%ZZ/delta',
];
for (const location of refused) {
  test(`a redirect to ${JSON.stringify(location)} is not followed`, () => {
    assert.equal(redirectTarget(302, location, asked), undefined);
  });
}

test('other statuses than those of redirects of a GET to the same thing are not followed', () => {
  for (const status of [200, 300, 303, 304, 305, 404, 503]) {
    assert.equal(redirectTarget(status, 'http://b/eureka/apps/delta', asked), undefined);
  }
});

test('TLS is never left', () => {
  const secure = { ...asked, url: 'https://a/eureka/apps/delta' };
  assert.equal(redirectTarget(302, 'http://b/eureka/apps/delta', secure), undefined);
  assert.ok(redirectTarget(302, 'https://b/eureka/apps/delta', secure));
});

test('our query goes on, whether the server repeats it or not', () => {
  const regional = {
    url: 'http://a/eureka/apps?regions=x',
    path: 'apps',
    query: '?regions=x',
  };
  for (const location of ['http://b/eureka/apps', 'http://b/eureka/apps?regions=x']) {
    const target = redirectTarget(302, location, regional);
    assert.deepEqual(target, { base: 'http://b/eureka/', url: 'http://b/eureka/apps?regions=x' });
  }
  assert.equal(redirectTarget(302, 'http://b/eureka/apps?regions=y', regional), undefined);
});

test('an id keeps its encoding', () => {
  const path = 'apps/A/h%2Fa%3A1';
  const target = redirectTarget(307, 'http://b/eureka/apps/A/h%2Fa:1', {
    url: `http://a/eureka/${path}`,
    path,
    query: '',
  });
  assert.equal(target?.url, `http://b/eureka/${path}`);
});
