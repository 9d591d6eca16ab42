import { childPath, nodeName, parentPath } from './paths.ts';
import type { TreeInterest } from './tree.ts';

/**
 * What is known of a tree that is watched with one-shot watches, and which reads it needs next.
 * Pure of any connection. Its answers are the differences, in an order that could have happened:
 * a node below another is removed before it.
 *
 * A node found by listing its parent is removed by the parent's next listing. One that is wanted by
 * name (a root, a name in a list) stands by itself: when it is missing it has to be waited for.
 */
export class OneShotTree {
  private readonly interest: TreeInterest;
  private readonly known = new Map<string, KnownNode>();
  private readonly listener: OneShotTreeListener;

  constructor(interest: TreeInterest, listener: OneShotTreeListener) {
    this.interest = interest;
    this.listener = listener;
  }

  /** Plans the roots. */
  start(): void {
    for (const root of this.interest.roots) this.visit(root, false);
  }

  has(path: string): boolean {
    return this.known.has(path);
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

  /** A listing. */
  listed(path: string, names: readonly string[]): void {
    const node = this.known.get(path);
    if (node === undefined) return;
    const want = this.interest.want(path);
    if (want.node && !want.data) this.setExisting(path, node, null);
    const before = node.listed;
    node.listed = new Set(names);
    for (const name of before) {
      if (!node.listed.has(name)) this.drop(childPath(path, name));
    }
    for (const name of names) {
      if (!this.known.has(childPath(path, name))) this.visit(childPath(path, name), true);
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
      this.known.get(parentPath(path))?.listed.delete(nodeName(path));
      this.drop(path);
      return false;
    }
    for (const name of node.listed) this.drop(childPath(path, name));
    node.listed.clear();
    this.setAbsent(path, node);
    return true;
  }

  private visit(path: string, isListed: boolean): void {
    if (this.known.has(path)) return;
    const want = this.interest.want(path);
    const node: KnownNode = { isListed, exists: false, data: null, listed: new Set() };
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
  private drop(path: string): void {
    const node = this.known.get(path);
    if (node === undefined) return;
    const { children } = this.interest.want(path);
    const names = typeof children === 'object' ? children : node.listed;
    for (const name of names) this.drop(childPath(path, name));
    this.setAbsent(path, node);
    this.known.delete(path);
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

function isSame(left: Buffer | null, right: Buffer | null): boolean {
  return left === null || right === null ? left === right : left.equals(right);
}

interface KnownNode {
  /** Found by listing its parent. */
  readonly isListed: boolean;
  exists: boolean;
  data: Buffer | null;
  /** Names found by listing it. */
  listed: Set<string>;
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
