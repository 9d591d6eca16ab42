import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { Source } from '../../agent/source.ts';
import { createTreeSource } from '../../agent/zookeeper/source.ts';
import type { Instance } from '../../common/instance.ts';
import { EndpointWitness, anyOf } from '../support/endpoint-witness.ts';
import type { Presence, PresenceOf } from '../support/endpoint-witness.ts';
import { eventually } from '../support/eventually.ts';
import { FollowedSource, RememberedReport } from '../support/followed-source.ts';
import { TreeFake } from '../support/tree-fake.ts';
import { providerLeaf } from '../support/zookeeper-writer.ts';
import { optionsForTests, silent } from './zookeeper-source-suite.ts';

/**
 * Any history of providers that come, go, crash and come back in a ZooKeeper tree, of its directories and of the
 * connection over which a source reads it: no endpoint is taken back while one of its nodes lived all the time, none is
 * told that was not there, and in the end the source says what anybody reads from that tree.
 *
 * The same histories for a stub, where every reply and event can be held, and for real servers.
 */

/** Where a history takes place. */
export interface HistoryPlace extends AsyncDisposable {
  /** Creates the node and what is missing above it, or sets its data. Resolves when that is so. */
  put(path: string, data: string | null, isEphemeral: boolean): Promise<void>;
  /** Deletes a node without children. */
  delete(path: string): Promise<void>;
  source(): Source;
  trouble(trouble: Trouble): Promise<void>;
  /** All works again. */
  heal(): Promise<void>;
}

/** Interfaces of every Dubbo process. */
const interfaces = ['com.example.A', 'com.example.B'] as const;
const incarnations = [0, 1, 2] as const;
/** How a process registers: at the interface level, at both, or as a Dubbo 3 instance alone. */
const processes = ['leaves', 'leaves', 'leaves', 'both', 'both', 'instance', 'instance'] as const;
const springNodes = [0, 1, 2].map((number) => `/services/orders/orders-${number}`);
/** By revision: which interfaces it has. */
const revisions: Readonly<Record<string, readonly string[]>> = {
  first: interfaces,
  second: [interfaces[0]],
};

