import { fullJitter } from '../common/backoff.ts';
import { ProtocolError } from '../common/errors.ts';
import { Pause } from '../common/yielding.ts';
import {
  encodeAgentMessage,
  encodeDelta,
  decodeAggregatorMessage,
  payloadBytesMax,
  protocolVersion,
} from '../proto/feed.ts';
import type { AggregatorMessage, Heartbeat, Welcome } from '../proto/feed.ts';
import type { Outbox, Snapshot } from './outbox.ts';

/**
 * The agent's side of one feed stream, by the rules at the head of feed.proto, over any transport. It sends what
 * the outbox has beyond `sent`, merging what had to wait, and a snapshot where the outbox's log does not
 * reach back; never more unaccepted Deltas than the limits below.
 */

/** What an agent says of itself in Hello. */
export interface FeedIdentity {
  readonly registry: string;
  readonly kind: string;
  readonly agentId: string;
  readonly datacenter: string;
  readonly network: string;
  readonly defaultLocality: string;
  readonly software: string;
}

/** What a heartbeat says of the registry. */
export type HeartbeatHealth = Omit<Heartbeat, 'heartbeat' | 'sequence' | 'digest'>;

/** Everything that is sent to all aggregators alike. */
export interface Feeder {
  readonly hello: FeedIdentity;
  readonly outbox: Outbox;
  readonly health: () => HeartbeatHealth;
}

export interface FeedTransport {
  /** Sends a message; the callback comes when it has left for the network. */
  write(message: Buffer, flushed: () => void): void;
}

export interface FeedStreamReport {
  welcomed(welcome: Welcome): void;
  observedToSent(seconds: number): void;
  roundTrip(seconds: number): void;
  sent(batches: number, bytes: number): void;
  resync(reason: string): void;
}

export const feedStreamLimits = {
  /** Deltas written and not yet accepted. */
  unacceptedMax: 64,
  unacceptedBytesMax: 4 * 1024 * 1024,
  /** Messages handed to the transport and not yet on their way: what comes later is merged. */
  unflushedMax: 4,
  /** Instances in a snapshot chunk, bytes. Small, so that heartbeats find their way between. */
  chunkBytes: payloadBytesMax / 4,
  /** Longest pause that an aggregator can ask for. */
  pauseMaxMs: 60_000,
} as const;

const snapshotPolicy = { baseMs: 500, maxMs: 30_000 };

type Phase = 'greeting' | 'starting' | 'snapshot' | 'live' | 'ended';

export class FeedStream {
  private readonly feeder: Feeder;
  private readonly transport: FeedTransport;
  private readonly report: FeedStreamReport;
  private readonly unsubscribe: () => void;
  private phase: Phase = 'greeting';
  /** Everything up to here has been sent on this stream. */
  private sentSequence = 0;
  private sentDigest: Buffer = Buffer.alloc(0);
  private acceptedSequence = 0;
  private unaccepted: { readonly sequence: number; readonly bytes: number }[] = [];
  private unacceptedBytes = 0;
  private unflushed = 0;
  private heartbeats = 0;
  private readonly echoes = new Map<number, number>();
  private pausedUntil = 0;
  private resyncs = 0;
  private timer: NodeJS.Timeout | undefined;
  /** Grows with each snapshot begun, so that an older one stops. */
  private snapshotRun = 0;

  constructor(feeder: Feeder, transport: FeedTransport, report: FeedStreamReport) {
    this.feeder = feeder;
    this.transport = transport;
    this.report = report;
    this.unsubscribe = feeder.outbox.subscribe(() => this.pump());
  }

  /** What the aggregator has accepted on this stream. */
  get accepted(): number {
    return this.acceptedSequence;
  }

  /** Says Hello. */
  start(): void {
    const { outbox, hello } = this.feeder;
    const { registry, kind, agentId, datacenter, network, defaultLocality, software } = hello;
    this.write(
      encodeAgentMessage({
        kind: 'hello',
        hello: {
          ...{ registry, kind, agentId, datacenter, network, defaultLocality, software },
          protocolVersion,
          epoch: outbox.epoch,
          oldestSequence: outbox.oldestSequence,
          sequence: outbox.sequence,
        },
      }),
    );
  }

