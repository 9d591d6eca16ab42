import { monitorEventLoopDelay } from 'node:perf_hooks';
import { gunzipSync } from 'node:zlib';

/**
 * The floor of a full read as a process of its own: the same body fetched, inflated and parsed in one piece, kept, and
 * nothing made of it. Argument: the URL of `apps`. Says one `ParseResult`.
 */
export interface ParseResult {
  readonly kind: 'parsed';
  /** Fetch, inflate and parse. */
  readonly totalMs: number;
  readonly parseMs: number;
  readonly cpuMs: number;
  readonly peakRssMiB: number;
  readonly longestStallMs: number;
}

const { request } = await import('undici');
const delays = monitorEventLoopDelay({ resolution: 1 });
delays.enable();
await new Promise((resolve) => setTimeout(resolve, 100));
delays.reset();
const cpuBefore = process.cpuUsage();
const startedAt = performance.now();
const { body, headers } = await request(process.argv[2] ?? '', {
  headers: { accept: 'application/json', 'accept-encoding': 'gzip' },
});
const bytes = Buffer.from(await body.arrayBuffer());
const text = (headers['content-encoding'] === 'gzip' ? gunzipSync(bytes) : bytes).toString();
const parseFrom = performance.now();
const kept: unknown = JSON.parse(text);
const endedAt = performance.now();
const { user, system } = process.cpuUsage(cpuBefore);
await new Promise((resolve) => setTimeout(resolve, 50));
const result: ParseResult = {
  kind: 'parsed',
  totalMs: endedAt - startedAt,
  parseMs: endedAt - parseFrom,
  cpuMs: (user + system) / 1000,
  peakRssMiB: process.resourceUsage().maxRSS / 1024,
  longestStallMs: delays.max / 1e6 - 1,
};
if (kept !== undefined) process.send?.(result);
process.disconnect();
