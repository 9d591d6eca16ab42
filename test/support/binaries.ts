import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { once } from 'node:events';
import { eventually } from './eventually.ts';
import { freePorts } from '../rigs/ports.ts';

/** The two binaries as processes, with the flags that an operator would use. */

const top = new URL('../../', import.meta.url).pathname;
const living = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of living) child.kill('SIGKILL');
});

/** One running binary. Its output is kept and shown by `output()`. */
export class Binary {
  readonly pid: number;
  private readonly child: ChildProcess;
  private text = '';
  private readonly exited: Promise<number | null>;

  constructor(script: string, args: readonly string[]) {
    this.child = spawn(process.execPath, [`${top}${script}`, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      cwd: top,
    });
    living.add(this.child);
    this.pid = this.child.pid ?? 0;
    const keep = (chunk: Buffer): void => {
      this.text = (this.text + chunk.toString()).slice(-200_000);
    };
    this.child.stdout?.on('data', keep);
    this.child.stderr?.on('data', keep);
    this.exited = once(this.child, 'exit').then(([code]) => {
      living.delete(this.child);
      return code as number | null;
    });
  }

  output(): string {
    return this.text;
  }

  isRunning(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  /** SIGTERM, as an operator stops it. Returns the exit code. */
  async stop(): Promise<number | null> {
    if (this.isRunning()) this.child.kill('SIGTERM');
    return this.exited;
  }

  /** SIGKILL, as a crash ends it. */
  async kill(): Promise<void> {
    if (this.isRunning()) this.child.kill('SIGKILL');
    await this.exited;
  }

  /** CPU seconds (user + system) that the process has used. */
  cpuSeconds(): number {
    const fields = readFileSync(`/proc/${this.pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
    return (Number(fields[11]) + Number(fields[12])) / 100;
  }

  /** Resident memory in MiB. */
  rssMiB(): number {
    const status = readFileSync(`/proc/${this.pid}/status`, 'utf8');
    return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024;
  }
}

export interface AggregatorPorts {
  readonly mcp: number;
  readonly feed: number;
  readonly metrics: number;
  readonly admin: number;
}

export async function aggregatorPorts(): Promise<AggregatorPorts> {
  const [mcp = 0, feed = 0, metrics = 0, admin = 0] = await freePorts(4);
  return { mcp, feed, metrics, admin };
}

/** Starts an aggregator on these ports and waits until its health check answers. */
export async function startAggregator(
  ports: AggregatorPorts,
  expect: string,
  extra: readonly string[] = [],
): Promise<Binary> {
  const binary = new Binary('aggregator/main.ts', [
    ...['--mcp-listen', `127.0.0.1:${ports.mcp}`],
    ...['--feed-listen', `127.0.0.1:${ports.feed}`],
    ...['--metrics-listen', `127.0.0.1:${ports.metrics}`],
    ...['--admin-listen', `127.0.0.1:${ports.admin}`],
    ...['--expect', expect],
    ...extra,
  ]);
  await answers(binary, `http://127.0.0.1:${ports.metrics}/healthz`);
  return binary;
}

/** Starts an agent (`registry` is e.g. `['--eureka', 'dc1/orders=http://...']`). */
export async function startAgent(
  registry: readonly string[],
  aggregator: string,
  extra: readonly string[] = [],
): Promise<Binary & { metricsPort: number; adminPort: number }> {
  const [metricsPort = 0, adminPort = 0] = await freePorts(2);
  const binary = new Binary('agent/main.ts', [
    ...registry,
    ...['--aggregator', aggregator],
    ...['--metrics-listen', `127.0.0.1:${metricsPort}`],
    ...['--admin-listen', `127.0.0.1:${adminPort}`],
    ...extra,
  ]);
  await answers(binary, `http://127.0.0.1:${metricsPort}/healthz`);
  return Object.assign(binary, { metricsPort, adminPort });
}

async function answers(binary: Binary, url: string): Promise<void> {
  await eventually(async () => {
    if (!binary.isRunning()) throw new Error(`it ended:\n${binary.output()}`);
    const response = await fetch(url);
    await response.text();
  });
}
