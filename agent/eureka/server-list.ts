import { Resolver } from 'node:dns/promises';
import type { Logger } from 'pino';
import { TransientError } from '../../common/errors.ts';
import { parseServiceEntry } from './service-url.ts';
import type { ServiceEntry, ServiceUrl } from './service-url.ts';
import { lookUpServers } from './txt-servers.ts';
import type { TxtResolver, TxtServers, ZonedServer, ZoneMemory } from './txt-servers.ts';

/** What the list is made of. */
export interface ServerListOptions {
  /** Service URLs in the order of preference, and `txt+` ones that name a DNS TXT record (see txt-servers.ts). */
  readonly serviceUrls: readonly string[];
  /** The zone whose servers come first; empty = all zones are equal. */
  readonly zone: string;
}

/** What tests replace. */
export interface ServerListParts {
  /** A resolver for one round of look-ups. */
  readonly newResolver?: () => TxtResolver;
  /** Uniform in [0, 1). */
  readonly random?: () => number;
}

/** Servers are looked up again after so long, a fifth more or less. */
const renewalMs = 300_000;
/** After a failure so much sooner. */
const retryMs = 30_000;
/** While no server is known, and when none answers: not more often than that. */
const urgentMs = 5_000;
/** A round of look-ups is given up after so long, milliseconds. */
const deadlineMs = 15_000;
const shownCharactersMax = 1_000;
const queryTimeouts = { timeout: 2_000, tries: 2 };

/**
 * The servers of one Eureka cluster in the order in which they are asked: those of the own zone first. Fixed ones as
 * they were named; those of TXT records in random order, so that agents spread over them, and looked
 * up again every five minutes. A look-up that fails changes nothing: the last good answer stays.
 */
export class ServerList {
  private readonly entries: readonly ServiceEntry[];
  private readonly zone: string;
  private readonly log: Logger;
  private readonly newResolver: () => TxtResolver;
  private readonly random: () => number;
  private readonly zones: ZoneMemory = new Map();
  /** By template of an entry, the servers that its record listed last. */
  private readonly known = new Map<string, readonly ZonedServer[]>();
  private readonly hasRecords: boolean;
  private list: readonly ServiceUrl[] = [];
  private preferred: ReadonlySet<string> = new Set();
  private renewing: Promise<void> | undefined;
  private attemptedAt = -Infinity;
  private dueAt = -Infinity;
  private toldProblems = '';

  /** Looks nothing up yet. Throws ConfigurationError for entries that cannot be used. */
  constructor(options: ServerListOptions, log: Logger, parts: ServerListParts = {}) {
    this.entries = options.serviceUrls.map(parseServiceEntry);
    this.zone = options.zone.toLowerCase();
    this.log = log;
    this.newResolver = parts.newResolver ?? (() => new Resolver(queryTimeouts));
    this.random = parts.random ?? Math.random;
    this.hasRecords = this.entries.some(({ kind }) => kind === 'txt');
    this.adopt();
  }

  /** The same array for as long as nothing changes. Empty only before the first good look-up. */
  get servers(): readonly ServiceUrl[] {
    return this.list;
  }

  /** The URLs of the servers of the own zone, or of no zone: the operator or the record says nothing against them. */
  get preferredUrls(): ReadonlySet<string> {
    return this.preferred;
  }

  /** Why there may be servers that are not listed; undefined when there are none. Fit for a log. */
  get problem(): string | undefined {
    return this.toldProblems === '' ? undefined : this.toldProblems;
  }

  /** Looks servers up when it is time to. Resolves at once, unless this is the first time or no server is known. */
  async keepFresh(signal: AbortSignal): Promise<void> {
    const now = performance.now();
    const isUrgent = this.list.length === 0 && now - this.attemptedAt >= urgentMs;
    if (!this.hasRecords || (now < this.dueAt && !isUrgent)) return;
    const isFirst = this.attemptedAt === -Infinity;
    const renewing = this.renew(signal);
    if (isFirst || this.list.length === 0) await renewing;
  }

