import { isDeepStrictEqual } from 'node:util';
import { TransientError } from '../../../../common/errors.ts';
import { sleep } from '../../../../common/sleep.ts';
import { Pause } from '../../../../common/yielding.ts';
import { childPath, isWithin, nodeName } from '../../client/paths.ts';
import type { TreeAnswer, TreeQuestion, TreeWatcher } from '../../client/tree.ts';
import type { KeySet } from '../parameters.ts';
import type { Resolution } from './claims.ts';
import { isNodeName, mappedApplications, readDefinition } from './metadata.ts';
import type { DubboService } from './metadata.ts';

/** What the metadata center is explored with. */
export interface ExplorationParts {
  readonly roots: readonly string[];
  readonly ask: TreeWatcher['ask'];
  /** The parameters that are kept. */
  readonly wanted: KeySet;
  /** A starting provider writes its definitions beside its registration: for so long after it they are read anew. */
  readonly writingMs: number;
}

/** How to explore. */
export interface ExplorationOptions {
  /** Pause after each request, milliseconds: nobody waits for the result. */
  readonly paceMs: number;
  readonly signal: AbortSignal;
}

/** What has been found out of an application. */
export interface Explored {
  /** One object until something else is found. */
  readonly resolution: Resolution;
  /** When the exploration began that has found it. `performance.now()` milliseconds. */
  readonly startedAt: number;
}

/** Nodes asked for in one request: names and mappings are small, definitions are not. */
const namesBatchMax = 500;
const definitionsBatchMax = 32;
/** Version and group stand between an interface and its sides; each may be missing. */
const depthMax = 2;
/** How long what was found out of an application is kept that nobody asks for any more. */
const memoryMs = 600_000;

/**
 * Finds out which services an application exports from what the metadata center has beside the metadata of revisions:
 * the mapping names the interfaces, their definitions say the rest. One exploration serves any number of applications:
 * the mappings are read anew, definitions only while they may have changed.
 *
 * What is once found stays until its node is positively gone: an answer that could not be read, and a connection that
 * breaks on the way, take nothing away.
 */
export class Exploration {
  private readonly parts: ExplorationParts;
  private readonly byApplication = new Map<string, Knowledge>();

  constructor(parts: ExplorationParts) {
    this.parts = parts;
  }

  /** What is known of an application; undefined before it was explored. */
  explored(application: string): Explored | undefined {
    return this.byApplication.get(application)?.explored;
  }

  /**
   * Explores for these applications, by the time when each last showed something new. Returns the number of reads.
   * Rejects with TransientError when the connection fails: then everything is known as before.
   */
  async explore(
    applications: ReadonlyMap<string, number>,
    options: ExplorationOptions,
  ): Promise<number> {
    const walk = new Walk(this.parts, options);
    const startedAt = performance.now();
    const directories = await walk.mappedDirectories(applications);
    for (const application of applications.keys()) {
      for (const path of this.byApplication.get(application)?.definitions.keys() ?? []) {
        directories.add(interfaceDirectory(path, this.parts.roots));
      }
    }
    const found = await walk.definitionPaths(directories, applications);
    const definitions = await walk.definitions(this.unread(found, applications));
    const pathsByApplication = Map.groupBy(found, nodeName);
    const pause = new Pause();
    for (const application of applications.keys()) {
      const paths = new Set(pathsByApplication.get(application));
      this.learn(application, startedAt, { paths, definitions, unseen: walk.unseen });
      if (pause.isDue()) await pause.turn();
    }
    this.forget(applications, startedAt);
    return walk.reads;
  }

  private unread(
    found: ReadonlySet<string>,
    applications: ReadonlyMap<string, number>,
  ): readonly string[] {
    return [...found].filter((path) => {
      const application = nodeName(path);
      const readAt = this.byApplication.get(application)?.definitions.get(path)?.readAt;
      return (
        readAt === undefined || readAt < (applications.get(application) ?? 0) + this.parts.writingMs
      );
    });
  }

  private learn(application: string, startedAt: number, result: Result): void {
    const before = this.byApplication.get(application);
    const definitions = new Map<string, Definition>();
    for (const [path, known] of before?.definitions ?? []) {
      const isUnseen = result.unseen.some((unseen) => isWithin(unseen, path));
      if (isUnseen || result.paths.has(path)) definitions.set(path, known);
    }
    for (const path of result.paths) {
      const read = result.definitions.get(path);
      if (read === 'gone') definitions.delete(path);
      else if (read !== undefined) definitions.set(path, { service: read, readAt: startedAt });
    }
    const resolution = { services: servicesOf(definitions), isInferred: true };
    const known = before?.explored.resolution;
    const isSame = known !== undefined && isDeepStrictEqual(known, resolution);
    const explored = { resolution: isSame ? known : resolution, startedAt };
    this.byApplication.set(application, { definitions, explored });
  }

  private forget(applications: ReadonlyMap<string, number>, now: number): void {
    for (const [application, { explored }] of this.byApplication) {
      if (!applications.has(application) && now - explored.startedAt > memoryMs) {
        this.byApplication.delete(application);
      }
    }
  }
}

interface Knowledge {
  readonly definitions: ReadonlyMap<string, Definition>;
  readonly explored: Explored;
}

interface Definition {
  readonly service: DubboService;
  readonly readAt: number;
}

