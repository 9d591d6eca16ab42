/**
 * The test runner's command line: `node test/run.ts unit | all | <folder, file or part of a path>...`. Builds the real
 * registries that are needed first, so that no test's time goes to Maven, and runs node's own test runner on
 * the files, in the order of the layers. Exits with 1 if a test failed, or in CI if one was skipped.
 */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { Transform } from 'node:stream';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { missingForRigs, prepareRigs } from './rigs/build.ts';
import { isCi, isWholeSetWanted } from './rigs/rig-test.ts';
import { skipLines } from './skips.ts';
import type { Skipped } from './skips.ts';

const ROOT = join(import.meta.dirname, '..');
const LAYERS = ['unit', 'conformance', 'integration', 'e2e', 'chaos'];

/** Beyond unit tests a file may run a handful of JVMs: two files at once, however many cores there are. */
const BOUNDED_CONCURRENCY = 2;

/** For one test; a file that outlives its tests is ended by watchdog.ts. */
const TEST_TIMEOUT_MS = 300_000;

/** What `stream of test events` items look like, as far as this file reads them. */
interface TestEvent {
  readonly type: string;
  readonly data: {
    readonly name?: string;
    readonly file?: string;
    readonly message?: string;
    readonly nesting?: number;
    readonly skip?: string | boolean;
    readonly todo?: string | boolean;
    readonly success?: boolean;
  };
}

const outcome = { isSuccess: false, skipped: [] as Skipped[] };

function testFiles(): string[] {
  return LAYERS.flatMap((layer) => {
    const folder = join(ROOT, 'test', layer);
    return readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((path) => path.endsWith('.test.ts'))
      .map((path) => relative(ROOT, join(folder, path)))
      .sort();
  });
}

function select(files: readonly string[], wanted: readonly string[]): string[] {
  if (wanted.includes('all')) return [...files];
  const parts = wanted.map((part) => (part === 'unit' ? 'test/unit/' : part.replace(/^\.\//, '')));
  return files.filter((file) => parts.some((part) => file.includes(part)));
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** Counts what is skipped, and says so just above node's closing lines. */
function skipWatcher(): Transform {
  return new Transform({
    objectMode: true,
    transform(event: TestEvent, _encoding, done) {
      note(event);
      const isClosing =
        event.type === 'test:diagnostic' &&
        event.data.nesting === 0 &&
        /^tests \d+$/.test(event.data.message ?? '');
      if (isClosing)
        for (const line of skipLines(outcome.skipped, isCi())) this.push(diagnostic(line));
      this.push(event);
      done();
    },
  });
}

function note({ type, data }: TestEvent): void {
  if (type === 'test:summary' && data.file === undefined) outcome.isSuccess = data.success === true;
  if (type !== 'test:pass') return;
  const reason = data.skip ?? data.todo;
  if (reason === undefined || reason === false) return;
  const text = reason === true ? 'no reason given' : reason;
  outcome.skipped.push({
    name: data.name ?? '',
    file: relative(ROOT, data.file ?? ''),
    reason: text,
  });
}

function diagnostic(message: string): TestEvent & { data: { level: string } } {
  return { type: 'test:diagnostic', data: { nesting: 0, message, level: 'warn' } };
}

async function prepare(files: readonly string[]): Promise<void> {
  if (files.every((file) => file.startsWith('test/unit/'))) return;
  const set = isWholeSetWanted() ? 'ci' : 'every';
  const missing = missingForRigs(set);
  if (missing === undefined) await prepareRigs(set, print);
  else if (isCi()) throw new Error(`the real registries cannot be run: ${missing}`);
}

/** Unit tests wait more than they compute: for timers, sockets, each other's turns. Measuring coverage computes more. */
function unitConcurrency(): number {
  const isMeasured = process.env['NODE_V8_COVERAGE'] !== undefined;
  return availableParallelism() * (isMeasured ? 2 : 4);
}

async function runFiles(files: readonly string[], isUnitOnly: boolean): Promise<void> {
  const abort = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => abort.abort());
  }
  const events = run({
    files: files.map((file) => join(ROOT, file)),
    concurrency: isUnitOnly ? unitConcurrency() : BOUNDED_CONCURRENCY,
    timeout: TEST_TIMEOUT_MS,
    execArgv: [
      ...['--import', new URL('compile-cache.ts', import.meta.url).href],
      ...['--import', new URL('watchdog.ts', import.meta.url).href],
    ],
    signal: abort.signal,
  });
  await new Promise((resolve, reject) => {
    events
      .on('error', reject)
      .pipe(skipWatcher())
      .pipe(new spec())
      .on('error', reject)
      .on('end', resolve)
      .pipe(process.stdout, { end: false });
  });
}

async function main(): Promise<void> {
  const wanted = process.argv.slice(2);
  const files = select(testFiles(), wanted);
  if (wanted.length === 0 || files.length === 0) {
    print('usage: node test/run.ts unit | all | <folder, file or part of a path>...');
    if (wanted.length > 0) print(`no test file matches ${wanted.join(' ')}`);
    process.exitCode = 2;
    return;
  }
  useOwnTemporaryFolder();
  rmSync(join(ROOT, '.cache', 'rig-logs'), { recursive: true, force: true });
  await prepare(files);
  await runFiles(
    files,
    files.every((file) => file.startsWith('test/unit/')),
  );
  const isSkipAllowed = !isCi() || outcome.skipped.length === 0;
  process.exitCode = outcome.isSuccess && isSkipAllowed ? 0 : 1;
}

/** All that tests put into the temporary folder goes when the run ends, whatever becomes of them. */
function useOwnTemporaryFolder(): void {
  const temporary = mkdtempSync(join(tmpdir(), 'tributary-tests-'));
  process.env['TMPDIR'] = temporary;
  // In an exit hook, since an interrupted run of node's test runner ends the process by itself.
  process.on('exit', () => rmSync(temporary, { recursive: true, force: true, maxRetries: 5 }));
}

await main();
