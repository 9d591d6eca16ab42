import type { TreeInterest, Want } from './tree.ts';

/** Names and places in the tree. Pure. */

/** The path of a child. */
export function childPath(parent: string, name: string): string {
  return parent === '/' ? `/${name}` : `${parent}/${name}`;
}

/** The path of the parent; `/` is its own. */
export function parentPath(path: string): string {
  const slash = path.lastIndexOf('/');
  return slash <= 0 ? '/' : path.slice(0, slash);
}

/** The last part of a path. */
export function nodeName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

/** Whether `path` is `root` or below it. */
export function isWithin(root: string, path: string): boolean {
  if (root === '/') return true;
  return path.startsWith(root) && (path.length === root.length || path[root.length] === '/');
}

/** A chroot as it is put in front of paths: without a slash at its end; empty for none. */
export function normalizeChroot(chroot: string): string {
  const trimmed = chroot.replace(/\/+$/, '');
  return trimmed === '' || trimmed.startsWith('/') ? trimmed : `/${trimmed}`;
}

/** The path as the server knows it. `chroot` is normalized. */
export function toServerPath(chroot: string, path: string): string {
  if (chroot === '') return path;
  return path === '/' ? chroot : chroot + path;
}

/** The path as we know it, or undefined for one outside the chroot. `chroot` is normalized. */
export function fromServerPath(chroot: string, serverPath: string): string | undefined {
  if (chroot === '') return serverPath;
  if (!isWithin(chroot, serverPath)) return undefined;
  return serverPath.length === chroot.length ? '/' : serverPath.slice(chroot.length);
}

/** Whether a want looks at the child of this name. */
function wantsChild(want: Want, name: string): boolean {
  return want.children === true || (want.children !== false && want.children.includes(name));
}

/**
 * What is wanted of a node that an event names: undefined unless the node is to be reported and
 * a walk from its root would come by it. So a snapshot and the events after it agree on what
 * belongs to the view, whatever `want` says of paths that it was never meant to be asked about.
 */
export function wantAt(interest: TreeInterest, path: string): Want | undefined {
  const want = interest.want(path);
  return want.node && isComeBy(interest, path) ? want : undefined;
}

/** Whether all children of the node that an event names are wanted, in the same sense. */
export function isListedAt(interest: TreeInterest, path: string): boolean {
  return interest.want(path).children === true && isComeBy(interest, path);
}

function isComeBy(interest: TreeInterest, path: string): boolean {
  const root = interest.roots.find((candidate) => isWithin(candidate, path));
  if (root === undefined) return false;
  for (let at = path; at !== root; at = parentPath(at)) {
    if (!wantsChild(interest.want(parentPath(at)), nodeName(at))) return false;
  }
  return true;
}
