import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Guard, guardPolicies } from '../../../common/guard.ts';
import type { Census, GuardPolicy, Loss } from '../../../common/guard.ts';

const policy: GuardPolicy = { fraction: 0.5, minimum: 5, windowMs: 1000, holdMs: 5000 };

function removals(count: number, service = 'a', from = 0): Loss[] {
  return Array.from({ length: count }, (_, index) => ({
    id: `${service}${from + index}`,
    service,
    kind: 'removal',
  }));
}

function census(services: Record<string, number>): Census {
  const registry = Object.values(services).reduce((sum, up) => sum + up, 0);
  return { registry, service: (service) => services[service] ?? 0 };
}

function ids(losses: readonly Loss[]): string[] {
  return losses.map(({ id }) => id);
}

test('fewer removals than the minimum pass one by one, even all of a service', () => {
  const guard = new Guard(policy);
  const outcome = guard.want(removals(4), census({ a: 4 }), 0);
  assert.equal(outcome.single.length, 4);
  assert.equal(outcome.held.length, 0);
  assert.deepStrictEqual(ids(guard.confirm(['a0', 'a3'], 'single')), ['a0', 'a3']);
});

test('more than the fraction of a service is held, with evidence', () => {
  const guard = new Guard(policy);
  const outcome = guard.want(removals(6), census({ a: 10, b: 90 }), 0);
  assert.deepStrictEqual([outcome.single.length, outcome.held.length], [0, 6]);
  assert.deepStrictEqual(outcome.activations, [
    { service: 'a', evidence: 'service a: 6 of 10 UP instances removed within 1 s, limit 5' },
  ]);
  assert.equal(guard.heldCount, 6);
  assert.deepStrictEqual(guard.held(), [{ ...outcome.activations[0], losses: 6, dueAt: 5000 }]);
});

test('exactly the fraction passes', () => {
  const guard = new Guard(policy);
  assert.equal(guard.want(removals(5), census({ a: 10 }), 0).held.length, 0);
  const eureka = new Guard(guardPolicies.eureka);
  // An eviction pass of a server with 34 instances: 34 - floor(0.85 * 34) = 6.
  assert.equal(eureka.want(removals(6), census({ a: 34 }), 0).held.length, 0);
});

test('a mass removal of the registry is held although no service is hit hard', () => {
  const guard = new Guard(policy);
  const losses = ['a', 'b', 'c', 'd', 'e', 'f'].flatMap((service) => removals(4, service));
  const up = census({ a: 6, b: 6, c: 6, d: 6, e: 6, f: 6 });
  const outcome = guard.want(losses, up, 0);
  assert.equal(outcome.held.length, 24);
  assert.deepStrictEqual(
    outcome.activations.map(({ service }) => service),
    [''],
  );
});

test('a mass removal in many small batches is held from where it crosses the threshold', () => {
  const guard = new Guard(policy);
  let up = 20;
  let passed = 0;
  let held = 0;
  for (let index = 0; index < 20; index++) {
    const outcome = guard.want(removals(1, 'a', index), census({ a: up }), index * 10);
    const gone = guard.confirm(ids(outcome.single), 'single').length;
    up -= gone;
    passed += gone;
    held += outcome.held.length;
  }
  assert.deepStrictEqual([passed, held], [10, 10]);
});

test('single removals that still wait are held together with the mass they belong to', () => {
  const guard = new Guard(policy);
  guard.want(removals(3), census({ a: 10 }), 0);
  const outcome = guard.want(removals(3, 'a', 3), census({ a: 10 }), 500);
  assert.deepStrictEqual(ids(outcome.held), ['a0', 'a1', 'a2', 'a3', 'a4', 'a5']);
  assert.deepStrictEqual(guard.confirm(['a0'], 'single'), []);
  assert.deepStrictEqual(ids(guard.confirm(['a0'], 'mass')), ['a0']);
});

test('removals spread over more than the window are no mass', () => {
  const guard = new Guard(policy);
  let up = 20;
  for (let index = 0; index < 20; index++) {
    const outcome = guard.want(removals(1, 'a', index), census({ a: up }), index * 300);
    assert.equal(outcome.held.length, 0);
    up -= guard.confirm(ids(outcome.single), 'single').length;
  }
});

test('instances that come back no longer count', () => {
  const guard = new Guard(policy);
  guard.want(removals(4), census({ a: 10 }), 0);
  for (const id of ['a0', 'a1', 'a2', 'a3']) guard.back(id);
  assert.equal(guard.want(removals(5, 'a', 4), census({ a: 10 }), 1).held.length, 0);
  assert.equal(guard.isPending('a0'), false);
});

test('a held removal drops out when the instance is back', () => {
  const guard = new Guard(policy);
  guard.want(removals(10), census({ a: 10 }), 0);
  for (const { id } of removals(10)) guard.back(id);
  assert.equal(guard.heldCount, 0);
  assert.deepStrictEqual(guard.held(), []);
  assert.deepStrictEqual(guard.tick(10_000), []);
});

test('held and unconfirmed removals pass when the hold time is over, not before', () => {
  const guard = new Guard(policy);
  guard.want(removals(10), census({ a: 10 }), 0);
  guard.want(removals(1, 'b'), census({ a: 10, b: 10 }), 2000);
  assert.deepStrictEqual(guard.tick(4999), []);
  assert.equal(guard.tick(5000).length, 10);
  assert.deepStrictEqual(ids(guard.tick(7000)), ['b0']);
});

