/**
 * Which server to ask: the last good one for as long as it is good, else the next one that has not
 * failed lately. A pure state over an ordered list; the order is the operator's preference.
 *
 * A failure puts a server in quarantine, twice as long for each failure in a row; a success clears it, and
 * the count of failures decays with time. When two thirds of the servers or more sit in quarantine it is dissolved:
 * then the fault is hardly theirs, and somebody must be asked.
 */
export interface Failover {
  readonly servers: readonly string[];
  readonly current: string | undefined;
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

/** @param servers service URLs in the order of preference, at least one */
export function startFailover(servers: readonly string[]): Failover {
  return { servers: [...new Set(servers)], current: undefined, quarantine: new Map() };
}

/** The servers to ask now, in this order; never empty for a non-empty list. */
export function candidates(failover: Failover, now: number): readonly string[] {
  const { servers, current } = failover;
  const inQuarantine = new Set(
    servers.filter((server) => (failover.quarantine.get(server)?.until ?? 0) > now),
  );
  const isDissolved = inQuarantine.size >= servers.length * dissolveShare;
  const free = isDissolved ? servers : servers.filter((server) => !inQuarantine.has(server));
  if (current === undefined || !free.includes(current)) return free;
  return [current, ...free.filter((server) => server !== current)];
}

/** The server answered as it should: it is asked first from now on. */
export function succeeded(failover: Failover, server: string): Failover {
  if (failover.current === server && !failover.quarantine.has(server)) return failover;
  const quarantine = new Map(failover.quarantine);
  quarantine.delete(server);
  return { ...failover, current: server, quarantine };
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
