import { readFile } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';
import { ServerCredentials } from '@grpc/grpc-js';
import type { Logger } from 'pino';
import { messageOf } from '../common/errors.ts';
import { sleep } from '../common/sleep.ts';

interface PemContext {
  readonly cert: Buffer;
  readonly key: Buffer;
  readonly ca?: Buffer;
}

/** TLS of the feed's listener, PEM files. */
export interface FeedTls {
  readonly certFile: string;
  readonly keyFile: string;
  /**
   * Authorities that sign agents' certificates. With it a certificate is asked for; whether one is needed
   * is decided for each stream (a token does as well).
   */
  readonly clientCaFile?: string;
}

const reloadIntervalMs = 30_000;

/**
 * Server credentials that ask for a client certificate without insisting on one (grpc-js has all or
 * nothing; an unverified one is as good as none to it), and that take up renewed files.
 */
export class ReloadingCredentials extends ServerCredentials {
  private readonly files: FeedTls;
  private readonly log: Logger;
  private current: PemContext;

  private constructor(files: FeedTls, context: PemContext, log: Logger) {
    const asks = files.clientCaFile !== undefined;
    super({ requestCert: asks, rejectUnauthorized: false }, context);
    this.files = files;
    this.current = context;
    this.log = log;
  }

  /** Rejects when the files cannot be read or are no certificate and key. */
  static async load(files: FeedTls, log: Logger): Promise<ReloadingCredentials> {
    return new ReloadingCredentials(files, await readContext(files), log);
  }

  override _equals(other: ServerCredentials): boolean {
    return this === other;
  }

  /** Looks after the files until the signal aborts. Unusable ones are reported and not taken up. */
  async watch(signal: AbortSignal): Promise<void> {
    for (;;) {
      await sleep(reloadIntervalMs, signal);
      if (signal.aborted) return;
      await this.reload();
    }
  }

  /** Takes up the files if they have changed. */
  async reload(): Promise<void> {
    try {
      const context = await readContext(this.files);
      if (isEqual(context, this.current)) return;
      this.current = context;
      this.updateSecureContextOptions(context);
      this.log.info('feed: TLS certificates renewed');
    } catch (error) {
      this.log.warn({ reason: messageOf(error) }, 'feed: renewed TLS files cannot be used');
    }
  }
}

async function readContext({ certFile, keyFile, clientCaFile }: FeedTls): Promise<PemContext> {
  const [cert, key, ca] = await Promise.all([
    readFile(certFile),
    readFile(keyFile),
    clientCaFile === undefined ? undefined : readFile(clientCaFile),
  ]);
  const context = { cert, key, ...(ca === undefined ? {} : { ca }) };
  createSecureContext(context);
  return context;
}

function isEqual(left: PemContext, right: PemContext): boolean {
  const isSameCa = left.ca === undefined ? right.ca === undefined : right.ca?.equals(left.ca);
  return left.cert.equals(right.cert) && left.key.equals(right.key) && isSameCa === true;
}
