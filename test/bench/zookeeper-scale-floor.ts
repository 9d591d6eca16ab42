import { connect } from 'node:net';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { monotonicMs } from './statistics.ts';
import { interfaceName } from './zookeeper-load.ts';

/**
 * The least that a ZooKeeper client can do, as a process of its own: one socket, requests written by hand, of what comes
 * back nothing but the lengths of frames (and which of them are events). Argument: JSON of `FloorOptions`.
 */
export type FloorOptions = FloorReading | FloorWatch;

interface FloorReading {
  /** `single`: a request for each directory, with a one-shot watch. `multi`: a hundred in a request, without. */
  readonly kind: 'single' | 'multi';
  readonly port: number;
  /** Directories of how many interfaces are listed. */
  readonly services: number;
}

interface FloorWatch {
  readonly kind: 'persistent' | 'one-shot';
  readonly port: number;
  /** The directory that is watched. */
  readonly path: string;
}

/** All has been read. Milliseconds. */
export interface FloorRead {
  readonly kind: 'read';
  readonly ms: number;
  readonly cpuMs: number;
  readonly rssMiB: number;
  readonly longestStallMs: number;
  readonly bytes: number;
}

/** The watch stands. */
interface FloorWatching {
  readonly kind: 'watching';
}

/** A change below the watched directory. CLOCK_MONOTONIC, milliseconds. */
interface FloorEvent {
  readonly kind: 'event';
  readonly at: number;
}

export type FloorMessage = FloorRead | FloorWatching | FloorEvent;

const opcodes = { getChildren: 8, ping: 11, multiRead: 22, addWatch: 106 };
const eventXid = -1;
const pingXid = -2;
const operationsInMulti = 100;
const inFlightMax = { single: 256, multi: 4 };
const sessionTimeoutMs = 30_000;
const options = JSON.parse(process.argv[2] ?? '{}') as FloorOptions;
process.on('disconnect', () => process.exit(0));

const int = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
};
const text = (value: string): Buffer =>
  Buffer.concat([int(Buffer.byteLength(value)), Buffer.from(value)]);
const flag = (isOn: boolean): Buffer => Buffer.from([isOn ? 1 : 0]);
const frame = (...parts: readonly Buffer[]): Buffer => {
  const content = Buffer.concat(parts);
  return Buffer.concat([int(content.length), content]);
};

const socket = connect({ host: '127.0.0.1', port: options.port, noDelay: true });
let bytes = 0;

/** The bytes of the frame that is being received that are still to come, and of its head what is here. */
let rest = 0;
const head = Buffer.alloc(8);
let headHave = 0;

/** Calls `onFrame` with the first number of each frame that begins in this chunk: its xid, mostly. */
function skim(chunk: Buffer, onFrame: (xid: number) => void): void {
  bytes += chunk.length;
  let at = 0;
  while (at < chunk.length) {
    if (rest > 0) {
      const skipped = Math.min(rest, chunk.length - at);
      rest -= skipped;
      at += skipped;
      continue;
    }
    const taken = chunk.copy(head, headHave, at, at + head.length - headHave);
    headHave += taken;
    at += taken;
    if (headHave < head.length) return;
    headHave = 0;
    rest = head.readInt32BE(0) - 4;
    onFrame(head.readInt32BE(4));
  }
}

/** Opens a session, then calls `onOpen` once and `onFrame` for each frame after it. */
function open(onOpen: () => void, onFrame: (xid: number) => void): void {
  let isOpen = false;
  socket.on('data', (chunk: Buffer) => {
    skim(chunk, (xid) => {
      if (isOpen) {
        onFrame(xid);
        return;
      }
      isOpen = true;
      onOpen();
    });
  });
  socket.write(
    frame(
      int(0),
      int(0),
      int(0),
      int(sessionTimeoutMs),
      int(0),
      int(0),
      int(16),
      Buffer.alloc(16),
      flag(false),
    ),
  );
}

function list(xid: number, path: string, isWatched: boolean): Buffer {
  return frame(int(xid), int(opcodes.getChildren), text(path), flag(isWatched));
}

function listMany(xid: number, paths: readonly string[]): Buffer {
  const operations = paths.flatMap((path) => [
    int(opcodes.getChildren),
    flag(false),
    int(-1),
    text(path),
    flag(false),
  ]);
  return frame(int(xid), int(opcodes.multiRead), ...operations, int(-1), flag(true), int(-1));
}

function read(kind: 'single' | 'multi', services: number): void {
  const directories = ['configurators', 'routers', 'providers'];
  const paths = Array.from({ length: services }, (_, service) =>
    directories.map((name) => `/dubbo/${interfaceName(service)}/${name}`),
  ).flat();
  const step = kind === 'single' ? 1 : operationsInMulti;
  const requests = Math.ceil(paths.length / step);
  const delays = monitorEventLoopDelay({ resolution: 1 });
  let sent = 0;
  let answered = 0;
  let startedAt = 0;
  let cpuBefore = process.cpuUsage();
  const pump = (): void => {
    const due: Buffer[] = [];
    while (sent < requests && sent - answered < inFlightMax[kind]) {
      const some = paths.slice(sent * step, (sent + 1) * step);
      sent += 1;
      due.push(kind === 'single' ? list(sent, some[0] ?? '/', true) : listMany(sent, some));
    }
    if (due.length > 0) socket.write(Buffer.concat(due));
  };
  const start = (): void => {
    delays.enable();
    cpuBefore = process.cpuUsage();
    startedAt = performance.now();
    // The names of the interfaces are known, but reading them is a part of it.
    socket.write(list(0, '/dubbo', true));
  };
  socket.on('end', () => process.exit(1));
  let isListed = false;
  open(start, () => {
    if (isListed) answered += 1;
    isListed = true;
    if (answered < requests) {
      if (sent === 0 || sent - answered <= inFlightMax[kind] / 2) pump();
      return;
    }
    const { user, system } = process.cpuUsage(cpuBefore);
    const said: FloorRead = {
      kind: 'read',
      ms: performance.now() - startedAt,
      cpuMs: (user + system) / 1000,
      rssMiB: process.memoryUsage.rss() / 1_048_576,
      longestStallMs: delays.max / 1e6 - 1,
      bytes,
    };
    process.send?.(said);
  });
}

function watch(kind: 'persistent' | 'one-shot', path: string): void {
  const say = (message: FloorMessage): void => void process.send?.(message);
  const arm = (): void => {
    socket.write(
      kind === 'persistent'
        ? frame(int(1), int(opcodes.addWatch), text(path), int(1))
        : list(1, path, true),
    );
  };
  let isTold = false;
  open(arm, (xid) => {
    if (xid === eventXid) {
      say({ kind: 'event', at: monotonicMs() });
      if (kind === 'one-shot') arm();
    } else if (xid !== pingXid && !isTold) {
      isTold = true;
      say({ kind: 'watching' });
    }
  });
  setInterval(() => socket.write(frame(int(pingXid), int(opcodes.ping))), sessionTimeoutMs / 4);
}

if ('services' in options) read(options.kind, options.services);
else watch(options.kind, options.path);
