import type { TreeEvent } from './client/tree.ts';
import { Processes } from './processes.ts';

/**
 * When what an ensemble says is doubted, although it is one and has one truth.
 *
 * A provider stays in the registry for as long as its session lives. Sessions are ended by the ensemble, and it
 * ends them wrongly in numbers when it was away itself, or cut off from its clients: whole sets of live
 * providers vanish in one burst, and register anew some time later. To read again only repeats it. So there is
 * doubt, and losses are held by stricter limits (see Guard),
 *
 * - after the ensemble was away for longer than a session of ours lives: for two session timeouts of providers,
 *   since the timeouts of those that have not come back run from the return on;
 * - after the servers that could be reached were behind what had been seen (an ensemble that was restored from a
 *   backup, or emptied): as long;
 * - after a burst: within a third of a session timeout the processes of 5 addresses or more vanished, a tenth
 *   of all or more. Sessions that lost their server together expire within that time of each other (pings are a third
 *   of the timeout apart); a rolling deployment takes one or two hosts at a time;
 * - after a resync that misses much: 3 addresses or more and a tenth of all, since in a short gap less goes by itself.
 *
 * Pure but for its state: `now` is an argument (milliseconds, any monotonic origin, never going back).
 */
export class Doubts {
  /** What has been said, and what of it vanishes. To be told of each endpoint. */
  readonly processes = new Processes(burstWindowMs);
  private readonly awayMinMs: number;
  private readonly doubtMs: number;
  /** The last sign of the ensemble; undefined before the first. */
  private aliveAt: number | undefined;
  private awaySince: number | undefined;
  /** When a snapshot began to come in after an outage. */
  private answeredAt: number | undefined;
  /** The last return, and since when the ensemble had been away then. */
  private back: { readonly at: number; readonly awaySince: number } | undefined;
  private outage: { readonly at: number; readonly awayMs: number } | undefined;
  private behindAt: number | undefined;
  private burst: { readonly at: number; readonly evidence: string } | undefined;

  /** @param sessionTimeoutMs the agent's own */
  constructor(sessionTimeoutMs: number) {
    this.awayMinMs = Math.min(Math.max(sessionTimeoutMs, awayLeastMs), awayMostMs);
    this.doubtMs = zooKeeperHoldMs(sessionTimeoutMs);
  }

  /** Takes note of every event of a driver, at once when it comes. */
  heard(event: TreeEvent, now: number): void {
    switch (event.kind) {
      case 'lost':
        this.answeredAt = undefined;
        this.awaySince ??= this.leftAt(now);
        return;
      case 'part':
        if (this.awaySince !== undefined) this.answeredAt ??= now;
        break;
      case 'snapshot':
        if (event.isFromBehind === true) this.behindAt = now;
        this.cameBack(now);
        break;
      case 'confirmed':
        this.cameBack(now);
        break;
      case 'changed':
      case 'removed':
      case 'unreadable':
        break;
    }
    this.aliveAt = now;
  }

  /** A snapshot after an outage has been worked off: what it lacks is leaving. */
  resynced(now: number): void {
    this.judge(now, resyncAddressesMin, 'after a reconnect');
  }

  /** Why what is said now is doubted, for the operator; undefined when nothing speaks against it. */
  current(now: number): string | undefined {
    this.judge(now, burstAddressesMin, `within ${burstWindowMs / 1000} s`);
    const { behindAt, outage, burst } = this;
    if (behindAt !== undefined && now - behindAt < this.doubtMs) {
      return 'the servers are behind what was seen before, as a restored or emptied ensemble is';
    }
    if (outage !== undefined && now - outage.at < this.doubtMs) {
      return `the ensemble was away for ${seconds(outage.awayMs)} and has been back for ${seconds(now - outage.at)}`;
    }
    return burst !== undefined && now - burst.at < burstDoubtMs ? burst.evidence : undefined;
  }

  /** Several outages in a row, without time to settle between them, are one. */
  private leftAt(now: number): number {
    const { back } = this;
    if (back !== undefined && now - back.at < this.awayMinMs) return back.awaySince;
    return this.aliveAt ?? now;
  }

  private cameBack(now: number): void {
    const { awaySince } = this;
    if (awaySince === undefined) return;
    const awayMs = (this.answeredAt ?? now) - awaySince;
    this.awaySince = undefined;
    this.answeredAt = undefined;
    this.back = { at: now, awaySince };
    if (awayMs >= this.awayMinMs) this.outage = { at: now, awayMs };
  }

  private judge(now: number, addressesMin: number, when: string): void {
    const { addresses, processes, of } = this.processes.vanished(now);
    if (addresses < addressesMin || processes < of * vanishedShare) return;
    const evidence = `${processes} of ${of} processes at ${addresses} addresses vanished ${when}`;
    this.burst = { at: now, evidence };
  }
}

/**
 * How long losses of an ensemble are held at least: two session timeouts. Those of its clients are not known; servers
 * grant 40 s at most by default, and where the agent asks for more for itself, others will too.
 *
 * @param sessionTimeoutMs the agent's own
 */
export function zooKeeperHoldMs(sessionTimeoutMs: number): number {
  return 2 * Math.max(providerTimeoutMs, sessionTimeoutMs);
}

const providerTimeoutMs = 40_000;
/** Shorter absences end no sessions of providers, longer ones may, whatever our own session timeout is. */
const awayLeastMs = 5_000;
const awayMostMs = 20_000;
const burstWindowMs = 15_000;
/** Sessions have different timeouts: others may follow. */
const burstDoubtMs = 40_000;
const burstAddressesMin = 5;
const resyncAddressesMin = 3;
const vanishedShare = 0.1;

function seconds(ms: number): string {
  return `${Math.round(ms / 1000)} s`;
}
