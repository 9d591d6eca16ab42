import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import fc from 'fast-check';
import { rigTest } from '../rigs/rig-test.ts';
import { startEnsemble } from '../rigs/zookeeper.ts';
import { EnsembleWorld, patienceMs } from '../support/ensemble-world.ts';
import { eventually } from '../support/eventually.ts';
import { startFastTime } from '../support/fast-time.ts';

/**
 * An ensemble of three loses servers while providers register and go: whatever it loses, no endpoint is taken back
 * whose node lived all the time, none is told that was not there, and in the end all is as a reader finds it who has
 * no past. `SEED=n` repeats the churn of a failure.
 */

const all = [0, 1, 2];
/** Longer than any session of ours, shorter than what lets the agent believe servers that are behind. */
const outageMs = 30_000;

async function withEnsemble(
  context: TestContext,
  story: (world: EnsembleWorld) => Promise<void>,
): Promise<void> {
  const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000);
  context.diagnostic(`SEED=${seed}`);
  const [numbers = []] = fc.sample(fc.array(fc.nat(999), { minLength: 500, maxLength: 500 }), {
    seed,
    numRuns: 1,
  });
  let at = 0;
  const random = (): number => (numbers[(at += 1) % numbers.length] ?? 0) / 1_000;
  await using ensemble = await startEnsemble({
    maxSessionTimeoutMs: 60_000,
    jvm: ['-Dreadonlymode.enabled=true'],
  });
  await using world = new EnsembleWorld(ensemble, random);
  await world.open();
  await story(world);
  await world.settle();
}

rigTest('an ensemble loses its leader twice under churn', 'every', async (context) => {
  await withEnsemble(context, async (world) => {
    world.begin();
    for (let round = 0; round < 2; round += 1) {
      await world.goesOn();
      const leader = await world.leader();
      await world.ensemble.kill(leader);
      await world.goesOn();
      await world.ensemble.restart(leader);
    }
    await world.goesOn();
  });
});

rigTest('the followed server dies, the next one hangs, under churn', 'every', async (context) => {
  await withEnsemble(context, async (world) => {
    await world.followNotTheLeader();
    world.begin();
    await world.goesOn();
    const dying = world.followed();
    await world.ensemble.kill(dying);
    await world.goesOn();
    assert.notEqual(world.followed(), dying);
    await world.ensemble.restart(dying);
    const hanging = world.followed();
    world.ensemble.members[hanging]?.suspend();
    await eventually(() => assert.notEqual(world.followed(), hanging), patienceMs);
    world.ensemble.members[hanging]?.resume();
    await world.goesOn();
  });
});

rigTest('an ensemble dies under churn and comes back with its data', 'every', async (context) => {
  using time = startFastTime(1);
  await withEnsemble(context, async (world) => {
    const { ensemble, agent, follower } = world;
    world.begin();
    await world.goesOn();
    await Promise.all(all.map((index) => ensemble.kill(index)));
    await world.vanish();
    await eventually(() => assert.rejects(follower.probe()), patienceMs);
    const { counts, view } = follower.witness;
    const before = [...view];
    const { lost } = counts;
    time.jump(outageMs);
    await eventually(() => assert.ok(counts.lost > lost + 2), patienceMs);
    assert.deepEqual([...view], before);
    await Promise.all(all.map((index) => ensemble.restart(index)));
    await world.goesOn();
    const brief = world.endpointsOf('brief');
    await world.areGone();
    await eventually(() => {
      assert.ok(brief.every((id) => !follower.witness.view.has(id)));
      assert.ok(agent.status().heldRemovals >= brief.length);
    }, patienceMs);
    assert.match(agent.status().held[0]?.evidence ?? '', /the ensemble was away for/);
    await world.comeBack();
    await world.goesOn();
    await world.settle();
    assert.deepEqual(
      agent.withdrawn.filter((id) => brief.includes(id)),
      [],
    );
  });
});

rigTest('a server that has lost its quorum is not followed', 'every', async (context) => {
  await withEnsemble(context, async (world) => {
    const { ensemble, follower } = world;
    world.begin();
    await world.goesOn();
    const alone = world.followed();
    const others = all.filter((index) => index !== alone);
    await Promise.all(others.map((index) => ensemble.kill(index)));
    await eventually(() => assert.rejects(follower.probe()), patienceMs);
    const { counts, view, removals } = follower.witness;
    const before = [...view];
    const { lost, snapshot } = counts;
    await eventually(async () => {
      assert.equal((await ensemble.members[alone]?.srvr())?.['Mode'], 'read-only');
    }, patienceMs);
    await eventually(() => assert.ok(counts.lost > lost + 2), patienceMs);
    assert.deepEqual([...view], before);
    assert.equal(follower.witness.removals, removals);
    assert.equal(counts.snapshot, snapshot);
    await Promise.all(others.map((index) => ensemble.restart(index)));
    await world.goesOn();
    assert.ok(counts.snapshot > snapshot);
  });
});
