import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createGzip } from 'node:zlib';
import { Readable } from 'node:stream';
import { bodyOf } from './eureka-records.ts';
import type { RecordState } from './eureka-records.ts';

/**
 * A server of prebuilt Eureka bodies as a process of its own: an answer costs it next to nothing, so that the reader
 * is measured and not the registry. Arguments: services, endpoints of each. Says `{ kind: 'listening', port }`, answers each
 * `BodiesOrder` by `done`.
 */
export type BodiesMessage =
  | { readonly kind: 'listening'; readonly port: number }
  | {
      readonly kind: 'done';
      /** Bodies handed over since the last order. */
      readonly answers: number;
      /** Of the full body: on the wire, and as JSON. */
      readonly wireBytes: number;
      readonly plainBytes: number;
    };

export type BodiesOrder =
  /** From now on the delta has so many rows. */
  | { readonly kind: 'delta'; readonly rows: number; readonly generation: number }
  /** From now on bodies are compressed, or not. */
  | { readonly kind: 'compress'; readonly isOn: boolean }
  /** From now on everything is answered by 503, or not. */
  | { readonly kind: 'fail'; readonly isOn: boolean }
  /** From now on the full body and the census lack so many instances. */
  | { readonly kind: 'lose'; readonly count: number }
  /** Nothing but the answer is wanted. */
  | { readonly kind: 'count' };

interface Body {
  readonly plain: Buffer;
  readonly gzip: Buffer;
}

const [services = 0, endpoints = 0] = process.argv.slice(2).map(Number);
const registry = { services, endpoints };
const size = services * endpoints;
let isCompressed = true;
let isFailing = false;
let lost = 0;
let version = 1;
let answers = 0;
let delta: readonly RecordState[] = [];
const bodies = new Map<string, Body>();

function say(message: BodiesMessage): void {
  process.send?.(message);
}

async function build(path: string, states: readonly RecordState[]): Promise<void> {
  const pieces = [...bodyOf(registry, states, { version, up: size - lost })];
  const plain = Buffer.concat(pieces);
  const packed = Readable.from(pieces).pipe(createGzip());
  const gzip = Buffer.concat(await packed.toArray());
  bodies.set(path, { plain, gzip });
}

async function buildFull(): Promise<void> {
  const states = Array.from({ length: size - lost }, (_, instance): RecordState => ({
    instance,
    action: 'ADDED',
    generation: 0,
  }));
  await build('/eureka/apps', states);
}

async function buildDelta(): Promise<void> {
  version += 1;
  await build('/eureka/apps/delta', delta);
}

async function obey(order: BodiesOrder): Promise<void> {
  switch (order.kind) {
    case 'delta':
      delta = Array.from({ length: order.rows }, (_, instance) => ({
        instance,
        action: 'ADDED',
        generation: order.generation,
      }));
      return buildDelta();
    case 'compress':
      isCompressed = order.isOn;
      return;
    case 'fail':
      isFailing = order.isOn;
      return;
    case 'lose':
      lost = order.count;
      await buildFull();
      return buildDelta();
    case 'count':
      return;
  }
}

await buildFull();
await buildDelta();
const server = createServer((request, response) => {
  request.resume();
  const path = request.url ?? '';
  const body = bodies.get(path);
  if (isFailing || body === undefined) {
    response.writeHead(isFailing ? 503 : 404, { 'content-length': 0 }).end();
    return;
  }
  const bytes = isCompressed ? body.gzip : body.plain;
  response.writeHead(200, {
    'content-type': 'application/json',
    'content-length': bytes.length,
    ...(isCompressed ? { 'content-encoding': 'gzip' } : {}),
  });
  response.end(bytes);
  answers += 1;
});
server.listen(0, '127.0.0.1', () =>
  say({ kind: 'listening', port: (server.address() as AddressInfo).port }),
);
process.on('message', (order: BodiesOrder) => {
  const taken = answers;
  answers = 0;
  void obey(order).then(() => {
    const { plain, gzip } = bodies.get('/eureka/apps') ?? { plain: '', gzip: '' };
    const wireBytes = isCompressed ? gzip.length : plain.length;
    say({ kind: 'done', answers: taken, wireBytes, plainBytes: plain.length });
  });
});
process.on('disconnect', () => process.exit(0));
