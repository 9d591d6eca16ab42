import { setTimeout as wait } from 'node:timers/promises';
import { freePorts } from '../rigs/ports.ts';
import { Child } from './child.ts';
import type { BodiesMessage, BodiesOrder } from './eureka-bodies.ts';
import type { ParseResult } from './eureka-parse.ts';
import { heartbeats, registers } from './eureka-records.ts';
import type { ReaderEvent, ReaderMessage, ReaderOptions, ReaderUsage } from './eureka-reader.ts';
import type { Size } from './measure.ts';
import { monotonicMs, spread } from './statistics.ts';
import type { Spread } from './statistics.ts';

/**
 * What reading a large Eureka registry costs the agent's reader, alone in a process: full reads beside the floor (the
 * same body parsed in one piece), polls that bring nothing, deltas, and batches that servers push. Milliseconds, MiB.
 */
export interface ScaleResult {
  readonly size: Size;
  readonly encoding: 'gzip' | 'identity';
  readonly plainMB: number;
  readonly wireMB: number;
  readonly full: readonly FullRun[];
  readonly idlePoll: { readonly polls: number; readonly cpuMsEach: number };
  readonly deltas: readonly DeltaRun[];
  readonly push: readonly PushRun[];
}

/** One full read and one run of the floor, one after the other. */
export interface FullRun {
  /** From the start of the reader to its first event. */
  readonly ms: number;
  readonly cpuMs: number;
  readonly peakRssMiB: number;
  readonly longestStallMs: number;
  /** The longest time for which the reader itself held the loop. */
  readonly longestHoldMs: number;
  readonly floor: ParseResult;
}

export interface DeltaRun {
  readonly rows: number;
  /** From the last byte of the delta to the event. */
  readonly latency: Spread;
  readonly cpuMs: number;
  readonly longestStallMs: number;
  /** The longest time for which the reader itself held the loop. */
  readonly longestHoldMs: number;
  /** Of each poll that brings the same delta once more. */
  readonly repeatedPollCpuMs: number;
}

export interface PushRun {
  readonly action: 'Register' | 'Heartbeat';
  readonly itemsPerBatch: number;
  /** From the first byte sent until the answer is there. */
  readonly answer: Spread;
  /** From the first byte sent until the event; NaN where there is none. */
  readonly event: Spread;
  readonly cpuMsPerBatch: number;
  readonly longestStallMs: number;
  /** The longest time for which the reader itself held the loop. */
  readonly longestHoldMs: number;
}

export interface ScaleOptions {
  readonly size: Size;
  readonly encoding: 'gzip' | 'identity';
  readonly isQuick: boolean;
}

const pollIntervalMs = 100;
const batchItems = 250;

/** The server of prebuilt bodies. */
export class Bodies {
  private readonly child: Child<BodiesMessage>;
  private port = 0;

  constructor({ services, endpoints }: Size) {
    this.child = new Child<BodiesMessage>(new URL('eureka-bodies.ts', import.meta.url), [
      `${services}`,
      `${endpoints}`,
    ]);
  }

