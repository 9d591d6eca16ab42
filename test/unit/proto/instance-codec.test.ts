import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Instance, InstanceStatus } from '../../../common/instance.ts';
import { codec } from '../../../proto/load.ts';
import {
  checkInstance,
  decodeInstance,
  encodeInstance,
  InstanceError,
} from '../../../proto/instance-codec.ts';
import { anyText } from '../../support/any-text.ts';

const text = (minLength: number, maxLength: number): fc.Arbitrary<string> =>
  anyText({ minLength, maxLength });
const statuses: InstanceStatus[] = ['UP', 'DOWN', 'STARTING', 'OUT_OF_SERVICE', 'UNKNOWN', 'GONE'];

const plain = { noNullPrototype: true } as const;
const instances: fc.Arbitrary<Instance> = fc.record(
  {
    id: text(1, 40),
    service: fc.record(
      {
        kind: fc.constantFrom('application', 'dubbo'),
        name: text(1, 150),
        group: text(0, 8),
        version: text(0, 8),
      },
      plain,
    ),
    address: text(0, 20),
    ports: fc.uniqueArray(
      fc.record(
        {
          protocol: fc.constantFrom('http', 'https', 'dubbo', 'tri', 'grpc'),
          number: fc.integer({ min: 1, max: 65_535 }),
        },
        plain,
      ),
      { selector: (port) => port.protocol, maxLength: 4 },
    ),
    labels: fc.dictionary(fc.oneof(text(1, 12), fc.constant('__proto__')), text(0, 300), {
      noNullPrototype: true,
    }),
    locality: text(0, 12),
    weight: fc.integer({ min: 0, max: 2 ** 31 - 1 }),
    status: fc.constantFrom(...statuses),
    aliases: fc.uniqueArray(
      fc.record(
        { name: text(1, 40), ports: fc.constantFrom('all', 'plain', 'secure') },
        { noNullPrototype: true },
      ),
      { selector: (alias) => alias.name, minLength: 1, maxLength: 16 },
    ),
  },
  {
    ...plain,
    requiredKeys: ['id', 'service', 'address', 'ports', 'labels', 'locality', 'weight', 'status'],
  },
);

function sortedPorts(instance: Instance): Instance {
  const ports = instance.ports.toSorted((left, right) => (left.protocol < right.protocol ? -1 : 1));
  const { aliases } = instance;
  return aliases === undefined
    ? { ...instance, ports }
    : { ...instance, ports, aliases: aliases.toSorted((a, b) => (a.name < b.name ? -1 : 1)) };
}

function sample(): Instance {
  return {
    id: 'host:orders:8080',
    service: { kind: 'application', name: 'orders', group: '', version: '' },
    address: '10.0.0.1',
    ports: [{ protocol: 'http', number: 8080 }],
    labels: { zone: 'a' },
    locality: 'eu/a',
    weight: 100,
    status: 'UP',
  };
}

test('decoding an encoded instance gives it back, ports and aliases sorted', () => {
  fc.assert(
    fc.property(instances, (instance) => {
      const decoded = decodeInstance(encodeInstance(instance));
      assert.deepStrictEqual(decoded, sortedPorts(instance));
    }),
  );
});

test('the bytes are the Instance message of feed.proto', () => {
  interface Wire {
    readonly id: string;
    readonly service: object;
    readonly labels: Record<string, string>;
    readonly status: number;
    readonly weight: number;
  }
  const reflected = codec<Wire>('tributary.feed.v1.Instance');
  fc.assert(
    fc.property(instances, (instance) => {
      const wire = reflected.decode(encodeInstance(instance));
      assert.equal(wire.id, instance.id);
      assert.deepStrictEqual(wire.service, { ...instance.service });
      assert.equal(wire.weight, instance.weight);
      const names = ['UNKNOWN', 'UP', 'DOWN', 'STARTING', 'OUT_OF_SERVICE', 'GONE'];
      assert.equal(names[wire.status], instance.status);
      const again = decodeInstance(reflected.encode(wire));
      assert.deepStrictEqual({ ...again, labels: {} }, { ...sortedPorts(instance), labels: {} });
    }),
  );
});

test('the order of labels and ports does not matter', () => {
  const ports = [
    { protocol: 'http', number: 80 },
    { protocol: 'dubbo', number: 20880 },
  ];
  const one = { ...sample(), ports, labels: { a: '1', b: '2' } };
  const other = { ...sample(), ports: ports.toReversed(), labels: { b: '2', a: '1' } };
  assert.deepStrictEqual(encodeInstance(one), encodeInstance(other));
});

