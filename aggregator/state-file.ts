import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Instance } from '../common/instance.ts';
import type { RegistryId } from '../common/registry.ts';
import { Pause } from '../common/yielding.ts';
import type { SavedRegistry } from './registry-types.ts';
import { shareParts } from './sharing.ts';
import { decodeState, encodeState, StateError } from './state-format.ts';
import type { StateHeader } from './state-format.ts';

/** What a state file gave. */
export type LoadedState =
  | { readonly kind: 'none' }
  | {
      readonly kind: 'loaded';
      readonly registries: readonly SavedRegistry[];
      readonly retired: readonly RegistryId[];
      readonly savedAt: number;
      /** Something newer was served before the process ended. */
      readonly isBehind: boolean;
    }
  /** It was not whole and has been moved to `movedTo`. */
  | { readonly kind: 'corrupt'; readonly reason: string; readonly movedTo: string };

const fileName = 'catalog.state';
const behindName = 'catalog.behind';

/**
 * The catalog on disk, so that a restarted aggregator serves the same as before. A save is complete or
 * has not happened: it is written beside, forced to disk, and renamed. One process at a time. Between saves a second,
 * empty file says that it is behind.
 */
export class StateFile {
  private readonly directory: string;
  private readonly path: string;
  private readonly behindPath: string;
  private isMarked = false;

  constructor(directory: string) {
    this.directory = directory;
    this.path = join(directory, fileName);
    this.behindPath = join(directory, behindName);
  }

  /** What is served is newer from now on; to be called before that. Costs nothing the second time, and never throws. */
  markBehind(): void {
    if (this.isMarked) return;
    try {
      mkdirSync(this.directory, { recursive: true });
      writeFileSync(this.behindPath, '');
      this.isMarked = true;
    } catch {
      // Then the state cannot be saved either, which is told.
    }
  }

  /** What is served is what was saved last. */
  markEven(): void {
    rmSync(this.behindPath, { force: true });
    this.isMarked = false;
  }

  /** Rejects when the file exists but cannot be read. A file that is not whole is moved aside. */
  async load(now: number): Promise<LoadedState> {
    let file: Buffer;
    try {
      file = await readFile(this.path);
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') {
        return { kind: 'none' };
      }
      throw error;
    }
    try {
      return { ...(await decodeAll(file, now)), isBehind: existsSync(this.behindPath) };
    } catch (error) {
      const movedTo = `${this.path}.corrupt`;
      await rename(this.path, movedTo);
      const reason = error instanceof StateError ? error.message : 'an instance cannot be decoded';
      return { kind: 'corrupt', reason, movedTo };
    }
  }

  /** Writes a state; returns its length in bytes. Rejects when it is not on disk. */
  async save(
    header: StateHeader,
    instances: (registry: RegistryId) => Iterable<Instance>,
  ): Promise<number> {
    await mkdir(this.directory, { recursive: true });
    const temporary = `${this.path}.tmp`;
    try {
      const bytes = await writePieces(temporary, encodeState(header, instances));
      await rename(temporary, this.path);
      await syncDirectory(this.directory);
      return bytes;
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
  }
}

async function decodeAll(
  file: Buffer,
  now: number,
): Promise<Omit<LoadedState & { readonly kind: 'loaded' }, 'isBehind'>> {
  const pause = new Pause();
  const maps: Map<string, Instance>[] = [];
  let header: StateHeader | undefined;
  for (const piece of decodeState(file)) {
    if (piece.kind === 'header') {
      header = piece.header;
      for (let index = 0; index < header.registries.length; index += 1) maps.push(new Map());
    } else {
      const instance = shareParts(piece.instance);
      maps[piece.registry]?.set(instance.id, instance);
    }
    if (pause.isDue()) await pause.turn();
  }
  if (header === undefined) throw new StateError('no header');
  const sinceMs = Math.max(0, now - header.savedAt);
  const registries = header.registries.map(({ ageMs, ...registry }, index) => ({
    ...registry,
    ageMs: ageMs === undefined ? undefined : ageMs + sinceMs,
    instances: maps[index] ?? new Map<string, Instance>(),
  }));
  return { kind: 'loaded', registries, retired: header.retired, savedAt: header.savedAt };
}

async function writePieces(path: string, pieces: Iterable<Buffer>): Promise<number> {
  const file = await open(path, 'w', 0o600);
  let bytes = 0;
  try {
    for (const piece of pieces) {
      await file.writeFile(piece);
      bytes += piece.length;
    }
    await file.sync();
  } finally {
    await file.close();
  }
  return bytes;
}

/** A rename is on disk only when its directory is. */
async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
