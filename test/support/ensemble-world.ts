import assert from 'node:assert/strict';
import type { Instance } from '../../common/instance.ts';
import type { EnsembleRig } from '../rigs/zookeeper.ts';
import { EndpointWitness, anyOf } from './endpoint-witness.ts';
import type { Presence, PresenceOf } from './endpoint-witness.ts';
import { EnsembleFollower, driverOf } from './ensemble-follower.ts';
import { EnsembleOwner } from './ensemble-owner.ts';
import { eventually } from './eventually.ts';
import { TreeAgent } from './tree-agent.ts';
import { providerLeaf } from './zookeeper-writer.ts';

/** Elections and starts of servers take long where other work wants the same cores. */
export const patienceMs = 60_000;

/**
 * Dubbo providers in an ensemble, and who reads them: a source under the eyes of a witness, and a whole agent with its
 * guards. Of the providers' hosts some are steady, some are busy (under churn from `begin` to `settle`), some brief:
 * their sessions are short.
 */
export class EnsembleWorld implements AsyncDisposable {
  readonly ensemble: EnsembleRig;
  readonly agent: TreeAgent;
  private readonly servers: readonly string[];
  private readonly owners: Readonly<Record<Kind, readonly EnsembleOwner[]>>;
  private readonly presences = new Map<string, Presence>();
  private readonly witnesses: EndpointWitness[] = [];
  /** By path: the transaction that created the steady node. */
  private readonly births = new Map<string, string>();
  /** By host: which incarnation is registered; undefined for none. */
  private readonly incarnations = new Map<number, number | undefined>();
  private readonly random: () => number;
  private following: EnsembleFollower;
  private churning: Promise<unknown> = Promise.resolve();
  private isChurning = false;
  private acts = 0;

  /** @param random 0 <= x < 1; which acts the churn is made of */
  constructor(ensemble: EnsembleRig, random: () => number) {
    this.ensemble = ensemble;
    this.random = random;
    this.servers = ensemble.members.map(({ connectString }) => connectString);
    const owner = (timeoutMs: number) => (_: unknown, at: number) =>
      new EnsembleOwner(rotated(this.servers, at).join(','), timeoutMs, (paths, presence) =>
        this.note(paths, presence),
      );
    this.owners = {
      steady: Array.from({ length: ownersPerKind }, owner(longSessionMs)),
      busy: Array.from({ length: ownersPerKind }, owner(longSessionMs)),
      brief: Array.from({ length: ownersPerKind }, owner(shortSessionMs)),
    };
    this.following = new EnsembleFollower(this.servers, this.witness());
    this.agent = new TreeAgent(driverOf(this.servers, () => undefined));
  }

  get follower(): EnsembleFollower {
    return this.following;
  }

  /** Registers every host, and resolves when all are known to both readers. */
  async open(): Promise<void> {
    await this.each(allKinds, (one) => one.open());
    const [first] = this.owners.steady;
    for (const path of directories) await first?.createDirectory(path);
    for (const kind of allKinds) await this.register(kind);
    for (const path of this.leavesOf('steady')) {
      this.births.set(path, (await this.read(path))?.createdBy ?? 'none');
    }
    const all = allKinds.flatMap((kind) => this.endpointsOf(kind)).length;
    await eventually(() => {
      assert.equal(this.follower.witness.view.size, all);
      assert.equal(this.agent.status().instances.UP, all);
    }, patienceMs);
  }

  /** Index of the server that the follower follows. */
  followed(): number {
    return this.servers.indexOf(this.follower.server);
  }

  async leader(): Promise<number> {
    return await eventually(() => this.ensemble.leader(), patienceMs);
  }

  /** Another follower takes over, until one has a server that is not the leader. */
  async followNotTheLeader(): Promise<void> {
    while (this.followed() === (await this.leader())) {
      const { size } = this.follower.witness.view;
      await this.following[Symbol.asyncDispose]();
      this.following = new EnsembleFollower(this.servers, this.witness());
      await eventually(() => assert.equal(this.follower.witness.view.size, size), patienceMs);
    }
  }

  /** Busy hosts come and go from here on. */
  begin(): void {
    this.isChurning = true;
    this.churning = Promise.all(this.owners.busy.map((_, at) => this.churn(at)));
    this.churning.catch(() => undefined);
  }

