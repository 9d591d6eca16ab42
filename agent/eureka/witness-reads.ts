import type { ServiceUrl } from './service-url.ts';
import type { ServerSession } from './session.ts';
import type { RegistryView } from './view.ts';

/** What a server lists, read beside the one that is followed. */
export interface WitnessRead {
  readonly view: RegistryView;
  /** For how long it has known its oldest registration (see `memoryOf`), milliseconds. */
  readonly memoryMs: number;
  /** The server has lost its memory since the read before. */
  readonly isRestarted: boolean;
  /** `performance.now()` when it was asked for, and when it had been read. */
  readonly askedAt: number;
  readonly readAt: number;
}

type WitnessSession = Pick<ServerSession, 'view' | 'memoryMs' | 'expectRestart' | 'read'>;

/** Who reads a server that is not followed, once and in full; see Poller. */
export interface WitnessReader {
  readOnce(server: ServiceUrl, signal: AbortSignal): Promise<WitnessSession | undefined>;
}

interface Kept {
  readonly session: WitnessSession;
  /** When what the session holds was last another body than before. */
  changedAt: number;
  last: WitnessRead;
}

/** A server may be read again after so many times what the read took. */
const restFactor = 20;
/** Kept so long after its last use: it costs what a registry costs in memory. */
const keptMs = 60_000;

/**
 * Full reads of servers as witnesses: of each at most one in `intervalMs`, but sooner if it takes next to no time;
 * until then the same read is the answer. What is unchanged since the read before is not decoded again.
 */
export class WitnessReads {
  private readonly reader: WitnessReader;
  private readonly intervalMs: number;
  private readonly kept = new Map<string, Kept>();
  private readonly reading = new Map<string, Promise<WitnessRead | undefined>>();
  private timer: NodeJS.Timeout | undefined;

  constructor(reader: WitnessReader, intervalMs: number) {
    this.reader = reader;
    this.intervalMs = intervalMs;
  }

  /** Undefined when the server cannot be read. Never throws for what a server does. */
  async read(server: ServiceUrl, signal: AbortSignal): Promise<WitnessRead | undefined> {
    this.forgetLater();
    const last = this.kept.get(server.url)?.last;
    if (last !== undefined && this.isFresh(last)) return last;
    const running = this.reading.get(server.url);
    if (running !== undefined) return running;
    const reading = this.readAnew(server, signal).finally(() => this.reading.delete(server.url));
    this.reading.set(server.url, reading);
    return reading;
  }

  private isFresh({ askedAt, readAt }: WitnessRead): boolean {
    const restMs = Math.min(this.intervalMs, restFactor * (readAt - askedAt));
    return performance.now() - askedAt < restMs;
  }

  private async readAnew(
    server: ServiceUrl,
    signal: AbortSignal,
  ): Promise<WitnessRead | undefined> {
    const askedAt = performance.now();
    const kept = this.kept.get(server.url);
    this.kept.delete(server.url);
    if (kept === undefined) {
      const session = await this.reader.readOnce(server, signal);
      if (session === undefined) return undefined;
      const { view, memoryMs } = session;
      const readAt = performance.now();
      const last = { view, memoryMs, isRestarted: false, askedAt, readAt };
      this.kept.set(server.url, { session, changedAt: askedAt, last });
      return last;
    }
    const { session } = kept;
    session.expectRestart();
    const result = await session.read(signal);
    if (result.kind === 'failed') return undefined;
    if (result.isFull) kept.changedAt = askedAt;
    const memoryMs = session.memoryMs + askedAt - kept.changedAt;
    const { view } = session;
    const { isRestarted } = result;
    kept.last = { view, memoryMs, isRestarted, askedAt, readAt: performance.now() };
    this.kept.set(server.url, kept);
    return kept.last;
  }

  private forgetLater(): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.kept.clear(), keptMs);
    this.timer.unref();
  }
}
