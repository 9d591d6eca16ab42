import { Digest, hashInstance } from '../common/digest.ts';
import { Segments } from './segments.ts';
import type {
  ChangeOrigin,
  CollectionName,
  CollectionState,
  Resource,
  ResourceSetter,
  ResourceStore,
  StoreListener,
} from './store-types.ts';

/**
 * The resources of all collections, between the one who sets them and the protocols that serve them.
 *
 * - A batch is one revision. What does not change (equal name and version) makes none and notifies
 *   nobody: nothing unchanged is ever pushed again.
 * - A state is immutable while somebody holds it, and is assembled when it is first asked for: a
 *   burst of revisions that nobody looks at costs no copies, and one changed resource costs the copy
 *   of its segment.
 * - `versionInfo` is a sum over the resources' hashes, so it follows the content, not the history.
 */
export class Store implements ResourceStore, ResourceSetter {
  private readonly collections: Readonly<Record<CollectionName, Collection>>;

  constructor() {
    this.collections = { ServiceEntry: new Collection() };
  }

  set(
    collection: CollectionName,
    upserts: readonly Resource[],
    removals: readonly string[],
    origins: readonly ChangeOrigin[],
  ): void {
    this.collections[collection].set(upserts, removals, origins);
  }

  complete(collection: CollectionName): void {
    this.collections[collection].complete();
  }

  state(collection: CollectionName): CollectionState | undefined {
    return this.collections[collection].state();
  }

  subscribe(collection: CollectionName, listener: StoreListener): () => void {
    return this.collections[collection].subscribe(listener);
  }

  /** The version of a resource, whether or not the collection is complete. */
  version(collection: CollectionName, name: string): string | undefined {
    return this.collections[collection].version(name);
  }
}

class Collection {
  private readonly segments = new Segments();
  private readonly digest = new Digest();
  private readonly listeners = new Set<{ readonly call: StoreListener }>();
  private revision = 0;
  private isComplete = false;
  private latest: CollectionState | undefined;

  set(
    upserts: readonly Resource[],
    removals: readonly string[],
    origins: readonly ChangeOrigin[],
  ): void {
    let isChanged = false;
    for (const name of removals) {
      const version = this.segments.remove(name);
      if (version === undefined) continue;
      this.digest.remove(hashOf(name, version));
      isChanged = true;
    }
    for (const resource of upserts) {
      const before = this.segments.put(resource);
      if (before === resource.version) continue;
      if (before !== undefined) this.digest.remove(hashOf(resource.name, before));
      this.digest.add(hashOf(resource.name, resource.version));
      isChanged = true;
    }
    if (!isChanged) return;
    this.revision += 1;
    this.latest = undefined;
    this.notify(origins);
  }

  complete(): void {
    if (this.isComplete) return;
    this.isComplete = true;
    if (this.revision === 0) this.revision = 1;
    this.notify([]);
  }

  state(): CollectionState | undefined {
    if (!this.isComplete) return undefined;
    this.latest ??= {
      revision: this.revision,
      versionInfo: this.digest.bytes().toString('hex'),
      segments: this.segments.buffers(),
      byteLength: this.segments.byteLength,
      count: this.segments.count,
    };
    return this.latest;
  }

  version(name: string): string | undefined {
    return this.segments.version(name);
  }

  subscribe(call: StoreListener): () => void {
    const entry = { call };
    this.listeners.add(entry);
    return () => this.listeners.delete(entry);
  }

  /** A listener that throws is a defect: it ends the process, but only after the others were told. */
  private notify(origins: readonly ChangeOrigin[]): void {
    for (const { call } of [...this.listeners]) {
      try {
        call(origins);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}

function hashOf(name: string, version: string): ReturnType<typeof hashInstance> {
  return hashInstance(Buffer.from(`${name}\n${version}`));
}
