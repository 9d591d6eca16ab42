import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { test } from 'node:test';
import fc from 'fast-check';
import { ProtocolError } from '../../../../common/errors.ts';
import { decodeApplications, decodeRecord } from '../../../../agent/eureka/decode.ts';
import type { BodyHead } from '../../../../agent/eureka/decode.ts';
import type { DecodedRecord, EurekaRecord } from '../../../../agent/eureka/record.ts';

const fixtures = new URL('../../../fixtures/eureka/', import.meta.url);

async function decode(
  text: string | Buffer,
  pieceBytes = 1_000_000,
): Promise<{ head: BodyHead; decoded: DecodedRecord[] }> {
  const bytes = Buffer.from(text);
  const chunks: Buffer[] = [];
  for (let from = 0; from < bytes.length; from += pieceBytes) {
    chunks.push(bytes.subarray(from, from + pieceBytes));
  }
  const decoded: DecodedRecord[] = [];
  const head = await decodeApplications(chunks, (record) => decoded.push(record));
  return { head, decoded };
}

function good(decoded: DecodedRecord | undefined): EurekaRecord {
  assert.equal(decoded?.kind, 'record');
  return decoded.record;
}

/** Every instance in a parsed body, found without our decoder. */
function plainInstances(body: unknown): Record<string, unknown>[] {
  const { applications } = body as { applications: { application?: unknown } };
  const list = (value: unknown): unknown[] =>
    value === undefined ? [] : Array.isArray(value) ? value : [value];
  return list(applications.application).flatMap((app) =>
    list((app as { instance: unknown }).instance),
  ) as Record<string, unknown>[];
}

test('every recorded list decodes: as many records as it holds, none bad, the same head', async () => {
  let files = 0;
  for (const codec of ['jackson-default', 'xstream-json']) {
    for (const name of await readdir(new URL(codec, fixtures))) {
      if (!/apps(-delta)?(\.compact)?\.json$/.test(name)) continue;
      files += 1;
      const text = await readFile(new URL(`${codec}/${name}`, fixtures), 'utf8');
      const { head, decoded } = await decode(text);
      const body = JSON.parse(text) as { applications: Record<string, unknown> };
      const plain = plainInstances(body);
      assert.equal(decoded.length, plain.length, name);
      decoded.forEach((each, index) => {
        const record = good(each);
        assert.equal(record.ipAddr, plain[index]?.ipAddr);
        assert.equal(record.status, plain[index]?.status);
        assert.equal(record.action, plain[index]?.actionType);
      });
      assert.equal(head.hashcode, body.applications.apps__hashcode);
      assert.equal(head.versionsDelta, Number(body.applications.versions__delta));
    }
  }
  assert.equal(files, 104);
});

test('both codecs give the same record but for its times', async () => {
  for (const step of ['04-override-out-of-service', '11-no-instanceId-no-ports', '03-amazon']) {
    const [jackson, xstream] = await Promise.all(
      ['jackson-default', 'xstream-json'].map(async (codec) => {
        const text = await readFile(new URL(`${codec}/${step}.apps.json`, fixtures), 'utf8');
        const { decoded } = await decode(text);
        return decoded.map((each) => ({
          ...good(each),
          registeredAt: 0,
          leaseEndsAt: 0,
          updatedAt: 0,
          dirtyAt: 0,
        }));
      }),
    );
    assert.deepEqual(jackson, xstream);
  }
});

test('a record has its metadata, times and Amazon data', async () => {
  const text = await readFile(new URL('jackson-default/03-amazon.apps.json', fixtures), 'utf8');
  const { decoded } = await decode(text);
  const orders = good(decoded[0]);
  assert.equal(orders.id, 'host-a:orders:8080');
  assert.equal(orders.metadata.get('weight'), '010');
  assert.equal(orders.metadata.get('a_b'), 'x');
  assert.ok(orders.leaseEndsAt >= orders.registeredAt + 90_000);
  const pay = good(decoded[2]);
  assert.equal(pay.metadata.size, 0);
  assert.equal(pay.dataCenter.get('availability-zone'), 'us-east-1c');
  assert.deepEqual(pay.securePort, { number: 7002, enabled: true });
});

