import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startFastTime } from '../support/fast-time.ts';
import type { FastTime } from '../support/fast-time.ts';
import { TreeAgent } from '../support/tree-agent.ts';
import { TreeFake } from '../support/tree-fake.ts';
import { providerLeaf } from '../support/zookeeper-writer.ts';

/** Whole agents on a tree, with the guard's own times, in a world that runs a hundred times faster. */
const pace = 100;
/** Where something must happen within some seconds: a busy machine must not make minutes of them. */
const slowPace = 25;
const second = 1000;
/** What is not held passes within this: well before any hold time is over. */
const soonMs = 60 * second;
const holdMs = 80 * second;

/** A provider process: some interfaces at one address. */
interface Host {
  readonly number: number;
  readonly interfaces: readonly string[];
}

function host(number: number, interfaces = ['orders', 'stock']): Host {
  return { number, interfaces };
}

const twenty = Array.from({ length: 20 }, (_, number) => host(number));

function pathsOf({ number, interfaces }: Host, timestamp = 1): string[] {
  return interfaces.map((name) => {
    const interfaceName = `com.example.${name}`;
    const address = `10.1.${number >> 8}.${number & 255}`;
    const leaf = providerLeaf({ interfaceName, host: address, parameters: { timestamp } });
    return `/dubbo/${interfaceName}/providers/${leaf}`;
  });
}

class World implements AsyncDisposable {
  readonly tree: TreeFake;
  private readonly time: FastTime;
  private running: TreeAgent;
  private isAway = false;
  private endedAt = 0;

  constructor(tree: TreeFake, time: FastTime) {
    this.tree = tree;
    this.time = time;
    this.running = new TreeAgent(tree);
  }

  get agent(): TreeAgent {
    return this.running;
  }

  get up(): number {
    return this.agent.status().instances.UP ?? 0;
  }

  get held(): number {
    return this.agent.status().heldRemovals;
  }

  get evidence(): string {
    return this.agent
      .status()
      .held.map(({ evidence }) => evidence)
      .join('\n');
  }

  register(hosts: readonly Host[], timestamp = 1): void {
    for (const each of hosts) for (const path of pathsOf(each, timestamp)) this.tree.create(path);
  }

  /** The sessions of these hosts end. */
  end(hosts: readonly Host[], timestamp = 1): void {
    this.endedAt = performance.now();
    for (const each of hosts) for (const path of pathsOf(each, timestamp)) this.tree.remove(path);
  }

  /** The ensemble is away for so long; meanwhile, and before it is read again, this happens to the tree. */
  async outage(forMs: number, meanwhile: () => void = () => undefined): Promise<void> {
    this.isAway = true;
    this.tree.lose();
    await this.wait(forMs);
    meanwhile();
    this.endedAt = performance.now();
    this.isAway = false;
    this.tree.resync();
  }

  async restart(): Promise<void> {
    await this.agent[Symbol.asyncDispose]();
    this.running = new TreeAgent(this.tree);
  }

  async wait(forMs: number): Promise<void> {
    await this.always('', () => true, forMs);
  }

  /** Waits until it is so; returns how long it took, in the fast world. */
  async until(what: string, isSo: () => boolean, maxMs = 600 * second): Promise<number> {
    const startedAt = performance.now();
    while (!isSo()) {
      const status = JSON.stringify(this.agent.status());
      assert.ok(performance.now() - startedAt < maxMs, `not in time: ${what}: ${status}`);
      await this.step();
    }
    return performance.now() - startedAt;
  }

  /** Waits until what is lost has passed: that takes so long from when it ended. */
  async heldFor(ms: number, hasPassed: () => boolean): Promise<void> {
    const before = this.up;
    await this.until('it passes', () => this.up !== before);
    assert.ok(performance.now() - this.endedAt >= ms, 'not too early');
    await this.until('all of it passes', hasPassed);
    assert.equal(this.held, 0);
  }

  /** For so long, in the fast world, it is so. */
  async always(what: string, isSo: () => boolean, forMs: number): Promise<void> {
    const startedAt = performance.now();
    while (performance.now() - startedAt < forMs) {
      assert.ok(isSo(), `${what}: ${JSON.stringify(this.agent.status())}`);
      await this.step();
    }
  }

