import { TransientError } from '../../common/errors.ts';
import type { SuspectedLoss, Verdicts } from '../source.ts';
import type { Asked } from './ask.ts';
import type { EurekaClient } from './client.ts';
import { confirmSingle, idsOf, judgeByList, judgeLive } from './confirm.ts';
import type { Judgement } from './confirm.ts';
import { LaterReads, laterReadsPolicy } from './later-reads.ts';
import type { LaterReadsPolicy } from './later-reads.ts';
import type { Poller } from './poller.ts';
import type { EurekaStatus } from './record.ts';
import { SecondOpinions } from './second-opinion.ts';
import type { ServiceUrl } from './service-url.ts';
import type { ServerSession } from './session.ts';
import type { RegistryView } from './view.ts';
import { WitnessReads } from './witness-reads.ts';

/** Three heartbeats: a server that has known nobody for so long may miss who is only late. */
export const memoryMinMs = 90_000;

export interface WitnessOptions {
  readonly upStatuses: readonly EurekaStatus[];
  readonly laterReads: LaterReadsPolicy;
  /** Each server is read in full at most once in this time, milliseconds. */
  readonly readIntervalMs: number;
}

const witnessDefaults: WitnessOptions = {
  upStatuses: ['UP'],
  laterReads: laterReadsPolicy,
  readIntervalMs: 9_000,
};

/** What was found out about losses so far. */
interface Hearing {
  /** Not refuted by anybody yet. */
  readonly open: readonly SuspectedLoss[];
  readonly refuted: Set<string>;
  /** How many servers have agreed with all that is open. */
  readonly agreeing: number;
  readonly testimony: readonly string[];
}

/**
 * The servers of one cluster, asked whether what seems to be lost is lost.
 *
 * A single loss is the word of the server that is followed, live, which another server may contradict for a while (see
 * second-opinion.ts); of a young server it needs what a mass needs. A mass is confirmed
 *
 * - by the other servers: every one that can be read and is neither young nor empty agrees, and there is at least
 *   one. What any server lists as UP, young or not, or says is UP when it is asked live (the followed one
 *   included), is refuted.
 * - or, where no other server is configured, by later reads of the one there is (see later-reads.ts) and its live
 *   word. Other servers that are configured but cannot be reached are no reason to believe the one: the
 *   partition may be ours. Then the hold time decides.
 */
export class Witnesses {
  private readonly client: EurekaClient;
  private readonly poller: Poller;
  private readonly options: WitnessOptions;
  private readonly reads: WitnessReads;
  private readonly laterReads: LaterReads;
  private readonly opinions = new SecondOpinions();
  private laterReadsOf = '';
  private distrustUntil = 0;

  constructor(client: EurekaClient, poller: Poller, options: Partial<WitnessOptions> = {}) {
    this.client = client;
    this.poller = poller;
    this.options = { ...witnessDefaults, ...options };
    this.reads = new WitnessReads(poller, this.options.readIntervalMs);
    this.laterReads = new LaterReads(this.options.laterReads);
  }

  /** Until then (`performance.now()`) the word of the server that is followed is not enough. */
  distrust(until: number): void {
    this.distrustUntil = until;
  }

  /** See Source.confirmLosses. */
  async confirm(
    losses: readonly SuspectedLoss[],
    scale: 'single' | 'mass',
    signal: AbortSignal,
  ): Promise<Verdicts> {
    const { session } = this.poller;
    if (session === undefined) throw new TransientError('eureka: nothing has been read yet');
    if (scale === 'mass') return this.confirmMass(losses, session, signal);
    const relist = async (): Promise<RegistryView | undefined> =>
      (await this.poller.readOnce(session.server, signal))?.view;
    const followed = { ...this.asked(session.server), view: session.view, relist };
    const said = await confirmSingle(losses, followed, signal);
    if (said.confirmed.size === 0) return said;
    const denied = losses.filter(({ instance }) => said.confirmed.has(instance.id));
    if (performance.now() >= this.distrustUntil)
      return this.unlessContradicted(said, denied, signal);
    const { confirmed, refuted } = await this.byOthers(denied, session, signal);
    return { confirmed, refuted: said.refuted.union(refuted) };
  }

  private async unlessContradicted(
    said: Verdicts,
    denied: readonly SuspectedLoss[],
    signal: AbortSignal,
  ): Promise<Verdicts> {
    const others = this.poller.others.map((server) => this.asked(server));
    const contradicted = await this.opinions.refuted(denied, others, signal);
    return {
      confirmed: said.confirmed.difference(contradicted),
      refuted: said.refuted.union(contradicted),
    };
  }

  private async confirmMass(
    losses: readonly SuspectedLoss[],
    session: ServerSession,
    signal: AbortSignal,
  ): Promise<Verdicts> {
    if (this.poller.others.length > 0) {
      this.laterReads.reset();
      return this.byOthers(losses, session, signal);
    }
    return this.byLaterReads(losses, session, signal);
  }

