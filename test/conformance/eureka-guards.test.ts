import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FakeEurekaNode } from '../support/fake-eureka.ts';
import { startEurekaCluster } from '../support/eureka-cluster.ts';
import type { EurekaCluster } from '../support/eureka-cluster.ts';
import { startFastTime } from '../support/fast-time.ts';
import type { FastTime } from '../support/fast-time.ts';
import { WitnessedAgent } from '../support/witnessed-agent.ts';

/** Whole agents on fake clusters, with the guard's own times, in a world that runs a hundred times faster. */
const pace = 100;
const size = 20;
const minuteMs = 60_000;

const instances = Array.from({ length: size }, (_, index) => ({
  app: index % 2 === 0 ? 'SHOP' : 'CART',
  id: `i${index}`,
}));

class World implements AsyncDisposable {
  readonly cluster: EurekaCluster;
  readonly agent: WitnessedAgent;
  private readonly time: FastTime;

  constructor(cluster: EurekaCluster, agent: WitnessedAgent, time: FastTime) {
    this.cluster = cluster;
    this.agent = agent;
    this.time = time;
  }

  node(place: number): FakeEurekaNode {
    const node = this.cluster.nodes[place];
    assert.ok(node !== undefined);
    return node;
  }

  get up(): number {
    return this.agent.status().instances.UP ?? 0;
  }

  get held(): number {
    return this.agent.status().heldRemovals;
  }

  /** Waits until it is so; returns how long it took, in the fast world. */
  async until(what: string, isSo: () => boolean, maxMs = 30 * minuteMs): Promise<number> {
    const startedAt = performance.now();
    while (!isSo()) {
      const status = JSON.stringify(this.agent.status());
      assert.ok(performance.now() - startedAt < maxMs, `not in time: ${what}: ${status}`);
      await this.time.pause(5);
    }
    return performance.now() - startedAt;
  }

