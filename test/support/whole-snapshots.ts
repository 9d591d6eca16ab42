import type { TreeEvent } from '../../agent/zookeeper/client/tree.ts';

/** Puts the parts of snapshots together: what is delivered then has none, and nothing between them. */
export function wholeSnapshots(deliver: (event: TreeEvent) => void): (event: TreeEvent) => void {
  let nodes: Map<string, Buffer | null> | undefined;
  return (event) => {
    if (event.kind === 'part') {
      if (event.isFirst) nodes = new Map();
      for (const [path, data] of event.nodes) nodes?.set(path, data);
    } else if (event.kind === 'removed' && nodes !== undefined) {
      nodes.delete(event.path);
    } else if (event.kind === 'snapshot' && event.hasParts) {
      for (const [path, data] of event.nodes) nodes?.set(path, data);
      deliver({ ...event, hasParts: false, nodes: nodes ?? new Map() });
      nodes = undefined;
    } else {
      if (event.kind === 'lost') nodes = undefined;
      deliver(event);
    }
  };
}
