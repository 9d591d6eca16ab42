import { codec } from '../../proto/load.ts';
import type { IstiodProfile } from './istiod-profile.ts';
import { serviceEntryErrors } from './istiod-validation.ts';
import type { ServiceEntrySpec } from './istiod-validation.ts';

/** What an istiod holds of one resource. */
export interface StoredResource {
  readonly version: string;
  /** Milliseconds since 1970. */
  readonly createTime: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

export interface StoredServiceEntry extends StoredResource {
  readonly spec: ServiceEntrySpec;
}

/**
 * `dropped`: not understood, and therefore as good as absent; `rejected`: not valid, the old one
 * stays; `skipped`: equal version with other content, ignored. (Resources that are simply unchanged
 * are no event.)
 */
type StoreEventKind = 'added' | 'updated' | 'deleted' | 'skipped' | 'rejected' | 'dropped';

export interface StoreEvent {
  readonly kind: StoreEventKind;
  readonly typeUrl: string;
  /** Empty when the resource could not be read that far. */
  readonly name: string;
  readonly version: string;
  /** Of what was rejected or dropped. */
  readonly reason: string;
}

interface Any {
  readonly type_url: string;
  readonly value: Uint8Array;
}

interface McpResource {
  readonly metadata: {
    readonly name: string;
    readonly createTime: { readonly seconds: number; readonly nanos: number } | null;
    readonly version: string;
    readonly labels: Readonly<Record<string, string>>;
    readonly annotations: Readonly<Record<string, string>>;
  } | null;
  readonly body: Any | null;
}

interface Entry {
  /** A copy of the encoded resource: equal bytes need not be decoded again. */
  readonly bytes: Buffer;
  readonly stored: StoredServiceEntry;
}

const resourceName = 'istio.mcp.v1alpha1.Resource';
const resourceCodec = codec<McpResource>(resourceName);
const anyCodec = codec<Any>('google.protobuf.Any');
const serviceEntryName = 'istio.networking.v1alpha3.ServiceEntry';
const serviceEntryCodec = codec<ServiceEntrySpec>(serviceEntryName);

/** Messages that istiod knows and this store does not look into. */
const otherBodies = new Set(
  [
    ...['DestinationRule', 'EnvoyFilter', 'Gateway', 'Sidecar', 'VirtualService'],
    ...['WorkloadEntry', 'WorkloadGroup'],
  ].map((kind) => `istio.networking.v1alpha3.${kind}`),
);

/** Why a resource is as good as absent. */
class Dropped extends Error {}

/**
 * The ServiceEntries of one `xds://` source as istiod keeps them: what a response does to them, row
 * by row. It outlives streams.
 */
export class IstiodStore {
  readonly entries = new Map<string, StoredServiceEntry>();
  private readonly encoded = new Map<string, Entry>();
  private readonly profile: IstiodProfile;
  private readonly revision: string;

  /** @param revision istiod's own revision, empty = takes resources of every revision */
  constructor(profile: IstiodProfile, revision: string) {
    this.profile = profile;
    this.revision = revision;
  }

  /**
   * Applies a whole response: creations and updates in the order of the response, then the
   * deletion of everything that did not come.
   * @param resources the encoded Any messages
   */
  apply(typeUrl: string, resources: readonly Buffer[]): StoreEvent[] {
    const events: StoreEvent[] = [];
    const received = new Set<string>();
    for (const bytes of resources) {
      const event = this.applyOne(typeUrl, bytes, received);
      if (event !== undefined) events.push(event);
    }
    for (const [name, { stored }] of [...this.encoded]) {
      if (received.has(name)) continue;
      this.encoded.delete(name);
      this.entries.delete(name);
      events.push({ kind: 'deleted', typeUrl, name, version: stored.version, reason: '' });
    }
    return events;
  }

