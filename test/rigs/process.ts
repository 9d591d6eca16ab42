/**
 * Rig processes and their end. Whatever a test process starts here is gone when it is: on exit, on a signal, on a crash
 * (an exit hook), and on Linux even when it is killed outright (the kernel ends the children: setpriv
 * --pdeathsig). Each process has a folder of its own for data, temporary files, home and log, deleted with
 * the rig; when the test process fails, the logs are kept and their tails are printed.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { boundToUs, findJava, jvmFlags } from './java.ts';
import { freePorts, listensOn } from './ports.ts';

const START_DEADLINE_MS = 120_000;
const STOP_GRACE_MS = 10_000;
const KEPT_LOGS = join(import.meta.dirname, '..', '..', '.cache', 'rig-logs');

/** What can be done to every rig. Disposing kills it and deletes its files. */
export interface Rig extends AsyncDisposable {
  /** SIGTERM, and SIGKILL if it has not ended after ten seconds. Resolves when it has ended. */
  stop(): Promise<void>;
  /** SIGKILL. Resolves when it has ended. */
  kill(): Promise<void>;
  /** SIGSTOP: it keeps its connections and answers nothing. */
  suspend(): void;
  /** SIGCONT. */
  resume(): void;
  /** Starts it again on the same port and data, stopping it first if it runs. Resolves when it serves. */
  restart(): Promise<void>;
  /** The id of the running process; undefined when it does not run. */
  pid(): number | undefined;
  /** What it printed since its last start. */
  output(): string;
}

/** How to run a rig and how to tell that it serves. */
export interface RigCommand {
  /** Short, for messages and the log's name. */
  readonly name: string;
  readonly heapMib: number;
  /** Everything after the common JVM flags. */
  readonly args: (folder: string) => readonly string[];
  /** The ports that this very process must listen on before `isReady` is asked. */
  readonly ports?: readonly number[];
  /** Asked again and again; bounds its own time. A rejection counts as "not yet". */
  readonly isReady: (output: string) => Promise<boolean> | boolean;
}

/** A rig did not start; the message holds the end of its log. */
export class RigStartError extends Error {
  override readonly name = 'RigStartError';

  /** Somebody else took a port between finding and using it. */
  get isPortTaken(): boolean {
    return /Address already in use|BindException/.test(this.message);
  }
}

interface Folders {
  readonly root: string;
  readonly temporary: string;
  readonly home: string;
  readonly log: string;
}

let session: { readonly root: string; readonly logs: string[] } | undefined;
let rigCount = 0;
const running = new Set<ChildProcess>();

/** Starts a rig and resolves when it serves; on failure nothing of it is left but its log. */
export async function startRig(command: RigCommand): Promise<Rig> {
  const folders = createFolders(command.name);
  let child: ChildProcess | undefined;
  let outputFrom = 0;

  const output = (): string => readFileSync(folders.log).subarray(outputFrom).toString();
  const start = async (): Promise<void> => {
    outputFrom = existsSync(folders.log) ? statSync(folders.log).size : 0;
    child = launch(command, folders);
    try {
      await untilReady(command, child, output);
    } catch (error) {
      await end(child, 'SIGKILL');
      throw error;
    }
  };
  const dispose = async (): Promise<void> => {
    await end(child, 'SIGKILL');
    for (const folder of ['data', 'tmp', 'home']) {
      await rm(join(folders.root, folder), { recursive: true, force: true, maxRetries: 3 });
    }
  };

  try {
    await start();
  } catch (error) {
    await dispose();
    throw error;
  }
  return {
    stop: () => end(child, 'SIGTERM'),
    kill: () => end(child, 'SIGKILL'),
    suspend: () => void child?.kill('SIGSTOP'),
    resume: () => void child?.kill('SIGCONT'),
    restart: async () => {
      await end(child, 'SIGTERM');
      await start();
    },
    pid: () => (child !== undefined && !hasEnded(child) ? child.pid : undefined),
    output,
    [Symbol.asyncDispose]: dispose,
  };
}

/** Starts something on as many free ports, with others when one of them was taken meanwhile. */
export async function onFreePorts<T>(
  count: number,
  start: (ports: readonly number[]) => Promise<T>,
): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await start(await freePorts(count));
    } catch (error) {
      if (!(error instanceof RigStartError && error.isPortTaken) || tries === 3) throw error;
    }
  }
}

