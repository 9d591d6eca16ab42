import { hash } from 'node:crypto';
import type { Instance } from '../../common/instance.ts';
import type { DubboTraits } from './dubbo/traits.ts';
import { claimedOrder, claimOf, describe, newestOf } from './description.ts';
import type { Claim, Voucher } from './description.ts';
import type { Fact, IgnoredKind, NodeReading, Reading } from './reading.ts';
import { readingOf } from './reading.ts';

/**
 * What the tree says at this moment: for each endpoint the nodes that vouch for it.
 *
 * An endpoint lives as long as one node does. A provider that crashed and came back on its old
 * address has two leaves until its dead session ends, and the end of the dead leaf must not end the
 * living endpoint. Of several nodes the newest describes the endpoint (see description.ts).
 *
 * A change of one node costs what this node costs, whatever the size of the table. There is no time
 * in here and nothing is emitted: what changed is marked, and taken by whoever emits.
 *
 * Data that became unreadable is no removal: the node keeps its last good reading.
 *
 * Some nodes say something of endpoints that other nodes vouch for (rules, metadata): such a fact is
 * handed to the observer and forgotten here but for its node. And what a fact's node vouches for can be
 * said from outside (`claim`), as soon as it is known.
 */
export class EndpointTable {
  private readonly readings: readonly Reading[];
  private readonly observer: EndpointObserver;
  /** By the digest of the path: a leaf's name is long and of no use once it has been read. */
  private readonly nodes = new Map<string, Node>();
  /** A node that alone vouches for its endpoint, as nearly all do, stands for itself. */
  private readonly endpoints = new Map<string, Node | Endpoint>();
  private readonly gone = new Set<string>();
  /** By the key of a node: what it vouches for as was said from outside. */
  private readonly claimed = new Map<string, readonly Node[]>();
  private readonly directories = new LastText();
  private marked = new Set<string>();
  private sweepNumber = 0;
  /** From `beginSweep` until all that is swept was told. */
  private isSweeping = false;
  private arrivals = 0;

  constructor(readings: readonly Reading[], observer: EndpointObserver) {
    this.readings = readings;
    this.observer = observer;
  }

  /** The node exists, with this data. Nothing more happens when that was known. */
  set(path: string, data: Buffer | null): void {
    const dataHash = data === null || data.length === 0 ? '' : hash('sha256', data, 'base64');
    const key = keyOf(path);
    const known = this.nodes.get(key);
    if (known !== undefined) known.sweep = this.sweepNumber;
    if (known?.dataHash === dataHash) return;
    const said = readingOf(this.readings, path)?.read(path, data);
    if (said === undefined) return;
    const node: Node = {
      key,
      directory: this.directories.share(path, path.lastIndexOf('/')),
      dataHash,
      order: known?.order ?? 0,
      arrival: this.arriving(),
      instance: known?.instance,
      traits: known?.traits,
      state: known?.state,
      sweep: this.sweepNumber,
    };
    this.nodes.set(key, node);
    this.understand(node, path, said);
    if (known?.instance !== undefined && known.instance !== node.instance) {
      this.observer.left(known.instance, known.traits);
      // It is the node that says so: nobody has to look whether it still exists.
      if (known.instance.id !== node.instance?.id) this.leave(known, known.instance.id, undefined);
    }
    if (node.instance === undefined) return;
    if (known?.instance !== node.instance) this.observer.joined(node.instance, node.traits);
    this.join(node, known, node.instance.id);
  }

  /** What this node vouches for, beside what it says itself; replaces what was claimed for it before. */
  claim(path: string, claims: readonly Claim[]): void {
    const key = keyOf(path);
    const node = this.nodes.get(key);
    if (node === undefined) return;
    const before = new Map(this.claimed.get(key)?.map((one) => [one.key, one]));
    const now = new Map(claims.map((claim) => [key + claim.instance.id, claim]));
    const nodes: Node[] = [];
    for (const [ownKey, { instance, traits }] of now) {
      const known = before.get(ownKey);
      const { directory, arrival, sweep } = node;
      const said = { order: claimedOrder, arrival, instance, traits, state: undefined };
      const own: Node = { key: ownKey, directory, dataHash: '', ...said, sweep };
      nodes.push(own);
      this.join(own, known, instance.id);
    }
    for (const [ownKey, known] of before) {
      if (!now.has(ownKey) && known.instance !== undefined) {
        this.leave(known, known.instance.id, undefined);
      }
    }
    if (nodes.length > 0) this.claimed.set(key, nodes);
    else this.claimed.delete(key);
  }