  /** No server answers: looks servers up again, unless that was tried just now. */
  async reconsider(signal: AbortSignal): Promise<void> {
    const isTooSoon = performance.now() - this.attemptedAt < urgentMs;
    if (this.hasRecords && (!isTooSoon || this.renewing !== undefined)) await this.renew(signal);
  }

  private async renew(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    this.renewing ??= this.lookUp(signal).finally(() => {
      this.renewing = undefined;
    });
    await this.renewing;
  }

  private async lookUp(signal: AbortSignal): Promise<void> {
    this.attemptedAt = performance.now();
    const resolver = this.newResolver();
    const cancel = (): void => resolver.cancel();
    const deadline = setTimeout(cancel, deadlineMs);
    signal.addEventListener('abort', cancel, { once: true });
    try {
      const { failures, leftOut } = await this.lookUpEntries(resolver);
      if (signal.aborted) return;
      this.tell([...failures, ...leftOut]);
      const ms = failures.length > 0 ? retryMs : renewalMs;
      this.dueAt = performance.now() + ms * (0.8 + 0.4 * this.random());
      this.adopt();
    } finally {
      clearTimeout(deadline);
      signal.removeEventListener('abort', cancel);
    }
  }

  /** Renews what is known; returns what is wrong. */
  private async lookUpEntries(
    resolver: TxtResolver,
  ): Promise<Pick<TxtServers, 'failures' | 'leftOut'>> {
    const failures: string[] = [];
    const leftOut: string[] = [];
    for (const entry of this.entries) {
      if (entry.kind !== 'txt') continue;
      try {
        const found = await lookUpServers(entry, resolver, this.zones);
        this.known.set(entry.template.url, shuffled(found.servers, this.random));
        failures.push(...found.failures);
        leftOut.push(...found.leftOut);
      } catch (error) {
        if (!(error instanceof TransientError)) throw error;
        failures.push(error.message);
      }
    }
    return { failures, leftOut };
  }

  private tell(problems: readonly string[]): void {
    const text = problems.toSorted().join('; ').slice(0, shownCharactersMax);
    if (text === this.toldProblems) return;
    this.toldProblems = text;
    if (text === '') this.log.info('the eureka servers can be looked up again');
    else this.log.warn({ problem: text }, 'not every eureka server can be looked up');
  }

  /** Makes what is known the list, unless nothing changes by it. */
  private adopt(): void {
    const found = this.entries.flatMap((entry): readonly ZonedServer[] =>
      entry.kind === 'txt'
        ? (this.known.get(entry.template.url) ?? [])
        : [{ server: entry.server, zone: undefined }],
    );
    const isOwn = ({ zone }: ZonedServer): boolean =>
      this.zone === '' || zone === undefined || zone === this.zone;
    const own = unique(found.filter(isOwn));
    const ownUrls = new Set(own.map(({ url }) => url));
    const list = unique([...found.filter(isOwn), ...found.filter((one) => !isOwn(one))]);
    const known = new Set(this.list.map(({ url }) => url));
    if (isSame(list, known) && isSame(own, this.preferred)) return;
    const isFirst = this.list.length === 0;
    this.list = list;
    this.preferred = ownUrls;
    if (!this.hasRecords) return;
    this.log.info({ servers: list.map(({ url }) => url) }, 'eureka servers were looked up');
    if (own.length === 0 && isFirst) {
      this.log.warn({ zone: this.zone }, 'no eureka server is listed for the own zone');
    }
  }
}

function unique(found: readonly ZonedServer[]): readonly ServiceUrl[] {
  const byUrl = new Map<string, ServiceUrl>();
  for (const { server } of found) if (!byUrl.has(server.url)) byUrl.set(server.url, server);
  return [...byUrl.values()];
}

function isSame(servers: readonly ServiceUrl[], urls: ReadonlySet<string>): boolean {
  return servers.length === urls.size && servers.every(({ url }) => urls.has(url));
}

function shuffled<T>(values: readonly T[], random: () => number): readonly T[] {
  const result = [...values];
  for (let index = result.length - 1; index > 0; index--) {
    const other = Math.floor(random() * (index + 1));
    const [one, two] = [result[index], result[other]];
    if (one === undefined || two === undefined) continue;
    result[index] = two;
    result[other] = one;
  }
  return result;
}