test('the id falls back to the Amazon id, then to the host name', () => {
  const record = (fields: object): EurekaRecord =>
    good(decodeRecord(JSON.stringify({ app: 'a', ipAddr: '10.0.0.1', ...fields }), ''));
  const dataCenterInfo = { name: 'Amazon', metadata: { 'instance-id': 'i-1' } };
  assert.equal(record({ instanceId: 'x', hostName: 'h', dataCenterInfo }).id, 'x');
  assert.equal(record({ hostName: 'h', dataCenterInfo }).id, 'i-1');
  assert.equal(record({ hostName: 'h' }).id, 'h');
  assert.equal(record({ hostName: 'h' }).app, 'A');
});

test('look-alike spellings are read', () => {
  const record = good(
    decodeRecord(
      JSON.stringify({
        instanceId: 7,
        ipAddr: '10.0.0.1',
        status: 'SLEEPING',
        port: 8080,
        securePort: { $: '8443' },
        metadata: { a: null, b: { nested: 1 }, c: 1.5, d: true, '@class': 'x', __proto__: 'y' },
        leaseInfo: { renewalTimestamp: '1000', durationInSecs: 2 },
        lastDirtyTimestamp: 'soon',
      }),
      'shop',
    ),
  );
  assert.equal(record.app, 'SHOP');
  assert.equal(record.id, '7');
  assert.equal(record.status, 'UNKNOWN');
  assert.equal(record.vipAddress, '');
  assert.deepEqual(record.port, { number: 8080, enabled: true });
  assert.deepEqual(record.securePort, { number: 8443, enabled: false });
  assert.deepEqual(
    [...record.metadata],
    [
      ['c', '1.5'],
      ['d', 'true'],
    ],
  );
  assert.equal(record.leaseEndsAt, 3000);
  assert.equal(record.dirtyAt, 0);
});

test('what look-alike servers leave out or spell otherwise is read', () => {
  const record = good(
    decodeRecord(
      JSON.stringify({
        hostName: '10.0.0.1',
        ipAddr: '10.0.0.1',
        app: 'shop',
        status: 'up',
        port: { $: '8080', '@enabled': true },
        securePort: { $: 443, '@enabled': 'false' },
        vipAddress: 'shop-vip:80',
        secureVipAddress: null,
      }),
      '',
    ),
  );
  assert.equal(record.id, '10.0.0.1');
  assert.equal(record.status, 'UP');
  assert.deepEqual(record.port, { number: 8080, enabled: true });
  assert.deepEqual(record.securePort, { number: 443, enabled: false });
  assert.equal(record.vipAddress, 'shop-vip:80');
  assert.equal(record.secureVipAddress, '');
  assert.equal(record.dataCenter.size, 0);
});

test('a record that cannot be used is named, with the status that counts', () => {
  const bad = (json: string): unknown => {
    const decoded = decodeRecord(json, 'SHOP');
    return decoded.kind === 'bad' ? decoded.bad : decoded;
  };
  assert.deepEqual(bad('{"instanceId":"a","status":"DOWN","actionType":"DELETED","port":}'), {
    reason: 'malformed',
    app: 'SHOP',
    id: 'a',
    status: 'DOWN',
    action: 'DELETED',
  });
  assert.deepEqual(bad('17'), {
    reason: 'malformed',
    app: 'SHOP',
    id: '',
    status: 'UNKNOWN',
    action: undefined,
  });
  const fields = { status: 'UP', action: undefined, app: 'SHOP' };
  assert.deepEqual(bad('{"status":"UP","ipAddr":"1.2.3.4"}'), {
    reason: 'no-id',
    id: '',
    ...fields,
  });
  assert.deepEqual(bad('{"status":"UP","instanceId":"x"}'), {
    reason: 'no-address',
    id: 'x',
    ...fields,
  });
  const nameless = decodeRecord('{"status":"UP","instanceId":"x","ipAddr":"1.2.3.4"}', '');
  assert.equal(nameless.kind === 'bad' && nameless.bad.reason, 'no-app');
});

