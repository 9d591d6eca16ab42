import { TransientError } from '../../common/errors.ts';
import type { SuspectedLoss, Verdicts } from '../source.ts';
import type { Asked } from './ask.ts';
import type { EurekaClient } from './client.ts';
import { confirmSingle, judgeByList, judgeLive } from './confirm.ts';
import { Hearing, idsOf } from './hearing.ts';
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
    const hearing = new Hearing(losses);
    for (const server of this.poller.others) {
      await this.hearList(hearing, losses, server, signal);
    }
    const hasWitness = hearing.witnesses > 0;
    if (hasWitness) await this.hearLive(hearing, session.server, { isWitness: true }, signal);
    const confirmed = hasWitness ? await idsOf(hearing.open) : new Set<string>();
    return { confirmed, refuted: hearing.refuted, testimony: hearing.testimony };
  }

  /** Hears another server: its list, and its live word on what it does not list. */
  private async hearList(
    hearing: Hearing,
    losses: readonly SuspectedLoss[],
    server: ServiceUrl,
    signal: AbortSignal,
  ): Promise<void> {
    const read = await this.reads.read(server, signal);
    if (read === undefined) {
      hearing.note(`${server.url} could not be read`);
      return;
    }
    const judgement = await judgeByList(losses, read.view);
    const isYoung = read.view.size === 0 || read.memoryMs < memoryMinMs;
    const count = `${judgement.refuted.length} of ${losses.length}`;
    const who = read.view.size === 0 ? ' is empty:' : isYoung ? ' is young:' : '';
    hearing.note(`${server.url}${who} lists ${count} as UP`);
    if (!isYoung) hearing.witnesses += 1;
    await hearing.hear(judgement, !isYoung);
    await this.hearLive(hearing, server, { isWitness: !isYoung }, signal);
  }

  private async hearLive(
    hearing: Hearing,
    server: ServiceUrl,
    { isWitness }: { readonly isWitness: boolean },
    signal: AbortSignal,
  ): Promise<void> {
    if (hearing.open.length === 0) return;
    const judgement = await judgeLive(hearing.open, this.asked(server), signal);
    await hearing.hear(judgement, isWitness);
    const { length } = judgement.refuted;
    if (length > 0) hearing.note(`${server.url} knows ${length} as UP when asked`);
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
    const hearing = new Hearing(sure);
    hearing.note(refused ?? this.describeReads(sure.length, losses.length, server));
    await this.hearLive(hearing, server, { isWitness: true }, signal);
    const { refuted, testimony } = hearing;
    return { confirmed: await idsOf(hearing.open), refuted, testimony };
  }

  private describeReads(missed: number, all: number, { url }: ServiceUrl): string {
    const { count, intervalMs } = this.options.laterReads;
    return `no other server to ask; ${url} lacks ${missed} of ${all} in ${count} reads ${intervalMs / 1000} s apart`;
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
      const { agreed } = await judgeByList(losses, read.view);
      this.laterReads.note(agreed, now);
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
