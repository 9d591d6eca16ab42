import { isIPv6 } from 'node:net';
import type { Logger } from 'pino';
import { fullJitter } from '../common/backoff.ts';
import { canonicalAddress } from '../common/endpoint-address.ts';
import { messageOf } from '../common/errors.ts';
import { Wake } from '../common/wake.ts';
import { Pause } from '../common/yielding.ts';
import type { HostAnswer, LookupHost } from './host-lookup.ts';

/**
 * The addresses of the host names that a registry's instances have, looked up again as their time to live runs out.
 *
 * - One name has one address: the smallest, IPv4 before IPv6; it stays as long as it is among the answers.
 * - A failure takes nothing away: the last good address stays for ever, and the name is asked for again,
 *   ever more seldom.
 * - At most eight names are looked up at a time, and each at most as often as keeps the whole below 200 a second.
 * - A name that nobody has any more is remembered for ten minutes, not looked up.
 */
export interface HostReport {
  /** How many names in use have no address. */
  unresolvedHosts?(count: number): void;
}

interface Name {
  readonly name: string;
  /** The instances that have it: mostly one. */
  users: string | Set<string> | undefined;
  address: string | undefined;
  /** `performance.now()` from which on it is to be looked up; Infinity while it is. */
  dueAt: number;
  failures: number;
  isTried: boolean;
  /** Why it has no address, or could not be looked up last. */
  reason: string;
  unusedSince: number;
}

const lookupsMax = 8;
const lookupTimeoutMs = 20_000;
const lookupsPerSecond = 200;
const intervalMinMs = 5_000;
const intervalMaxMs = 300_000;
const retryPolicy = { baseMs: 4_000, maxMs: intervalMaxMs };
const retryMinMs = 1_000;
const scanMs = 1_000;
const keptMs = 600_000;

/** See the head above. */
export class HostResolver {
  /** Poked when some name has another address. */
  readonly changeWake = new Wake();
  private readonly lookup: LookupHost;
  private readonly report: HostReport;
  private readonly log: Logger;
  private readonly names = new Map<string, Name>();
  /** Waiting to be looked up, in order; those that were never before go first. */
  private readonly fresh = new Set<Name>();
  private readonly due = new Set<Name>();
  private readonly lookups = new Set<Promise<void>>();
  /** What ends each question, by when it was asked. */
  private readonly questions = new Map<AbortController, number>();
  private readonly changed = new Set<Name>();
  private readonly scanWake = new Wake();
  private readonly triedWake = new Wake();
  private readonly pause = new Pause();
  private signal: AbortSignal | undefined;
  private untried = 0;
  private unresolved = 0;

  constructor(lookup: LookupHost, report: HostReport, log: Logger) {
    this.lookup = lookup;
    this.report = report;
    this.log = log;
  }

  /** Looks names up until the signal aborts; then all lookups have ended. */
  async run(signal: AbortSignal): Promise<void> {
    this.signal = signal;
    this.pump();
    while (!signal.aborted) {
      await this.scanWake.wait(signal, this.names.size === 0 ? undefined : scanMs);
      await this.scan(signal);
    }
    for (const question of this.questions.keys()) question.abort();
    await Promise.all(this.lookups);
  }

  /** An instance has the name from now on. */
  use(text: string, user: string): void {
    const name = this.nameOf(text);
    name.users = withUser(name.users, user);
    if (name.isTried || name.dueAt === Infinity) return;
    this.enqueue(name);
    this.pump();
  }

  /** The instance does not have it any more. */
  release(text: string, user: string): void {
    const name = this.names.get(normal(text));
    if (name === undefined) return;
    name.users = withoutUser(name.users, user);
    if (name.users === undefined) name.unusedSince = performance.now();
  }

  /** The name's address, undefined as long as it was never found. */
  address(text: string): string | undefined {
    return this.names.get(normal(text))?.address;
  }

  /** Whether `takeChanged` has something. */
  get hasChanged(): boolean {
    return this.changed.size > 0;
  }

  /** The users of the names whose address has changed since it was asked last. */
  *takeChanged(): Generator<string> {
    for (const name of this.changed) {
      this.changed.delete(name);
      if (typeof name.users === 'string') yield name.users;
      else if (name.users !== undefined) yield* name.users;
    }
  }

  /** Who asks for all addresses anew need not be told of those that have changed until now. */
  forgetChanges(): void {
    this.changed.clear();
  }

  /** Resolves when each name has been looked up once, whatever came of it, or after `ms`, or upon abort. */
  async allTried(signal: AbortSignal, ms: number): Promise<void> {
    const deadline = performance.now() + ms;
    for (let left = ms; this.untried > 0 && left > 0; left = deadline - performance.now()) {
      await this.triedWake.wait(signal, left);
      if (signal.aborted) return;
    }
  }

  private nameOf(text: string): Name {
    const key = normal(text);
    let name = this.names.get(key);
    if (name === undefined) {
      name = {
        name: key,
        users: undefined,
        address: undefined,
        dueAt: 0,
        failures: 0,
        isTried: false,
        reason: '',
        unusedSince: 0,
      };
      this.names.set(key, name);
      this.untried += 1;
      if (this.names.size === 1) this.scanWake.poke();
    }
    return name;
  }