  private async byOthers(
    losses: readonly SuspectedLoss[],
    session: ServerSession,
    signal: AbortSignal,
  ): Promise<Verdicts> {
    let hearing: Hearing = { open: losses, refuted: new Set(), agreeing: 0, testimony: [] };
    for (const server of this.poller.others) {
      hearing = await this.hear(hearing, losses, server, signal);
    }
    if (hearing.agreeing > 0) {
      hearing = await this.hearLive(hearing, session.server, { isWitness: true }, signal);
    }
    const { open, refuted, agreeing, testimony } = hearing;
    const confirmed = agreeing > 0 ? idsOf(open) : new Set<string>();
    return { confirmed, refuted, testimony: testimony.join('; ') };
  }

  /** Hears another server: its list, and its live word on what it does not list. */
  private async hear(
    hearing: Hearing,
    losses: readonly SuspectedLoss[],
    server: ServiceUrl,
    signal: AbortSignal,
  ): Promise<Hearing> {
    const read = await this.reads.read(server, signal);
    if (read === undefined) return this.told(hearing, `${server.url} could not be read`);
    const { agreed, refuted } = judgeByList(losses, read.view);
    for (const { instance } of refuted) hearing.refuted.add(instance.id);
    const count = `${refuted.length} of ${losses.length}`;
    if (read.view.size === 0 || read.memoryMs < memoryMinMs) {
      const what = read.view.size === 0 ? 'is empty' : `is young and lists ${count} as UP`;
      const told = this.told(hearing, `${server.url} ${what}`);
      return this.hearLive(
        { ...told, open: unrefuted(told) },
        server,
        { isWitness: false },
        signal,
      );
    }
    const isAgreed = idsOf(agreed);
    const open = hearing.open.filter(({ instance }) => isAgreed.has(instance.id));
    const told = this.told(hearing, `${server.url} lists ${count} as UP`);
    const next = { ...told, open, agreeing: told.agreeing + 1 };
    return this.hearLive(next, server, { isWitness: true }, signal);
  }

  /** Only what a witness agrees with, live, stays open; of another server, only what it does not know as UP. */
  private async hearLive(
    hearing: Hearing,
    server: ServiceUrl,
    { isWitness }: { readonly isWitness: boolean },
    signal: AbortSignal,
  ): Promise<Hearing> {
    if (hearing.open.length === 0) return hearing;
    const { agreed, refuted } = await judgeLive(hearing.open, this.asked(server), signal);
    for (const { instance } of refuted) hearing.refuted.add(instance.id);
    const next = { ...hearing, open: isWitness ? agreed : unrefuted(hearing) };
    if (refuted.length === 0) return next;
    return this.told(next, `${server.url} knows ${refuted.length} as UP when asked`);
  }

  private told(hearing: Hearing, word: string): Hearing {
    return { ...hearing, testimony: [...hearing.testimony, word] };
  }

  private async byLaterReads(
    losses: readonly SuspectedLoss[],
    { server }: ServerSession,
    signal: AbortSignal,
  ): Promise<Verdicts> {
    if (this.laterReadsOf !== server.url) this.laterReads.reset();
    this.laterReadsOf = server.url;
    const refused = await this.readLater(losses, server, signal);
    const sure = this.laterReads.sure(losses);
    const { agreed, refuted }: Judgement =
      sure.length === 0
        ? { agreed: [], refuted: [] }
        : await judgeLive(sure, this.asked(server), signal);
    const testimony = refused ?? this.describeReads(losses, server);
    return { confirmed: idsOf(agreed), refuted: idsOf(refuted), testimony };
  }

  private describeReads(losses: readonly SuspectedLoss[], server: ServiceUrl): string {
    const { count, intervalMs } = this.options.laterReads;
    const missed = this.laterReads.sure(losses).length;
    const seconds = intervalMs / 1000;
    return `no other server to ask; ${server.url} lacks ${missed} of ${losses.length} in ${count} reads ${seconds} s apart`;
  }

  /** One more read, if it is time for one. Returns why it does not count, if it does not. */
  private async readLater(
    losses: readonly SuspectedLoss[],
    server: ServiceUrl,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    const now = performance.now();
    if (!this.laterReads.isDue(now)) return undefined;
    const read = await this.reads.read(server, signal);
    const isYoung = read !== undefined && (read.memoryMs < memoryMinMs || now < this.distrustUntil);
    if (read !== undefined && !isYoung && !read.isRestarted) {
      this.laterReads.note(judgeByList(losses, read.view).agreed, now);
      return undefined;
    }
    this.laterReads.reset();
    const why = read === undefined ? 'could not be read' : 'is young and proves nothing';
    return `no other server to ask; ${server.url} ${why}`;
  }

  private asked(server: ServiceUrl): Asked {
    return { client: this.client, server, upStatuses: this.options.upStatuses };
  }
}

function unrefuted({ open, refuted }: Hearing): readonly SuspectedLoss[] {
  return open.filter(({ instance }) => !refuted.has(instance.id));
}