  private applyOne(typeUrl: string, bytes: Buffer, received: Set<string>): StoreEvent | undefined {
    let name = '';
    let version = '';
    const event = (kind: StoreEventKind, reason = ''): StoreEvent => ({
      kind,
      typeUrl,
      name,
      version,
      reason,
    });
    try {
      const resource = decodeResource(bytes);
      if (resource.metadata === null) return event('rejected', 'no metadata');
      ({ name, version } = resource.metadata);
      if (name.split('/').length !== 2) throw new Dropped('the name is not namespace/name');
      const known = this.encoded.get(name);
      if (
        known?.bytes.equals(bytes) === true &&
        version !== '' &&
        this.profile.skipsEqualVersions
      ) {
        received.add(name);
        return undefined;
      }
      const { spec, stored } = this.read(resource);
      received.add(name);
      if (known !== undefined && this.profile.skipsEqualVersions && version !== '') {
        if (known.stored.version === version) return event('skipped');
      }
      const reason = this.refusal(known, version, spec, stored);
      if (reason !== '') return event('rejected', reason);
      if (spec === undefined) return event('rejected', 'cannot cast to ServiceEntry');
      this.encoded.set(name, { bytes: Buffer.from(bytes), stored: { ...stored, spec } });
      this.entries.set(name, { ...stored, spec });
      return event(known === undefined ? 'added' : 'updated');
    } catch (error) {
      if (error instanceof Dropped) return event('dropped', error.message);
      throw error;
    }
  }

  /** Reads all that can make a resource as good as absent. No spec = another kind of body. */
  private read(resource: McpResource): {
    readonly spec: ServiceEntrySpec | undefined;
    readonly stored: StoredResource;
  } {
    const { metadata, body } = resource;
    if (metadata === null) throw new Dropped('no metadata');
    const { createTime, version, labels, annotations } = metadata;
    if (createTime === null && this.profile.needsCreateTime) throw new Dropped('no create time');
    const revision = labels['istio.io/rev'] ?? '';
    if (this.profile.filtersRevision && revision !== '' && this.revision !== '') {
      if (revision !== this.revision) throw new Dropped(`revision ${revision}`);
    }
    const spec = decodeBody(body);
    const { seconds, nanos } = createTime ?? { seconds: 0, nanos: 0 };
    const stored = { version, createTime: seconds * 1000 + nanos / 1e6, labels, annotations };
    return { spec, stored };
  }

  private refusal(
    known: Entry | undefined,
    version: string,
    spec: ServiceEntrySpec | undefined,
    stored: StoredResource,
  ): string {
    if (known !== undefined && this.profile.conflictsOnVersion && version !== '') {
      return 'conflicting resource version';
    }
    if (!this.profile.isValidating || spec === undefined) return '';
    if ('istio.io/dry-run' in stored.annotations) return 'dry-run annotation';
    return serviceEntryErrors(spec).join(', ');
  }
}

function decodeResource(bytes: Buffer): McpResource {
  const any = decode(() => anyCodec.decode(bytes), 'the Any');
  if (messageName(any.type_url) !== resourceName) {
    throw new Dropped(`${any.type_url} is no ${resourceName}`);
  }
  return decode(() => resourceCodec.decode(any.value), 'the resource');
}

function decodeBody(body: Any | null): ServiceEntrySpec | undefined {
  if (body === null) throw new Dropped('no body');
  const name = messageName(body.type_url);
  if (name === serviceEntryName) {
    return decode(() => serviceEntryCodec.decode(body.value), 'the body');
  }
  if (otherBodies.has(name)) return undefined;
  throw new Dropped(`unknown body ${body.type_url}`);
}

/** Go's protobuf rejects strings that are not UTF-8; protobufjs puts U+FFFD in their place. */
function decode<T>(read: () => T, what: string): T {
  let value: T;
  try {
    value = read();
  } catch (error) {
    throw new Dropped(`${what} cannot be decoded: ${String(error)}`);
  }
  if (hasReplacement(value)) throw new Dropped(`${what} has strings that are not UTF-8`);
  return value;
}

function hasReplacement(value: unknown): boolean {
  if (typeof value === 'string') return value.includes('\uFFFD');
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return false;
  for (const [key, item] of Object.entries(value)) {
    if (key.includes('\uFFFD') || hasReplacement(item)) return true;
  }
  return false;
}

function messageName(typeUrl: string): string {
  return typeUrl.slice(typeUrl.lastIndexOf('/') + 1);
}