  /** Marks the endpoints that are so, for a reason that no node has; a step is a few of them: the question may cost much. */
  *mark(isWanted: (claim: Claim) => boolean): Iterable<undefined> {
    let passed = 0;
    for (const id of this.endpoints.keys()) {
      const claim = this.current(id);
      if (claim !== undefined && isWanted(claim)) this.marked.add(id);
      if (++passed % markedStep === 0) yield undefined;
    }
  }

  /** The node does not exist. */
  delete(path: string): void {
    const known = this.nodes.get(keyOf(path));
    if (known !== undefined) this.remove(known, path);
  }

  /** From here on it counts which nodes are set or kept: the others are `swept`. */
  beginSweep(): void {
    this.sweepNumber = (this.sweepNumber + 1) & 0x3fff_ffff;
    this.isSweeping = true;
    this.arrivals += 1;
  }

  /** The node, if it is known, stays as it is: nobody can say whether it still exists. */
  keep(path: string): void {
    const known = this.nodes.get(keyOf(path));
    if (known !== undefined) known.sweep = this.sweepNumber;
  }

  /**
   * The nodes neither set nor kept since `beginSweep`; undefined from time to time, where there are none for
   * long. Removing them meanwhile is allowed.
   */
  *swept(): Iterable<SweptNode | undefined> {
    let passed = 0;
    for (const node of this.nodes.values()) {
      if (node.sweep !== this.sweepNumber) yield node;
      else if (++passed % stepNodes === 0) yield undefined;
    }
    this.isSweeping = false;
  }

  /** A swept node does not exist. Its path is not known any more. */
  sweep(node: SweptNode): void {
    const known = this.nodes.get(node.key);
    if (known !== undefined) this.remove(known, undefined);
  }

  /** The endpoint as its newest node describes it, or undefined when no node vouches for it. */
  current(id: string): Claim | undefined {
    const known = this.endpoints.get(id);
    if (known === undefined) return undefined;
    return known instanceof Endpoint ? known.description : claimOf(known);
  }

  /** How many ids are marked. */
  get markedCount(): number {
    return this.marked.size;
  }

  /** The ids whose endpoints may have changed since the last call. */
  takeMarked(): ReadonlySet<string> {
    const marked = this.marked;
    this.marked = new Set();
    return marked;
  }

  /**
   * The paths of the nodes that last vouched for an endpoint, as far as they are known: a swept node has
   * none. Undefined when a node vouches for it, or when it left so long ago that it is forgotten.
   */
  lastPaths(id: string): readonly string[] | undefined {
    const endpoint = this.endpoints.get(id);
    return endpoint instanceof Endpoint && endpoint.nodes.length === 0 ? endpoint.left : undefined;
  }

  /** Forgets the earlier nodes of an endpoint that lives: they prove nothing any more. */
  settle(id: string): void {
    const endpoint = this.endpoints.get(id);
    if (!(endpoint instanceof Endpoint)) return;
    const [first] = endpoint.nodes;
    if (first === undefined) return;
    endpoint.left = nothing;
    const isPlain = endpoint.nodes.length === 1 && endpoint.description === first;
    if (isPlain) this.endpoints.set(id, first);
  }

  /** See Voucher: what comes in one sweep comes in no order. */
  private arriving(): number {
    if (!this.isSweeping) this.arrivals += 1;
    return this.arrivals;
  }

  private remove(node: Node, path: string | undefined): void {
    this.nodes.delete(node.key);
    this.dropClaims(node.key, path);
    this.setState(node, undefined);
    if (node.instance === undefined) return;
    this.observer.left(node.instance, node.traits);
    this.leave(node, node.instance.id, path);
  }

  private dropClaims(key: string, path: string | undefined): void {
    const claimed = this.claimed.get(key) ?? [];
    this.claimed.delete(key);
    for (const node of claimed) {
      if (node.instance !== undefined) this.leave(node, node.instance.id, path);
    }
  }

  /** A node that turns from a fact into something else takes the fact back. */
  private setState(node: Node, state: NodeState | undefined): void {
    if (node.state === 'fact' && state !== 'fact') {
      this.dropClaims(node.key, undefined);
      this.observer.factGone(node.key);
    }
    if (node.state !== state) this.observer.counted(node.state, state);
    node.state = state;
  }

  /** Fills the node in by what was said; a good reading is kept when nothing was understood. */
  private understand(node: Node, path: string, said: NodeReading): void {
    switch (said.kind) {
      case 'endpoint':
        this.setState(node, undefined);
        node.instance = said.instance;
        node.traits = said.traits;
        node.order = said.order;
        return;
      case 'fact':
        this.setState(node, 'fact');
        node.instance = undefined;
        this.observer.fact(node.key, path, said.fact);
        return;
      case 'dropped':
        this.observer.dropped(said.reason, said.record);
        return;
      case 'ignored':
        if (said.what === 'directory' && (node.instance !== undefined || node.state === 'fact')) {
          this.observer.dropped('json', path);
          return;
        }
        this.setState(node, said.what);
        node.instance = undefined;
        this.observer.ignored(said.what, path);
    }
  }

