import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodeNodeName, parseDubboUrl } from '../../../../../agent/zookeeper/dubbo/dubbo-url.ts';
import { anyText } from '../../../../support/any-text.ts';

const wanted = new Set(['application', 'group', 'release', 'version', 'weight']);

/** What a text says, encoded as Java encodes a URL. */
function parsed(text: string): unknown {
  const url = parseDubboUrl(encodeURIComponent(text).replaceAll('%20', '+'), wanted);
  if (url === undefined) return undefined;
  const { scheme, host, port, parameters } = url;
  return { scheme, host, port, ...Object.fromEntries(parameters) };
}

test('a provider URL is read', () => {
  assert.deepEqual(
    parsed('dubbo://192.0.2.2:20880/com.example.A?application=demo&group=g1&pid=1&weight=150'),
    {
      scheme: 'dubbo',
      host: '192.0.2.2',
      port: 20880,
      application: 'demo',
      group: 'g1',
      weight: '150',
    },
  );
});

test('a plus in the node name is a space, an encoded one is a plus', () => {
  assert.equal(decodeNodeName('a+b%2Bc%2A*'), 'a b+c**');
  assert.deepEqual(parsed('dubbo://h:1/a?application=my app+x'), {
    scheme: 'dubbo',
    host: 'h',
    port: 1,
    application: 'my app+x',
  });
});

test('names are decoded once', () => {
  assert.equal(decodeNodeName('a%252Fb'), 'a%2Fb');
});

test('a name without escapes is itself', () => {
  assert.equal(decodeNodeName('com.example.A'), 'com.example.A');
});

test('malformed escapes are no name and no URL', () => {
  for (const name of ['%', '%zz', 'dubbo%3A%2F%2Fh%3A1%3Fa%3D%E4%B8', '%C0%80']) {
    assert.equal(decodeNodeName(name), undefined, name);
    assert.equal(parseDubboUrl(name, wanted), undefined, name);
  }
});

test('semicolons separate parameters as ampersands do', () => {
  assert.deepEqual(parsed('tri://h:1/a?group=g;version=1;weight=2&release=3'), {
    scheme: 'tri',
    host: 'h',
    port: 1,
    group: 'g',
    version: '1',
    weight: '2',
    release: '3',
  });
});

test('empty values, missing values and stray separators are taken as they are', () => {
  assert.deepEqual(parsed('dubbo://h:1/a?&&release=&group&;=&version==1=2&'), {
    scheme: 'dubbo',
    host: 'h',
    port: 1,
    release: '',
    group: '',
    version: '=1=2',
  });
});

test('a default parameter stands in for a missing one only', () => {
  const expected = { scheme: 'dubbo', host: 'h', port: 1, group: 'own', version: 'default' };
  assert.deepEqual(
    parsed('dubbo://h:1/a?default.group=d&group=own&default.version=default'),
    expected,
  );
  assert.deepEqual(
    parsed('dubbo://h:1/a?group=own&default.group=d&default.version=default'),
    expected,
  );
});

test('of equal parameters the last one counts', () => {
  assert.deepEqual(parsed('dubbo://h:1/a?weight=1&weight=2'), {
    scheme: 'dubbo',
    host: 'h',
    port: 1,
    weight: '2',
  });
});

test('hosts come in every form', () => {
  const cases: readonly (readonly [string, string, number])[] = [
    ['192.0.2.2:20880', '192.0.2.2', 20880],
    ['orders.internal:80', 'orders.internal', 80],
    ['fd00:0:0:0:0:0:0:2:20880', 'fd00:0:0:0:0:0:0:2', 20880],
    ['[fd00::2]:20880', '[fd00::2]', 20880],
    ['[fd00::2]', '[fd00::2]', 0],
    ['fe80::1:2%eth0', 'fe80::1:2%eth0', 0],
    ['fe80::1%eth0:80', 'fe80::1%eth0', 80],
    ['user:pass@192.0.2.2:1', '192.0.2.2', 1],
    ['user@192.0.2.2:1', '192.0.2.2', 1],
    ['a:p@ss@192.0.2.2:1', '192.0.2.2', 1],
    ['192.0.2.2', '192.0.2.2', 0],
    ['192.0.2.2:', '192.0.2.2', 0],
    ['192.0.2.2:http', '192.0.2.2', 0],
    ['', '', 0],
  ];
  for (const [authority, host, port] of cases) {
    for (const rest of ['', '/', '/com.example.A', '/a?x=1', '?x=1']) {
      const expected = { scheme: 'dubbo', host, port };
      assert.deepEqual(parsed(`dubbo://${authority}${rest}`), expected, `${authority}${rest}`);
    }
  }
});