interface Result {
  /** Paths of the application's definitions that exist. */
  readonly paths: ReadonlySet<string>;
  /** Of those that were read and understood. */
  readonly definitions: ReadonlyMap<string, DubboService | 'gone'>;
  /** What could not be looked at. */
  readonly unseen: readonly string[];
}

/** Each service once, in an order that no history changes. */
function servicesOf(definitions: ReadonlyMap<string, Definition>): readonly DubboService[] {
  const services = new Map<string, DubboService>();
  const paths = [...definitions.keys()].sort();
  for (const path of paths) {
    const service = definitions.get(path)?.service;
    if (service === undefined) continue;
    const key = JSON.stringify([service.interfaceName, service.group, service.version]);
    if (!services.has(key)) services.set(key, service);
  }
  return [...services.values()];
}

/** The directory of the interface that a definition is of. */
function interfaceDirectory(path: string, roots: readonly string[]): string {
  const metadata = childPath(rootOf(path, roots), 'metadata');
  return path.slice(0, path.indexOf('/', metadata.length + 1));
}

/** The root that a path in the metadata center lies below. */
function rootOf(path: string, roots: readonly string[]): string {
  return roots.find((root) => isWithin(childPath(root, 'metadata'), path)) ?? '/';
}

/** One way through the metadata center. */
class Walk {
  reads = 0;
  readonly unseen: string[] = [];
  private readonly parts: ExplorationParts;
  private readonly options: ExplorationOptions;
  private readonly pause = new Pause();

  constructor(parts: ExplorationParts, options: ExplorationOptions) {
    this.parts = parts;
    this.options = options;
  }

  /** Where the definitions of the interfaces are that the mapping has for one of the applications. */
  async mappedDirectories(applications: ReadonlyMap<string, unknown>): Promise<Set<string>> {
    const directories = new Set<string>();
    for (const root of this.parts.roots) {
      const mapping = childPath(root, 'mapping');
      const metadata = childPath(root, 'metadata');
      for await (const [path, answer] of this.read('data', await this.children(mapping))) {
        if (answer.kind !== 'data') continue;
        const isMapped = mappedApplications(answer.data).some((name) => applications.has(name));
        if (!isMapped) continue;
        const name = nodeName(path);
        directories.add(childPath(metadata, name));
        // A writer of definitions encodes names, a writer of mappings does not.
        directories.add(childPath(metadata, encodeURIComponent(name)));
      }
    }
    return directories;
  }

  /** The paths of the applications' definitions below these directories of interfaces. */
  async definitionPaths(
    directories: ReadonlySet<string>,
    applications: ReadonlyMap<string, unknown>,
  ): Promise<ReadonlySet<string>> {
    const sides: string[] = [];
    let level = [...directories];
    for (let depth = 0; depth <= depthMax && level.length > 0; depth += 1) {
      const next: string[] = [];
      for await (const [path, answer] of this.read('children', level)) {
        for (const name of answer.kind === 'children' ? answer.names : []) {
          if (name === 'provider') sides.push(childPath(path, name));
          else if (name !== 'consumer' && isNodeName(name)) next.push(childPath(path, name));
        }
      }
      level = next;
    }
    const found = new Set<string>();
    for await (const [path, answer] of this.read('children', sides)) {
      for (const name of answer.kind === 'children' ? answer.names : []) {
        if (applications.has(name)) found.add(childPath(path, name));
      }
    }
    return found;
  }

  /** The definitions at these paths, as far as they can be read. */
  async definitions(paths: readonly string[]): Promise<ReadonlyMap<string, DubboService | 'gone'>> {
    const definitions = new Map<string, DubboService | 'gone'>();
    for await (const [path, answer] of this.read('data', paths, definitionsBatchMax)) {
      if (answer.kind === 'missing') definitions.set(path, 'gone');
      if (answer.kind !== 'data') continue;
      const root = rootOf(path, this.parts.roots);
      const application = nodeName(path);
      const { wanted } = this.parts;
      const service = readDefinition(answer.data, { application, root, wanted });
      if (service !== undefined) definitions.set(path, service);
    }
    return definitions;
  }

  private async children(path: string): Promise<readonly string[]> {
    for await (const [, answer] of this.read('children', [path])) {
      if (answer.kind !== 'children') continue;
      return answer.names.filter(isNodeName).map((name) => childPath(path, name));
    }
    return [];
  }

  private async *read(
    kind: TreeQuestion['kind'],
    paths: readonly string[],
    batchMax = namesBatchMax,
  ): AsyncIterable<readonly [string, TreeAnswer]> {
    for (let start = 0; start < paths.length; start += batchMax) {
      const batch = paths.slice(start, start + batchMax);
      if (this.options.signal.aborted) throw new TransientError('zookeeper: exploration stopped');
      const answers = await this.parts.ask(batch.map((path) => ({ kind, path })));
      this.reads += batch.length;
      for (const [index, path] of batch.entries()) {
        const answer = answers[index] ?? { kind: 'unreadable', reason: 'no answer' };
        if (answer.kind === 'unreadable') this.unseen.push(path);
        yield [path, answer];
        if (this.pause.isDue()) await this.pause.turn();
      }
      if (this.options.paceMs > 0) await sleep(this.options.paceMs, this.options.signal);
    }
  }
}
