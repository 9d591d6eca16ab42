import { createHash } from 'node:crypto';
import type { Hash } from 'node:crypto';
import { pipeline, Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { ProtocolError } from '../../common/errors.ts';

/** A body as it came over the wire: small (a twentieth of its JSON) as long as it is not inflated. */
export interface RawBody {
  readonly chunks: readonly Buffer[];
  readonly encoding: 'gzip' | 'identity';
  /**
   * SHA-256 of the bytes. Servers send one cached array of bytes to everybody and know no ETag, so
   * an equal hash means an unchanged registry.
   */
  readonly hash: string;
}

/** Collects a body up to a limit. */
export class BodyCollector {
  private readonly bytesMax: number;
  private readonly chunks: Buffer[] = [];
  private readonly hash: Hash = createHash('sha256');
  private bytes = 0;

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax;
  }

  /** False when the body has grown too large; then it must not be used. */
  add(chunk: Buffer): boolean {
    this.bytes += chunk.length;
    if (this.bytes > this.bytesMax) return false;
    this.hash.update(chunk);
    this.chunks.push(chunk);
    return true;
  }

  get isEmpty(): boolean {
    return this.bytes === 0;
  }

  body(encoding: RawBody['encoding']): RawBody {
    return { chunks: this.chunks, encoding, hash: this.hash.digest('hex') };
  }
}

/**
 * The bytes of a body, inflated piece by piece. Throws ProtocolError for a body that is cut short,
 * is not gzip, or grows beyond `bytesMax`.
 */
export async function* openBody(body: RawBody, bytesMax: number): AsyncGenerator<Buffer> {
  if (body.encoding === 'identity') {
    yield* body.chunks;
    return;
  }
  const inflater = createGunzip({ chunkSize: 65_536 });
  // The iteration below sees the error too; pipeline is here to end both streams.
  pipeline(Readable.from(body.chunks), inflater, () => undefined);
  let bytes = 0;
  try {
    for await (const chunk of inflater as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > bytesMax) throw new ProtocolError(`the body inflates to over ${bytesMax} bytes`);
      yield chunk;
    }
  } catch (error) {
    if (error instanceof ProtocolError) throw error;
    throw new ProtocolError('the gzip body is broken', { cause: error });
  } finally {
    inflater.destroy();
  }
}
