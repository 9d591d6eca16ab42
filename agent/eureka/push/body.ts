import type { IncomingHttpHeaders } from 'node:http';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';

/** The largest body, on the wire and again inflated. Servers send 250 changes at most: a quarter of a megabyte. */
export const bodyBytesMax = 16 * 1024 * 1024;
/** What all the bodies that are being read and worked on may have together. */
export const heldBytesMax = 3 * bodyBytesMax;
/** A body that cannot be used is read on up to here, since who is cut off while sending sees no answer and sends again. */
const drainBytesMax = 4 * bodyBytesMax;

/** Why a body cannot be used, as the status that it is answered with; 503 = not now. */
export interface UnusableBody {
  readonly status: 400 | 413 | 415 | 503;
}

/** What of a request is used. */
export interface BodySource extends AsyncIterable<Buffer> {
  readonly headers: IncomingHttpHeaders;
}

/** The bytes that bodies hold together. */
export class BodyBudget {
  private heldBytes = 0;

  /** Says whether so many more may be held; if so, they count until given back. */
  take(bytes: number): boolean {
    if (this.heldBytes + bytes > heldBytesMax) return false;
    this.heldBytes += bytes;
    return true;
  }

  giveBack(bytes: number): void {
    this.heldBytes -= bytes;
  }
}

/**
 * Reads the whole body, inflated where it is gzipped, and has it used; it counts in the budget until then.
 * Rejects only when `use` does.
 */
export async function usePushBody<T>(
  request: BodySource,
  budget: BodyBudget,
  use: (body: Buffer) => Promise<T>,
): Promise<T | UnusableBody> {
  const encoding = (request.headers['content-encoding'] ?? 'identity').toLowerCase();
  if (encoding !== 'identity' && encoding !== 'gzip') return { status: 415 };
  // Node reads on for us what is left when the answer is out.
  if (Number(request.headers['content-length'] ?? 0) > bodyBytesMax) return { status: 413 };
  const held = new HeldBytes(budget);
  try {
    const body = await collect(request, held);
    if ('status' in body) return body;
    const inflated = encoding === 'gzip' ? await inflate(body, held) : body;
    return 'status' in inflated ? inflated : await use(inflated);
  } finally {
    held.release();
  }
}

class HeldBytes {
  private readonly budget: BodyBudget;
  private bytes = 0;

  constructor(budget: BodyBudget) {
    this.budget = budget;
  }

  take(bytes: number): boolean {
    const isTaken = this.budget.take(bytes);
    if (isTaken) this.bytes += bytes;
    return isTaken;
  }

  release(): void {
    this.budget.giveBack(this.bytes);
    this.bytes = 0;
  }
}

async function collect(request: BodySource, held: HeldBytes): Promise<Buffer | UnusableBody> {
  let chunks: Buffer[] = [];
  let bytes = 0;
  let unusable: UnusableBody | undefined;
  try {
    for await (const chunk of request) {
      bytes += chunk.length;
      if (bytes > drainBytesMax) return { status: 413 };
      if (bytes > bodyBytesMax) unusable ??= { status: 413 };
      else if (unusable === undefined && !held.take(chunk.length)) unusable = { status: 503 };
      if (unusable === undefined) chunks.push(chunk);
      else if (chunks.length > 0) {
        chunks = [];
        held.release();
      }
    }
  } catch {
    return { status: 400 }; // cut short: nobody hears it
  }
  return unusable ?? Buffer.concat(chunks, bytes);
}

const unzip = promisify(gunzip);

async function inflate(body: Buffer, held: HeldBytes): Promise<Buffer | UnusableBody> {
  // How large it will be is not known before it is.
  if (!held.take(bodyBytesMax)) return { status: 503 };
  try {
    return await unzip(body, { maxOutputLength: bodyBytesMax });
  } catch (error) {
    const isTooLarge = error instanceof RangeError; // ERR_BUFFER_TOO_LARGE
    return { status: isTooLarge ? 413 : 400 };
  }
}
