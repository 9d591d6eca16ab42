import { readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { createServer } from 'node:net';

/**
 * Rigs take their ports below the range that the kernel hands out for outgoing connections and for port 0: so no
 * passing connection takes the port of a server that is down for a moment, and no client that dials a
 * server which is down can be connected to itself (possible when the dialled port is one the kernel may pick).
 */
const LOWEST = 12_000;
const HIGHEST = 31_000;

const taken = new Set<number>();

/** A port that nobody listens on now and that this function gave to nobody in this process. */
async function freePort(): Promise<number> {
  for (;;) {
    const port = LOWEST + Math.floor(Math.random() * (HIGHEST - LOWEST));
    if (taken.has(port) || !(await canListen(port))) continue;
    taken.add(port);
    return port;
  }
}

/** As many free ports. */
export async function freePorts(count: number): Promise<number[]> {
  return Promise.all(Array.from({ length: count }, freePort));
}

async function canListen(port: number): Promise<boolean> {
  // Without a host: a listener on any address of the machine is in the way.
  const server = createServer();
  return new Promise((resolve) => {
    server.on('error', () => resolve(false));
    server.listen({ port, exclusive: true }, () => server.close(() => resolve(true)));
  });
}

/**
 * Whether the process itself listens on the port: that a port answers proves only that somebody does. Undefined
 * where the machine does not tell (no /proc).
 */
export function listensOn(pid: number, port: number): boolean | undefined {
  try {
    const tables = ['tcp', 'tcp6'].map((name) => readFileSync(`/proc/${pid}/net/${name}`, 'utf8'));
    const sockets = new Set(tables.flatMap((table) => listeningSockets(table, port)));
    return readdirSync(`/proc/${pid}/fd`).some((fd) => sockets.has(target(pid, fd)));
  } catch {
    return undefined; // no /proc here, or the process has just ended, which its exit event tells
  }
}

function target(pid: number, fd: string): string {
  try {
    return readlinkSync(`/proc/${pid}/fd/${fd}`);
  } catch {
    return ''; // closed between listing and reading
  }
}

/** The listening sockets of a port in a table of /proc/net, named as links under /proc/<pid>/fd name them. */
function listeningSockets(table: string, port: number): string[] {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  return table
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter(([, local, , state]) => state === '0A' && local?.endsWith(suffix) === true)
    .map((fields) => `socket:[${fields[9] ?? ''}]`);
}
