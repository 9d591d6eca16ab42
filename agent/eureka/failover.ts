/**
 * Which server to ask: the last good one for as long as it is good, else the next one that has not
 * failed lately. A pure state over an ordered list; the order is the operator's preference.
 *
 * A failure puts a server in quarantine, twice as long for each failure in a row; a success clears it, and
 * the count of failures decays with time. When two thirds of the servers or more sit in quarantine it is dissolved:
 * then the fault is hardly theirs, and somebody must be asked.
 *
 * A server that is not preferred (it is of another zone) is left for a preferred one that is in no quarantine
 * after 20 minutes, half as much more or less. If that does not do, the next attempt is as far away.
 */
export interface Failover {
  readonly servers: readonly string[];
  readonly preferred: ReadonlySet<string>;
  readonly current: string | undefined;
  /** When to look for a preferred server; undefined while the current one is preferred. */
  readonly returnAt: number | undefined;
  readonly quarantine: ReadonlyMap<string, Quarantine>;
}

/** Times are milliseconds of one monotonic clock. */
interface Quarantine {
  readonly strikes: number;
  readonly failedAt: number;
  readonly until: number;
}

const quarantineMs = 10_000;
const quarantineMaxMs = 300_000;
const strikeDecayMs = 300_000;
const dissolveShare = 0.66;
const returnMs = 1_200_000;

/**
 * @param servers service URLs in the order of preference
 * @param preferred those of them that are worth returning to
 */
export function startFailover(
  servers: readonly string[],
  preferred: ReadonlySet<string> = new Set(servers),
): Failover {
  return {
    servers: [...new Set(servers)],
    preferred,
    current: undefined,
    returnAt: undefined,
    quarantine: new Map(),
  };
}

/**
 * The list has changed: what is known of servers that are still in it stays.
 *
 * @param list as for `startFailover`
 * @param random uniform in [0, 1)
 */
export function relisted(
  failover: Failover,
  list: Pick<Failover, 'servers' | 'preferred'>,
  now: number,
  random: number,
): Failover {
  const fresh = startFailover(list.servers, list.preferred);
  const quarantine = new Map(failover.quarantine);
  for (const server of failover.quarantine.keys()) {
    if (!fresh.servers.includes(server)) quarantine.delete(server);
  }
  const { current, returnAt } = failover;
  if (current === undefined || !fresh.servers.includes(current)) return { ...fresh, quarantine };
  if (fresh.preferred.has(current)) return { ...fresh, quarantine, current };
  return { ...fresh, quarantine, current, returnAt: returnAt ?? nextReturnAt(now, random) };
}

/** The servers to ask now, in this order; never empty for a non-empty list. */
export function candidates(failover: Failover, now: number): readonly string[] {
  const { servers, current, preferred, returnAt } = failover;
  const inQuarantine = new Set(
    servers.filter((server) => (failover.quarantine.get(server)?.until ?? 0) > now),
  );
  const isDissolved = inQuarantine.size >= servers.length * dissolveShare;
  const free = isDissolved ? servers : servers.filter((server) => !inQuarantine.has(server));
  if (current === undefined || !free.includes(current)) return free;
  const others = free.filter((server) => server !== current);
  if (returnAt === undefined || now < returnAt) return [current, ...others];
  const better = others.find((server) => preferred.has(server) && !inQuarantine.has(server));
  if (better === undefined) return [current, ...others];
  return [better, current, ...others.filter((server) => server !== better)];
}

/**
 * The server answered as it should: it is asked first from now on.
 *
 * @param random uniform in [0, 1)
 */
export function succeeded(
  failover: Failover,
  server: string,
  now: number,
  random: number,
): Failover {
  const isSame = failover.current === server;
  const returnAt = nextReturn(failover, server, now, random);
  if (isSame && returnAt === failover.returnAt && !failover.quarantine.has(server)) return failover;
  const quarantine = new Map(failover.quarantine);
  quarantine.delete(server);
  return { ...failover, current: server, returnAt, quarantine };
}

function nextReturn(
  { current, returnAt, preferred }: Failover,
  server: string,
  now: number,
  random: number,
): number | undefined {
  if (preferred.has(server)) return undefined;
  const isPending = current !== undefined && returnAt !== undefined && now < returnAt;
  return isPending ? returnAt : nextReturnAt(now, random);
}

function nextReturnAt(now: number, random: number): number {
  return now + returnMs * (0.5 + random);
}

/** The server failed, in whatever way. */
export function failed(failover: Failover, server: string, now: number): Failover {
  const before = failover.quarantine.get(server);
  const decayed =
    before === undefined
      ? 0
      : Math.max(0, before.strikes - Math.floor((now - before.failedAt) / strikeDecayMs));
  const strikes = decayed + 1;
  const until = now + Math.min(quarantineMs * 2 ** (strikes - 1), quarantineMaxMs);
  const quarantine = new Map(failover.quarantine);
  quarantine.set(server, { strikes, failedAt: now, until });
  return { ...failover, quarantine };
}
