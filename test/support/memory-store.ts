import { hash } from 'node:crypto';
import type {
  ChangeOrigin,
  CollectionName,
  CollectionState,
  Resource,
  ResourceSetter,
  ResourceStore,
  StoreListener,
} from '../../aggregator/store-types.ts';

interface Collection {
  readonly resources: Map<string, Resource>;
  readonly listeners: Set<StoreListener>;
  isComplete: boolean;
  current: CollectionState;
}

/** The smallest store that keeps the contract of store-types.ts: every revision is built anew. */
export class MemoryStore implements ResourceStore, ResourceSetter {
  private readonly collections = new Map<CollectionName, Collection>();
  private readonly segmentBytes: number;

  /** @param segmentBytes least length of every segment but the last */
  constructor(segmentBytes = 256 * 1024) {
    this.segmentBytes = segmentBytes;
  }

  state(name: CollectionName): CollectionState | undefined {
    const collection = this.collection(name);
    return collection.isComplete ? collection.current : undefined;
  }

  subscribe(name: CollectionName, listener: StoreListener): () => void {
    const { listeners } = this.collection(name);
    listeners.add(listener);
    return () => listeners.delete(listener);
  }

  set(
    name: CollectionName,
    upserts: readonly Resource[],
    removals: readonly string[],
    origins: readonly ChangeOrigin[],
  ): void {
    const collection = this.collection(name);
    let isChanged = false;
    for (const removal of removals) {
      isChanged = collection.resources.delete(removal) || isChanged;
    }
    for (const resource of upserts) {
      if (collection.resources.get(resource.name)?.version === resource.version) continue;
      collection.resources.set(resource.name, resource);
      isChanged = true;
    }
    if (!isChanged) return;
    const revision = collection.current.revision + 1;
    collection.current = build(revision, collection.resources.values(), this.segmentBytes);
    notify(collection, origins);
  }

  complete(name: CollectionName): void {
    const collection = this.collection(name);
    if (collection.isComplete) return;
    collection.isComplete = true;
    notify(collection, []);
  }

  /** How many listeners there are: a stopped server leaves none. */
  listenerCount(name: CollectionName): number {
    return this.collection(name).listeners.size;
  }

  private collection(name: CollectionName): Collection {
    let collection = this.collections.get(name);
    if (collection === undefined) {
      collection = {
        resources: new Map(),
        listeners: new Set(),
        isComplete: false,
        current: build(0, [], this.segmentBytes),
      };
      this.collections.set(name, collection);
    }
    return collection;
  }
}

function notify(collection: Collection, origins: readonly ChangeOrigin[]): void {
  for (const listener of [...collection.listeners]) listener(origins);
}

function build(
  revision: number,
  resources: Iterable<Resource>,
  segmentBytes: number,
): CollectionState {
  const sorted = [...resources].sort((a, b) => (a.name < b.name ? -1 : 1));
  const segments: Buffer[] = [];
  let group: Buffer[] = [];
  let groupBytes = 0;
  for (const { field } of sorted) {
    group.push(field);
    groupBytes += field.length;
    if (groupBytes < segmentBytes) continue;
    segments.push(Buffer.concat(group));
    group = [];
    groupBytes = 0;
  }
  if (groupBytes > 0) segments.push(Buffer.concat(group));
  const versions = sorted.map(({ name, version }) => `${name}=${version}\n`).join('');
  return {
    revision,
    versionInfo: hash('sha256', versions).slice(0, 16),
    segments,
    byteLength: segments.reduce((sum, segment) => sum + segment.length, 0),
    count: sorted.length,
  };
}
