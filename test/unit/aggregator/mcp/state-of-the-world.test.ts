import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { newStream, step, streamLimits } from '../../../../aggregator/mcp/state-of-the-world.ts';
import type { Action, Input, Push, Sent } from '../../../../aggregator/mcp/state-of-the-world.ts';
import type { ChangeOrigin, CollectionState } from '../../../../aggregator/store-types.ts';
import type { RegistryId } from '../../../../common/registry.ts';

const serviceEntries = 'networking.istio.io/v1/ServiceEntry';
const sidecars = 'networking.istio.io/v1/Sidecar';
const meshConfig = 'core/v1alpha1/MeshConfig';
const garbage = '2026-11-22 15:58:27.99 +0000 UTC m=+0.15';
const pace = { minIntervalMs: 150, maxIntervalMs: 10_000, share: 0.3 };

function stateOf(revision: number, versionInfo: string): CollectionState {
  return { revision, versionInfo, segments: [], byteLength: 0, count: 0 };
}

function originOf(receivedAt: number): ChangeOrigin {
  return { registry: 'dc1/main' as RegistryId, receivedAt, ageMs: 5 };
}

/** A stream with a clock and a store around it. */
class Stream {
  now = 1_000;
  latest: CollectionState | undefined;
  wakeAt: number | undefined;
  state = newStream;
  /** All actions so far. */
  readonly actions: Action[] = [];

  do(input: Input): readonly Action[] {
    const result = step(this.state, input, { now: this.now, pace, stateOf: () => this.latest });
    this.state = result.state;
    this.wakeAt = result.wakeAt;
    this.actions.push(...result.actions);
    return result.actions;
  }

  request(typeUrl: string, responseNonce: string, error?: string): readonly Action[] {
    const node = 'sidecar~192.0.2.1~istiod-1.istio-system~istio-system.svc';
    const request = { typeUrl, versionInfo: '', responseNonce, node, error };
    return this.do({ kind: 'request', request });
  }

  change(revision: number, versionInfo: string, ...origins: ChangeOrigin[]): readonly Action[] {
    this.latest = stateOf(revision, versionInfo);
    return this.do({ kind: 'changed', collection: 'ServiceEntry', origins });
  }

  written(typeUrl = serviceEntries): readonly Action[] {
    return this.do({ kind: 'written', typeUrl });
  }

  pass(ms: number): readonly Action[] {
    this.now += ms;
    return this.do({ kind: 'tick' });
  }
}

function pushesOf(actions: readonly Action[]): Push[] {
  return actions.flatMap((action) => (action.kind === 'push' ? [action.push] : []));
}

function versionsOf(actions: readonly Action[]): string[] {
  return pushesOf(actions).map(({ versionInfo }) => versionInfo);
}

/** A stream that has subscribed to ServiceEntries at revision 1 and acknowledged it. */
function settled(): Stream {
  const stream = new Stream();
  stream.latest = stateOf(1, 'A');
  stream.request(serviceEntries, garbage);
  stream.written();
  stream.request(serviceEntries, '1');
  stream.pass(1_000);
  return stream;
}