test('truncated or random bytes never decode to anything but an InstanceError', () => {
  const whole = encodeInstance(sample());
  fc.assert(
    fc.property(fc.nat(whole.length - 1), fc.uint8Array({ maxLength: 60 }), (cut, noise) => {
      for (const bytes of [whole.subarray(0, cut), noise, Buffer.concat([whole, noise])]) {
        try {
          decodeInstance(bytes);
        } catch (error) {
          assert.ok(error instanceof InstanceError, String(error));
        }
      }
    }),
    { numRuns: 2000 },
  );
});

test('a rule that is broken is named with its field', () => {
  const service = sample().service;
  const cases: [Partial<Instance>, RegExp][] = [
    [{ id: '' }, /id: empty/],
    [{ id: 'x'.repeat(1025) }, /id: longer than 1024 bytes/],
    [{ id: 'ü'.repeat(513) }, /id: longer than 1024 bytes/],
    [{ service: { ...service, name: '' } }, /service\.name: empty/],
    [{ service: { ...service, kind: 'future' as 'dubbo' } }, /service\.kind: unknown: "future"/],
    [{ ports: [{ protocol: 'http', number: 0 }] }, /ports\[0\]\.number: expected 1\.\.65535/],
    [{ ports: [{ protocol: 'http', number: 65_536 }] }, /ports\[0\]\.number/],
    [{ ports: [{ protocol: '', number: 1 }] }, /ports\[0\]\.protocol: empty/],
    [
      {
        ports: [
          { protocol: 'a', number: 1 },
          { protocol: 'a', number: 2 },
        ],
      },
      /ports\[1\]\.protocol: twice/,
    ],
    [{ weight: 2 ** 31 }, /weight: expected/],
    [{ labels: { '': 'x' } }, /labels: key: empty/],
    [{ labels: { a: 'x'.repeat(65_537) } }, /labels: value: longer/],
    [{ address: 'x'.repeat(256) }, /address: longer/],
    [{ aliases: [{ name: '', ports: 'all' }] }, /aliases\[0\]\.name: empty/],
    [{ aliases: [{ name: 'x'.repeat(256), ports: 'all' }] }, /aliases\[0\]\.name: longer/],
    [
      {
        aliases: [
          { name: 'a', ports: 'all' },
          { name: 'a', ports: 'plain' },
        ],
      },
      /aliases\[1\]\.name: twice/,
    ],
    [
      { aliases: Array.from({ length: 17 }, (_, index) => ({ name: `a${index}`, ports: 'all' })) },
      /aliases: more than 16/,
    ],
    [
      {
        labels: Object.fromEntries(
          Array.from({ length: 5 }, (_, index) => [`k${index}`, 'x'.repeat(60_000)]),
        ),
      },
      /longer than 262144 bytes/,
    ],
  ];
  for (const [fields, pattern] of cases) {
    const instance = { ...sample(), ...fields };
    const bytes = encodeInstance(instance);
    assert.match(checkInstance(instance, bytes.length) ?? '', pattern);
    assert.throws(
      () => decodeInstance(bytes),
      (error) => error instanceof InstanceError && pattern.test(error.message),
    );
  }
  assert.equal(checkInstance(sample(), encodeInstance(sample()).length), undefined);
});

test('a status of a newer agent reads as UNKNOWN, and unknown fields are skipped', () => {
  const newer = Buffer.concat([
    encodeInstance({ ...sample(), status: 'UNKNOWN' }),
    Buffer.from([8 << 3, 99]),
    Buffer.from([(15 << 3) | 2, 2, 1, 2]),
    Buffer.from([(14 << 3) | 0, 1, (13 << 3) | 5, 1, 2, 3, 4]),
    Buffer.from([(12 << 3) | 1, 1, 2, 3, 4, 5, 6, 7, 8]),
  ]);
  assert.deepStrictEqual(decodeInstance(newer), { ...sample(), status: 'UNKNOWN' });
});

test('an alias of a newer agent, with ports unknown here, has all', () => {
  const newer = Buffer.concat([
    encodeInstance(sample()),
    Buffer.from([(9 << 3) | 2, 8, (1 << 3) | 2, 1, 0x61, 2 << 3, 9, (3 << 3) | 2, 1, 0]),
  ]);
  assert.deepStrictEqual(decodeInstance(newer).aliases, [{ name: 'a', ports: 'all' }]);
});

test('a decoded instance does not change when its bytes do', () => {
  const bytes = encodeInstance(sample());
  const decoded = decodeInstance(bytes);
  bytes.fill(0);
  assert.deepStrictEqual(decoded, sample());
});

test('equal services and ports are shared between instances', () => {
  const one = decodeInstance(encodeInstance({ ...sample(), id: 'a' }));
  const other = decodeInstance(encodeInstance({ ...sample(), id: 'b' }));
  assert.equal(one.service, other.service);
  assert.equal(one.ports[0], other.ports[0]);
});