  /** The ensemble works, and what happens in it is seen. */
  async goesOn(): Promise<void> {
    const { acts } = this;
    await this.follows();
    const { changes } = this.follower.witness.counts;
    await eventually(() => {
      assert.ok(this.acts >= acts + actsOfProgress, 'the ensemble takes no writes');
      assert.ok(this.follower.witness.counts.changes > changes, 'nothing is seen');
    }, patienceMs);
    this.check();
  }

  /** The follower has a view that is current. */
  async follows(): Promise<void> {
    await eventually(() => this.follower.probe(), patienceMs);
  }

  /** What must hold at every moment. */
  check(): void {
    const { witness, removed, failure } = this.follower;
    assert.equal(failure, undefined);
    assert.deepEqual(witness.faults, []);
    const steady = new Set(this.endpointsOf('steady'));
    assert.deepEqual(
      [...removed].filter((id) => steady.has(id)),
      [],
    );
    assert.deepEqual(
      this.agent.withdrawn.filter((id) => steady.has(id)),
      [],
    );
  }

  /** The churn ends with all hosts registered; what is read then is what is there. */
  async settle(): Promise<void> {
    this.isChurning = false;
    await this.churning;
    await this.register('busy');
    await this.each(allKinds, (one) => one.settle());
    // By the ensemble's own word the steady ones have lived all the time.
    for (const [path, birth] of this.births) {
      assert.equal((await this.read(path))?.createdBy, birth, path);
    }
    const all = allKinds.flatMap((kind) => this.endpointsOf(kind)).sort();
    const fresh = await this.freshReading();
    assert.deepEqual([...fresh.keys()].sort(), all);
    await eventually(() => {
      this.check();
      assert.deepEqual(sorted(this.follower.witness.view), sorted(fresh));
      const { instances, heldRemovals } = this.agent.status();
      assert.deepEqual({ up: instances.UP, heldRemovals }, { up: all.length, heldRemovals: 0 });
    }, patienceMs);
  }

  /** The processes of the brief hosts are killed, all at once. */
  async vanish(): Promise<void> {
    await this.each(['brief'], (one) => one.vanish());
  }

  /** The sessions of those that vanished have been ended by the ensemble. */
  async areGone(): Promise<void> {
    const paths = this.leavesOf('brief');
    await eventually(async () => {
      for (const path of paths) assert.equal(await this.read(path), undefined);
    }, patienceMs);
    this.note(paths, 'absent');
  }

  /** They start again: the hosts of every second owner with other parameters than before. */
  async comeBack(): Promise<void> {
    for (const host of hostsOf('brief')) {
      this.incarnations.set(
        host,
        ((host % ownersPerKind) + (this.incarnations.get(host) ?? 0)) % 3,
      );
    }
    await this.each(['brief'], (one) => one.open());
    await this.register('brief');
  }