  /** Drivers say every few seconds that the view is current. */
  private async step(): Promise<void> {
    if (!this.isAway) this.tree.confirm();
    await this.time.pause(5);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.agent[Symbol.asyncDispose]();
  }
}

/** An agent that has known these hosts for a while. */
async function live(time: FastTime, hosts: readonly Host[]): Promise<World> {
  const tree = new TreeFake();
  for (const each of hosts) for (const path of pathsOf(each)) tree.create(path);
  const world = new World(tree, time);
  const size = hosts.reduce((sum, { interfaces }) => sum + interfaces.length, 0);
  await world.until('everything is known', () => world.up === size);
  await world.wait(20 * second);
  return world;
}

test('a mass expiry after an outage withdraws nobody who registers again', async () => {
  using time = startFastTime(pace);
  await using world = await live(time, twenty);
  await world.outage(45 * second);
  await world.wait(30 * second);
  world.end(twenty);
  await world.until('the losses are held', () => world.held === 40);
  await world.wait(20 * second);
  world.register(twenty, 2);
  await world.until('all are back', () => world.held === 0);
  await world.wait(2 * holdMs);
  assert.equal(world.up, 40);
  assert.deepEqual(world.agent.withdrawn, []);
});

test('what an outage has taken before the resync is held in the same way', async () => {
  using time = startFastTime(pace);
  await using world = await live(time, twenty);
  await world.outage(60 * second, () => world.end(twenty.slice(0, 6)));
  await world.until('the losses are held', () => world.held === 12);
  assert.match(world.evidence, /12 of 40 UP instances removed .*; in doubt: the ensemble was away/);
  world.register(twenty.slice(0, 6), 2);
  await world.until('all are back', () => world.held === 0);
  assert.deepEqual(world.agent.withdrawn, []);
});

test('after an outage less than half is held too, and passes after two session timeouts', async () => {
  using time = startFastTime(pace);
  await using world = await live(time, twenty);
  await world.outage(20 * second);
  await world.wait(30 * second);
  world.end(twenty.slice(0, 6));
  await world.until('the losses are held', () => world.held === 12);
  await world.heldFor(holdMs, () => world.up === 28);
});

test('long after an outage one host passes at once again', async () => {
  using time = startFastTime(pace);
  await using world = await live(time, twenty);
  await world.outage(45 * second);
  await world.wait(90 * second);
  world.end([host(0)]);
  await world.until('it passes', () => world.up === 38, soonMs);
});

test('one host of fifty interfaces that stops passes at once', async () => {
  using time = startFastTime(pace);
  const fifty = Array.from({ length: 50 }, (_, index) => `service${index}`);
  const hosts = [0, 1, 2, 3].map((number) => host(number, fifty));
  await using world = await live(time, hosts);
  world.end(hosts.slice(0, 1));
  await world.until('it passes', () => world.up === 150, soonMs);
  assert.equal(world.held, 0);
});

test('the only instance of a service that stops passes at once', async () => {
  using time = startFastTime(pace);
  await using world = await live(time, [...twenty, host(30, ['single'])]);
  world.end([host(30, ['single'])]);
  await world.until('it passes', () => world.up === 40, soonMs);
});

test('after an outage the only instance of a service is held for the time of the doubt', async () => {
  using time = startFastTime(pace);
  await using world = await live(time, [...twenty, host(30, ['single'])]);
  await world.outage(45 * second);
  world.end([host(30, ['single'])]);
  await world.until('it is held', () => world.held === 1);
  world.register([host(30, ['single'])], 2);
  await world.until('it is back', () => world.held === 0);
  assert.deepEqual(world.agent.withdrawn, []);
});

test('a rolling deployment of twenty hosts passes, each at once', async () => {
  using time = startFastTime(pace);
  await using world = await live(time, twenty);
  for (const { number } of twenty) {
    world.register([host(100 + number)]);
    await world.until('the new one is there', () => world.up === 42);
    world.end([host(number)]);
    await world.until('the old one is gone', () => world.up === 40, soonMs);
    await world.wait(6 * second);
  }
  assert.equal(world.agent.withdrawn.length, 40);
});