  /** Ends all activity. Idempotent. */
  stop(): void {
    this.phase = 'ended';
    this.snapshotRun += 1;
    clearTimeout(this.timer);
    this.unsubscribe();
  }

  /** Sends a heartbeat. Its echoes are counted while at most a minute's worth is missing. */
  beat(): void {
    if (this.phase === 'ended') return;
    const { outbox, health } = this.feeder;
    this.heartbeats += 1;
    if (this.echoes.size < 64) this.echoes.set(this.heartbeats, performance.now());
    const isInStep = this.phase === 'live';
    this.write(
      encodeAgentMessage({
        kind: 'heartbeat',
        heartbeat: {
          ...health(),
          heartbeat: this.heartbeats,
          sequence: isInStep ? this.sentSequence : 0,
          digest: isInStep ? this.currentDigest(outbox) : Buffer.alloc(0),
        },
      }),
    );
  }

  /** Takes in a message of the aggregator. Throws ProtocolError on one that breaks the rules. */
  receive(bytes: Uint8Array): void {
    if (this.phase === 'ended') return;
    const message = decodeAggregatorMessage(bytes);
    if (this.phase === 'greeting' && message.kind !== 'welcome' && message.kind !== 'echo') {
      throw new ProtocolError(`the aggregator's first word is ${message.kind} instead of welcome`);
    }
    this.dispatch(message);
  }

  private dispatch(message: AggregatorMessage): void {
    switch (message.kind) {
      case 'welcome':
        this.welcome(message.welcome);
        return;
      case 'accepted':
        this.accept(message.sequence);
        return;
      case 'resync':
        this.report.resync(message.reason);
        this.startOver();
        return;
      case 'throttle':
        this.pause(Math.min(message.pauseMs, feedStreamLimits.pauseMaxMs));
        return;
      case 'echo': {
        const sentAt = this.echoes.get(message.heartbeat);
        this.echoes.delete(message.heartbeat);
        if (sentAt !== undefined) this.report.roundTrip((performance.now() - sentAt) / 1000);
        return;
      }
      case 'unknown':
        return;
    }
  }

  private welcome(welcome: Welcome): void {
    if (this.phase !== 'greeting') throw new ProtocolError('the aggregator says welcome twice');
    const { outbox } = this.feeder;
    if (welcome.protocolVersion < 1 || welcome.protocolVersion > protocolVersion) {
      throw new ProtocolError(`the aggregator speaks version ${welcome.protocolVersion}`);
    }
    const canResume =
      welcome.resume &&
      welcome.sequence > 0 &&
      welcome.sequence + 1 >= outbox.oldestSequence &&
      welcome.sequence <= outbox.sequence;
    this.report.welcomed(welcome);
    if (canResume) {
      this.sentSequence = welcome.sequence;
      this.sentDigest = outbox.digestAt(welcome.sequence);
      this.acceptedSequence = welcome.sequence;
      this.phase = 'live';
    } else this.phase = 'starting';
    this.beat();
    this.pump();
  }

  private accept(sequence: number): void {
    if (sequence > this.feeder.outbox.sequence) {
      throw new ProtocolError(`the aggregator accepts ${sequence}, which was never sent`);
    }
    this.acceptedSequence = Math.max(this.acceptedSequence, sequence);
    let settled = 0;
    for (const delta of this.unaccepted) {
      if (delta.sequence > sequence) break;
      settled += 1;
      this.unacceptedBytes -= delta.bytes;
    }
    if (settled > 0) this.unaccepted = this.unaccepted.slice(settled);
    if (this.phase === 'live') this.resyncs = 0;
    this.pump();
  }

  private startOver(): void {
    this.phase = 'starting';
    this.snapshotRun += 1;
    this.resyncs += 1;
    this.forgetUnaccepted();
    // The first is answered at once; one that keeps asking does not get our whole attention.
    if (this.resyncs > 1) this.pause(fullJitter(snapshotPolicy, this.resyncs));
    else this.pump();
  }

  private pause(ms: number): void {
    this.pausedUntil = Math.max(this.pausedUntil, performance.now() + ms);
    this.pump();
  }

