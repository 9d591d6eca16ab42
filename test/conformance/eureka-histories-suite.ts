import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { EurekaOptions } from '../../agent/eureka/options.ts';
import type { InstanceStatus } from '../../standalone/eureka-registry/model.ts';
import { freePorts } from '../rigs/ports.ts';
import { startEurekaCluster } from '../support/eureka-cluster.ts';
import type { EurekaCluster } from '../support/eureka-cluster.ts';
import type { FakeEurekaNode } from '../support/fake-eureka.ts';
import type { LinkFault } from '../support/fake-replication.ts';
import { startFastTime } from '../support/fast-time.ts';
import type { FastTime } from '../support/fast-time.ts';
import { WitnessedAgent } from '../support/witnessed-agent.ts';
import type { Removal } from '../support/witnessed-agent.ts';

/**
 * Any history of a cluster of three servers and its applications, with whatever may go wrong between servers, between
 * them and the agent, and with time: once all is well again the agent tells what the server tells that it follows,
 * and on the way it has never withdrawn an instance that was UP on the server that it followed, nor, where the guard
 * held the withdrawal, one that was UP on any server that it could reach.
 *
 * Real HTTP, real caches and queues, the product's own times, in a world that runs a hundred times faster.
 */
const pace = 100;
/** Of the fast world: the guard's six minutes, more than once, and what comes before and after. */
const healedMaxMs = 7_200_000;

const instances = ['SHOP', 'CART', 'MAIL'].flatMap((app) =>
  ['1', '2', '3', '4'].map((id) => ({ app, id })),
);

const index = fc.nat({ max: instances.length - 1 });
const server = fc.nat({ max: 2 });
/** A server by its place, or (3) the one that is followed. */
const anyServer = fc.nat({ max: 3 });
const link = fc.record({ from: server, to: fc.nat({ max: 3 }) });
const version = fc.constantFrom('1', '2');

const operation = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('register' as const), index, version }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('cancel' as const), index }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('cancel-and-back' as const), index }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('stop' as const), index }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('mass-cancel' as const), index }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('down' as const), index }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('crash' as const), index }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('metadata' as const), index, version }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('move' as const), index, server }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('override' as const),
      index,
      server,
      status: fc.constantFrom<InstanceStatus | undefined>('OUT_OF_SERVICE', 'DOWN', undefined),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('evict' as const), server: anyServer }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('die' as const), server: anyServer }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('come-back' as const),
      server: anyServer,
      as: fc.constantFrom('whole' as const, 'empty' as const, 'synced' as const),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('break' as const),
      link,
      how: fc.constantFrom('partition' as const, 'drop' as const, 'delay' as const),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('heal' as const), link }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('hide' as const), server: anyServer }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('show' as const), server: anyServer }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('jump' as const),
      ms: fc.constantFrom(20_000, 100_000, 400_000),
    }),
  },
);
type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never;

const world = fc.record({
  readOnlyCacheMs: fc.constantFrom(0, 3_000, 10_000),
  /** How far the servers' clocks are from the agent's. */
  skewMs: fc.constantFrom(0, 3_600_000, -3_600_000),
  isPushed: fc.boolean(),
  fullIntervalMs: fc.constantFrom(5_000, 450_000),
  history: fc.array(
    fc.record({ operation, thenMs: fc.constantFrom(0, 0, 0, 300, 700, 1_500, 4_000) }),
    { minLength: 4, maxLength: 24, size: 'max' },
  ),
});

type World = typeof world extends fc.Arbitrary<infer T> ? T : never;

/** One run: a cluster, an agent that follows it, and what was seen of the withdrawals. */
class Run {
  readonly cluster: EurekaCluster;
  readonly time: FastTime;
  readonly wrong: string[] = [];
  readonly pushUrl: string;
  agent: WitnessedAgent | undefined;
  private readonly hidden = new Set<FakeEurekaNode>();
  /** Since when the agent has been able to reach a server. */
  private readonly reachableSince = new Map<FakeEurekaNode, number>();

  constructor(cluster: EurekaCluster, time: FastTime, pushUrl: string) {
    this.cluster = cluster;
    this.time = time;
    this.pushUrl = pushUrl;
    this.noteReach();
  }

  node(place: number): FakeEurekaNode {
    const { nodes } = this.cluster;
    const node =
      nodes[place] ?? nodes.find(({ serviceUrl }) => serviceUrl === this.agent?.followedUrl);
    assert.ok(node !== undefined);
    return node;
  }