  private join(node: Node, earlier: Node | undefined, id: string): void {
    this.marked.add(id);
    const known = this.endpoints.get(id);
    if (known === undefined || known === earlier) {
      this.endpoints.set(id, node);
      return;
    }
    const endpoint = this.grown(id, known);
    endpoint.nodes = endpoint.nodes.filter((other) => other !== earlier);
    endpoint.nodes.push(node);
    endpoint.describe();
    this.gone.delete(id);
  }

  private leave(node: Node, id: string, path: string | undefined): void {
    const known = this.endpoints.get(id);
    if (known === undefined) return;
    const endpoint = this.grown(id, known);
    endpoint.nodes = endpoint.nodes.filter((other) => other !== node);
    endpoint.describe();
    if (path !== undefined) endpoint.left = [...endpoint.left.slice(-(leftPathsMax - 1)), path];
    this.marked.add(id);
    if (endpoint.nodes.length > 0) return;
    this.gone.add(id);
    if (this.gone.size > goneMax) this.forgetOldest();
  }

  private grown(id: string, known: Node | Endpoint): Endpoint {
    if (known instanceof Endpoint) return known;
    const endpoint = new Endpoint(known);
    this.endpoints.set(id, endpoint);
    return endpoint;
  }

  private forgetOldest(): void {
    for (const id of this.gone) {
      this.gone.delete(id);
      this.endpoints.delete(id);
      return;
    }
  }
}

/** Who is told of the nodes that are no endpoints. Each node is told once for each of its states. */
export interface EndpointObserver {
  dropped(reason: string, record: string): void;
  ignored(what: IgnoredKind, path: string): void;
  /** A node that was ignored as `before` is now ignored as `now`; undefined: not ignored, or not there. */
  counted(before: NodeState | undefined, now: NodeState | undefined): void;
  /** What the node with this key says of others; replaces what it said before. */
  fact(key: string, path: string, fact: Fact): void;
  /** The node with this key says nothing of others any more. */
  factGone(key: string): void;
  /** A node, by what it says itself, vouches for this now, or does not any more. */
  joined(instance: Instance, traits: DubboTraits | undefined): void;
  left(instance: Instance, traits: DubboTraits | undefined): void;
}

/** What a node is that does not itself describe an endpoint. */
export type NodeState = 'fact' | IgnoredKind;

/** A node that a snapshot did not name. */
export interface SweptNode {
  readonly key: string;
  /** The path of its parent. */
  readonly directory: string;
}

/** How many are looked at between two steps of a pass over all. */
const stepNodes = 1_000;
const markedStep = 16;
/** Endpoints that left and whose paths are still known. */
const goneMax = 10_000;
/** Paths remembered of one endpoint that left. */
const leftPathsMax = 8;
const nothing: readonly string[] = [];

interface Node extends SweptNode, Voucher {
  /** Of the data that was last seen, understood or not. */
  readonly dataHash: string;
  order: number;
  instance: Instance | undefined;
  traits: DubboTraits | undefined;
  state: NodeState | undefined;
  /** Number of the last sweep that it was seen in. */
  sweep: number;
}

/** An endpoint with several nodes, or with a past. */
class Endpoint {
  nodes: Node[];
  /** As the newest node has it. */
  description: Claim | undefined;
  /** Paths of nodes that left since the endpoint was last settled. */
  left: readonly string[] = nothing;
  private speaker: Node | undefined;
  private hasRegistration = false;

  constructor(node: Node) {
    this.nodes = [node];
    this.describe();
  }

  /**
   * Brings the description up to date. What a registration has said of the process of a leaf that has no time goes on
   * for that leaf when the registration goes first: the process is stopping, and was what it was to the end.
   */
  describe(): void {
    const speaker = newestOf(this.nodes);
    const hasRegistration = this.nodes.some(({ order }) => order === claimedOrder);
    const isSameLeaf = speaker !== undefined && speaker === this.speaker && speaker.order === 0;
    if (isSameLeaf && this.hasRegistration && !hasRegistration) return;
    this.description = describe(this.nodes);
    this.speaker = speaker;
    this.hasRegistration = hasRegistration;
  }
}

/** 256 bits as a text of as many bytes: nobody finds two paths of one key. */
function keyOf(path: string): string {
  return hash('sha256', path, 'binary');
}

/** The beginning of texts, one text for neighbours that begin alike; it keeps none of them alive. */
class LastText {
  private last = '';

  share(text: string, end: number): string {
    const { last } = this;
    if (last.length === end && text.startsWith(last)) return last;
    this.last = Buffer.from(text.slice(0, end)).toString();
    return this.last;
  }
}