  private isPaused(): boolean {
    const rest = this.pausedUntil - performance.now();
    if (rest <= 0) return false;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.pump(), Math.ceil(rest));
    return true;
  }

  /** Sends what can be sent now. Called whenever something may have changed. */
  private pump(): void {
    if (this.phase !== 'starting' && this.phase !== 'live') return;
    if (this.isPaused()) return;
    if (this.phase === 'live') this.sendDeltas();
    if (this.phase !== 'starting') return;
    const snapshot = this.feeder.outbox.snapshot();
    if (snapshot === undefined) return;
    this.phase = 'snapshot';
    this.snapshotRun += 1;
    void this.sendSnapshot(snapshot, this.snapshotRun);
  }

  private sendDeltas(): void {
    const limits = feedStreamLimits;
    while (
      this.unaccepted.length < limits.unacceptedMax &&
      this.unacceptedBytes < limits.unacceptedBytesMax &&
      this.unflushed < limits.unflushedMax
    ) {
      const batches = this.feeder.outbox.batchesAfter(this.sentSequence);
      if (batches === 'upToDate') return;
      if (batches === 'overrun') {
        this.phase = 'starting';
        this.forgetUnaccepted();
        return;
      }
      const { firstSequence, sequence, changes, observedAt } = batches;
      const ageMs = Math.max(0, performance.now() - observedAt);
      const message = encodeDelta({ firstSequence, sequence, ageMs }, changes);
      this.sentSequence = sequence;
      this.sentDigest = batches.digest;
      this.unaccepted.push({ sequence, bytes: message.length });
      this.unacceptedBytes += message.length;
      this.write(message);
      this.report.observedToSent(ageMs / 1000);
      this.report.sent(sequence - firstSequence + 1, message.length);
    }
  }

  /** Chunk by chunk, each only when the one before has left, so that nothing piles up. */
  private async sendSnapshot(snapshot: Snapshot, run: number): Promise<void> {
    const pause = new Pause();
    let next = 0;
    let isLast = false;
    for (let index = 0; !isLast; index++) {
      if (pause.isDue()) await pause.turn();
      while (this.snapshotRun === run && this.isPaused()) await this.pauseOver();
      if (this.snapshotRun !== run) return;
      const instances = chunkAt(snapshot, next);
      next += instances.length;
      isLast = next === snapshot.size;
      const message = encodeAgentMessage({
        kind: 'chunk',
        chunk: {
          sequence: snapshot.sequence,
          index,
          instances,
          last: isLast,
          digest: isLast ? snapshot.digest : Buffer.alloc(0),
          count: isLast ? snapshot.size : 0,
          ageMs: this.feeder.health().registryAgeMs,
        },
      });
      if (isLast) {
        this.phase = 'live';
        this.sentSequence = snapshot.sequence;
        this.sentDigest = snapshot.digest;
      }
      const flushed = new Promise<void>((resolve) => this.write(message, resolve));
      this.report.sent(0, message.length);
      if (!isLast) await flushed;
    }
    this.pump();
  }

  private pauseOver(): Promise<void> {
    const rest = this.pausedUntil - performance.now();
    return new Promise((resolve) => setTimeout(resolve, Math.max(1, Math.ceil(rest))));
  }

  private forgetUnaccepted(): void {
    this.unaccepted = [];
    this.unacceptedBytes = 0;
  }

  private currentDigest(outbox: Outbox): Buffer {
    return this.sentDigest.length > 0 ? this.sentDigest : outbox.digestAt(this.sentSequence);
  }

  private write(message: Buffer, flushed?: () => void): void {
    this.unflushed += 1;
    this.transport.write(message, () => {
      this.unflushed -= 1;
      flushed?.();
      if (this.phase === 'live') this.pump();
    });
  }
}

/** The instances of the chunk that begins at a place: one at least, unless nothing is left. */
function chunkAt(snapshot: Snapshot, start: number): readonly Buffer[] {
  const instances: Buffer[] = [];
  let bytes = 0;
  for (let place = start; place < snapshot.size; place++) {
    const instance = snapshot.encoded(place);
    bytes += instance.length;
    if (bytes > feedStreamLimits.chunkBytes && instances.length > 0) break;
    instances.push(instance);
  }
  return instances;
}