test('hold times start again after the registry could not be read', () => {
  const guard = new Guard(policy);
  guard.want(removals(10), census({ a: 10 }), 0);
  guard.renew(4000);
  assert.deepStrictEqual(guard.tick(8999), []);
  assert.equal(guard.tick(9000).length, 10);
});

test('an operator releases what is held, and what follows is counted anew', () => {
  const guard = new Guard(policy);
  guard.want(removals(10), census({ a: 12 }), 0);
  assert.equal(guard.release().length, 10);
  assert.equal(guard.heldCount, 0);
  assert.equal(guard.want(removals(2, 'a', 10), census({ a: 2 }), 10).held.length, 0);
});

test('demotions are held only when they take all that is UP', () => {
  const demotions = removals(6).map((loss) => ({ ...loss, kind: 'demotion' }) as const);
  const some = new Guard(policy);
  assert.equal(some.want(demotions, census({ a: 7 }), 0).held.length, 0);
  const all = new Guard(policy);
  const outcome = all.want(demotions, census({ a: 6, b: 6 }), 0);
  assert.equal(outcome.held.length, 6);
  assert.match(outcome.activations[0]?.evidence ?? '', /6 of 6 UP instances no longer UP/);
});

test('a held demotion that becomes a removal is counted as one', () => {
  const guard = new Guard(policy);
  const demotions = removals(6).map((loss) => ({ ...loss, kind: 'demotion' }) as const);
  guard.want(demotions, census({ a: 6 }), 0);
  const outcome = guard.want(removals(1), census({ a: 6 }), 1);
  assert.deepStrictEqual(ids(outcome.single), ['a0']);
  assert.equal(guard.heldCount, 5);
});

test('a removal wanted twice is counted once', () => {
  const guard = new Guard(policy);
  guard.want(removals(4), census({ a: 10 }), 0);
  assert.deepStrictEqual(guard.want(removals(4), census({ a: 10 }), 1), {
    single: [],
    held: [],
    activations: [],
  });
});

type Step =
  | { readonly kind: 'want'; readonly ids: readonly number[] }
  | { readonly kind: 'back' | 'confirm' | 'mass'; readonly id: number }
  | { readonly kind: 'wait'; readonly ms: number }
  | { readonly kind: 'release' };

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    fc.record({ kind: fc.constant('want'), ids: fc.array(fc.nat(29), { maxLength: 12 }) }),
    fc.record({ kind: fc.constantFrom('back', 'confirm', 'mass'), id: fc.nat(29) }),
    fc.record({ kind: fc.constant('wait'), ms: fc.nat(2000) }),
    fc.record({ kind: fc.constant('release') }),
  ),
  { maxLength: 60 },
);

test('whatever happens, every removal finally passes or its instance is back', () => {
  fc.assert(
    fc.property(steps, (history) => {
      const guard = new Guard(policy);
      const up = new Set(Array.from({ length: 30 }, (_, index) => index));
      const open = new Set<number>();
      let now = 0;
      const service = (id: number): string => `s${id % 3}`;
      const counts = (): Census => ({
        registry: up.size,
        service: (name) => [...up].filter((id) => service(id) === name).length,
      });
      const pass = (losses: readonly Loss[]): void => {
        for (const loss of losses) {
          const id = Number(loss.id);
          assert.ok(open.delete(id), 'passes only what is open, once');
          up.delete(id);
        }
      };
      for (const step of history) {
        if (step.kind === 'want') {
          const wanted = [...new Set(step.ids)].filter((id) => up.has(id));
          const losses = wanted.map((id): Loss => ({
            id: String(id),
            service: service(id),
            kind: 'removal',
          }));
          for (const id of wanted) open.add(id);
          guard.want(losses, counts(), now);
        } else if (step.kind === 'back') {
          guard.back(String(step.id));
          open.delete(step.id);
          up.add(step.id);
        } else if (step.kind === 'wait') {
          now += step.ms;
          pass(guard.tick(now));
        } else if (step.kind === 'release') pass(guard.release());
        else pass(guard.confirm([String(step.id)], step.kind === 'mass' ? 'mass' : 'single'));
        for (const id of open) assert.ok(guard.isPending(String(id)));
        assert.equal(
          guard.held().reduce((sum, part) => sum + part.losses, 0),
          guard.heldCount,
        );
      }
      pass(guard.tick(now + policy.holdMs));
      assert.equal(open.size, 0);
      assert.equal(guard.heldCount, 0);
    }),
  );
});

test('what stays below the thresholds is never held', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(400), { maxLength: 100 }), (gaps) => {
      const guard = new Guard(policy);
      let now = 0;
      const times: number[] = [];
      for (const [index, gap] of gaps.entries()) {
        now += gap;
        times.push(now);
        const inWindow = times.filter((time) => time > now - policy.windowMs).length;
        const outcome = guard.want(removals(1, 'a', index), census({ a: 8, b: 1000 }), now);
        guard.confirm(ids(outcome.single), 'single');
        if (inWindow < policy.minimum) assert.equal(outcome.held.length, 0);
      }
    }),
  );
});
