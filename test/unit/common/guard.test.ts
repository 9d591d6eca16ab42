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

function tick(guard: Guard, now: number): readonly Loss[] {
  guard.tick(now);
  return guard.takeDue(Infinity);
}

function release(guard: Guard): readonly Loss[] {
  const released = guard.release();
  const passed = guard.takeDue(Infinity);
  assert.equal(passed.length, released);
  return passed;
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
  assert.deepStrictEqual(guard.held(), [
    { ...outcome.activations[0], losses: 6, dueAt: 5000, witnesses: '' },
  ]);
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
  assert.deepStrictEqual(tick(guard, 10_000), []);
});

test('held and unconfirmed removals pass when the hold time is over, not before', () => {
  const guard = new Guard(policy);
  guard.want(removals(10), census({ a: 10 }), 0);
  guard.want(removals(1, 'b'), census({ a: 10, b: 10 }), 2000);
  assert.deepStrictEqual(tick(guard, 4999), []);
  assert.equal(tick(guard, 5000).length, 10);
  assert.deepStrictEqual(ids(tick(guard, 7000)), ['b0']);
});

test('hold times start again after the registry could not be read', () => {
  const guard = new Guard(policy);
  guard.want(removals(10), census({ a: 10 }), 0);
  guard.renew(4000);
  assert.deepStrictEqual(tick(guard, 8999), []);
  assert.equal(tick(guard, 9000).length, 10);
});

test('a registry that is away again and again, for a moment each time, keeps nothing held without end', () => {
  const guard = new Guard(policy);
  guard.want(removals(10), census({ a: 10 }), 0);
  for (let now = 500; now <= 4500; now += 1000) guard.renew(now, 200);
  assert.deepStrictEqual(tick(guard, 5999), []);
  assert.equal(tick(guard, 6000).length, 10);
});

test('time in which the process slept is no hold time', () => {
  const guard = new Guard(policy);
  guard.want(removals(10), census({ a: 10 }), 0);
  assert.deepStrictEqual(tick(guard, 1000), []);
  assert.deepStrictEqual(tick(guard, 61_000), []);
  assert.deepStrictEqual(tick(guard, 64_999), []);
  assert.equal(tick(guard, 65_000).length, 10);
});

