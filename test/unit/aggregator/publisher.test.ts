import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import pino from 'pino';
import { HostNames } from '../../../aggregator/host.ts';
import { Publisher } from '../../../aggregator/publisher.ts';
import { ServiceIndex } from '../../../aggregator/service-index.ts';
import type { InstanceSource } from '../../../aggregator/service-index.ts';
import { Store } from '../../../aggregator/store.ts';
import { VipAllocator } from '../../../aggregator/vip.ts';
import type { Instance } from '../../../common/instance.ts';
import { instance, instances, registryId } from './samples.ts';

const main = registryId('dc1/main');

/** A publisher whose virtual addresses are so few that hosts keep moving. */
class Rig {
  readonly said = new Map<string, Instance>();
  readonly store = new Store();
  readonly source: InstanceSource = {
    id: main,
    isServed: true,
    effective: (id) => this.said.get(id),
  };
  readonly publisher: Publisher;
  readonly invalid: string[] = [];
  moves = 0;
  settled = 0;

  constructor(addresses: number) {
    this.store.complete('ServiceEntry');
    this.publisher = new Publisher(
      {
        index: new ServiceIndex(new HostNames('x'), new Map()),
        vips: new VipAllocator(new Map(), {
          size: addresses,
          address: (index) => `240.0.${index >> 8}.${index & 255}`,
        }),
        store: this.store,
        namespace: 'ns',
        report: {
          rendered: () => undefined,
          invalid: (reason) => this.invalid.push(reason),
          vipMoved: () => (this.moves += 1),
        },
        onSettled: () => (this.settled += 1),
      },
      pino({ level: 'silent' }),
    );
  }

  publish(ids: readonly string[]): Promise<void> | undefined {
    return this.publisher.publish({
      source: this.source,
      ids,
      receipt: undefined,
      isForced: false,
    });
  }

  /** As an agent would say it at once. */
  replace(said: ReadonlyMap<string, Instance>): Promise<void> | undefined {
    const ids = new Set([...this.said.keys(), ...said.keys()]);
    this.said.clear();
    for (const [id, found] of said) this.said.set(id, found);
    return this.publish([...ids]);
  }

  bytes(): Buffer {
    return Buffer.concat(this.store.state('ServiceEntry')?.segments ?? []);
  }
}

test('hosts that change their virtual address are published with it', async () => {
  const step = fc.record({
    name: fc.integer({ min: 0, max: 11 }),
    isThere: fc.boolean(),
    isLarge: fc.boolean(),
    waits: fc.boolean(),
  });
  let moves = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
      const rig = new Rig(14);
      let busy: Promise<void> | undefined;
      for (const { name, isThere, isLarge, waits } of steps) {
        if (isLarge) {
          await busy;
          const said = new Map([...rig.said].filter(([id]) => !id.startsWith('large')));
          if (isThere) for (const [id, found] of instances('large', 600)) said.set(id, found);
          busy = rig.replace(said);
        }
        const id = `i${name}`;
        const service = { kind: 'application', name: `s${name}`, group: '', version: '' } as const;
        if (isThere) rig.said.set(id, instance(id, { service }));
        else rig.said.delete(id);
        void rig.publish([id]);
        if (waits) await new Promise((resolve) => setImmediate(resolve));
      }
      await busy;
      assert.ok(rig.publisher.isSettled);
      const fresh = new Rig(14);
      await fresh.replace(rig.said);
      assert.ok(rig.bytes().equals(fresh.bytes()));
      assert.deepEqual(rig.invalid, []);
      moves += rig.moves;
    }),
    { numRuns: 100 },
  );
  assert.ok(moves > 0);
});

test('when no address is left, what was published stays', () => {
  const rig = new Rig(1);
  rig.said.set('a', instance('a'));
  void rig.publish(['a']);
  const before = rig.bytes();
  assert.ok(before.length > 0);
  const service = { kind: 'application', name: 'b', group: '', version: '' } as const;
  rig.said.set('b', instance('b', { service }));
  assert.throws(() => rig.publish(['b']), RangeError);
  assert.ok(rig.bytes().equals(before));
});

test('a service that cannot be rendered stays as it was, and others go on', () => {
  const rig = new Rig(14);
  rig.said.set('a', instance('a'));
  void rig.publish(['a']);
  const before = rig.bytes();
  const broken = {} as Readonly<Record<string, string>>;
  Object.defineProperty(broken, 'x', {
    enumerable: true,
    get: () => {
      throw new Error('defect');
    },
  });
  rig.said.set('a', instance('a', { labels: broken }));
  void rig.publish(['a']);
  assert.deepEqual(rig.invalid, ['failed']);
  assert.ok(rig.bytes().equals(before));
  rig.said.set('a', instance('a', { weight: 3 }));
  void rig.publish(['a']);
  assert.ok(!rig.bytes().equals(before));
  assert.equal(rig.settled, 3);
});