function launch(command: RigCommand, folders: Folders): ChildProcess {
  const java = findJava();
  if (java === undefined) throw new Error(`rig ${command.name}: no java on this machine`);
  for (const folder of [folders.temporary, folders.home]) mkdirSync(folder, { recursive: true });
  const args = [...jvmFlags(command.heapMib, folders), ...command.args(folders.root)];
  const log = openSync(folders.log, 'a');
  try {
    const [program, all] = boundToUs(java, args);
    const child = spawn(program, all, {
      cwd: folders.root,
      env: { PATH: process.env['PATH'], HOME: folders.home, LANG: 'C.UTF-8' },
      stdio: ['ignore', log, log],
    });
    running.add(child);
    child.once('exit', () => running.delete(child));
    child.once('error', () => running.delete(child));
    return child;
  } finally {
    closeSync(log);
  }
}

async function untilReady(
  command: RigCommand,
  child: ChildProcess,
  output: () => string,
): Promise<void> {
  const deadline = performance.now() + START_DEADLINE_MS;
  const failure = (what: string): RigStartError =>
    new RigStartError(`rig ${command.name} ${what}\n${lastLines(output(), 30)}`);
  for (;;) {
    if (hasEnded(child)) throw failure(`ended with ${child.exitCode ?? child.signalCode ?? '?'}`);
    const { pid } = child;
    const listens = (port: number): boolean => pid !== undefined && listensOn(pid, port) !== false;
    if ((command.ports ?? []).every(listens) && (await isReady(command, output()))) return;
    if (performance.now() > deadline) throw failure(`did not serve in ${START_DEADLINE_MS} ms`);
    await delay(20);
  }
}

async function isReady(command: RigCommand, output: string): Promise<boolean> {
  try {
    return await command.isReady(output);
  } catch {
    return false; // refused, timed out, half an answer: all of them while it starts
  }
}

async function end(child: ChildProcess | undefined, signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
  if (child === undefined || hasEnded(child)) return;
  const ended = once(child, 'exit');
  child.kill(signal);
  child.kill('SIGCONT'); // a suspended process would not see the SIGTERM
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_GRACE_MS);
  await ended;
  clearTimeout(timer);
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null || child.pid === undefined;
}

function createFolders(name: string): Folders {
  session ??= createSession();
  rigCount += 1;
  const root = join(session.root, `${String(rigCount).padStart(2, '0')}-${name}`);
  const log = join(root, `${basename(root)}.log`);
  mkdirSync(join(root, 'data'), { recursive: true });
  session.logs.push(log);
  return { root, temporary: join(root, 'tmp'), home: join(root, 'home'), log };
}

function createSession(): { root: string; logs: string[] } {
  process.on('exit', endAll);
  for (const [signal, number] of [
    ['SIGINT', 2],
    ['SIGTERM', 15],
    ['SIGHUP', 1],
  ] as const) {
    process.on(signal, () => {
      // Where somebody else handles the signal, the process ends in their way, and the exit hook runs then.
      if (process.listenerCount(signal) === 1) process.exit(128 + number);
    });
  }
  return { root: mkdtempSync(join(tmpdir(), 'tributary-rigs-')), logs: [] };
}

/** The exit hook: everything here is synchronous. */
function endAll(code: number): void {
  for (const child of running) child.kill('SIGKILL');
  if (session === undefined) return;
  if (code !== 0) keepLogs(session.logs);
  rmSync(session.root, { recursive: true, force: true, maxRetries: 5 });
}

function keepLogs(logs: readonly string[]): void {
  const kept = join(KEPT_LOGS, String(process.pid));
  mkdirSync(kept, { recursive: true });
  for (const log of logs.filter((path) => existsSync(path))) {
    const copy = join(kept, basename(log));
    copyFileSync(log, copy);
    writeSync(2, `\n--- end of ${copy}\n${lastLines(readFileSync(log, 'utf8'), 15)}\n`);
  }
}

function lastLines(text: string, count: number): string {
  return text.trimEnd().split('\n').slice(-count).join('\n');
}