test('the path and the parameters do not reach into the host', () => {
  assert.deepEqual(parsed('dubbo://h:1/a@b:2?group=x@y:3/z'), {
    scheme: 'dubbo',
    host: 'h',
    port: 1,
    group: 'x@y:3/z',
  });
  assert.deepEqual(parsed('dubbo://h:1?group=a/b@c'), {
    scheme: 'dubbo',
    host: 'h',
    port: 1,
    group: 'a/b@c',
  });
});

test('what is no URL is none', () => {
  const texts = ['', 'dubbo', 'dubbo:/h', '://h:1', '1dubbo://h', 'du bbo://h', 'x?a=dubbo://h:1'];
  for (const text of texts) assert.equal(parsed(text), undefined, text);
  assert.equal(parseDubboUrl(`dubbo%3A%2F%2Fh%3A1%2F${'a'.repeat(70_000)}`, wanted), undefined);
});

test('schemes are lower-cased', () => {
  assert.deepEqual(parsed('DUBBO://h:1'), { scheme: 'dubbo', host: 'h', port: 1 });
});

test('only wanted parameters are kept', () => {
  const url = parseDubboUrl(encodeURIComponent('dubbo://u:p@h:1/a?token=secret&group=g'), wanted);
  assert.deepEqual([...(url?.parameters.keys() ?? [])], ['group']);
  assert.doesNotMatch(JSON.stringify(url), /secret|u:p/);
});

test('no name makes it throw', () => {
  const pieces = fc.constantFrom(
    '%',
    '%3A',
    '%2F%2F',
    '+',
    '&',
    ';',
    '=',
    '?',
    '@',
    ':',
    '[',
    ']',
    'a',
    '0',
  );
  const hostile = fc.oneof(
    anyText(),
    fc.array(pieces, { maxLength: 60 }).map((parts) => `dubbo%3A%2F%2F${parts.join('')}`),
    fc
      .tuple(fc.domain(), fc.nat(99_999), anyText(), anyText())
      .map(([host, port, path, query]) =>
        encodeURIComponent(`http://${host}:${port}/${path}?a=${query}`),
      ),
  );
  fc.assert(
    fc.property(hostile, (name) => {
      const url = parseDubboUrl(name, wanted);
      if (url === undefined) return;
      assert.ok(Number.isInteger(url.port) && url.port >= 0 && url.port <= 99_999);
      for (const key of url.parameters.keys()) assert.ok(wanted.has(key));
    }),
  );
});

test('a long hostile name is read in linear time', () => {
  const forms = ['%26', '%3B', '%3B%26', 'a%26', '%3D', 'a%3D%26', '%26%26%3B'];
  for (const form of forms) {
    const name = `dubbo%3A%2F%2Fh%3A1%3F${form.repeat(Math.floor(60_000 / form.length))}`;
    assert.notEqual(parseDubboUrl(name, wanted), undefined);
  }
});

test('what was encoded is read back', () => {
  const text = anyText().map((value) => value.replace(/[&;]/g, ''));
  fc.assert(
    fc.property(text, text, (application, group) => {
      const name = encodeURIComponent(`dubbo://h:1/a?application=${application}&group=${group}`);
      const url = parseDubboUrl(name.replaceAll('%20', '+'), wanted);
      assert.ok(url !== undefined);
      assert.equal(url.parameters.get('application'), application);
      assert.equal(url.parameters.get('group'), group);
    }),
  );
});
