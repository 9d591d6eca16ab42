import assert from 'node:assert/strict';
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { restHandle } from '../conformance/eureka-source-suite.ts';
import type { EurekaServerHandle } from '../conformance/eureka-source-suite.ts';
import { startEurekaPeers } from '../rigs/eureka.ts';
import type { EurekaRig } from '../rigs/eureka.ts';
import { freePorts } from '../rigs/ports.ts';
import { rigTest } from '../rigs/rig-test.ts';
import { eventually } from '../support/eventually.ts';
import { startFastTime } from '../support/fast-time.ts';
import type { FastTime } from '../support/fast-time.ts';
import { WitnessedAgent } from '../support/witnessed-agent.ts';

/**
 * The shorter form of test/conformance/eureka-histories-suite.ts on real servers: two peers that replicate to each
 * other and push to the agent, applications that write at random, and each server killed once.
 */

/** A body that was being built while something changed is stale until it expires: see real-eureka.test.ts. */
const shortCaches = { 'eureka.responseCacheAutoExpirationInSeconds': 2 };
const beatMs = 1_000;

interface App {
  readonly id: string;
  /** As it was registered last; undefined for who has gone. */
  status: 'UP' | 'DOWN' | undefined;
  version: string;
  readonly ip: string;
}

/** Applications that talk to whichever server is there, and register again where they are not known. */
class Apps {
  readonly apps: readonly App[];
  readonly cancelled = new Set<string>();
  private readonly servers: readonly {
    readonly rig: EurekaRig;
    readonly rest: EurekaServerHandle;
  }[];
  private readonly dead = new Set<EurekaRig>();

  constructor(rigs: readonly EurekaRig[]) {
    this.servers = rigs.map((rig) => ({
      rig,
      rest: restHandle([rig.serviceUrl], () => Promise.resolve()),
    }));
    this.apps = Array.from({ length: 8 }, (_, at) => ({
      id: `i${at}`,
      status: 'UP',
      version: '1',
      ip: `10.1.0.${at + 1}`,
    }));
  }

  async kill(rig: EurekaRig): Promise<void> {
    this.dead.add(rig);
    await rig.kill();
  }

  async restart(rig: EurekaRig): Promise<void> {
    await rig.restart();
    this.dead.delete(rig);
  }

  /** The first living server from this place on. */
  rest(place: number): EurekaServerHandle {
    const alive = this.servers.filter(({ rig }) => !this.dead.has(rig));
    const server = alive[place % alive.length];
    assert.ok(server !== undefined);
    return server.rest;
  }

  async register(app: App, place: number): Promise<void> {
    const { id, ip, status = 'UP', version } = app;
    const durationSecs = 300;
    await this.rest(place).register({
      app: 'SHOP',
      id,
      ip,
      status,
      metadata: { version },
      durationSecs,
    });
  }

  async beat(): Promise<void> {
    for (const [at, app] of this.apps.entries()) {
      if (app.status === undefined) continue;
      await this.rest(at)
        .heartbeat('SHOP', app.id)
        .catch(() => this.register(app, at))
        .catch(() => undefined);
    }
  }

  /** What concerns an instance that is not there, or a server that is going, fails; that is part of the history. */
  async act({ kind, at, place, version }: Act): Promise<void> {
    const app = this.apps[at];
    assert.ok(app !== undefined);
    const rest = this.rest(place);
    if (kind === 'register' || kind === 'down') {
      app.status = kind === 'down' ? 'DOWN' : 'UP';
      app.version = version;
      await this.register(app, place).catch(() => undefined);
    } else if (kind === 'cancel') {
      this.cancelled.add(`SHOP/${app.id}`);
      app.status = undefined;
      await rest.cancel('SHOP', app.id).catch(() => undefined);
    } else if (kind === 'override') {
      await rest.override('SHOP', app.id, 'OUT_OF_SERVICE').catch(() => undefined);
    } else {
      await rest.removeOverride('SHOP', app.id).catch(() => undefined);
    }
  }
}

const act = fc.record({
  kind: fc.constantFrom('register', 'register', 'down', 'cancel', 'override', 'remove-override'),
  at: fc.nat({ max: 7 }),
  place: fc.nat({ max: 1 }),
  version: fc.constantFrom('1', '2'),
});
type Act = typeof act extends fc.Arbitrary<infer T> ? T : never;