const hostOf = (process: number): string => `192.0.2.${process}`;
const instancePath = (process: number): string => `/services/shop-app/${hostOf(process)}:20880`;
const overridePath = `/dubbo/${interfaces[0]}/configurators/${encodeURIComponent(
  `override://0.0.0.0/${interfaces[0]}?category=configurators&dynamic=false&enabled=true&weight=300`,
)}`;

function leafPath(process: number, interfaceName: string, incarnation: number): string {
  const leaf = providerLeaf({
    interfaceName,
    host: hostOf(process),
    parameters: { application: 'shop-app', timestamp: incarnation + 1, weight: incarnation + 10 },
  });
  return `/dubbo/${interfaceName}/providers/${leaf}`;
}

function leavesOf(process: number, incarnation: number): readonly string[] {
  return interfaces.map((interfaceName) => leafPath(process, interfaceName, incarnation));
}

function instanceData(process: number, revision: string): string {
  const host = hostOf(process);
  return JSON.stringify({
    name: 'shop-app',
    id: `${host}:20880`,
    address: host,
    port: 20880,
    sslPort: null,
    payload: {
      '@class': 'org.apache.dubbo.registry.zookeeper.ZookeeperInstance',
      id: `${host}:20880`,
      name: 'shop-app',
      metadata: {
        'dubbo.endpoints': '[{"port":20880,"protocol":"dubbo"}]',
        'dubbo.metadata.revision': revision,
        'dubbo.metadata.storage-type': 'remote',
        timestamp: '1795364988654',
      },
    },
    registrationTimeUTC: 1795364988770,
    serviceType: 'DYNAMIC',
    uriSpec: null,
  });
}

function metadataOf(revision: string): string {
  const services = (revisions[revision] ?? []).map((name) => [
    `${name}:dubbo`,
    {
      name,
      path: name,
      port: 20880,
      protocol: 'dubbo',
      params: { application: 'shop-app', side: 'provider', weight: '40' },
    },
  ]);
  return JSON.stringify({
    app: 'shop-app',
    revision,
    services: Object.fromEntries(services) as unknown,
  });
}

function springData(version: number): string {
  return JSON.stringify({ name: 'orders', address: `198.51.100.${version}`, port: 8080 });
}

const process = fc.nat({ max: processes.length - 1 });
const incarnation = fc.constantFrom(...incarnations);
const spring = fc.nat({ max: springNodes.length - 1 });

const happening = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('up' as const), process, incarnation }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('down' as const), process }) },
  /** The new process registers while the old one's nodes are still there, then these go. */
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant('restart' as const), process, incarnation }),
  },
  /** A session that was renewed: each node deleted and created again. */
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('flap' as const), process }) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('leaf' as const),
      process,
      incarnation,
      at: fc.nat({ max: interfaces.length - 1 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('revision' as const),
      process,
      revision: fc.constantFrom(...Object.keys(revisions)),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('spring' as const),
      spring,
      version: fc.nat({ max: 3 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('override' as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('vanish' as const),
      directory: fc.constantFrom(
        ...interfaces.map((name) => `/dubbo/${name}`),
        ...['/services/orders', '/services/shop-app', '/services'],
      ),
    }),
  },
);
type Happening = typeof happening extends fc.Arbitrary<infer T> ? T : never;

const trouble = fc.oneof(
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('cut' as const), after: fc.nat(2_000) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('hold' as const) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('open' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('expire' as const) }) },
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant('pass' as const), requests: fc.nat(6) }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.nat(8) }) },
);
/** What happens between the source and the tree. A place does what it can of it. */
export type Trouble = typeof trouble extends fc.Arbitrary<infer T> ? T : never;

const history = fc.array(
  fc.oneof({ weight: 3, arbitrary: happening }, { weight: 2, arbitrary: trouble }),
  { minLength: 5, maxLength: 45, size: 'max' },
);
type Step = Happening | Trouble;

/** The tree and its writers, and what is known of it. */
class World {
  readonly tree = new Map<string, string | null>();
  readonly witness = new EndpointWitness(vouching());
  private readonly place: HistoryPlace;

  constructor(place: HistoryPlace) {
    this.place = place;
  }

  async put(path: string, data: string | null = null): Promise<void> {
    if (this.tree.get(path) === data && this.tree.has(path)) return;
    const isNew = !this.tree.has(path);
    if (isNew) this.witness.note([path], 'unsure');
    this.noteRevision(path, data, 'unsure');
    this.tree.set(path, data);
    await this.place.put(path, data, path.split('/').length > 3 && !path.includes('/metadata/'));
    if (isNew) this.witness.note([path], 'present');
    this.noteRevision(path, data, 'present');
  }

  async delete(path: string): Promise<void> {
    if (!this.tree.delete(path)) return;
    const gone = [path, ...Object.keys(revisions).map((revision) => `${path}#${revision}`)];
    this.witness.note(gone, 'unsure');
    await this.place.delete(path);
    this.witness.note(gone, 'absent');
  }

  async happens(one: Happening): Promise<void> {
    switch (one.kind) {
      case 'up':
        await this.up(one.process, one.incarnation);
        return;
      case 'down':
        for (const path of this.nodesOf(one.process)) await this.delete(path);
        return;
      case 'restart': {
        const old = this.nodesOf(one.process);
        const fresh = await this.up(one.process, one.incarnation);
        for (const path of old) if (!fresh.includes(path)) await this.delete(path);
        return;
      }
      case 'flap':
        for (const path of this.nodesOf(one.process)) {
          const data = this.tree.get(path) ?? null;
          await this.delete(path);
          await this.put(path, data);
        }
        return;
      case 'leaf': {
        const [path] = leavesOf(one.process, one.incarnation).slice(one.at);
        if (path === undefined || processes[one.process] === 'instance') return;
        if (this.tree.has(path)) await this.delete(path);
        else await this.put(path);
        return;
      }
      case 'revision': {
        const path = instancePath(one.process);
        if (this.tree.has(path)) await this.put(path, instanceData(one.process, one.revision));
        return;
      }
      case 'spring': {
        const path = springNodes[one.spring] ?? '';
        if (one.version === 0) await this.delete(path);
        else await this.put(path, springData(one.version));
        return;
      }
      case 'override':
        if (this.tree.has(overridePath)) await this.delete(overridePath);
        else await this.put(overridePath);
        return;
      case 'vanish':
        for (const path of [...this.tree.keys()]) {
          if (path.startsWith(`${one.directory}/`)) await this.delete(path);
        }
    }
  }

  /** The nodes of a process that exist. */
  private nodesOf(process: number): readonly string[] {
    return [
      ...incarnations.flatMap((incarnation) => leavesOf(process, incarnation)),
      instancePath(process),
    ].filter((path) => this.tree.has(path));
  }

  private async up(process: number, incarnation: number): Promise<readonly string[]> {
    const how = processes[process];
    const fresh = how === 'instance' ? [] : leavesOf(process, incarnation);
    for (const path of fresh) await this.put(path);
    if (how === 'leaves') return fresh;
    const own = instancePath(process);
    const data = this.tree.get(own) ?? instanceData(process, 'first');
    // Dubbo deletes its instance node and creates it anew at each start.
    await this.delete(own);
    await this.put(own, data);
    return [...fresh, own];
  }

  /** What a registration says counts like a node: `<path>#<revision>`. */
  private noteRevision(path: string, data: string | null, presence: 'unsure' | 'present'): void {
    if (!path.startsWith('/services/shop-app/')) return;
    const has = (revision: string): boolean => data?.includes(`"${revision}"`) === true;
    const now = Object.keys(revisions).filter((revision) => has(revision));
    const others = Object.keys(revisions).filter((revision) => !has(revision));
    this.witness.note(
      now.map((revision) => `${path}#${revision}`),
      presence,
    );
    this.witness.note(
      others.map((revision) => `${path}#${revision}`),
      presence === 'present' ? 'absent' : 'unsure',
    );
  }
}

