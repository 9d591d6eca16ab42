import { Listing } from './listing.ts';
import { childPath, nodeName, parentPath } from './paths.ts';
import type { TreeInterest, Want } from './tree.ts';

/**
 * What is known of a tree that is watched with one-shot watches, and which reads it needs next.
 * Pure of any connection. Its answers are the differences, in an order that could have happened:
 * a node below another is removed before it.
 *
 * A node found by listing its parent is removed by the parent's next listing. One that is wanted by
 * name (a root, a name in a list) stands by itself: when it is missing it has to be waited for.
 *
 * Trees are large. A listed node of which only the existence counts is a name in its parent's listing and nothing
 * more. And a listing of tens of thousands of names is looked at in portions (`plan`).
 */
export class OneShotTree {
  private readonly interest: TreeInterest;
  private readonly known = new Map<string, KnownNode>();
  private readonly listener: OneShotTreeListener;
  private readonly portion: number;
  /** Nodes with names that are not looked at yet, by path. */
  private readonly unplanned = new Map<string, KnownNode>();

  /** @param portion how many new names are looked at in one step */
  constructor(interest: TreeInterest, listener: OneShotTreeListener, portion = 500) {
    this.interest = interest;
    this.listener = listener;
    this.portion = portion;
  }

  /** Plans the roots. */
  start(): void {
    for (const root of this.interest.roots) this.visit(root, false);
  }

  has(path: string): boolean {
    return this.known.has(path);
  }

  /** Whether all names that were listed have been looked at. */
  get isPlanned(): boolean {
    return this.unplanned.size === 0;
  }

  /** How a known path has to be read; undefined when it is of no interest any more. */
  readOf(path: string): NodeRead | undefined {
    const node = this.known.get(path);
    if (node === undefined) return undefined;
    const want = this.interest.want(path);
    const children = want.children === true;
    const data = want.node && want.data;
    return { children, data, existence: !children && !data && want.node && !node.isListed };
  }

  /** A listing. A portion of what is new in it is looked at. */
  listed(path: string, names: readonly string[]): void {
    const node = this.known.get(path);
    if (node === undefined) return;
    const want = this.interest.want(path);
    if (want.node && !want.data) this.setExisting(path, node, null);
    const before = namesOf(node);
    const now = new Set(names);
    for (const name of before) {
      if (!now.has(name)) this.dropListed(path, node, name);
    }
    node.listed = new Listing(names);
    const added = names.filter((name) => !before.has(name));
    if (added.length === 0) return;
    node.unplanned ??= new Set();
    for (const name of added) node.unplanned.add(name);
    this.unplanned.set(path, node);
    this.plan();
  }

  /** Looks at the next portion of names. */
  plan(): void {
    let left = this.portion;
    for (const [path, node] of this.unplanned) {
      for (const name of node.unplanned ?? []) {
        if (left === 0) return;
        left -= 1;
        node.unplanned?.delete(name);
        this.visitListed(childPath(path, name));
      }
      node.unplanned = undefined;
      this.unplanned.delete(path);
    }
  }

  /** A reading of data, or of bare existence (then null). */
  found(path: string, data: Buffer | null): void {
    const node = this.known.get(path);
    if (node !== undefined) this.setExisting(path, node, data);
  }

  /**
   * The node does not exist. True if it has to be waited for by an existence watch; otherwise its
   * parent's watch, which the same deletion has fired, will tell.
   */
  absent(path: string): boolean {
    const node = this.known.get(path);
    if (node === undefined) return false;
    if (node.isListed) {
      this.unlist(parentPath(path), nodeName(path));
      this.drop(path, node);
      return false;
    }
    this.dropAllListed(path, node);
    this.setAbsent(path, node);
    return true;
  }

  private visitListed(path: string): void {
    const want = this.interest.want(path);
    if (isName(want)) this.listener.changed(path, null);
    else if (want.node || want.children !== false) this.visit(path, true);
  }

  private visit(path: string, isListed: boolean): void {
    if (this.known.has(path)) return;
    const want = this.interest.want(path);
    const node: KnownNode = { isListed, exists: false, data: null };
    this.known.set(path, node);
    const isKnownToExist = isListed && want.node && !want.data;
    if (isKnownToExist) this.setExisting(path, node, null);
    const needsRead = want.children === true || (want.node && !isKnownToExist);
    if (needsRead) this.listener.needsRead(path);
    if (typeof want.children === 'object') {
      for (const name of want.children) this.visit(childPath(path, name), false);
    }
  }

  /** Forgets a node and everything below it. */
  private drop(path: string, node: KnownNode): void {
    const { children } = this.interest.want(path);
    for (const name of typeof children === 'object' ? children : []) {
      const child = this.known.get(childPath(path, name));
      if (child !== undefined) this.drop(childPath(path, name), child);
    }
    this.dropAllListed(path, node);
    this.setAbsent(path, node);
    this.known.delete(path);
  }

  private dropAllListed(path: string, node: KnownNode): void {
    for (const name of namesOf(node)) this.dropListed(path, node, name);
    node.listed = undefined;
    node.unplanned = undefined;
    this.unplanned.delete(path);
  }

  /** What is known to be gone is new when it is listed again. */
  private unlist(parent: string, name: string): void {
    const node = this.known.get(parent);
    if (node === undefined) return;
    const names = namesOf(node);
    names.delete(name);
    node.listed = new Listing(names);
  }

  /** A name is not listed any more. */
  private dropListed(parent: string, { unplanned }: KnownNode, name: string): void {
    if (unplanned?.delete(name) === true) return;
    const path = childPath(parent, name);
    const node = this.known.get(path);
    if (node !== undefined) this.drop(path, node);
    else if (isName(this.interest.want(path))) this.listener.removed(path);
  }

  private setExisting(path: string, node: KnownNode, data: Buffer | null): void {
    if (node.exists && isSame(node.data, data)) return;
    node.exists = true;
    node.data = data;
    this.listener.changed(path, data);
  }

  private setAbsent(path: string, node: KnownNode): void {
    if (!node.exists) return;
    node.exists = false;
    node.data = null;
    this.listener.removed(path);
  }
}

function namesOf({ listed }: KnownNode): Set<string> {
  return listed?.names() ?? new Set();
}

/** Whether of a listed node nothing else counts than that it is there. */
function isName(want: Want): boolean {
  return want.node && !want.data && want.children === false;
}

function isSame(left: Buffer | null, right: Buffer | null): boolean {
  return left === null || right === null ? left === right : left.equals(right);
}

interface KnownNode {
  /** Found by listing its parent. */
  readonly isListed: boolean;
  exists: boolean;
  data: Buffer | null;
  /** Names found by listing it. */
  listed?: Listing | undefined;
  /** Those of them that are not looked at yet; undefined when there is none. */
  unplanned?: Set<string> | undefined;
}

/** Which of the three watched reads a path needs. */
export interface NodeRead {
  readonly children: boolean;
  readonly data: boolean;
  readonly existence: boolean;
}

/** Called synchronously. `changed` and `removed` concern wanted nodes only. */
export interface OneShotTreeListener {
  /** A new path has to be read, with watches. */
  needsRead(path: string): void;
  changed(path: string, data: Buffer | null): void;
  removed(path: string): void;
}
