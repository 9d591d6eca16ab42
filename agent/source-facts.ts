/** What a source has told of itself, for the agent's page and its heartbeats. */
export interface SourceFacts {
  /** The server that is read; empty before the first. */
  readonly server: string;
  /** How far the registry's own caches may be behind at most, milliseconds. */
  readonly hiddenDelayMs: number;
  readonly expired: Expired;
  /** Host names in the place of addresses that could not be resolved. */
  readonly unresolvedHosts: number;
  /** Paths that may not be read. */
  readonly unreadable: number;
  /** Records that are left alone on purpose, by kind; kinds without any are left out. */
  readonly ignored: Readonly<Record<string, number>>;
  /** Undefined as long as nobody has pushed. */
  readonly push: PushFacts | undefined;
}

/** Instances that the registry still lists although they stopped renewing. */
export interface Expired {
  readonly count: number;
  /** The ids of some of them. */
  readonly examples: readonly string[];
}

/** What came by push. */
export interface PushFacts {
  /** Servers that pushed within the last few minutes. */
  readonly peers: readonly { readonly address: string; readonly agoMs: number }[];
  /** Since the start, by action. */
  readonly items: Readonly<Record<string, number>>;
}

/** What sources may report of themselves (see SourceReport and PushReport). */
interface Reported {
  connected(server: string): void;
  hiddenDelay(ms: number): void;
  expiredButListed(count: number, examples: readonly string[]): void;
  unresolvedHosts?(count: number): void;
  unreadable?(count: number): void;
  ignored?(kind: string, count: number): void;
  pushItems?(action: string, count: number): void;
  pushPeer?(peer: string): void;
}

const peerForgottenMs = 300_000;
const peersMax = 100;

/** Keeps the latest of what passes through to a report. */
export class SourceNotes {
  private server = '';
  private hiddenDelayMs = 0;
  private expired: Expired = { count: 0, examples: [] };
  private unresolvedHosts = 0;
  private unreadable = 0;
  private readonly ignored = new Map<string, number>();
  private readonly peers = new Map<string, number>();
  private readonly items = new Map<string, number>();

  /** The same report, read along. */
  readAlong<R extends Reported>(report: R): R {
    return {
      ...report,
      connected: (server: string, ...more: unknown[]) => {
        this.server = server;
        (report.connected as (...all: unknown[]) => void)(server, ...more);
      },
      hiddenDelay: (ms: number) => {
        this.hiddenDelayMs = ms;
        report.hiddenDelay(ms);
      },
      expiredButListed: (count: number, examples: readonly string[]) => {
        this.expired = { count, examples };
        report.expiredButListed(count, examples);
      },
      unresolvedHosts: (count: number) => {
        this.unresolvedHosts = count;
        report.unresolvedHosts?.(count);
      },
      unreadable: (count: number) => {
        this.unreadable = count;
        report.unreadable?.(count);
      },
      ignored: (kind: string, count: number) => {
        if (count === 0) this.ignored.delete(kind);
        else this.ignored.set(kind, count);
        report.ignored?.(kind, count);
      },
      pushItems: (action: string, count: number) => {
        this.items.set(action, (this.items.get(action) ?? 0) + count);
        report.pushItems?.(action, count);
      },
      pushPeer: (peer: string) => {
        this.notePeer(peer, performance.now());
        report.pushPeer?.(peer);
      },
    };
  }

  /** @param now `performance.now()` */
  facts(now: number): SourceFacts {
    const { server, hiddenDelayMs, expired, unresolvedHosts, unreadable } = this;
    const ignored = Object.fromEntries([...this.ignored].sort());
    const peers = Array.from(this.peers, ([address, at]) => ({ address, agoMs: now - at }));
    const isPushed = this.items.size > 0 || peers.length > 0;
    const push = isPushed
      ? {
          peers: peers.filter(({ agoMs }) => agoMs <= peerForgottenMs),
          items: Object.fromEntries(this.items),
        }
      : undefined;
    return { server, hiddenDelayMs, expired, unresolvedHosts, unreadable, ignored, push };
  }

  private notePeer(peer: string, now: number): void {
    if (!this.peers.has(peer) && this.peers.size >= peersMax) {
      for (const [known, at] of this.peers) {
        if (now - at > peerForgottenMs) this.peers.delete(known);
      }
      if (this.peers.size >= peersMax) return;
    }
    this.peers.set(peer, now);
  }
}
