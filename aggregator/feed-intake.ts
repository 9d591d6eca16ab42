import { status } from '@grpc/grpc-js';
import type { ServerDuplexStream } from '@grpc/grpc-js';
import type { Logger } from 'pino';
import { tidyHeapAfter } from '../common/heap.ts';
import { Pause } from '../common/yielding.ts';
import { decodeAgentMessage, encodeAggregatorMessage } from '../proto/feed.ts';
import type { AgentMessage, Hello } from '../proto/feed.ts';
import type { AgentIdentity, Contribution } from './contribution.ts';
import { decodeAll, decodeChanges } from './feed-decode.ts';
import type { FeedObserver } from './feed-server.ts';
import { endOf, FeedEnd, identify } from './feed-session.ts';
import type {
  FeedSession,
  OutgoingMessage,
  Position,
  SessionAction,
  SessionInput,
} from './feed-session.ts';

/** What the intake of a stream needs of its server. */
export interface FeedHost {
  readonly observer: FeedObserver;
  /**
   * Checks who it is and opens its contribution, after an older stream of the same agent has
   * ended. Rejects with FeedEnd.
   */
  admit(hello: Hello, identity: AgentIdentity, intake: FeedIntake): Promise<Admission>;
  /** How many bytes wait for application, over all streams. */
  waitingBytes: number;
}

export interface Admission {
  readonly session: FeedSession;
  readonly contribution: Contribution;
  /** Keeps where the agent stands, or (undefined) forgets it. */
  readonly keep: (position: Position | undefined) => void;
}

const feedIntakeLimits = {
  helloMs: 10_000,
  silenceMs: 15_000,
  /** Above it the stream is not read on until the half is done: flow control does the rest. */
  queueBytesMax: 2 * 1024 * 1024,
  /** Above it, over all streams, agents are asked to pause. */
  throttleBytes: 64 * 1024 * 1024,
  throttleMs: 1000,
  /** Messages that the agent has not read; above it the stream ends. */
  unreadMax: 2000,
} as const;

interface Queued {
  readonly message: AgentMessage;
  readonly bytes: number;
  readonly receivedAt: number;
}

/**
 * The shell around one stream's session: takes messages in as they come, answers heartbeats at once,
 * applies the rest in order, one at a time, and ends the stream when a rule or a limit is broken.
 */
export class FeedIntake {
  /** Settles when nothing of this stream will touch the catalog any more. */
  readonly done: Promise<void>;
  private readonly call: ServerDuplexStream<Buffer, Buffer>;
  private readonly host: FeedHost;
  private log: Logger;
  private settle: () => void = () => undefined;
  private identity: AgentIdentity | undefined;
  private admission: Admission | undefined;
  private queue: Queued[] = [];
  private queuedBytes = 0;
  private isWorking = false;
  private isEnded = false;
  private hasLeftOut = false;
  private readonly earlyHeartbeats: number[] = [];
  private heardAt = performance.now();
  private throttledAt = -Infinity;
  private readonly watch: NodeJS.Timeout;

  constructor(call: ServerDuplexStream<Buffer, Buffer>, host: FeedHost, log: Logger) {
    this.call = call;
    this.host = host;
    this.log = log.child({ peer: call.getPeer() });
    this.done = new Promise((resolve) => (this.settle = resolve));
    this.watch = setInterval(() => this.checkSilence(), 1000).unref();
    call.on('data', (bytes: Buffer) => this.take(bytes));
    call.on('end', () => this.end(new FeedEnd(status.OK, 'ended by the agent')));
    call.on('cancelled', () => this.end(new FeedEnd(status.CANCELLED, 'the connection is gone')));
    call.on('error', (error) => this.end(endOf(error)));
  }