interface Listed {
  readonly applications: {
    readonly application: readonly {
      readonly name: string;
      readonly instance: readonly { readonly instanceId: string; readonly status: string }[];
    }[];
  };
}

/** `APP/id status` of everything that a server lists. */
async function listOf(serviceUrl: string): Promise<readonly string[]> {
  const response = await fetch(`${serviceUrl}apps`, { headers: { accept: 'application/json' } });
  const { applications } = (await response.json()) as Listed;
  return applications.application
    .flatMap(({ name, instance }) =>
      instance.map(({ instanceId, status }) => `${name}/${instanceId} ${status}`),
    )
    .sort();
}

function toldBy(agent: WitnessedAgent): readonly string[] {
  return [...agent.instances()].map(([id, { status }]) => `${id} ${status}`).sort();
}

/**
 * All that the followed server lists is told; beside it only cancelled ones may be which the other server still lists:
 * who was cancelled while the two had parted lives on there until its lease runs out. Time is hurried on in steps
 * between which the agent gets on, as it counts no time in which it seems to have slept: by the servers' own clocks,
 * which are not hurried, they stay too young to testify, and then the hold time has to end.
 */
async function agrees(
  agent: WitnessedAgent,
  peers: readonly EurekaRig[],
  time: FastTime,
): Promise<void> {
  const deadlineMs = 600_000;
  await eventually(async () => {
    const listed = await listOf(agent.followedUrl);
    const others = peers.filter(({ serviceUrl }) => serviceUrl !== agent.followedUrl);
    const elsewhere = new Set(
      (await Promise.all(others.map(({ serviceUrl }) => listOf(serviceUrl)))).flat(),
    );
    const known = new Set(listed.map(idOf));
    const told = toldBy(agent).filter((one) => known.has(idOf(one)) || !elsewhere.has(one));
    if (!isDeepStrictEqual(told, listed)) {
      await time.pause(40);
      time.jump(500);
    }
    assert.deepEqual(told, listed);
  }, deadlineMs);
}

function idOf(line: string): string {
  return line.slice(0, line.indexOf(' '));
}

rigTest(
  'two peers, pushes, random writes and a kill of each: nobody who lives is withdrawn',
  'every',
  async (context) => {
    const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000);
    context.diagnostic(`SEED=${seed}`);
    const acts = fc.sample(act, { seed, numRuns: 60 }).values();
    const [port = 0] = await freePorts(1);
    await using peers = await startEurekaPeers({
      peers: [`http://127.0.0.1:${port}/eureka/`],
      systemProperties: shortCaches,
    });
    const apps = new Apps(peers.servers);
    for (const [at, app] of apps.apps.entries()) await apps.register(app, at);
    const beating = setInterval(() => void apps.beat(), beatMs);
    using time = startFastTime(1);
    const agent = new WitnessedAgent(
      {
        serviceUrls: peers.serviceUrls,
        pollIntervalMs: 300,
        push: {
          listen: { host: '127.0.0.1', port },
          userFile: undefined,
          certFile: undefined,
          keyFile: undefined,
          clientCaFile: undefined,
        },
      },
      () => undefined,
    );
    try {
      await eventually(() => assert.equal(agent.instances().size, apps.apps.length));
      const history = async (length: number): Promise<void> => {
        for (const one of acts.take(length)) {
          await apps.act(one);
          await time.pause(40);
        }
      };
      await history(20);
      await agrees(agent, peers.servers, time);
      const [first, second] = peers.servers;
      for (const [dying, staying] of [
        [first, second],
        [second, first],
      ] as const) {
        await apps.kill(dying);
        await history(12);
        await eventually(() => assert.equal(agent.followedUrl, staying.serviceUrl));
        await apps.restart(dying);
        await apps.beat();
        // What a server that has just been switched to denies needs another witness, or time.
        time.jump(120_000);
        await history(6);
        await apps.beat();
        await agrees(agent, peers.servers, time);
      }
      const withdrawn = agent.removals.map(({ id }) => id);
      assert.deepEqual(
        withdrawn.filter((id) => !apps.cancelled.has(id)),
        [],
      );
    } finally {
      clearInterval(beating);
      await agent[Symbol.asyncDispose]();
    }
  },
);