describe('requests', () => {
  test('the first request is a subscription whatever its nonce', () => {
    for (const nonce of ['', garbage, '1']) {
      const stream = new Stream();
      stream.latest = stateOf(1, 'A');
      assert.deepEqual(pushesOf(stream.request(serviceEntries, nonce)), [
        {
          typeUrl: serviceEntries,
          target: 'ServiceEntry',
          nonce: '1',
          versionInfo: 'A',
          state: stream.latest,
        },
      ]);
    }
  });

  test('the first request with an error is a subscription too', () => {
    const stream = new Stream();
    stream.latest = stateOf(1, 'A');
    assert.equal(pushesOf(stream.request(serviceEntries, '1', 'old trouble')).length, 1);
  });

  test('a type that we do not own is answered empty, once', () => {
    const stream = new Stream();
    const [push] = pushesOf(stream.request(sidecars, garbage));
    assert.deepEqual(push, {
      typeUrl: sidecars,
      target: 'empty',
      nonce: 'empty',
      versionInfo: 'empty',
      state: undefined,
    });
    stream.written(sidecars);
    assert.deepEqual(pushesOf(stream.request(sidecars, 'empty')), []);
    assert.deepEqual(pushesOf(stream.change(2, 'B')), []);
  });

  test('MeshConfig is never answered', () => {
    const stream = new Stream();
    assert.deepEqual(stream.request(meshConfig, garbage), []);
    assert.deepEqual(stream.request(meshConfig, ''), []);
    assert.deepEqual(stream.change(1, 'A'), []);
  });

  test('each name of ServiceEntry is answered under the requested name', () => {
    const stream = new Stream();
    stream.latest = stateOf(1, 'A');
    for (const version of ['v1', 'v1beta1', 'v1alpha3']) {
      const typeUrl = `networking.istio.io/${version}/ServiceEntry`;
      const [push] = pushesOf(stream.request(typeUrl, garbage));
      assert.equal(push?.typeUrl, typeUrl);
      assert.equal(push.state, stream.latest);
    }
  });

  test('a stale nonce is ignored, also with an error', () => {
    const stream = new Stream();
    stream.latest = stateOf(7, 'A');
    stream.request(serviceEntries, garbage);
    stream.written();
    assert.deepEqual(stream.request(serviceEntries, '6'), []);
    assert.deepEqual(stream.request(serviceEntries, '6', 'bad'), []);
    assert.notEqual(stream.state.subscriptions.get(serviceEntries)?.underWay, undefined);
  });

  test('a second acknowledgement is ignored', () => {
    const stream = settled();
    assert.deepEqual(stream.request(serviceEntries, '1'), []);
    assert.deepEqual(stream.request(serviceEntries, '1', 'bad'), []);
  });

  test('an empty nonce asks for everything again, within the pace', () => {
    const stream = settled();
    assert.deepEqual(versionsOf(stream.request(serviceEntries, '')), ['A']);
    assert.deepEqual(versionsOf(stream.request(serviceEntries, '')), []);
    stream.written();
    assert.deepEqual(versionsOf(stream.request(serviceEntries, '1')), []);
    assert.deepEqual(versionsOf(stream.pass(150)), ['A']);
  });

  test('the node of the first request that has one is remembered', () => {
    const stream = new Stream();
    const request = { typeUrl: sidecars, versionInfo: '', responseNonce: '', error: undefined };
    stream.do({ kind: 'request', request: { ...request, node: undefined } });
    assert.equal(stream.state.node, '');
    stream.do({ kind: 'request', request: { ...request, node: 'a' } });
    stream.do({ kind: 'request', request: { ...request, node: 'b' } });
    assert.equal(stream.state.node, 'a');
  });

  test('a stream may ask for a limited number of types', () => {
    const stream = new Stream();
    for (let i = 0; i < streamLimits.typesMax; i++) stream.request(`type ${i}`, garbage);
    assert.deepEqual(stream.request('one more', garbage), [
      { kind: 'overflow', reason: 'too many types on one stream' },
    ]);
    assert.equal(stream.state.subscriptions.size, streamLimits.typesMax);
  });

  test('a type name has a limited length', () => {
    assert.deepEqual(new Stream().request('x'.repeat(257), garbage), [
      { kind: 'overflow', reason: 'type_url is too long' },
    ]);
  });
});

