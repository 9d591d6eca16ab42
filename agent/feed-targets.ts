import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import type { Logger } from 'pino';
import { formatHostPort } from '../common/address.ts';
import type { HostPort } from '../common/address.ts';
import { messageOf } from '../common/errors.ts';
import { sleep } from '../common/sleep.ts';
import { FeedClient } from './feed-client.ts';
import type { FeedClientStatus } from './feed-client.ts';
import { checkFeedAccess } from './feed-credentials.ts';
import type { FeedAccess } from './feed-credentials.ts';
import type { Feeder } from './feed-stream.ts';
import type { AgentObserver } from './observer.ts';

/** All addresses (IPv4 and IPv6) of a host name. */
export type Resolve = (host: string) => Promise<readonly string[]>;

export interface FeedTargetOptions {
  /** Each is fed at every address its name resolves to. An address does for a name. */
  readonly aggregators: readonly HostPort[];
  readonly access: FeedAccess;
  /** Instead of the system's resolver. */
  readonly resolve?: Resolve;
}

/** How often names are resolved again. */
const resolveIntervalMs = 10_000;
const retryIntervalMs = 1000;
/** More addresses than this are not fed: a name that resolves to so many is a mistake. */
const addressesMax = 64;

interface Fed {
  readonly client: FeedClient;
  readonly stop: AbortController;
  readonly done: Promise<void>;
}

/**
 * Keeps one feed client for each address that the aggregators' names resolve to, each independent of
 * the others. A name that cannot be resolved changes nothing; an address that vanishes from its name
 * is fed as long as its stream lives.
 */
export class FeedTargets {
  private readonly options: FeedTargetOptions;
  private readonly feeder: Feeder;
  private readonly observer: AgentObserver;
  private readonly log: Logger;
  private readonly fed = new Map<string, Fed>();
  private readonly problems = new Map<string, string>();

  /** Throws ConfigurationError (see `checkFeedAccess`). */
  constructor(options: FeedTargetOptions, feeder: Feeder, observer: AgentObserver, log: Logger) {
    checkFeedAccess(options.access);
    this.options = options;
    this.feeder = feeder;
    this.observer = observer;
    this.log = log;
  }

  status(): readonly FeedClientStatus[] {
    return Array.from(this.fed.values(), ({ client }) => client.status());
  }

  /** Sends a heartbeat to every aggregator now. */
  beat(): void {
    for (const { client } of this.fed.values()) client.beat();
  }

  /** Feeds until the signal aborts; rejects on a defect of a client. */
  async run(signal: AbortSignal): Promise<void> {
    const failed = new AbortController();
    const either = AbortSignal.any([signal, failed.signal]);
    let failure: { readonly error: unknown } | undefined;
    const onDefect = (error: unknown): void => {
      failure ??= { error };
      failed.abort();
    };
    while (!either.aborted) {
      const isComplete = await this.refresh(either, onDefect);
      await sleep(isComplete ? resolveIntervalMs : retryIntervalMs, either);
    }
    for (const { stop } of this.fed.values()) stop.abort();
    await Promise.all(Array.from(this.fed.values(), ({ done }) => done));
    this.fed.clear();
    if (failure !== undefined) throw failure.error;
  }

  /** Returns whether every name could be resolved. */
  private async refresh(signal: AbortSignal, onDefect: (error: unknown) => void): Promise<boolean> {
    const wanted = new Map<string, { readonly address: HostPort; readonly host: string }>();
    let isComplete = true;
    for (const { host, port } of this.options.aggregators) {
      const addresses = await this.resolve(host);
      isComplete &&= addresses !== undefined;
      for (const address of addresses ?? []) {
        const target = { address: { host: address, port }, host };
        if (wanted.size < addressesMax) wanted.set(formatHostPort(target.address), target);
      }
    }
    if (signal.aborted) return true;
    for (const [name, target] of wanted) {
      if (!this.fed.has(name)) this.feed(name, target, onDefect);
    }
    if (isComplete) await this.dropVanished(new Set(wanted.keys()));
    return isComplete;
  }

  private feed(
    name: string,
    target: { readonly address: HostPort; readonly host: string },
    onDefect: (error: unknown) => void,
  ): void {
    const stop = new AbortController();
    const isFedElsewhere = (aggregator: string, self: FeedClient): boolean =>
      Array.from(this.fed.values()).some(
        (other) => other.client !== self && other.client.feeds(aggregator),
      );
    const options = { ...target, access: this.options.access, isFedElsewhere };
    const client = new FeedClient(options, this.feeder, this.observer, this.log);
    this.fed.set(name, { client, stop, done: client.run(stop.signal).catch(onDefect) });
  }

  private async dropVanished(wanted: ReadonlySet<string>): Promise<void> {
    for (const [name, { client, stop, done }] of this.fed) {
      if (wanted.has(name) || client.isConnected) continue;
      stop.abort();
      await done;
      this.fed.delete(name);
      this.observer.forgotten(name);
      this.log.info({ aggregator: name }, 'feed: the aggregator is no longer at this address');
    }
  }

  private async resolve(host: string): Promise<readonly string[] | undefined> {
    if (isIP(host) !== 0) return [host];
    try {
      const addresses = await (this.options.resolve ?? lookupAll)(host);
      this.problems.delete(host);
      return addresses;
    } catch (error) {
      const reason = messageOf(error);
      if (this.problems.get(host) !== reason) {
        this.problems.set(host, reason);
        this.log.warn({ reason }, `feed: the aggregator's name ${host} cannot be resolved`);
      }
      return undefined;
    }
  }
}

async function lookupAll(host: string): Promise<readonly string[]> {
  const found = await lookup(host, { all: true });
  return found.map(({ address }) => address);
}
