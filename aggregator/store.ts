import { Digest, hashInstance } from '../common/digest.ts';
import { Segments } from './segments.ts';
import type {
  ChangeOrigin,
  CollectionName,
  CollectionState,
  Resource,
  ResourceDraft,
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

  /** Starts a batch that takes longer. There is at most one at a time. */
  draft(collection: CollectionName): ResourceDraft {
    return this.collections[collection].startDraft();
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

/** Resources with the digest of their versions. */
class Content {
  readonly segments: Segments;
  readonly digest: Digest;

  constructor(segments = new Segments(), digest = new Digest()) {
    this.segments = segments;
    this.digest = digest;
  }

  copy(): Content {
    return new Content(this.segments.copy(), copyOf(this.digest));
  }

  /** Whether this changed anything. */
  put(resource: Resource): boolean {
    const before = this.segments.put(resource);
    if (before === resource.version) return false;
    if (before !== undefined) this.digest.remove(hashOf(resource.name, before));
    this.digest.add(hashOf(resource.name, resource.version));
    return true;
  }

  /** Whether this changed anything. */
  remove(name: string): boolean {
    const version = this.segments.remove(name);
    if (version === undefined) return false;
    this.digest.remove(hashOf(name, version));
    return true;
  }
}

class Collection {
  private content = new Content();
  private drafted: Content | undefined;
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
      this.drafted?.remove(name);
      if (this.content.remove(name)) isChanged = true;
    }
    for (const resource of upserts) {
      this.drafted?.put(resource);
      if (this.content.put(resource)) isChanged = true;
    }
    if (isChanged) this.changed(origins);
  }

  startDraft(): ResourceDraft {
    const drafted = this.content.copy();
    this.drafted = drafted;
    return {
      put: (resource) => void drafted.put(resource),
      remove: (name) => void drafted.remove(name),
      prepare: () => drafted.segments.assembleOne(),
      commit: (origins) => {
        if (this.drafted !== drafted) throw new Error('store: the draft is not open');
        this.drafted = undefined;
        const isChanged = !drafted.digest.bytes().equals(this.content.digest.bytes());
        this.content = drafted;
        if (isChanged) this.changed(origins);
      },
      discard: () => {
        if (this.drafted === drafted) this.drafted = undefined;
      },
    };
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
      versionInfo: this.content.digest.bytes().toString('hex'),
      segments: this.content.segments.buffers(),
      byteLength: this.content.segments.byteLength,
      count: this.content.segments.count,
    };
    return this.latest;
  }

  version(name: string): string | undefined {
    return this.content.segments.version(name);
  }

  subscribe(call: StoreListener): () => void {
    const entry = { call };
    this.listeners.add(entry);
    return () => this.listeners.delete(entry);
  }

  private changed(origins: readonly ChangeOrigin[]): void {
    this.revision += 1;
    this.latest = undefined;
    this.notify(origins);
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

function copyOf(digest: Digest): Digest {
  const copy = new Digest();
  const bytes = digest.bytes();
  copy.add({ a: bytes.readInt32BE(0), b: bytes.readInt32BE(4) });
  return copy;
}

function hashOf(name: string, version: string): ReturnType<typeof hashInstance> {
  return hashInstance(Buffer.from(`${name}\n${version}`));
}
