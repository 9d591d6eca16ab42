import { crc32 } from 'node:zlib';
import { z } from 'zod';
import type { Instance } from '../common/instance.ts';
import type { RegistryId } from '../common/registry.ts';
import { registryIdSchema } from '../common/registry.ts';
import { decodeInstance, encodeInstance } from '../proto/instance-codec.ts';

/**
 * The saved state as bytes: a line that names the format, then blocks. A block is its length and its CRC-32
 * (4 bytes each, big-endian), then its bytes. The first block is the header (JSON); then for each
 * registry, in the order of the header, any number of blocks of instances (each its length, 4 bytes,
 * and an Instance message of the feed), ended by an empty block; the last block is the word `end`. So a file
 * that was cut anywhere, or changed anywhere, is not taken for a whole one.
 */
const magic = Buffer.from('tributary state 1\n');

/** Blocks are about this long, bytes. */
const blockBytesWanted = 256 * 1024;
const blockBytesMax = 64 * 1024 * 1024;
const end = Buffer.from('end');

const headerSchema = z.object({
  /** Milliseconds since 1970, by this machine's clock. */
  savedAt: z.number(),
  retired: z.array(registryIdSchema),
  registries: z.array(
    z.object({
      id: registryIdSchema,
      kind: z.enum(['eureka', 'zookeeper']),
      network: z.string(),
      defaultLocality: z.string(),
      ageMs: z.number().optional(),
      doubt: z.string().optional(),
    }),
  ),
});

/** What is known of the whole and of each registry, without the instances. */
export interface StateHeader {
  readonly savedAt: number;
  readonly retired: readonly RegistryId[];
  readonly registries: readonly {
    readonly id: RegistryId;
    readonly kind: 'eureka' | 'zookeeper';
    readonly network: string;
    readonly defaultLocality: string;
    readonly ageMs?: number | undefined;
    readonly doubt?: string | undefined;
  }[];
}

/** The file is not a whole state: cut, changed, or of another format. */
export class StateError extends Error {
  override readonly name = 'StateError';
}

/** The bytes of a state, in pieces. `instances` answers for each registry of the header. */
export function* encodeState(
  header: StateHeader,
  instances: (registry: RegistryId) => Iterable<Instance>,
): Generator<Buffer> {
  yield magic;
  yield block(Buffer.from(JSON.stringify(header)));
  for (const { id } of header.registries) {
    let pieces: Buffer[] = [];
    let bytes = 0;
    for (const instance of instances(id)) {
      const encoded = encodeInstance(instance);
      const length = Buffer.allocUnsafe(4);
      length.writeUInt32BE(encoded.length);
      pieces.push(length, encoded);
      bytes += 4 + encoded.length;
      if (bytes < blockBytesWanted) continue;
      yield block(Buffer.concat(pieces));
      pieces = [];
      bytes = 0;
    }
    if (pieces.length > 0) yield block(Buffer.concat(pieces));
    yield block(Buffer.alloc(0));
  }
  yield block(end);
}

/**
 * Reads a state: first the header, then each instance with the place of its registry in the header.
 * Throws StateError; nothing that came before may then be used.
 */
export function* decodeState(
  file: Buffer,
): Generator<
  | { readonly kind: 'header'; readonly header: StateHeader }
  | { readonly kind: 'instance'; readonly registry: number; readonly instance: Instance }
> {
  if (!file.subarray(0, magic.length).equals(magic)) throw new StateError('unknown format');
  const blocks = readBlocks(file);
  const header = parseHeader(nextBlock(blocks));
  yield { kind: 'header', header };
  for (let registry = 0; registry < header.registries.length;) {
    const bytes = nextBlock(blocks);
    if (bytes.length === 0) registry += 1;
    else {
      for (const instance of readInstances(bytes)) yield { kind: 'instance', registry, instance };
    }
  }
  if (!nextBlock(blocks).equals(end)) throw new StateError('no end');
}

function block(bytes: Buffer): Buffer {
  const framed = Buffer.allocUnsafe(8 + bytes.length);
  framed.writeUInt32BE(bytes.length, 0);
  framed.writeUInt32BE(crc32(bytes), 4);
  framed.set(bytes, 8);
  return framed;
}

function* readBlocks(file: Buffer): Generator<Buffer> {
  let offset = magic.length;
  while (offset + 8 <= file.length) {
    const length = file.readUInt32BE(offset);
    const bytes = file.subarray(offset + 8, offset + 8 + length);
    if (length > blockBytesMax || bytes.length < length) break;
    if (crc32(bytes) !== file.readUInt32BE(offset + 4)) {
      throw new StateError(`wrong checksum at byte ${offset}`);
    }
    yield bytes;
    offset += 8 + length;
  }
}

function nextBlock(blocks: Generator<Buffer>): Buffer {
  const next = blocks.next();
  if (next.done === true) throw new StateError('the file is cut short');
  return next.value;
}

function parseHeader(bytes: Buffer): StateHeader {
  try {
    return headerSchema.parse(JSON.parse(bytes.toString()));
  } catch (error) {
    throw new StateError('bad header', { cause: error });
  }
}

function* readInstances(bytes: Buffer): Generator<Instance> {
  for (let offset = 0; offset < bytes.length;) {
    const length = bytes.readUInt32BE(offset);
    yield decodeInstance(bytes.subarray(offset + 4, offset + 4 + length));
    offset += 4 + length;
  }
}