describe('answers and changes', () => {
  test('ServiceEntries are held until the collection is complete', () => {
    const stream = new Stream();
    assert.deepEqual(stream.request(serviceEntries, garbage), []);
    assert.equal(stream.wakeAt, undefined);
    assert.deepEqual(stream.do({ kind: 'changed', collection: 'ServiceEntry', origins: [] }), []);
    assert.deepEqual(versionsOf(stream.change(3, 'A')), ['A']);
  });

  test('the first change after quiet is pushed at once', () => {
    assert.deepEqual(versionsOf(settled().change(2, 'B')), ['B']);
  });

  test('changes behind an unacknowledged push merge, and the latest is sent', () => {
    const stream = settled();
    stream.change(2, 'B');
    stream.written();
    stream.pass(60_000);
    assert.deepEqual(versionsOf(stream.change(3, 'C')), []);
    assert.deepEqual(versionsOf(stream.change(4, 'D')), []);
    assert.equal(stream.wakeAt, undefined);
    assert.deepEqual(versionsOf(stream.request(serviceEntries, '2')), ['D']);
  });

  test('an acknowledgement that comes before the end of the writing waits for it', () => {
    const stream = settled();
    stream.change(2, 'B');
    stream.change(3, 'C');
    stream.now += 1_000;
    assert.deepEqual(stream.request(serviceEntries, '2'), []);
    assert.deepEqual(stream.request(serviceEntries, '2', 'and again'), []);
    const kinds = stream.written().map(({ kind }) => kind);
    assert.deepEqual(kinds, ['written', 'acknowledged', 'push']);
  });

  test('pushes keep their distance', () => {
    const stream = settled();
    stream.change(2, 'B');
    stream.written();
    stream.now += 90;
    stream.request(serviceEntries, '2');
    assert.deepEqual(versionsOf(stream.change(3, 'C')), []);
    const wakeAt = stream.wakeAt ?? 0;
    assert.equal(wakeAt, stream.now - 90 + 150);
    stream.now = wakeAt - 1;
    assert.deepEqual(versionsOf(stream.change(4, 'D')), []);
    stream.now = wakeAt;
    assert.deepEqual(versionsOf(stream.do({ kind: 'tick' })), ['D']);
    assert.equal(stream.wakeAt, undefined);
  });

  test('a revision with the content that the client has is not pushed', () => {
    const stream = settled();
    assert.deepEqual(stream.change(2, 'A', originOf(1)), []);
    assert.deepEqual(stream.state.subscriptions.get(serviceEntries)?.waiting, []);
  });

  test('a change and its reversal behind a push are not pushed', () => {
    const stream = settled();
    stream.change(2, 'B');
    stream.change(3, 'C');
    stream.change(4, 'B');
    stream.written();
    stream.pass(1_000);
    assert.deepEqual(versionsOf(stream.request(serviceEntries, '2')), []);
  });

  test('a refusal is reported and not answered until something changes', () => {
    const stream = settled();
    stream.change(2, 'B', originOf(1));
    stream.written();
    stream.now += 10;
    const actions = stream.request(serviceEntries, '2', 'no good');
    const sent: Sent = {
      typeUrl: serviceEntries,
      target: 'ServiceEntry',
      nonce: '2',
      versionInfo: 'B',
    };
    assert.deepEqual(actions, [{ kind: 'refused', sent, error: 'no good' }]);
    assert.equal(stream.state.subscriptions.get(serviceEntries)?.acknowledgedVersion, 'A');
    assert.deepEqual(stream.pass(60_000), []);
    assert.deepEqual(versionsOf(stream.change(3, 'C')), ['C']);
  });

  test('a push carries the origins of its changes to the acknowledgement', () => {
    const stream = settled();
    const [one, two, three] = [originOf(1), originOf(2), originOf(3)];
    stream.change(2, 'B', one);
    stream.change(3, 'C', two, three);
    assert.deepEqual(stream.written(), [
      {
        kind: 'written',
        sent: {
          typeUrl: serviceEntries,
          target: 'ServiceEntry',
          nonce: '2',
          versionInfo: 'B',
        },
        origins: [one],
      },
    ]);
    stream.now += 200;
    const [acknowledged, push] = stream.request(serviceEntries, '2');
    assert.ok(acknowledged?.kind === 'acknowledged');
    assert.deepEqual(acknowledged.origins, [one]);
    assert.equal(acknowledged.sinceWrittenMs, 200);
    assert.equal(push?.kind, 'push');
    const [written] = stream.written();
    assert.ok(written?.kind === 'written');
    assert.deepEqual(written.origins, [two, three]);
    const subscription = stream.state.subscriptions.get(serviceEntries);
    assert.equal(subscription?.acknowledgedVersion, 'B');
    assert.equal(subscription.acknowledgeMs, 200);
    assert.equal(subscription.pushes, 3);
  });

  test('a client that never acknowledges keeps a limited number of origins waiting', () => {
    const stream = settled();
    stream.change(2, 'B');
    for (let i = 0; i < 3_000; i++) stream.change(3 + i, `C${i}`, originOf(i));
    const waiting = stream.state.subscriptions.get(serviceEntries)?.waiting ?? [];
    assert.equal(waiting.length, streamLimits.waitingOriginsMax);
    assert.equal(waiting[0]?.receivedAt, 0);
  });

  test('a report about what was never sent changes nothing', () => {
    const stream = settled();
    assert.deepEqual(stream.written(), []);
    assert.deepEqual(stream.written('unknown'), []);
  });

  test('what is sent is not kept after it was sent', () => {
    const stream = settled();
    const last = stream.state.subscriptions.get(serviceEntries)?.last;
    assert.deepEqual(Object.keys(last ?? {}), ['typeUrl', 'target', 'nonce', 'versionInfo']);
  });
});