/** Which nodes vouch for which endpoint. */
function vouching(): ReadonlyMap<string, (presenceOf: PresenceOf) => Presence> {
  const judges = new Map<string, (presenceOf: PresenceOf) => Presence>();
  for (const [process, how] of processes.entries()) {
    for (const name of interfaces) {
      judges.set(`dubbo:${name}:::dubbo://${hostOf(process)}:20880`, (presenceOf) => {
        const leaves = anyOf(
          incarnations.map((incarnation) => presenceOf(leafPath(process, name, incarnation))),
        );
        if (how === 'leaves') return leaves;
        const said = anyOf(
          Object.entries(revisions)
            .filter(([, names]) => names.includes(name))
            .map(([revision]) => presenceOf(`${instancePath(process)}#${revision}`)),
        );
        if (how === 'instance') return said;
        // What a registration vouches for is known a moment after it: without leaves nobody can blame the source.
        return leaves === 'absent' && said !== 'absent' ? 'unsure' : leaves;
      });
    }
    if (how === 'leaves') continue;
    const own = instancePath(process);
    const id = `dubbo-app:/services/shop-app/${hostOf(process)}%3A20880`;
    judges.set(id, (presenceOf) => presenceOf(own));
  }
  for (const path of springNodes) {
    judges.set(`spring-cloud:${path}`, (presenceOf) => presenceOf(path));
  }
  return judges;
}

/** What anybody reads from this tree who has no past. */
async function pureReading(tree: ReadonlyMap<string, string | null>): Promise<readonly Instance[]> {
  const fake = new TreeFake();
  for (const [path, data] of tree) fake.create(path, data);
  const followed = new FollowedSource(
    createTreeSource(fake, optionsForTests, new RememberedReport(), silent),
  );
  await eventually(() => assert.equal(followed.count('snapshot'), 1));
  await followed.stop();
  return followed.instances();
}

/** Lives through one history. */
async function live(open: () => Promise<HistoryPlace>, steps: readonly Step[]): Promise<void> {
  await using place = await open();
  const world = new World(place);
  const { witness } = world;
  for (const revision of Object.keys(revisions)) {
    await world.put(`/dubbo/metadata/shop-app/${revision}`, metadataOf(revision));
  }
  await using watching = follow(place.source(), witness);
  for (const step of steps) {
    if (isTrouble(step)) await place.trouble(step);
    else await world.happens(step);
    assert.deepEqual(witness.faults, []);
  }
  await place.heal();
  const expected = await pureReading(world.tree);
  await eventually(() => {
    assert.deepEqual(witness.faults, []);
    assert.equal(watching.failure, undefined);
    assert.ok(witness.counts.snapshot > 0);
    assert.deepEqual(sorted(witness.view.values()), expected);
  }, 20_000);
}

interface Watching extends AsyncDisposable {
  /** What the source threw. */
  readonly failure: unknown;
}

function follow(source: Source, witness: EndpointWitness): Watching {
  const stopping = new AbortController();
  let failure: unknown;
  const run = async (): Promise<void> => {
    try {
      for await (const event of source.watch(stopping.signal)) witness.heard(event);
    } catch (error) {
      failure = error;
    }
  };
  const running = run();
  return {
    get failure() {
      return failure;
    },
    [Symbol.asyncDispose]: async () => {
      stopping.abort();
      await running;
    },
  };
}

function isTrouble(step: Step): step is Trouble {
  return ['cut', 'hold', 'open', 'expire', 'pass', 'wait'].includes(step.kind);
}

function sorted(instances: Iterable<Instance>): readonly Instance[] {
  return [...instances].sort((left, right) => (left.id < right.id ? -1 : 1));
}

/** Tries so many random histories, each in a place of its own. `SEED=n` repeats those of a failure. */
export async function zooKeeperHistories(
  open: () => Promise<HistoryPlace>,
  numRuns: number,
): Promise<void> {
  const { SEED } = globalThis.process.env;
  await fc.assert(
    fc.asyncProperty(history, (steps) => live(open, steps)),
    { numRuns, endOnFailure: true, ...(SEED === undefined ? {} : { seed: Number(SEED) }) },
  );
}
