import { hash } from 'node:crypto';
import type { Instance } from '../../common/instance.ts';
import type { IgnoredKind, NodeReading, Reading } from './reading.ts';
import { readingOf } from './reading.ts';

/**
 * What the tree says at this moment: for each endpoint the nodes that vouch for it.
 *
 * An endpoint lives as long as one node does. A provider that crashed and came back on its old
 * address has two leaves until its dead session ends, and the end of the dead leaf must not end the
 * living endpoint. Of several nodes the newest (by the order the reading gives, then by the larger
 * path) describes the endpoint.
 *
 * A change of one node costs what this node costs, whatever the size of the table. There is no time
 * in here and nothing is emitted: what changed is marked, and taken by whoever emits.
 *
 * Data that became unreadable is no removal: the node keeps its last good reading.
 */
export class EndpointTable {
  private readonly readings: readonly Reading[];
  private readonly observer: EndpointObserver;
  private readonly nodes = new Map<string, Node>();
  private readonly endpoints = new Map<string, Endpoint>();
  private readonly gone = new Set<Endpoint>();
  private marked = new Set<string>();

  constructor(readings: readonly Reading[], observer: EndpointObserver) {
    this.readings = readings;
    this.observer = observer;
  }

  /** The node exists, with this data. Nothing happens when that was known. */
  set(path: string, data: Buffer | null): void {
    const dataHash = data === null || data.length === 0 ? '' : hash('sha256', data, 'base64');
    const known = this.nodes.get(path);
    if (known?.dataHash === dataHash) return;
    const node: Node = { path, dataHash, order: known?.order ?? 0, instance: known?.instance };
    const said = readingOf(this.readings, path)?.read(path, data);
    if (said === undefined) return;
    this.nodes.set(path, node);
    this.understand(node, said);
    if (known?.instance !== undefined && known.instance.id !== node.instance?.id) {
      this.leave(known, known.instance.id);
    }
    if (node.instance !== undefined) this.join(node, known, node.instance.id);
  }

  /** The node does not exist. */
  delete(path: string): void {
    const known = this.nodes.get(path);
    if (known === undefined) return;
    this.nodes.delete(path);
    if (known.instance !== undefined) this.leave(known, known.instance.id);
  }

  /** Every node that is known to exist, understood or not. Deleting while iterating is allowed. */
  paths(): IterableIterator<string> {
    return this.nodes.keys();
  }

  /** The endpoint as its newest node describes it, or undefined when no node vouches for it. */
  current(id: string): Instance | undefined {
    return this.endpoints.get(id)?.newest?.instance;
  }

  /** The ids whose endpoints may have changed since the last call. */
  takeMarked(): ReadonlySet<string> {
    const marked = this.marked;
    this.marked = new Set();
    return marked;
  }

  /**
   * The paths of the nodes that last vouched for an endpoint, when none does now; empty when one
   * does, or when it left so long ago that it is forgotten.
   */
  lastPaths(id: string): readonly string[] {
    const endpoint = this.endpoints.get(id);
    return endpoint === undefined || endpoint.nodes.length > 0 ? [] : endpoint.left;
  }

  /** Forgets the earlier nodes of an endpoint that lives: they prove nothing any more. */
  settle(id: string): void {
    const endpoint = this.endpoints.get(id);
    if (endpoint !== undefined && endpoint.nodes.length > 0) endpoint.left = nothing;
  }

  /** Fills the node in by what was said; a good reading is kept when nothing was understood. */
  private understand(node: Node, said: NodeReading): void {
    switch (said.kind) {
      case 'endpoint':
        node.instance = said.instance;
        node.order = said.order;
        return;
      case 'dropped':
        this.observer.dropped(said.reason, said.record);
        return;
      case 'ignored':
        if (said.what === 'directory' && node.instance !== undefined) {
          this.observer.dropped('json', node.path);
          return;
        }
        node.instance = undefined;
        this.observer.ignored(said.what, node.path);
    }
  }

  private join(node: Node, earlier: Node | undefined, id: string): void {
    this.marked.add(id);
    const endpoint = this.endpoints.get(id);
    if (endpoint === undefined) {
      this.endpoints.set(id, { id, nodes: [node], newest: node, left: nothing });
      return;
    }
    endpoint.nodes = endpoint.nodes.filter((other) => other !== earlier);
    endpoint.nodes.push(node);
    endpoint.newest = newestOf(endpoint.nodes);
    this.gone.delete(endpoint);
  }

  private leave(node: Node, id: string): void {
    const endpoint = this.endpoints.get(id);
    if (endpoint === undefined) return;
    endpoint.nodes = endpoint.nodes.filter((other) => other !== node);
    endpoint.newest = newestOf(endpoint.nodes);
    endpoint.left = [...endpoint.left.slice(-(leftPathsMax - 1)), node.path];
    this.marked.add(id);
    if (endpoint.nodes.length > 0) return;
    this.gone.add(endpoint);
    if (this.gone.size > goneMax) this.forgetOldest();
  }

  private forgetOldest(): void {
    for (const endpoint of this.gone) {
      this.gone.delete(endpoint);
      this.endpoints.delete(endpoint.id);
      return;
    }
  }
}

/** Who is told of the nodes that are no endpoints. Each node is told once for each of its states. */
export interface EndpointObserver {
  dropped(reason: string, record: string): void;
  ignored(what: IgnoredKind, path: string): void;
}

/** Endpoints that left and whose paths are still known. */
const goneMax = 10_000;
/** Paths remembered of one endpoint that left. */
const leftPathsMax = 8;
const nothing: readonly string[] = [];

interface Node {
  readonly path: string;
  /** Of the data that was last seen, understood or not. */
  readonly dataHash: string;
  order: number;
  instance: Instance | undefined;
}

interface Endpoint {
  readonly id: string;
  nodes: Node[];
  newest: Node | undefined;
  /** Paths of nodes that left since the endpoint was last settled. */
  left: readonly string[];
}

function newestOf(nodes: readonly Node[]): Node | undefined {
  let newest: Node | undefined;
  for (const node of nodes) {
    const isNewer =
      newest === undefined ||
      node.order > newest.order ||
      (node.order === newest.order && node.path > newest.path);
    if (isNewer) newest = node;
  }
  return newest;
}