test('an operator releases what is held, and what follows is counted anew', () => {
  const guard = new Guard(policy);
  guard.want(removals(10), census({ a: 12 }), 0);
  assert.equal(release(guard).length, 10);
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

test('a held loss that somebody refutes is held for its whole time again', () => {
  const guard = new Guard(policy);
  guard.want(removals(10), census({ a: 10 }), 0);
  guard.want(removals(1, 'b'), census({ a: 10, b: 900 }), 0);
  guard.refute(['a0', 'a1', 'b0', 'unknown'], 4000);
  assert.equal(tick(guard, 5000).length, 9);
  assert.equal(guard.heldCount, 2);
  assert.deepStrictEqual(tick(guard, 8999), []);
  assert.deepStrictEqual(ids(tick(guard, 9000)), ['a0', 'a1']);
});

test('what is due passes in slices, unless its instance is back by then', () => {
  const guard = new Guard(policy);
  guard.want(removals(10), census({ a: 10 }), 0);
  guard.tick(5000);
  assert.ok(guard.hasDue);
  assert.equal(guard.heldCount, 0);
  assert.deepStrictEqual(ids(guard.takeDue(4)), ['a0', 'a1', 'a2', 'a3']);
  guard.back('a4');
  assert.ok(guard.isPending('a5'));
  assert.deepStrictEqual(ids(guard.confirm(['a5'], 'single')), ['a5']);
  assert.deepStrictEqual(ids(guard.takeDue(100)), ['a6', 'a7', 'a8', 'a9']);
  assert.deepStrictEqual(guard.takeDue(100), []);
  assert.equal(guard.hasDue, false);
});

test('a release lets only what is held pass', () => {
  const guard = new Guard(policy);
  guard.want(removals(1, 'b'), census({ a: 10, b: 90 }), 0);
  guard.want(removals(10), census({ a: 10, b: 90 }), 0);
  assert.equal(release(guard).length, 10);
  assert.ok(guard.isPending('b0'));
});

test('the end of a hold is told once, with how it came', () => {
  const guard = new Guard(policy);
  const { activations } = guard.want(removals(10), census({ a: 10, b: 90 }), 0);
  guard.testify('b lists none of 10 as UP');
  assert.equal(guard.held()[0]?.witnesses, 'b lists none of 10 as UP');
  guard.back('a0');
  guard.confirm(['a1', 'a2'], 'mass');
  guard.refute(['a3'], 4000);
  guard.tick(5000);
  assert.deepStrictEqual(guard.takeEnded(), []);
  guard.release();
  assert.deepStrictEqual(guard.takeEnded(), [
    {
      ...activations[0],
      ends: { back: 1, confirmed: 2, time: 6, released: 1 },
      witnesses: 'b lists none of 10 as UP',
    },
  ]);
  assert.deepStrictEqual(guard.takeEnded(), []);
  guard.want(removals(10, 'a', 10), census({ a: 10, b: 90 }), 60_000);
  assert.equal(guard.held()[0]?.witnesses, '');
});

test('words of witnesses that come when nothing is held any more are forgotten', () => {
  const guard = new Guard(policy);
  guard.testify('too late');
  guard.want(removals(10), census({ a: 10 }), 0);
  assert.equal(guard.held()[0]?.witnesses, '');
});

test('a service may have limits of its own', () => {
  const services = (name: string): object | undefined =>
    name === 'a' ? { fraction: 0.9, minimum: 2, holdMs: 1000 } : undefined;
  const guard = new Guard({ ...policy, services });
  const up = census({ a: 10, b: 10, c: 1000 });
  assert.equal(guard.want(removals(9), up, 0).held.length, 0);
  assert.equal(guard.want(removals(1, 'a', 9), up, 1).held.length, 10);
  assert.equal(guard.want(removals(6, 'b'), up, 2).held.length, 6);
  assert.equal(guard.holdMsMin, 1000);
  assert.equal(tick(guard, 1001).length, 10);
  assert.equal(guard.holdMsMin, 5000);
  assert.deepStrictEqual(tick(guard, 5001), []);
  assert.equal(tick(guard, 5002).length, 6);
});

test('a service of fraction 1 is never held and weighs nothing for the registry', () => {
  const services = (name: string): object | undefined =>
    name === 'batch' ? { fraction: 1 } : undefined;
  const guard = new Guard({ ...policy, services });
  const up = census({ batch: 90, a: 10 });
  assert.equal(guard.want(removals(90, 'batch'), up, 0).single.length, 90);
  assert.equal(guard.want(removals(4), up, 0).held.length, 0);
  assert.equal(guard.confirm(['batch0'], 'single').length, 1);
  assert.equal(tick(guard, 5000).length, 93);
  const demoted = removals(90, 'batch').map((loss) => ({ ...loss, kind: 'demotion' }) as const);
  assert.equal(guard.want(demoted, up, 6000).held.length, 0);
});

test('a registry of fraction 1 is never held, but for services that say otherwise', () => {
  const services = (name: string): object | undefined =>
    name === 'b' ? { fraction: 0.5 } : undefined;
  const guard = new Guard({ ...policy, fraction: 1, services });
  const up = census({ a: 10, b: 10 });
  assert.equal(guard.want(removals(10), up, 0).held.length, 0);
  assert.equal(guard.want(removals(10, 'b'), up, 0).held.length, 10);
});

test('more services than are remembered are looked up again', () => {
  let lookups = 0;
  const services = (): undefined => {
    lookups += 1;
    return undefined;
  };
  const guard = new Guard({ ...policy, services });
  const many = Array.from({ length: 10_001 }, (_, index) => removals(1, `s${index}`)).flat();
  guard.want(many, { registry: 1_000_000, service: () => 100 }, 0);
  assert.ok(lookups > 10_000 && lookups < 30_000);
});

const doubt = 'the ensemble was away for 41 s';

test('in doubt, removals are held from the minimum on, whatever the fraction', () => {
  const guard = new Guard(policy);
  const up = census({ a: 50, b: 950 });
  assert.equal(guard.want(removals(4), up, 0, doubt).held.length, 0);
  const outcome = guard.want(removals(1, 'b'), up, 10, doubt);
  assert.deepStrictEqual(ids(outcome.held), ['a0', 'a1', 'a2', 'a3', 'b0']);
  assert.deepStrictEqual(outcome.activations, [
    {
      service: '',
      evidence: `registry: 5 of 1000 UP instances removed within 1 s; in doubt: ${doubt}`,
    },
  ]);
  assert.deepStrictEqual(guard.confirm(['a0'], 'single'), []);
  assert.equal(tick(guard, 4999).length, 0);
  assert.equal(tick(guard, 5010).length, 5);
});

test('without doubt the same passes', () => {
  const guard = new Guard(policy);
  const up = census({ a: 50, b: 950 });
  assert.equal(guard.want(removals(20), up, 0).held.length, 0);
  assert.equal(guard.want(removals(5, 'b'), up, 2000).held.length, 0);
});

test('in doubt, all of a small service is held, a part of it is not', () => {
  const guard = new Guard(policy);
  const up = census({ a: 2, b: 3, c: 95 });
  const outcome = guard.want([...removals(2), ...removals(2, 'b')], up, 0, doubt);
  assert.deepStrictEqual(ids(outcome.held), ['a0', 'a1']);
  assert.deepStrictEqual(ids(outcome.single), ['b0', 'b1']);
  assert.deepStrictEqual(
    guard.held().map(({ service }) => service),
    ['a'],
  );
  guard.confirm(['b0', 'b1'], 'single');
  const last = guard.want(removals(1, 'b', 2), census({ a: 2, b: 1, c: 95 }), 500, doubt);
  // With it 5 were lost of the registry within the window.
  assert.deepStrictEqual(ids(last.held), ['b2']);
});

test('doubt does not hold demotions', () => {
  const guard = new Guard(policy);
  const demotions = removals(6).map((loss): Loss => ({ ...loss, kind: 'demotion' }));
  assert.equal(guard.want(demotions, census({ a: 8 }), 0, doubt).held.length, 0);
});

test('what is never held is not held in doubt either', () => {
  const services = (name: string): object | undefined =>
    name === 'a' ? { fraction: 1 } : undefined;
  const guard = new Guard({ ...policy, services });
  const outcome = guard.want(
    [...removals(10), ...removals(6, 'b')],
    census({ a: 10, b: 90 }),
    0,
    doubt,
  );
  assert.deepStrictEqual(ids(outcome.single), ids(removals(10)));
  assert.equal(outcome.held.length, 6);
  const never = new Guard({ ...policy, fraction: 1 });
  assert.equal(never.want(removals(10), census({ a: 10 }), 0, doubt).held.length, 0);
});

test('where nothing is believed every removal is held, but what never is', () => {
  const services = (name: string): object | undefined =>
    name === 'a' ? { fraction: 1 } : undefined;
  const guard = new Guard({ ...policy, services });
  const up = census({ a: 10, b: 90 });
  guard.want(removals(1, 'b'), up, 0);
  const outcome = guard.suspect([...removals(2), ...removals(2, 'b')], 0, 'not seen');
  assert.deepStrictEqual(ids(outcome.single), ids(removals(2)));
  assert.deepStrictEqual(ids(outcome.held), ids(removals(2, 'b')));
  assert.deepStrictEqual(outcome.activations, [{ service: '', evidence: 'not seen' }]);
  assert.deepStrictEqual(guard.suspect(removals(1, 'c'), 1, 'not seen').activations, []);
  assert.deepStrictEqual(guard.confirm(['b0'], 'single'), []);
  guard.back('b0');
  assert.deepStrictEqual(ids(tick(guard, 5000)), ['a0', 'a1', 'b1']);
});

test('single removals that are not confirmed when doubt arises join what is held, however old they are', () => {
  const guard = new Guard(policy);
  const up = census({ a: 50, b: 50 });
  guard.want(removals(3), up, 0);
  const outcome = guard.want(removals(5, 'b'), up, 3000, doubt);
  assert.deepStrictEqual(ids(outcome.held), ['a0', 'a1', 'a2', 'b0', 'b1', 'b2', 'b3', 'b4']);
});

test('single removals that are said again in doubt are judged anew', () => {
  const guard = new Guard(policy);
  const up = census({ a: 100 });
  assert.equal(guard.want(removals(8), up, 0).single.length, 8);
  assert.equal(guard.want(removals(8), up, 100).single.length, 0);
  assert.equal(guard.want(removals(8), up, 3000, doubt).held.length, 8);
  assert.deepStrictEqual(guard.want(removals(8), up, 3100, doubt), {
    single: [],
    held: [],
    activations: [],
  });
});

test('what is held in doubt ends as everything that is held does', () => {
  const guard = new Guard(policy);
  guard.want(removals(6), census({ a: 100 }), 0, doubt);
  guard.back('a0');
  assert.equal(guard.heldCount, 5);
  assert.equal(release(guard).length, 5);
  assert.deepStrictEqual(guard.takeEnded()[0]?.ends, {
    back: 1,
    confirmed: 0,
    time: 0,
    released: 5,
  });
});

type Step =
  | { readonly kind: 'want'; readonly ids: readonly number[]; readonly isDoubted: boolean }
  | { readonly kind: 'back' | 'confirm' | 'mass' | 'refute'; readonly id: number }
  | { readonly kind: 'wait'; readonly ms: number }
  | { readonly kind: 'release' }
  | { readonly kind: 'due' };

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    fc.record({
      kind: fc.constant('want'),
      ids: fc.array(fc.nat(29), { maxLength: 12 }),
      isDoubted: fc.boolean(),
    }),
    fc.record({ kind: fc.constantFrom('back', 'confirm', 'mass', 'refute'), id: fc.nat(29) }),
    fc.record({ kind: fc.constant('wait'), ms: fc.nat(2000) }),
    fc.record({ kind: fc.constant('release') }),
    fc.record({ kind: fc.constant('due') }),
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
          guard.want(losses, counts(), now, step.isDoubted ? doubt : undefined);
        } else if (step.kind === 'back') {
          guard.back(String(step.id));
          open.delete(step.id);
          up.add(step.id);
        } else if (step.kind === 'wait') {
          now += step.ms;
          guard.tick(now);
        } else if (step.kind === 'refute') guard.refute([String(step.id)], now);
        else if (step.kind === 'release') guard.release();
        else if (step.kind === 'due') pass(guard.takeDue(3));
        else pass(guard.confirm([String(step.id)], step.kind === 'mass' ? 'mass' : 'single'));
        for (const id of open) assert.ok(guard.isPending(String(id)));
        assert.equal(
          guard.held().reduce((sum, part) => sum + part.losses, 0),
          guard.heldCount,
        );
      }
      pass(tick(guard, now + policy.holdMs));
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
