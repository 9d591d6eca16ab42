import { readFileSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';

/** What this process used since the last look, or since the start. Milliseconds, MiB. */
export interface LoopUsage {
  readonly cpuMs: number;
  readonly rssMiB: number;
  /** Since the process started. */
  readonly peakRssMiB: number;
  /** The longest time that a due timer waited; other processes that wanted the CPU are in it. */
  readonly longestStallMs: number;
  /** The most CPU time that the main thread used between two looks at its timers: a stall of our own making. */
  readonly longestHoldMs: number;
}

/** The most memory that a process has had so far, MiB. */
export function peakRssMiB(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? NaN) / 1024;
}

const resolutionMs = 1;

/** Watches the event loop of this process, which costs some CPU, and what the process uses. */
export class LoopWatch {
  private readonly delays = monitorEventLoopDelay({ resolution: resolutionMs });
  private cpuBefore = process.cpuUsage();
  private longestHoldMs = 0;
  private timer: NodeJS.Timeout | undefined;

  /** From here on the loop is watched, or not. */
  watch(isOn: boolean): void {
    clearInterval(this.timer);
    this.delays.disable();
    if (!isOn) return;
    this.delays.enable();
    let before = process.threadCpuUsage();
    this.timer = setInterval(() => {
      const { user, system } = process.threadCpuUsage(before);
      before = process.threadCpuUsage();
      this.longestHoldMs = Math.max(this.longestHoldMs, (user + system) / 1000);
    }, resolutionMs);
  }

  /** Used since the last look. */
  cpuMs(): number {
    const { user, system } = process.cpuUsage(this.cpuBefore);
    return (user + system) / 1000;
  }

  /** All that was used since the last look; the next one begins here. */
  look(): LoopUsage {
    const usage: LoopUsage = {
      cpuMs: this.cpuMs(),
      rssMiB: process.memoryUsage.rss() / 1_048_576,
      peakRssMiB: peakRssMiB(process.pid),
      longestStallMs: this.delays.max / 1e6 - resolutionMs,
      longestHoldMs: this.longestHoldMs,
    };
    this.cpuBefore = process.cpuUsage();
    this.delays.reset();
    this.longestHoldMs = 0;
    return usage;
  }
}