test('one broken record costs its neighbours nothing', async () => {
  const { decoded } = await decode(
    `{"applications":{"apps__hashcode":"UP_2_","application":[{"name":"A","instance":[
      {"instanceId":"1","status":"UP","oops":,,},
      {"instanceId":"2","ipAddr":"10.0.0.2","status":"UP"}, null]}]}}`,
  );
  assert.deepEqual(
    decoded.map((each) => each.kind),
    ['bad', 'record', 'bad'],
  );
});

test('a record beyond the limit is dropped alone', async () => {
  const huge = 'x'.repeat(300_000);
  const { decoded } = await decode(
    `{"applications":{"apps__hashcode":"","application":{"instance":[{"instanceId":"1","status":"DOWN",
      "metadata":{"huge":"${huge}"}},{"instanceId":"2","ipAddr":"10.0.0.2"}],"name":"LATE"}}}`,
    10_000,
  );
  assert.equal(decoded.length, 2);
  assert.ok(decoded[0]?.kind === 'bad');
  assert.equal(decoded[0].bad.reason, 'too-large');
  assert.equal(decoded[0].bad.status, 'DOWN');
});

test('the name of one application does not stick to the next', async () => {
  const { decoded } = await decode(
    `{"applications":{"apps__hashcode":"","application":[
      {"name":"A\\u0042","instance":{"instanceId":"1","ipAddr":"10.0.0.1"}},
      {"instance":{"instanceId":"2","ipAddr":"10.0.0.1"}}]}}`,
  );
  assert.equal(good(decoded[0]).app, 'AB');
  assert.equal(decoded[1]?.kind, 'bad');
});

test('what is no registry is refused as a whole', async () => {
  const bodies = [
    '',
    '   ',
    '<html>',
    '[]',
    '{}',
    '{"error":"no"}',
    '{"applications":null}',
    '{"applications":[]}',
    '{"applications":{"application":null}}',
    '{"applications":{"versions__delta":"1"}}',
    '{"applications":{"apps__hashcode":""}',
    '{"applications":{"apps__hashcode":"","application":[{"name":"A","instance":[{"a":1}',
    '{"applications":{"apps__hashcode":""}} x',
    '{"applications":{"apps__hashcode":""]}',
    '{applications:{}}',
    `{"a":${'{"applications":'.repeat(3)}`,
    `{"applications":${'['.repeat(100)}`,
  ];
  for (const body of bodies) await assert.rejects(decode(body), ProtocolError, body);
});

test('an empty registry is a registry', async () => {
  for (const body of [
    '\ufeff{"applications":{"versions__delta":1,"apps__hashcode":""}}',
    '{"applications":{"versions_delta":"x","apps_hashcode":""}}',
    '{"applications":{"application":[]}}\n',
  ]) {
    assert.deepEqual((await decode(body)).decoded, []);
  }
});

test('where a body is cut into pieces makes no difference', async () => {
  const name = 'jackson-default/11-no-instanceId-no-ports.apps.json';
  const text = await readFile(new URL(name, fixtures));
  const whole = await decode(text);
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 300 }), async (pieceBytes) => {
      assert.deepEqual(await decode(text, pieceBytes), whole);
    }),
    { numRuns: 60 },
  );
});

test('any JSON in the place of records and members is survived', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.jsonValue(), { maxLength: 5 }),
      fc.jsonValue(),
      fc.integer({ min: 1, max: 50 }),
      async (records, junk, pieceBytes) => {
        const application = [{ junk, name: 'A', instance: records, more: junk }];
        const body = JSON.stringify({
          junk,
          applications: { junk, application, apps__hashcode: '' },
        });
        const { decoded } = await decode(body, pieceBytes);
        const flat = records.flat(Infinity as 1);
        assert.equal(decoded.length, flat.length);
      },
    ),
    { numRuns: 200 },
  );
});
