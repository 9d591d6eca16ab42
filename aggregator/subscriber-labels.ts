import type { SubscriberName } from './mcp/observer.ts';

/** Nodes with series of their own. */
const nodesMax = 50;
/** The label of all subscribers beyond that. */
const otherNodes = 'other';
const namelessNode = 'unnamed';

/**
 * Labels of subscribers: their node ids, which subscribers choose themselves, and therefore so many of
 * them at most. Streams of one node share its label; it is free again when the last of them is gone.
 */
export class SubscriberLabels {
  private readonly labels = new Map<number, string>();
  private readonly users = new Map<string, number>();

  /** The label of a subscriber; it keeps it until it is released. */
  labelOf({ id, node }: SubscriberName): string {
    const known = this.labels.get(id);
    if (known !== undefined) return known;
    if (node === '') return namelessNode;
    const isOwn = this.users.has(node) || this.users.size < nodesMax;
    const label = isOwn ? node : otherNodes;
    this.labels.set(id, label);
    this.users.set(label, (this.users.get(label) ?? 0) + 1);
    return label;
  }

  /** The subscriber is gone: returns its label if nobody else uses it. */
  release(id: number): string | undefined {
    const label = this.labels.get(id);
    if (label === undefined) return undefined;
    this.labels.delete(id);
    const users = (this.users.get(label) ?? 0) - 1;
    if (users > 0) {
      this.users.set(label, users);
      return undefined;
    }
    this.users.delete(label);
    return label;
  }
}