  /** Resolves when it listens. */
  async ready(): Promise<void> {
    this.port = (await this.child.next('listening')).port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}/eureka/`;
  }

  async order(order: BodiesOrder): Promise<Extract<BodiesMessage, { kind: 'done' }>> {
    this.child.send(order);
    return this.child.next('done');
  }

  async stop(): Promise<void> {
    await this.child.stop();
  }
}

class Reader {
  readonly child: Child<ReaderMessage>;

  constructor(options: ReaderOptions) {
    this.child = new Child<ReaderMessage>(new URL('eureka-reader.ts', import.meta.url), [
      JSON.stringify(options),
    ]);
  }

  event(count: number): Promise<ReaderEvent> {
    return this.child.next('event', (event) => event.count === count);
  }

  /** What was used since the last call. */
  async usage(isLoopWatched: boolean): Promise<ReaderUsage> {
    this.child.send(isLoopWatched);
    return this.child.next('usage');
  }

  async stop(): Promise<void> {
    await this.child.stop();
  }
}

export async function eurekaScale(options: ScaleOptions): Promise<ScaleResult> {
  const { size, encoding, isQuick } = options;
  const instances = size.services * size.endpoints;
  const bodies = new Bodies(size);
  await bodies.ready();
  await bodies.order({ kind: 'compress', isOn: encoding === 'gzip' });
  const { wireBytes, plainBytes } = await bodies.order({ kind: 'count' });
  const full: FullRun[] = [];
  for (let run = 0; run < (isQuick ? 1 : 5); run += 1) full.push(await fullRun(bodies, instances));
  const [port = 0] = await freePorts(1);
  const reader = new Reader({ urls: [bodies.url], pollIntervalMs, pushPort: port });
  try {
    await reader.event(instances);
    await wait(isQuick ? 2_000 : 10_000);
    const idlePoll = await idlePolls(bodies, reader, isQuick ? 3_000 : 10_000);
    const deltas: DeltaRun[] = [];
    for (const rows of [1, 100, 10_000, 100_000]) {
      if (rows <= instances) deltas.push(await deltaRun(bodies, reader, { rows, isQuick }));
    }
    const push: PushRun[] = [];
    for (const action of ['Register', 'Heartbeat'] as const) {
      push.push(await pushRun(reader, { action, size, port, isQuick }));
    }
    const plainMB = plainBytes / 1e6;
    return { size, encoding, plainMB, wireMB: wireBytes / 1e6, full, idlePoll, deltas, push };
  } finally {
    await reader.stop();
    await bodies.stop();
  }
}

async function fullRun(bodies: Bodies, instances: number): Promise<FullRun> {
  const parser = new Child<ParseResult>(new URL('eureka-parse.ts', import.meta.url), [
    `${bodies.url}apps`,
  ]);
  const floor = await parser.next('parsed');
  await parser.stop();
  const reader = new Reader({ urls: [bodies.url], pollIntervalMs: 60_000, pushPort: undefined });
  const { sinceStartMs, cpuMs } = await reader.event(instances);
  const { peakRssMiB, longestStallMs, longestHoldMs } = await reader.usage(false);
  await reader.stop();
  return { ms: sinceStartMs, cpuMs, peakRssMiB, longestStallMs, longestHoldMs, floor };
}

async function idlePolls(
  bodies: Bodies,
  reader: Reader,
  forMs: number,
): Promise<ScaleResult['idlePoll']> {
  await reader.usage(false);
  await bodies.order({ kind: 'count' });
  await wait(forMs);
  const { cpuMs } = await reader.usage(false);
  const { answers } = await bodies.order({ kind: 'count' });
  return { polls: answers, cpuMsEach: cpuMs / answers };
}

let generation = 0;

/** Each is newer than all before, in bodies and in what is pushed. */
export function nextGeneration(): number {
  return (generation += 1);
}

async function deltaRun(
  bodies: Bodies,
  reader: Reader,
  { rows, isQuick }: { readonly rows: number; readonly isQuick: boolean },
): Promise<DeltaRun> {
  const latencies: number[] = [];
  const cpus: number[] = [];
  let longestStallMs = 0;
  let longestHoldMs = 0;
  for (let run = 0; run < (isQuick ? 2 : 5); run += 1) {
    await reader.usage(true);
    await bodies.order({ kind: 'delta', rows, generation: nextGeneration() });
    const event = await reader.event(rows);
    latencies.push(event.sinceObservedMs);
    cpus.push(event.cpuMs);
    await wait(500);
    const usage = await reader.usage(false);
    longestStallMs = Math.max(longestStallMs, usage.longestStallMs);
    longestHoldMs = Math.max(longestHoldMs, usage.longestHoldMs);
  }
  const { cpuMsEach } = await idlePolls(bodies, reader, isQuick ? 1_000 : 3_000);
  const cpuMs = spread(cpus).p50;
  return {
    rows,
    latency: spread(latencies),
    cpuMs,
    longestStallMs,
    longestHoldMs,
    repeatedPollCpuMs: cpuMsEach,
  };
}

async function pushRun(
  reader: Reader,
  run: {
    readonly action: PushRun['action'];
    readonly size: Size;
    readonly port: number;
    readonly isQuick: boolean;
  },
): Promise<PushRun> {
  const { action, size, port } = run;
  const batches = run.isQuick ? 10 : 60;
  const answers: number[] = [];
  const events: number[] = [];
  const make = action === 'Register' ? registers : heartbeats;
  await reader.usage(true);
  for (let batch = 0; batch < batches; batch += 1) {
    // Heartbeats are of what the last registrations said: nothing has to be asked for.
    if (action === 'Register') nextGeneration();
    const body = make(size, { count: batchItems, generation });
    reader.child.clear();
    const sentAt = monotonicMs();
    await postBatch(port, body);
    answers.push(monotonicMs() - sentAt);
    if (action === 'Register') events.push((await reader.event(batchItems)).at - sentAt);
    else await wait(20);
  }
  const { cpuMs, longestStallMs, longestHoldMs } = await reader.usage(false);
  return {
    action,
    itemsPerBatch: batchItems,
    answer: spread(answers),
    event: spread(events),
    cpuMsPerBatch: cpuMs / batches,
    longestStallMs,
    longestHoldMs,
  };
}

/** As a server does it. Throws unless it is answered by 200. */
export async function postBatch(port: number, body: string): Promise<void> {
  const response = await fetch(`http://127.0.0.1:${port}/eureka/peerreplication/batch/`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body,
  });
  const text = await response.text();
  if (response.status !== 200 || text.includes('404')) {
    throw new Error(`the batch was answered by ${response.status}: ${text.slice(0, 200)}`);
  }
}
