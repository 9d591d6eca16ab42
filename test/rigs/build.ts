/**
 * Builds rig modules with Maven, once: into `.built/<module>-<hash>/`, where the hash is of the pom, the sources and
 * the properties, so that a changed module is built anew and an unchanged one costs a few file reads. `lib/` holds the
 * libraries, `classes/` what was compiled. A file `.ok`, written last, says that the folder is whole. One build runs
 * at a time, over all processes: a lock held by the kernel (SQLite's, on an empty database file) goes with its holder.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, openSync, closeSync, readFileSync, readdirSync } from 'node:fs';
import { readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as delay } from 'node:timers/promises';
import { boundToUs, findJava, findProgram } from './java.ts';
import { MODULES, modulesOf } from './modules.ts';
import type { ModuleName, RigSet } from './modules.ts';

const BUILT = join(import.meta.dirname, '.built');

/** Maven is given another try after a failure: most are a download that broke off. */
const TRIES = 2;

/** A module that is ready to run. */
export interface BuiltModule {
  readonly folder: string;
  readonly lib: string;
  /** For `java -cp`: what was compiled, then every library. */
  readonly classpath: string;
}

/** The folder of a module that is built already, or undefined. */
function findBuilt(name: ModuleName): BuiltModule | undefined {
  const folder = folderOf(name);
  if (!existsSync(join(folder, '.ok'))) return undefined;
  const lib = join(folder, 'lib');
  return { folder, lib, classpath: [join(folder, 'classes'), join(lib, '*')].join(delimiter) };
}

/** What keeps this machine from running the rigs of a set, or undefined if nothing does. */
export function missingForRigs(set: RigSet): string | undefined {
  if (findJava() === undefined) return 'no java on this machine';
  if (findProgram('mvn') !== undefined) return undefined;
  const unbuilt = modulesOf(set).filter((name) => findBuilt(name) === undefined);
  return unbuilt.length === 0 ? undefined : 'no mvn (Maven) on this machine';
}

/**
 * The module, built now if it was not. Waits while another process builds. Rejects with the end of Maven's output
 * when it cannot be built; the whole output stays in `.built/<module>-<hash>.log`.
 */
export async function builtModule(
  name: ModuleName,
  progress: (line: string) => void = () => undefined,
): Promise<BuiltModule> {
  const ready = findBuilt(name);
  if (ready !== undefined) return ready;
  const lock = await buildLock();
  try {
    return findBuilt(name) ?? (await buildWithProgress(name, progress));
  } finally {
    lock.close();
  }
}

/** Builds what a set lacks, reporting each build in a line. */
export async function prepareRigs(set: RigSet, progress: (line: string) => void): Promise<void> {
  for (const name of modulesOf(set)) await builtModule(name, progress);
}

async function buildWithProgress(
  name: ModuleName,
  progress: (line: string) => void,
): Promise<BuiltModule> {
  const start = performance.now();
  progress(`rigs: building ${name} ...`);
  await build(name);
  progress(`rigs: built ${name} in ${((performance.now() - start) / 1000).toFixed(1)} s`);
  const built = findBuilt(name);
  if (built === undefined) throw new Error(`rig ${name}: its files changed while it was built`);
  return built;
}

async function build(name: ModuleName): Promise<void> {
  const folder = folderOf(name);
  await removeEarlierBuilds(name);
  let failure = '';
  for (let tries = 0; tries < TRIES; tries += 1) {
    await rm(folder, { recursive: true, force: true });
    // The second time Maven is told to ask again for what it remembers as missing.
    const status = await runMaven(name, folder, tries === 0 ? [] : ['--update-snapshots']);
    if (status === 0) {
      await writeFile(join(folder, '.ok'), '');
      return;
    }
    failure = await tail(`${folder}.log`, 60);
  }
  throw new Error(`rig ${name}: Maven failed (all of it: ${folder}.log)\n${failure}`);
}

async function runMaven(
  name: ModuleName,
  folder: string,
  flags: readonly string[],
): Promise<number | null> {
  const maven = findProgram('mvn');
  if (maven === undefined) throw new Error(`rig ${name}: no mvn (Maven) on this machine`);
  const { folders, properties, hasSources } = MODULES[name];
  const goals = hasSources ? ['compiler:compile'] : [];
  const settings = Object.entries({ ...properties, 'rig.out': folder });
  const args = [
    ...['--batch-mode', '--no-transfer-progress', '--file', join(import.meta.dirname, folders[0])],
    ...flags,
    ...goals,
    'dependency:copy-dependencies',
    ...settings.map(([key, value]) => `-D${key}=${value}`),
  ];
  const log = openSync(`${folder}.log`, 'w');
  try {
    const [program, all] = boundToUs(maven, args);
    const child = spawn(program, all, { stdio: ['ignore', log, log] });
    return await new Promise((resolve, reject) => {
      child.on('error', reject);
      child.on('exit', resolve);
    });
  } finally {
    closeSync(log);
  }
}

/** Builds of the same module from other sources are of no more use. */
async function removeEarlierBuilds(name: ModuleName): Promise<void> {
  const earlier = new RegExp(`^${name.replaceAll('.', '\\.')}-[0-9a-f]{12}(\\.log)?$`);
  for (const entry of await readdir(BUILT)) {
    if (earlier.test(entry)) await rm(join(BUILT, entry), { recursive: true, force: true });
  }
}

/** Resolves when this process may build, until the database is closed. */
async function buildLock(): Promise<DatabaseSync> {
  mkdirSync(BUILT, { recursive: true });
  for (;;) {
    const database = new DatabaseSync(join(BUILT, 'lock'));
    try {
      database.exec('BEGIN EXCLUSIVE');
      return database;
    } catch (error) {
      database.close();
      if (!String(error).includes('locked')) throw error;
    }
    await delay(100);
  }
}

/** The last lines of a file; empty when there is none. */
async function tail(path: string, lines: number): Promise<string> {
  const text = await readFile(path, 'utf8').catch(() => ''); // the log of a program that never started
  return text.trimEnd().split('\n').slice(-lines).join('\n');
}

function folderOf(name: ModuleName): string {
  return join(BUILT, `${name}-${hashOf(name)}`);
}

function hashOf(name: ModuleName): string {
  const { folders, properties } = MODULES[name];
  const hash = createHash('sha256').update(JSON.stringify(properties));
  for (const folder of folders) {
    const root = join(import.meta.dirname, folder);
    const entries = readdirSync(root, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && /\.(xml|java)$/.test(entry.name))
      .map((entry) => join(entry.parentPath, entry.name))
      .filter((path) => !path.startsWith(join(root, 'target')))
      .sort();
    for (const path of entries) {
      hash.update(`\0${path.slice(import.meta.dirname.length)}\0`).update(readFileSync(path));
    }
  }
  return hash.digest('hex').slice(0, 12);
}