  private enqueue(name: Name): void {
    name.dueAt = Infinity;
    (name.isTried ? this.due : this.fresh).add(name);
  }

  /** Starts what may run. */
  private pump(): void {
    const { signal } = this;
    if (signal === undefined || signal.aborted) return;
    while (this.lookups.size < lookupsMax) {
      const name = takeFirst(this.fresh) ?? takeFirst(this.due);
      if (name === undefined) return;
      const looking = this.resolve(name).then(async () => {
        // Answers out of a cache may come without any wait.
        if (this.pause.isDue()) await this.pause.turn();
        this.lookups.delete(looking);
        this.pump();
      });
      this.lookups.add(looking);
    }
  }

  private async resolve(name: Name): Promise<void> {
    try {
      const { addresses, ttlMs } = await this.ask(name.name);
      const address = chooseAddress(addresses, name.address);
      if (address === undefined) throw new Error('no address that traffic can be sent to');
      name.failures = 0;
      name.reason = '';
      name.dueAt = performance.now() + this.intervalMs(ttlMs);
      if (name.address !== address) {
        name.address = address;
        this.changed.add(name);
        this.changeWake.poke();
      }
    } catch (error) {
      name.reason = messageOf(error);
      name.dueAt = performance.now() + retryMinMs + fullJitter(retryPolicy, name.failures++);
    }
    if (name.isTried) return;
    name.isTried = true;
    this.untried -= 1;
    if (this.untried === 0) this.triedWake.poke();
  }

  private async ask(name: string): Promise<HostAnswer> {
    const question = new AbortController();
    this.questions.set(question, performance.now());
    try {
      const ended = new Promise<never>((_, reject) => {
        const end = (): void => reject(new Error('no answer in time'));
        question.signal.addEventListener('abort', end, { once: true });
      });
      return await Promise.race([this.lookup(name, question.signal), ended]);
    } finally {
      this.questions.delete(question);
    }
  }

  /** Drawn, so that names found together are not asked for together. */
  private intervalMs(ttlMs: number): number {
    const fairMs = (this.names.size / lookupsPerSecond) * 1000;
    const bounded = Math.min(intervalMaxMs, Math.max(intervalMinMs, fairMs, ttlMs));
    return bounded * (0.9 + 0.1 * Math.random());
  }

  /** Ends questions that take too long, finds names whose time has come, forgets those that nobody has, and counts those without an address. */
  private async scan(signal: AbortSignal): Promise<void> {
    const pause = new Pause();
    const now = performance.now();
    for (const [question, askedAt] of this.questions) {
      if (now - askedAt > lookupTimeoutMs) question.abort();
    }
    let unresolved = 0;
    let example: Name | undefined;
    for (const name of this.names.values()) {
      if (name.users === undefined) {
        if (now - name.unusedSince > keptMs && name.dueAt !== Infinity) {
          this.names.delete(name.name);
        }
      } else {
        if (name.dueAt <= now) this.enqueue(name);
        if (name.isTried && name.address === undefined) {
          unresolved += 1;
          example ??= name;
        }
      }
      if (pause.isDue()) {
        await pause.turn();
        if (signal.aborted) return;
      }
    }
    this.pump();
    this.tell(unresolved, example);
  }

  private tell(unresolved: number, example: Name | undefined): void {
    const before = this.unresolved;
    if (unresolved === before) return;
    this.unresolved = unresolved;
    this.report.unresolvedHosts?.(unresolved);
    if (before === 0) {
      const { name, reason } = example ?? { name: '', reason: '' };
      this.log.warn({ hosts: unresolved, example: name, reason }, 'host names have no address');
    } else if (unresolved === 0) this.log.info('all host names have addresses');
  }
}

/**
 * The one address of a name: `current` if it is among them, else the smallest, IPv4 before IPv6 and those of this
 * machine last. Undefined when there is none that traffic can be sent to. Debian gives a machine's own name
 * the address 127.0.1.1, which is nobody's.
 */
export function chooseAddress(
  addresses: readonly string[],
  current: string | undefined,
): string | undefined {
  const usable = new Set<string>();
  for (const text of addresses) {
    const found = canonicalAddress(text);
    if ('address' in found && !/^(?:127\.0\.1\.1$|fe[89ab])/.test(found.address)) {
      usable.add(found.address);
    }
  }
  if (current !== undefined && usable.has(current)) return current;
  const [first] = [...usable].sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
  return first;
}

function withUser(users: Name['users'], user: string): string | Set<string> {
  if (users === undefined || users === user) return user;
  if (typeof users === 'string') return new Set([users, user]);
  return users.add(user);
}

function withoutUser(users: Name['users'], user: string): Name['users'] {
  if (users === user) return undefined;
  if (typeof users === 'string' || users === undefined) return users;
  users.delete(user);
  return users.size === 0 ? undefined : users;
}

function takeFirst<T>(set: Set<T>): T | undefined {
  for (const item of set) {
    set.delete(item);
    return item;
  }
  return undefined;
}

function rank(address: string): number {
  if (address === '::1' || address.startsWith('127.')) return 2;
  return isIPv6(address) ? 1 : 0;
}

function normal(name: string): string {
  return name.toLowerCase().replace(/\.$/, '');
}