  /** For so long, in the fast world, it is so. */
  async always(what: string, isSo: () => boolean, forMs: number): Promise<void> {
    const startedAt = performance.now();
    while (performance.now() - startedAt < forMs) {
      assert.ok(isSo(), `${what}: ${JSON.stringify(this.agent.status())}`);
      await this.time.pause(5);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.agent[Symbol.asyncDispose]();
    await this.cluster[Symbol.asyncDispose]();
  }
}

/** A cluster that has been there for hours, and an agent that knows it. Its first server is the one that is followed. */
async function live(
  time: FastTime,
  servers: number,
  others: readonly string[] = [],
): Promise<World> {
  const cluster = await startEurekaCluster(servers, instances, {
    readOnlyCacheMs: 3_000,
    evictionIntervalMs: 86_400_000,
    replication: { readTimeoutMs: 30_000 },
  });
  for (const at of instances.keys()) cluster.register(at, 'UP', '1');
  const isWhole = (node: FakeEurekaNode): boolean => node.registry.registrations().length === size;
  while (!cluster.nodes.every(isWhole)) await time.pause(5);
  time.jump(7_200_000);
  for (const node of cluster.nodes) node.registry.forgetChanges();
  cluster.beat();
  // What the servers have to tell each other of it is told before anything else happens.
  await time.pause(50);
  const serviceUrls = [...cluster.nodes.map((node) => node.serviceUrl), ...others];
  const options = { serviceUrls, pollIntervalMs: 1_000, requestTimeoutMs: 30_000 };
  const agent = new WitnessedAgent(options, () => undefined);
  const world = new World(cluster, agent, time);
  await world.until('everything is known', () => world.up === size);
  assert.equal(agent.followedUrl, world.node(0).serviceUrl);
  return world;
}

function cancelMany({ cluster }: World, count = 15): void {
  for (let index = 0; index < count; index++) cluster.cancel(index);
}

function allDown({ cluster }: World): void {
  for (const index of instances.keys()) cluster.register(index, 'DOWN', '1');
}

test('a server that restarts empty and answers 200 takes nothing away, and is whole again', async () => {
  using time = startFastTime(pace);
  await using world = await live(time, 1);
  await world.node(0).restartEmpty();
  await world.until('the losses are held', () => world.held > 0);
  await world.until('everybody is back', () => world.held === 0);
  assert.equal(world.up, size);
  assert.deepEqual(world.agent.removals, []);
});

test('what never comes back after a restart passes when the hold time is over, not before', async () => {
  using time = startFastTime(pace);
  await using world = await live(time, 1);
  for (let index = 0; index < 15; index++) world.cluster.crash(index);
  await world.node(0).restartEmpty();
  await world.until('the losses are held', () => world.held > 0);
  await world.until('the others are back, and these gone', () => world.up === 5);
  assert.ok(world.agent.removals.length >= 15);
  assert.deepEqual(new Set(world.agent.removals.map(({ id }) => id)).size, 15);
});

test('a half-empty server that is switched to takes nothing away that another one lists', async () => {
  using time = startFastTime(pace);
  await using world = await live(time, 3);
  await world.node(1).restartEmpty();
  for (const { app, id } of instances.slice(0, 10)) {
    const registration = world
      .node(2)
      .registry.registrations()
      .find((each) => each.app === app && each.instanceId === id);
    assert.ok(registration !== undefined);
    world.node(1).registry.register(registration, true);
  }
  for (const node of world.cluster.nodes) node.isReplicating = false;
  for (const index of instances.keys()) world.cluster.move(index, 2);
  await world.node(0).stop();
  await world.until('the other one is followed', () => world.agent.followed.length === 2);
  await world.always('nothing is lost', () => world.up === size, 7 * minuteMs);
  assert.deepEqual(world.agent.removals, []);
});

test('all DOWN at once is held, and passes when another server says the same', async () => {
  using time = startFastTime(pace);
  await using world = await live(time, 2);
  world.node(0).isReplicating = false;
  for (const index of instances.keys()) world.cluster.move(index, 0);
  allDown(world);
  await world.until('it is held', () => world.held === size);
  await world.always('the other one says UP', () => world.up === size, 7 * minuteMs);
  assert.match(world.agent.status().held[0]?.witnesses ?? '', /lists 20 of 20 as UP/);
  world.node(0).isReplicating = true;
  allDown(world);
  const ms = await world.until('it passes', () => world.up === 0);
  assert.ok(ms < 2 * minuteMs, `${ms} ms`);
});

test('all DOWN at once on a single server passes by later reads', async () => {
  using time = startFastTime(pace);
  await using world = await live(time, 1);
  allDown(world);
  await world.until('it is held', () => world.held === size);
  await world.always('it takes a minute', () => world.up === size, 55_000);
  const ms = await world.until('it passes', () => world.up === 0);
  assert.ok(ms < 2 * minuteMs, `${ms} ms`);
});

test('a mass that another server confirms passes within two polls of the witnesses', async () => {
  using time = startFastTime(pace);
  await using world = await live(time, 3);
  cancelMany(world);
  const ms = await world.until('it passes', () => world.up === 5);
  assert.ok(ms < minuteMs, `${ms} ms`);
  assert.ok(world.agent.removals.every(({ cause }) => cause === 'mass' || cause === 'single'));
});

test('a mass on a single server passes by later reads, not earlier', async () => {
  using time = startFastTime(pace);
  await using world = await live(time, 1);
  cancelMany(world);
  await world.until('it is held', () => world.held > 0);
  await world.always('it takes a minute', () => world.up >= size - 4, 55_000);
  const ms = await world.until('it passes', () => world.up === 5);
  assert.ok(ms < 2 * minuteMs, `${ms} ms`);
});

test('where other servers are configured but cannot be reached, the hold time decides', async () => {
  using time = startFastTime(pace);
  await using world = await live(time, 1, ['http://127.0.0.1:1/eureka/']);
  cancelMany(world);
  await world.until('it is held', () => world.held > 0);
  await world.always('later reads do not count', () => world.up >= size - 4, 5 * minuteMs);
  assert.match(
    world.agent.status().held[0]?.witnesses ?? '',
    /127\.0\.0\.1:1\S* could not be read/,
  );
  const ms = await world.until('it passes', () => world.up === 5);
  assert.ok(ms < 4 * minuteMs, `${ms} ms`);
});

test('what another server lists as UP stays beyond the hold time, and an operator lets it pass', async () => {
  using time = startFastTime(pace);
  await using world = await live(time, 2);
  world.node(0).isReplicating = false;
  for (const { app, id } of instances.slice(0, 15)) world.node(0).registry.cancel(app, id);
  for (const index of instances.keys()) world.cluster.move(index, 1);
  world.node(1).isReplicating = false;
  await world.until('it is held', () => world.held > 0);
  await world.always('it stays', () => world.up >= size - 4, 7 * minuteMs);
  const { held } = world;
  assert.match(world.agent.status().held[0]?.witnesses ?? '', /as UP/);
  assert.equal(world.agent.release(), held);
  await world.until('it passes', () => world.up === 5 && world.held === 0);
});