  /** Judges a withdrawal at its moment. Until the answer was asked for the instance may have been away. */
  judge({ id, cause, askedAt }: Removal, followed: readonly string[]): void {
    const isUp = (node: FakeEurekaNode): boolean =>
      node.isRunning && this.cluster.upSince(node, id) < askedAt - staleMs[cause];
    const nodes = this.cluster.nodes.filter((node) => isUp(node));
    if (followed.every((url) => nodes.some((node) => node.serviceUrl === url))) {
      this.wrong.push(`${id} was UP on the server that was followed (${cause})`);
    }
    const reached = nodes.filter((node) => (this.reachableSince.get(node) ?? Infinity) < askedAt);
    if (cause !== 'single' && reached.length > 0) {
      this.wrong.push(`${id} was held, and UP on a server within reach (${cause})`);
    }
  }

  async apply(operation: Operation): Promise<void> {
    const { cluster } = this;
    switch (operation.kind) {
      case 'register':
        cluster.register(operation.index, 'UP', operation.version);
        return;
      case 'cancel':
        cluster.cancel(operation.index);
        return;
      case 'cancel-and-back':
        cluster.cancel(operation.index);
        cluster.register(operation.index, 'UP', '1');
        return;
      case 'stop':
        cluster.register(operation.index, 'DOWN', '1');
        cluster.cancel(operation.index);
        return;
      case 'mass-cancel':
        for (let more = 0; more < 7; more += 1) cluster.cancel(operation.index + more);
        return;
      case 'down':
        cluster.register(operation.index, 'DOWN', '1');
        return;
      case 'crash':
        cluster.crash(operation.index);
        return;
      case 'metadata':
        cluster.putMetadata(operation.index, operation.version);
        return;
      case 'move':
        cluster.move(operation.index, operation.server);
        return;
      case 'override':
        cluster.override(operation.index, operation.server, operation.status);
        return;
      default:
        await this.trouble(operation);
    }
    this.noteReach();
  }

  /** Everything works again; who is alive says so. */
  async heal(): Promise<void> {
    for (const node of this.cluster.nodes) {
      for (const url of this.urls()) node.breakLink(url, undefined);
      this.hidden.delete(node);
      node.heal();
      if (!node.isRunning) await node.start();
    }
    this.noteReach();
    this.cluster.beat();
  }

  urls(): readonly string[] {
    return [...this.cluster.nodes.map((node) => node.serviceUrl), this.pushUrl];
  }

  private async trouble(operation: Exclude<Operation, { readonly index: number }>): Promise<void> {
    switch (operation.kind) {
      case 'evict':
        this.node(operation.server).registry.evict();
        return;
      case 'die':
        await this.node(operation.server).stop();
        break;
      case 'come-back':
        await this.comeBack(this.node(operation.server), operation.as);
        break;
      case 'break':
        this.breakLink(operation.link, faults[operation.how]);
        return;
      case 'heal':
        this.breakLink(operation.link, undefined);
        return;
      case 'hide':
        this.hidden.add(this.node(operation.server));
        this.node(operation.server).fail({ kind: 'reset' }, /\/apps|\/instances/);
        break;
      case 'show':
        this.hidden.delete(this.node(operation.server));
        this.node(operation.server).heal();
        break;
      case 'jump':
        this.time.jump(operation.ms);
        this.cluster.beat();
        return;
    }
    this.noteReach();
  }

  private async comeBack(node: FakeEurekaNode, as: 'whole' | 'empty' | 'synced'): Promise<void> {
    const peer = this.cluster.nodes.find((other) => other !== node && other.isRunning);
    if (as === 'empty') await node.restartEmpty();
    else if (as === 'synced' && peer !== undefined) await node.restartSynced(peer);
    else if (!node.isRunning) await node.start();
  }

  private breakLink(
    { from, to }: { from: number; to: number },
    fault: LinkFault | undefined,
  ): void {
    const url = this.urls()[to];
    if (url !== undefined && from !== to) this.node(from).breakLink(url, fault);
  }

  private noteReach(): void {
    for (const node of this.cluster.nodes) {
      if (!node.isRunning || this.hidden.has(node)) this.reachableSince.delete(node);
      else if (!this.reachableSince.has(node)) this.reachableSince.set(node, performance.now());
    }
  }
}

/** How old what a withdrawal rests on may be, when it is no answer: caches, a poll, and the pace of this world. */
const staleMs: Readonly<Record<Removal['cause'], number>> = {
  single: 0,
  mass: 20_000,
  time: 30_000,
};

const faults: Readonly<Record<'partition' | 'drop' | 'delay', LinkFault>> = {
  partition: { kind: 'partition' },
  drop: { kind: 'drop' },
  delay: { kind: 'delay', ms: (batch) => ((batch * 7) % 5) * 400 },
};

/** What the agent is to tell in the end: what the followed server has. */
function registryOf(node: FakeEurekaNode): ReadonlyMap<string, string> {
  return new Map(
    node.registry
      .registrations()
      .map(({ app, instanceId, status, metadata, ipAddr }) => [
        `${app}/${instanceId ?? ''}`,
        `${status} ${ipAddr} ${metadata.version ?? ''}`,
      ]),
  );
}

