import { createHash, timingSafeEqual } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { status } from '@grpc/grpc-js';
import type { Logger } from 'pino';
import { messageOf } from '../common/errors.ts';
import type { RegistryId } from '../common/registry.ts';
import { FeedEnd } from './feed-session.ts';

/**
 * Which agents may feed which registries. Agents show who they are by a client certificate (a SPIFFE URI
 * or DNS name of its subject alternative names), by a bearer token, or both: then all that either may.
 */

/** One row of the configuration. */
export interface FeedClientAccess {
  /** A file with accepted tokens, one a line (two while one replaces the other). Read again when it changes. */
  readonly tokenFile?: string;
  /** Accepted tokens. */
  readonly tokens?: readonly string[];
  /** `spiffe://...` or DNS names. */
  readonly identities?: readonly string[];
  /** Registry ids; `<datacenter>/*` and `*` stand for many. */
  readonly registries: readonly string[];
}

/** What a stream shows of itself. */
export interface FeedPeer {
  /** The `authorization` header, or empty. */
  readonly authorization: string;
  /** `subjectaltname` of a verified client certificate, undefined without one. */
  readonly alternativeNames: string | undefined;
}

interface Row {
  readonly hashes: readonly Buffer[];
  readonly identities: ReadonlySet<string>;
  readonly registries: readonly string[];
}

const reloadMs = 1000;

export class FeedAccessControl {
  private readonly clients: readonly FeedClientAccess[];
  private readonly requiresCertificate: boolean;
  private readonly log: Logger;
  private rows: Promise<readonly Row[]> | undefined;
  private loadedAt = -Infinity;
  private readonly lastHashes = new Map<string, readonly Buffer[]>();

  /**
   * @param clients none: everyone may feed everything (with a certificate, if those are required)
   * @param requiresCertificate without rows, only peers with a verified certificate are let in
   */
  constructor(clients: readonly FeedClientAccess[], requiresCertificate: boolean, log: Logger) {
    this.clients = clients;
    this.requiresCertificate = requiresCertificate;
    this.log = log;
  }

  /** Resolves if the peer may feed the registry, else rejects with FeedEnd. */
  async check(peer: FeedPeer, registry: RegistryId): Promise<void> {
    if (this.clients.length === 0) {
      if (!this.requiresCertificate || peer.alternativeNames !== undefined) return;
      throw new FeedEnd(status.UNAUTHENTICATED, 'a client certificate is required');
    }
    const names = parseAlternativeNames(peer.alternativeNames ?? '');
    const token = /^bearer +([\x21-\x7e]+)$/i.exec(peer.authorization)?.[1];
    const digest = token === undefined ? undefined : hashToken(token);
    let isKnown = false;
    for (const row of await this.load()) {
      const isMatch = names.some((name) => row.identities.has(name)) || hasToken(row, digest);
      isKnown ||= isMatch;
      if (isMatch && row.registries.some((pattern) => matches(pattern, registry))) return;
    }
    if (isKnown) throw new FeedEnd(status.PERMISSION_DENIED, `may not feed ${registry}`);
    throw new FeedEnd(status.UNAUTHENTICATED, 'no known token and no known client certificate');
  }

  private load(): Promise<readonly Row[]> {
    const now = performance.now();
    if (this.rows === undefined || now - this.loadedAt > reloadMs) {
      this.loadedAt = now;
      this.rows = Promise.all(this.clients.map((client) => this.loadRow(client)));
    }
    return this.rows;
  }

  private async loadRow(client: FeedClientAccess): Promise<Row> {
    const fromFile = client.tokenFile === undefined ? [] : await this.readTokens(client.tokenFile);
    return {
      hashes: [...(client.tokens ?? []).map(hashToken), ...fromFile],
      identities: new Set((client.identities ?? []).map(normalizeIdentity)),
      registries: client.registries,
    };
  }

  /** The tokens of a file; those read last when it cannot be read now. */
  private async readTokens(file: string): Promise<readonly Buffer[]> {
    try {
      const lines = (await readFile(file, 'utf8')).split('\n').map((line) => line.trim());
      const hashes = lines.filter((line) => line !== '').map(hashToken);
      this.lastHashes.set(file, hashes);
      return hashes;
    } catch (error) {
      this.log.warn({ reason: messageOf(error) }, 'feed: a token file cannot be read');
      return this.lastHashes.get(file) ?? [];
    }
  }
}

/** The DNS names and URIs of a certificate's `subjectaltname` text, as Node.js writes it. */
export function parseAlternativeNames(text: string): readonly string[] {
  const names: string[] = [];
  for (const match of text.matchAll(/(DNS|URI|[A-Za-z ]+):("(?:[^"\\]|\\.)*"|[^,"]*)(?:, |$)/gy)) {
    const [, kind, value = ''] = match;
    if (kind !== 'DNS' && kind !== 'URI') continue;
    names.push(normalizeIdentity(value.startsWith('"') ? unquote(value) : value));
  }
  return names;
}

function unquote(value: string): string {
  try {
    return String(JSON.parse(value));
  } catch {
    // Not the quoting that Node.js promises: a name that matches nothing.
    return '';
  }
}

function normalizeIdentity(identity: string): string {
  return identity.includes('://') ? identity : identity.toLowerCase();
}

function hashToken(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}

/** Compares with every token, so that the time tells nothing. */
function hasToken(row: Row, digest: Buffer | undefined): boolean {
  if (digest === undefined) return false;
  let isFound = false;
  for (const hash of row.hashes) isFound = timingSafeEqual(hash, digest) || isFound;
  return isFound;
}

function matches(pattern: string, registry: RegistryId): boolean {
  if (pattern === '*' || pattern === registry) return true;
  return pattern.endsWith('/*') && registry.startsWith(pattern.slice(0, -1));
}
