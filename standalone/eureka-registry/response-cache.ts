import { gzipSync } from 'node:zlib';

/**
 * Which body: the whole registry (`full`), its `delta`, what has a VIP address (see vip.ts), or one
 * application by its upper-case name.
 */
export interface CacheKey {
  readonly entity: string;
  readonly isCompact: boolean;
  /** The other regions whose instances are asked for too, lower case, sorted. */
  readonly regions?: readonly string[];
}

/** One body, encoded and compressed once for all readers. */
export interface Payload {
  readonly plain: Buffer;
  readonly gzip: Buffer;
}

interface CacheOptions {
  readonly now: () => number;
  readonly expiryMs: number;
  readonly isReadOnlyOn: boolean;
  /** Undefined when there is nothing of this key. */
  readonly build: (key: CacheKey) => string | undefined;
}

interface Built {
  readonly key: CacheKey;
  readonly payload: Payload | undefined;
  readonly at: number;
}

/**
 * Eureka's two response caches. The first is emptied by every change; the second, which readers
 * see, follows it only when `tick` is called. Full and delta are entries of their own, so one may be
 * older than the other.
 */
export class ResponseCache {
  private readonly options: CacheOptions;
  private readonly readWrite = new Map<string, Built>();
  private readonly readOnly = new Map<string, Built>();

  constructor(options: CacheOptions) {
    this.options = options;
  }

  get(key: CacheKey): Payload | undefined {
    if (!this.options.isReadOnlyOn) return this.current(key).payload;
    const name = nameOf(key);
    const built = this.readOnly.get(name) ?? this.current(key);
    this.readOnly.set(name, built);
    return built.payload;
  }

  invalidate(): void {
    this.readWrite.clear();
  }

  tick(): void {
    for (const [name, { key }] of this.readOnly) this.readOnly.set(name, this.current(key));
  }

  private current(key: CacheKey): Built {
    const name = nameOf(key);
    const now = this.options.now();
    const built = this.readWrite.get(name);
    if (built !== undefined && now - built.at < this.options.expiryMs) return built;
    const text = this.options.build(key);
    const fresh = { key, payload: text === undefined ? undefined : toPayload(text), at: now };
    this.readWrite.set(name, fresh);
    return fresh;
  }
}

function nameOf({ entity, isCompact, regions = [] }: CacheKey): string {
  return [entity, isCompact ? 'compact' : 'full', ...regions].join(' ');
}

function toPayload(text: string): Payload {
  const plain = Buffer.from(text);
  return { plain, gzip: gzipSync(plain, { level: 1 }) };
}