  /** Ends the stream. Idempotent. What has been applied stays. */
  end(reason: FeedEnd): void {
    if (this.isEnded) return;
    this.isEnded = true;
    clearInterval(this.watch);
    this.host.waitingBytes -= this.queuedBytes;
    this.queuedBytes = 0;
    this.queue = [];
    this.admission?.contribution.close(reason.message);
    this.report(reason);
    if (reason.code === status.OK) this.call.end();
    else if (reason.code !== status.CANCELLED) {
      const details = reason.message.replace(/[^\x20-\x7e]/g, '?').slice(0, 500);
      this.call.emit('error', Object.assign(new Error(details), { code: reason.code, details }));
    }
    if (!this.isWorking) this.settle();
  }

  private report(reason: FeedEnd): void {
    const { observer } = this.host;
    if (this.identity === undefined || this.admission === undefined) {
      observer.refused(status[reason.code]);
      this.log.warn({ reason: reason.message }, 'feed: a stream was refused');
      return;
    }
    observer.disconnected(this.identity.registry, this.identity.agentId);
    this.log.info({ reason: reason.message }, 'feed: the stream of an agent has ended');
  }

  private take(bytes: Buffer): void {
    if (this.isEnded) return;
    this.heardAt = performance.now();
    let message: AgentMessage;
    try {
      message = decodeAgentMessage(bytes);
    } catch (error) {
      this.fail(error);
      return;
    }
    if (message.kind === 'heartbeat') this.echo(message.heartbeat.heartbeat);
    this.queue.push({ message, bytes: bytes.length, receivedAt: this.heardAt });
    this.queuedBytes += bytes.length;
    this.host.waitingBytes += bytes.length;
    if (this.queuedBytes > feedIntakeLimits.queueBytesMax) this.call.pause();
    this.throttle();
    void this.work();
  }

  private throttle(): void {
    if (this.host.waitingBytes <= feedIntakeLimits.throttleBytes) return;
    if (this.heardAt - this.throttledAt < feedIntakeLimits.throttleMs) return;
    if (this.admission === undefined) return;
    this.throttledAt = this.heardAt;
    this.host.observer.throttled();
    this.send({ kind: 'throttle', pauseMs: feedIntakeLimits.throttleMs });
  }

  /** Applies what is queued, in order. A small Delta is applied before this returns. */
  private async work(): Promise<void> {
    if (this.isWorking) return;
    this.isWorking = true;
    const pause = new Pause();
    try {
      for (let next = this.next(); next !== undefined; next = this.next()) {
        const applying = this.apply(next);
        if (applying !== undefined) await applying;
        if (pause.isDue()) await pause.turn();
      }
    } catch (error) {
      this.fail(error);
    }
    this.isWorking = false;
    if (this.isEnded) this.settle();
  }

  private next(): Queued | undefined {
    if (this.isEnded) return undefined;
    const next = this.queue.shift();
    if (next === undefined) return undefined;
    this.queuedBytes -= next.bytes;
    this.host.waitingBytes -= next.bytes;
    if (this.call.isPaused() && this.queuedBytes < feedIntakeLimits.queueBytesMax / 2) {
      this.call.resume();
    }
    return next;
  }

  private apply({ message, receivedAt }: Queued): Promise<void> | undefined {
    const leftOut = (problem: string): void => this.leftOut(problem);
    switch (message.kind) {
      case 'hello':
        return this.open(message.hello);
      case 'heartbeat':
        return this.receive(message, receivedAt);
      case 'delta': {
        const { firstSequence, sequence, ageMs } = message.delta;
        const changes = decodeChanges(message.delta.changes, leftOut);
        const input = { kind: 'delta', firstSequence, sequence, ageMs } as const;
        return changes instanceof Promise
          ? changes.then((decoded) => this.receive({ ...input, changes: decoded }, receivedAt))
          : this.receive({ ...input, changes }, receivedAt);
      }
      case 'chunk': {
        const { instances, ...chunk } = message.chunk;
        return decodeAll(instances, leftOut).then((decoded) =>
          this.receive({ kind: 'chunk', chunk, instances: decoded }, receivedAt),
        );
      }
      case 'unknown':
        return undefined;
    }
  }