describe('any history', () => {
  type Operation =
    | { readonly kind: 'change'; readonly version: number }
    | { readonly kind: 'complete' }
    | { readonly kind: 'request' | 'answer' | 'refuse' | 'write'; readonly type: number }
    | { readonly kind: 'odd'; readonly type: number; readonly nonce: string }
    | { readonly kind: 'pass'; readonly ms: number };

  const types = [serviceEntries, 'networking.istio.io/v1alpha3/ServiceEntry', sidecars, meshConfig];
  const type = fc.integer({ min: 0, max: types.length - 1 });
  const operation: fc.Arbitrary<Operation> = fc.oneof(
    fc.record({ kind: fc.constant('change' as const), version: fc.integer({ min: 0, max: 3 }) }),
    fc.record({ kind: fc.constant('complete' as const) }),
    fc.record({ kind: fc.constantFrom('request', 'answer', 'refuse', 'write'), type }),
    fc.record({
      kind: fc.constant('odd' as const),
      type,
      nonce: fc.constantFrom('', '0', '1', '2', '3', 'empty', garbage),
    }),
    fc.record({ kind: fc.constant('pass' as const), ms: fc.integer({ min: 0, max: 400 }) }),
  );

  /** A client and the wire to it; checks what must hold at every moment. */
  class World {
    readonly stream = new Stream();
    readonly received = new Map<string, Push>();
    readonly answers = new Map<string, number>();
    readonly pending = new Set<string>();
    private readonly unwritten = new Set<string>();
    private revision = 0;
    private version = 0;
    private isComplete = false;

    apply(op: Operation): void {
      switch (op.kind) {
        case 'change':
          this.version = op.version;
          this.revision++;
          this.refresh();
          break;
        case 'complete':
          this.isComplete = true;
          this.refresh();
          break;
        case 'request':
          this.send(types[op.type] ?? '', garbage);
          break;
        case 'odd':
          this.send(types[op.type] ?? '', op.nonce);
          break;
        case 'answer':
        case 'refuse': {
          const push = this.received.get(types[op.type] ?? '');
          if (push === undefined) break;
          this.send(push.typeUrl, push.nonce, op.kind === 'refuse' ? 'no' : undefined);
          break;
        }
        case 'write':
          this.write(types[op.type] ?? '');
          break;
        case 'pass':
          this.see(this.stream.pass(op.ms));
      }
    }

    /** The client behaves, time passes, until nothing happens any more. */
    settle(): void {
      for (let round = 0; round < 20; round++) {
        for (const typeUrl of types) this.write(typeUrl);
        for (const push of this.received.values()) this.send(push.typeUrl, push.nonce);
        this.see(this.stream.pass(20_000));
      }
      assert.equal(this.stream.wakeAt, undefined);
    }

    latest(): CollectionState | undefined {
      return this.stream.latest;
    }

    private refresh(): void {
      if (this.isComplete) this.stream.latest = stateOf(this.revision, `v${this.version}`);
      const origins = [originOf(this.stream.now)];
      this.see(this.stream.do({ kind: 'changed', collection: 'ServiceEntry', origins }));
    }

    private write(typeUrl: string): void {
      if (this.unwritten.delete(typeUrl)) this.see(this.stream.written(typeUrl));
    }

    private send(typeUrl: string, nonce: string, error?: string): void {
      if (this.received.get(typeUrl)?.nonce === nonce) this.pending.delete(typeUrl);
      this.see(this.stream.request(typeUrl, nonce, error));
    }

    private see(actions: readonly Action[]): void {
      for (const push of pushesOf(actions)) {
        assert.ok(!this.pending.has(push.typeUrl), 'one response in flight');
        assert.ok(!this.unwritten.has(push.typeUrl), 'one response being written');
        assert.notEqual(push.typeUrl, meshConfig);
        if (push.target === 'ServiceEntry') {
          assert.equal(push.state, this.stream.latest, 'the latest state');
          assert.equal(push.nonce, String(push.state?.revision));
        }
        this.pending.add(push.typeUrl);
        this.unwritten.add(push.typeUrl);
        this.received.set(push.typeUrl, push);
        this.answers.set(push.typeUrl, (this.answers.get(push.typeUrl) ?? 0) + 1);
      }
    }
  }

  test('every client ends with the latest state and never has two responses in flight', () => {
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 60 }), (operations) => {
        const world = new World();
        for (const op of operations) world.apply(op);
        world.apply({ kind: 'complete' });
        for (const index of types.keys()) world.apply({ kind: 'request', type: index });
        world.settle();
        for (const typeUrl of types.slice(0, 2)) {
          assert.equal(world.received.get(typeUrl)?.versionInfo, world.latest()?.versionInfo);
          const subscription = world.stream.state.subscriptions.get(typeUrl);
          assert.equal(subscription?.underWay, undefined);
        }
        assert.equal(world.received.get(sidecars)?.state, undefined);
        assert.ok(world.answers.has(sidecars));
      }),
      { numRuns: 500 },
    );
  });
});
