import { errorCodes } from './error-codes.ts';
import type { NodeStat, ReadResult } from './wire.ts';

/** Directories looked at in one request: at first, and at most. */
const askedMin = 10;
const askedMax = 100;
/** What such a request may be answered with, bytes; and a directory with more data of its own is not looked at again. */
const answerBytes = 64 * 1024;
const ownBytesMax = 4 * 1024;

/**
 * What a look at directories has shown. `forbidden`: this one may not be read any more. `unseen`: something has
 * changed in this one of which no event came.
 */
export interface Finding {
  readonly kind: 'forbidden' | 'unseen';
  readonly path: string;
}

/**
 * The directories that could be listed, to be looked at again in their turn. Servers from 3.8.4 on send no events of
 * nodes that may not be read: neither that a permission is taken away, nor that a node which others keep for
 * themselves comes or goes. But a directory tells how many children it has, how many have come and gone in all, and
 * when the last one did; a server sends an event before any reply that shows its change, so these must be what the
 * events add up to.
 *
 * Pure but for its state; times are `performance.now()` milliseconds.
 */
export class DirectoryAudit {
  private readonly pauseMs: number;
  private readonly directories = new Map<string, Directory>();
  private round: MapIterator<string> | undefined;
  private startedAt = -Infinity;
  private askedNext = askedMin;

  /** @param pauseMs no directory is looked at twice within this time */
  constructor(pauseMs: number) {
    this.pauseMs = pauseMs;
  }

  /** Everything has been listed just now: the first round is a pause away. */
  begin(now: number): void {
    this.startedAt = now;
  }

  /** A directory has been listed: so many children, as of this transaction, all events before it included. */
  listed(path: string, children: number, zxid: bigint): void {
    this.directories.set(path, { children, events: 0, origin: undefined, zxid });
  }

  /** An event: a node has come. */
  created(parent: string): void {
    const directory = this.directories.get(parent);
    if (directory === undefined) return;
    directory.children += 1;
    directory.events += 1;
  }

  /** An event: a directory has come, empty. */
  add(path: string): void {
    this.directories.set(path, { children: 0, events: 0, origin: 0, zxid: 0n });
  }

  /**
   * An event: a node has gone, maybe a directory, which is empty then. False if it still had children by what events
   * have told.
   */
  deleted(path: string, parent: string): boolean {
    const wasEmpty = (this.directories.get(path)?.children ?? 0) === 0;
    this.directories.delete(path);
    const directory = this.directories.get(parent);
    if (directory !== undefined) {
      directory.children -= 1;
      directory.events += 1;
    }
    return wasEmpty;
  }

  /** The next to be looked at; none while it is too early for another round. */
  next(now: number): readonly string[] {
    if (this.round === undefined) {
      if (now - this.startedAt < this.pauseMs) return [];
      this.round = this.directories.keys();
      this.startedAt = now;
    }
    const next = [...this.round.take(this.askedNext)];
    if (next.length < this.askedNext) this.round = undefined;
    return next;
  }

  /** What was asked for has been answered, with so many bytes. What is not expected, if anything; the worst of it. */
  judge(
    asked: readonly string[],
    results: readonly ReadResult[],
    bytes: number,
  ): Finding | undefined {
    const wanted = Math.ceil((this.askedNext * answerBytes) / Math.max(1, bytes));
    this.askedNext = Math.min(askedMax, wanted);
    const findings = asked.flatMap((path, index): Finding[] => {
      const kind = this.kindOf(path, results[index]);
      return kind === undefined ? [] : [{ kind, path }];
    });
    return findings.find(({ kind }) => kind === 'forbidden') ?? findings[0];
  }

  private kindOf(path: string, result: ReadResult | undefined): Finding['kind'] | undefined {
    const directory = this.directories.get(path);
    if (directory === undefined || result === undefined) return undefined;
    if (result.error === errorCodes.noNode) return 'unseen';
    if (result.error !== errorCodes.ok || result.stat === undefined) return 'forbidden';
    if ((result.data?.length ?? 0) > ownBytesMax) this.directories.delete(path);
    return isExpected(directory, result.stat) ? undefined : 'unseen';
  }
}

/** The first look after a listing does not know yet how many had come and gone before; only when the last one did. */
function isExpected(directory: Directory, { children, changes, changedAt }: NodeStat): boolean {
  const { events, zxid } = directory;
  const isFirst = directory.origin === undefined;
  directory.origin ??= (changes - events) | 0;
  if (children !== directory.children) return false;
  if (isFirst && events === 0) return changedAt <= zxid;
  return changes === ((directory.origin + events) | 0);
}

interface Directory {
  /** How many there must be. */
  children: number;
  /** How many have come or gone since it was listed. */
  events: number;
  /** How many had come or gone before that; undefined until it is looked at. */
  origin: number | undefined;
  /** The transaction as of which it was listed. */
  readonly zxid: bigint;
}
