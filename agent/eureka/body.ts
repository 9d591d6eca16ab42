import { createHash } from 'node:crypto';
import type { Hash } from 'node:crypto';
import { pipeline, Readable } from 'node:stream';
import { promisify } from 'node:util';
import { createGunzip, gzip } from 'node:zlib';
import { ProtocolError } from '../../common/errors.ts';

/** A body, small (a twentieth of its JSON) as long as it is not inflated. */
export interface RawBody {
  readonly chunks: readonly Buffer[];
  readonly encoding: 'gzip' | 'identity';
  /**
   * SHA-256 of the bytes as they came over the wire. Servers send one cached array of bytes to everybody and
   * know no ETag, so an equal hash means an unchanged registry.
   */
  readonly hash: string;
}

/** So much of a body that is not compressed is held as it is. */
const packBytes = 2 * 1024 * 1024;
const gzipMagic = 0x1f;
const compress = promisify(gzip);

/**
 * Collects a body up to a limit. It has to be held until its hash is known, and a large registry that comes
 * uncompressed is 100 MB: that is compressed piece by piece, in another thread, as it comes in.
 */
export class BodyCollector {
  private readonly bytesMax: number;
  private readonly hash: Hash = createHash('sha256');
  private readonly packed: Buffer[] = [];
  private chunks: Buffer[] = [];
  private chunksBytes = 0;
  private bytes = 0;
  private isGzip = false;

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax;
  }

  /** The next bytes; the ones after them only when it has resolved. False when the body has grown too large: then it must not be used. */
  async add(chunk: Buffer): Promise<boolean> {
    if (this.bytes === 0) this.isGzip = chunk[0] === gzipMagic;
    this.bytes += chunk.length;
    if (this.bytes > this.bytesMax) return false;
    this.hash.update(chunk);
    this.chunks.push(chunk);
    this.chunksBytes += chunk.length;
    if (this.chunksBytes >= packBytes && !this.isGzip) await this.pack();
    return true;
  }

  get isEmpty(): boolean {
    return this.bytes === 0;
  }

  /** @param encoding of the bytes that were added. To be called once. */
  async body(encoding: RawBody['encoding']): Promise<RawBody> {
    const hash = this.hash.digest('hex');
    if (encoding === 'gzip' || this.packed.length === 0) {
      return { chunks: this.chunks, encoding, hash };
    }
    await this.pack();
    return { chunks: this.packed, encoding: 'gzip', hash };
  }

  /** Each piece is a gzip file of its own, and gzip files one after another are one. */
  private async pack(): Promise<void> {
    const piece = Buffer.concat(this.chunks);
    this.chunks = [];
    this.chunksBytes = 0;
    this.packed.push(await compress(piece, { level: 1 }));
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
