import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

/** The path of a program on PATH, or undefined. */
export function findProgram(name: string): string | undefined {
  const folders = (process.env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== '');
  return folders.map((folder) => join(folder, name)).find(isExecutable);
}

/** The `java` that rigs run on: of JAVA_HOME, else of PATH; undefined when there is none. */
export function findJava(): string | undefined {
  const home = process.env['JAVA_HOME'];
  const own = home === undefined || home === '' ? undefined : join(home, 'bin', 'java');
  return own !== undefined && isExecutable(own) ? own : findProgram('java');
}

/**
 * What every rig's JVM gets: started fast, small, leaving nothing in the shared temporary folder.
 * `temporary` and `home` are folders of this process alone: war files are unpacked into the one, Dubbo
 * keeps caches in the other.
 */
export function jvmFlags(heapMib: number, folders: { temporary: string; home: string }): string[] {
  return [
    `-Xmx${heapMib}m`,
    '-XX:TieredStopAtLevel=1',
    '-XX:+UseSerialGC',
    '-XX:-UsePerfData',
    `-Djava.io.tmpdir=${folders.temporary}`,
    `-Duser.home=${folders.home}`,
  ];
}

/**
 * The command to spawn so that the program ends with this process even when that is killed outright: on Linux the
 * kernel sees to it, elsewhere the program runs as it is.
 */
export function boundToUs(program: string, args: readonly string[]): [string, string[]] {
  const setpriv = process.platform === 'linux' ? findProgram('setpriv') : undefined;
  if (setpriv === undefined) return [program, [...args]];
  return [setpriv, ['--pdeathsig', 'KILL', '--', program, ...args]];
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false; // not there, or not ours to run
  }
}