test('a scale-down of many at once is held, and passes after the hold time', async () => {
  using time = startFastTime(pace);
  await using world = await live(time, twenty);
  world.end(twenty.slice(0, 6));
  await world.until('it is held', () => world.held === 12);
  assert.match(world.evidence, /in doubt: 6 of 20 processes at 6 addresses vanished within 15 s$/);
  await world.heldFor(holdMs, () => world.up === 28);
  assert.equal(world.held, 0);
});

test('an operator releases what is held in doubt', async () => {
  using time = startFastTime(pace);
  await using world = await live(time, twenty);
  world.end(twenty.slice(0, 6));
  await world.until('it is held', () => world.held === 12);
  assert.equal(world.agent.release(), 12);
  await world.until('it passes', () => world.up === 28, soonMs);
  assert.equal(world.held, 0);
});

test('a burst that is spread over seconds is held from where it is seen', async () => {
  using time = startFastTime(slowPace);
  await using world = await live(time, twenty);
  for (const each of twenty.slice(0, 9)) {
    world.end([each]);
    await world.wait(0.5 * second);
  }
  await world.until('the later ones are held', () => world.held > 0);
  assert.ok(world.agent.withdrawn.length <= 8, `${world.agent.withdrawn.length} before`);
  assert.ok(world.held >= 10, `${world.held} held`);
});

test('a short reconnect that misses two hosts lets them pass, one that misses three does not', async () => {
  using time = startFastTime(slowPace);
  await using world = await live(time, twenty);
  await world.outage(second, () => world.end(twenty.slice(0, 2)));
  await world.until('two pass', () => world.up === 36, soonMs);
  await world.wait(20 * second);
  await world.outage(second, () => world.end(twenty.slice(2, 5)));
  await world.until('three are held', () => world.held === 6);
  assert.match(world.evidence, /3 of 18 processes at 3 addresses vanished after a reconnect$/);
});

test('a subtree that may not be read is a matter of health, and takes nothing away', async () => {
  using time = startFastTime(pace);
  await using world = await live(time, twenty);
  world.tree.forbid('/dubbo/com.example.orders');
  await world.outage(3 * second);
  await world.until('it is told', () => world.agent.status().state === 'suspect');
  await world.wait(2 * holdMs);
  assert.equal(world.up, 40);
  assert.deepEqual(world.agent.withdrawn, []);
  assert.match(world.agent.status().reason, /no permission to read \/dubbo\/com\.example\.orders/);
});

test('what is held runs out although a subtree may not be read', async () => {
  using time = startFastTime(pace);
  await using world = await live(time, [...twenty, host(30, ['secret'])]);
  world.tree.forbid('/dubbo/com.example.secret');
  await world.outage(3 * second);
  await world.wait(60 * second);
  world.end(twenty.slice(0, 6));
  await world.until('it is held', () => world.held === 12);
  await world.until('it passes', () => world.up === 29, 3 * holdMs);
});

test('an ensemble that was emptied is held, and believed when the hold time is over', async () => {
  using time = startFastTime(pace);
  await using world = await live(time, twenty);
  await world.outage(130 * second, () => world.tree.remove('/dubbo'));
  await world.until('all is held', () => world.held === 40);
  await world.heldFor(holdMs, () => world.up === 0);
});

test('hold times do not run while the ensemble is away again', async () => {
  using time = startFastTime(pace);
  await using world = await live(time, twenty);
  await world.outage(45 * second);
  world.end(twenty);
  await world.until('all is held', () => world.held === 40);
  await world.outage(200 * second, () => world.register(twenty, 2));
  await world.until('all are back', () => world.held === 0);
  assert.deepEqual(world.agent.withdrawn, []);
});

test('an agent that restarts while an ensemble recovers withdraws nothing that registers again', async () => {
  using time = startFastTime(pace);
  await using world = await live(time, twenty);
  await world.outage(45 * second);
  await world.restart();
  await world.until('all is known', () => world.up === 40);
  world.end(twenty);
  await world.until('all is held', () => world.held === 40);
  world.register(twenty, 2);
  await world.until('all are back', () => world.held === 0);
  assert.deepEqual(world.agent.withdrawn, []);
});