  endpointsOf(kind: Kind): readonly string[] {
    return hostsOf(kind).flatMap((host) => interfaces.map((name) => endpointId(host, name)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.isChurning = false;
    await this.each(allKinds, (one) => one.vanish());
    await this.churning.catch(() => undefined);
    await this.following[Symbol.asyncDispose]();
    await this.agent[Symbol.asyncDispose]();
  }

  private note(paths: Iterable<string>, presence: Presence): void {
    const all = [...paths];
    for (const path of all) this.presences.set(path, presence);
    for (const witness of this.witnesses) witness.note(all, presence);
  }

  /** One more, which knows what is so now. */
  private witness(): EndpointWitness {
    const witness = new EndpointWitness(vouching());
    for (const [path, presence] of this.presences) witness.note([path], presence);
    this.witnesses.push(witness);
    return witness;
  }

  private async read(path: string): ReturnType<EnsembleOwner['read']> {
    const [first] = this.owners.steady;
    return await first?.read(path);
  }

  private leavesOf(kind: Kind): readonly string[] {
    return hostsOf(kind).flatMap((host) => leavesOf(host, this.incarnations.get(host) ?? 0));
  }

  /** All hosts of a kind that are not registered. */
  private async register(kind: Kind): Promise<void> {
    await Promise.all(
      hostsOf(kind).map(async (host) => {
        const incarnation = this.incarnations.get(host) ?? 0;
        this.incarnations.set(host, incarnation);
        const owner = this.ownerOf(kind, host);
        for (const path of leavesOf(host, incarnation)) {
          if (this.presences.get(path) !== 'present') await owner.put(path);
        }
      }),
    );
  }

  private ownerOf(kind: Kind, host: number): EnsembleOwner {
    const owner = this.owners[kind][host % ownersPerKind];
    assert.ok(owner);
    return owner;
  }

  private async churn(at: number): Promise<void> {
    const hosts = hostsOf('busy').filter((host) => host % ownersPerKind === at);
    while (this.isChurning) {
      const host = hosts[Math.floor(this.random() * hosts.length)] ?? 0;
      await this.act(host, Math.floor(this.random() * 6));
      this.acts += 1;
      await new Promise((resolve) => setTimeout(resolve, churnPauseMs));
    }
  }

  /** A busy host starts, stops, starts anew (the old nodes go after the new ones have come), or flaps. */
  private async act(host: number, what: number): Promise<void> {
    const owner = this.ownerOf('busy', host);
    const now = this.incarnations.get(host);
    const drop = async (incarnation: number): Promise<void> => {
      for (const path of leavesOf(host, incarnation)) await owner.drop(path);
    };
    const put = async (incarnation: number): Promise<void> => {
      this.incarnations.set(host, incarnation);
      for (const path of leavesOf(host, incarnation)) await owner.put(path);
    };
    if (now === undefined) await put(what % 3);
    else if (what === 0) {
      this.incarnations.set(host, undefined);
      await drop(now);
    } else if (what < 4) {
      await put((now + 1) % 3);
      await drop(now);
    } else {
      await drop(now);
      await put(now);
    }
  }

  private async freshReading(): Promise<ReadonlyMap<string, Instance>> {
    await using fresh = new EnsembleFollower(this.servers, new EndpointWitness(new Map()));
    await eventually(() => assert.ok(fresh.witness.counts.snapshot > 0), patienceMs);
    return new Map(fresh.witness.view);
  }

  private async each(
    kinds: readonly Kind[],
    action: (owner: EnsembleOwner) => Promise<void>,
  ): Promise<void> {
    await Promise.all(kinds.flatMap((kind) => this.owners[kind]).map(action));
  }
}

type Kind = 'steady' | 'busy' | 'brief';

const allKinds = ['steady', 'busy', 'brief'] as const;
const interfaces = ['com.example.A', 'com.example.B'] as const;
const directories = interfaces.map((name) => `/dubbo/${name}/providers`);
const ownersPerKind = 2;
const hostsPerKind = 6;
/** No outage of a test is as long as that. */
const longSessionMs = 60_000;
/** The least that the servers grant. */
const shortSessionMs = 1_000;
const churnPauseMs = 10;
const actsOfProgress = 12;

function hostsOf(kind: Kind): readonly number[] {
  const first = allKinds.indexOf(kind) * hostsPerKind;
  return Array.from({ length: hostsPerKind }, (_, at) => first + at);
}

function leafPath(host: number, name: string, incarnation: number): string {
  const leaf = providerLeaf({
    interfaceName: name,
    host: `192.0.2.${host}`,
    parameters: { timestamp: incarnation + 1, release: `3.3.${incarnation}` },
  });
  return `/dubbo/${name}/providers/${leaf}`;
}

function leavesOf(host: number, incarnation: number): readonly string[] {
  return interfaces.map((name) => leafPath(host, name, incarnation));
}

function endpointId(host: number, name: string): string {
  return `dubbo:${name}:::dubbo://192.0.2.${host}:20880`;
}

function vouching(): ReadonlyMap<string, (presenceOf: PresenceOf) => Presence> {
  const judges = new Map<string, (presenceOf: PresenceOf) => Presence>();
  for (const host of allKinds.flatMap(hostsOf)) {
    for (const name of interfaces) {
      const leaves = [0, 1, 2].map((incarnation) => leafPath(host, name, incarnation));
      judges.set(endpointId(host, name), (presenceOf) => anyOf(leaves.map(presenceOf)));
    }
  }
  return judges;
}

function rotated<T>(items: readonly T[], by: number): readonly T[] {
  return [...items.slice(by % items.length), ...items.slice(0, by % items.length)];
}

function sorted(instances: ReadonlyMap<string, Instance>): readonly Instance[] {
  return [...instances.values()].sort((left, right) => (left.id < right.id ? -1 : 1));
}