function toldBy(agent: WitnessedAgent): ReadonlyMap<string, string> {
  return new Map(
    [...agent.instances()].map(([id, { status, address, labels }]) => [
      id,
      `${status} ${address} ${labels.version ?? ''}`,
    ]),
  );
}

function sorted(map: ReadonlyMap<string, string>): readonly string[] {
  return [...map].map(([key, value]) => `${key} ${value}`).sort();
}

function differenceOf(run: Run, agent: WitnessedAgent): string | undefined {
  const node = run.cluster.nodes.find(({ serviceUrl }) => serviceUrl === agent.followedUrl);
  if (node === undefined) return 'nobody is followed';
  const [told, known] = [sorted(toldBy(agent)), sorted(registryOf(node))];
  const missing = known.filter((line) => !told.includes(line));
  const extra = told.filter((line) => !known.includes(line));
  if (missing.length + extra.length === 0) return undefined;
  return `missing: ${missing.join(', ')}; extra: ${extra.join(', ')}`;
}

/** The world goes on, well, until the agent tells what its server does. */
async function convergence(run: Run, agent: WitnessedAgent): Promise<void> {
  const { time, cluster } = run;
  const until = performance.now() + healedMaxMs;
  for (;;) {
    await time.pause(20);
    const difference = differenceOf(run, agent);
    if (difference === undefined) return;
    if (performance.now() > until) {
      assert.fail(`${difference}; ${JSON.stringify(agent.status())}`);
    }
    // Dead instances expire and are evicted; what is held, distrusted or cached has its time. A longer jump would
    // count as sleep, in which no hold time passes.
    time.jump(12_000);
    cluster.beat();
    for (const node of cluster.nodes) node.registry.evict();
  }
}

async function live(
  { readOnlyCacheMs, skewMs, isPushed, fullIntervalMs, history }: World,
  time: FastTime,
): Promise<void> {
  const [port = 0] = await freePorts(1);
  const replication = { readTimeoutMs: 30_000 };
  const evictionIntervalMs = 86_400_000;
  await using cluster = await startEurekaCluster(3, instances, {
    readOnlyCacheMs,
    evictionIntervalMs,
    replication,
    now: () => Date.now() + skewMs,
  });
  const pushUrl = `http://127.0.0.1:${port}/eureka/`;
  const run = new Run(cluster, time, pushUrl);
  if (isPushed) for (const node of cluster.nodes) node.addPeer(pushUrl);
  for (const at of instances.keys()) cluster.register(at, 'UP', '1');
  time.jump(1_000);
  await time.pause(2_000 / pace);
  // Everybody has been there for hours, and the changes of the start are no longer in anybody's delta.
  time.jump(7_200_000);
  for (const node of cluster.nodes) node.registry.forgetChanges();
  cluster.beat();
  const options: Partial<EurekaOptions> = {
    serviceUrls: cluster.nodes.map((node) => node.serviceUrl),
    pollIntervalMs: 1_000,
    requestTimeoutMs: 30_000,
    fullIntervalMs,
    ...(isPushed
      ? {
          push: {
            listen: { host: '127.0.0.1', port },
            userFile: undefined,
            certFile: undefined,
            keyFile: undefined,
            clientCaFile: undefined,
          },
        }
      : {}),
  };
  const followed = (): readonly string[] => {
    const recent = agent.followed.filter(({ at }) => at > performance.now() - 20_000);
    return [...new Set([agent.followedUrl, ...recent.map(({ url }) => url)])];
  };
  await using agent = new WitnessedAgent(options, (removal) => run.judge(removal, followed()));
  run.agent = agent;
  await convergence(run, agent);
  for (const { operation, thenMs } of history) {
    await run.apply(operation);
    if (thenMs > 0) await time.pause(thenMs / pace);
  }
  await run.heal();
  await convergence(run, agent);
  assert.deepEqual(run.wrong, []);
}

/**
 * Tries so many random histories.
 *
 * @param isShrinking whether a failure is reduced to a smaller one, which takes as long as many runs
 */
export function eurekaHistories(numRuns: number, { isShrinking }: { isShrinking: boolean }): void {
  test('whatever happens, nothing that is UP is withdrawn, and in the end all is as the server says', async () => {
    using time = startFastTime(pace);
    await fc.assert(
      fc.asyncProperty(world, (one) => live(one, time)),
      { numRuns, endOnFailure: !isShrinking, ...seedOf(process.env['SEED']) },
    );
  });
}

/** A failure prints its seed; with it in the environment the same histories are tried again. */
function seedOf(seed: string | undefined): { readonly seed?: number } {
  return seed === undefined ? {} : { seed: Number(seed) };
}