  private async open(hello: Hello): Promise<void> {
    if (this.identity !== undefined) {
      throw new FeedEnd(status.INVALID_ARGUMENT, 'hello: a second one');
    }
    this.identity = identify(hello);
    const { registry, agentId } = this.identity;
    this.log = this.log.child({ registry, agentId });
    const admission = await this.host.admit(hello, this.identity, this);
    if (this.isEnded) {
      admission.contribution.close('the stream has ended');
      return;
    }
    this.admission = admission;
    this.host.observer.connected(registry, agentId);
    this.log.info({ software: this.identity.software }, 'feed: an agent is connected');
    for (const action of admission.session.greet()) void this.execute(action, 0);
    for (const heartbeat of this.earlyHeartbeats.splice(0)) this.echo(heartbeat);
  }

  private receive(input: SessionInput, receivedAt: number): Promise<void> | undefined {
    if (this.isEnded) return undefined;
    if (this.admission === undefined) {
      throw new FeedEnd(status.INVALID_ARGUMENT, `${input.kind}: hello must come first`);
    }
    const actions = this.admission.session.receive(input);
    if (actions.some((action) => action.kind === 'replace')) {
      return this.executeInTurn(actions, receivedAt);
    }
    for (const action of actions) void this.execute(action, receivedAt);
    return undefined;
  }

  private async executeInTurn(
    actions: readonly SessionAction[],
    receivedAt: number,
  ): Promise<void> {
    for (const action of actions) {
      await this.execute(action, receivedAt);
      if (this.isEnded) return;
    }
  }

  private execute(action: SessionAction, receivedAt: number): Promise<void> | undefined {
    const { admission, identity, host } = this;
    if (admission === undefined || identity === undefined) return undefined;
    switch (action.kind) {
      case 'send':
        this.send(action.message);
        return undefined;
      case 'apply':
        host.observer.received(identity.registry, 'delta', action.changes.length);
        admission.contribution.apply(action.changes, { receivedAt, ageMs: action.ageMs });
        return undefined;
      case 'replace':
        host.observer.received(identity.registry, 'snapshot', action.instances.size);
        tidyHeapAfter(action.instances.size);
        return admission.contribution
          .replace(action.instances, { receivedAt, ageMs: action.ageMs })
          .then(() => admission.keep(action.position));
      case 'health':
        admission.contribution.health(action.health);
        return undefined;
      case 'resync':
        host.observer.resync(identity.registry, action.cause);
        this.log.warn({ cause: action.cause, reason: action.reason }, 'feed: resync');
        return undefined;
    }
  }

  private echo(heartbeat: number): void {
    if (this.admission !== undefined) this.send({ kind: 'echo', heartbeat });
    else if (this.earlyHeartbeats.length < 8) this.earlyHeartbeats.push(heartbeat);
  }

  private send(message: OutgoingMessage): void {
    if (this.isEnded) return;
    this.call.write(encodeAggregatorMessage(message));
    if (this.call.writableLength <= feedIntakeLimits.unreadMax) return;
    this.end(new FeedEnd(status.RESOURCE_EXHAUSTED, 'the agent does not read'));
  }

  private leftOut(problem: string): void {
    if (this.identity === undefined) return;
    this.host.observer.leftOut(this.identity.registry, problem);
    if (this.hasLeftOut) return;
    this.hasLeftOut = true;
    const { registry, agentId } = this.identity;
    this.log.warn({ registry, agentId, problem }, 'an instance is left out (said once a stream)');
  }

  /** Where the agent stands is not known any more once a message was taken in by halves. */
  private fail(error: unknown): void {
    if (this.isEnded) return;
    const reason = endOf(error);
    if (reason.code === status.INTERNAL) this.log.error({ err: error }, 'feed: internal error');
    this.admission?.keep(undefined);
    this.end(reason);
  }

  private checkSilence(): void {
    const silentMs = performance.now() - this.heardAt;
    if (this.isWorking || this.call.isPaused()) return;
    const limitMs =
      this.identity === undefined ? feedIntakeLimits.helloMs : feedIntakeLimits.silenceMs;
    if (silentMs < limitMs) return;
    this.end(new FeedEnd(status.DEADLINE_EXCEEDED, `no message for ${limitMs / 1000} s`));
  }
}
