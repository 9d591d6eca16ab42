import { createHash, timingSafeEqual, X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import type { Logger } from 'pino';
import { ConfigurationError, messageOf } from '../../../common/errors.ts';
import { WatchedFiles } from '../../../common/watched-files.ts';
import type { PushOptions } from '../options.ts';

/** What node's TLS servers are given. */
export interface PushTls {
  readonly cert: Buffer;
  readonly key: Buffer;
  readonly ca?: Buffer;
  readonly requestCert: boolean;
  readonly rejectUnauthorized: boolean;
}

const subject = 'the push of eureka';

/**
 * Who may push: who shows a certificate, the one `user:password`, or anyone. The files are read
 * again from time to time; what is missing or unusable then leaves the last good content in force.
 */
export class PushSecurity {
  /** Whether anybody is kept out. */
  readonly isProtected: boolean;
  private readonly tlsFiles: WatchedFiles<PushTls> | undefined;
  private readonly userFile: WatchedFiles<Buffer> | undefined;
  private lastTls: PushTls | undefined;
  private userDigest: Buffer | undefined;

  constructor(options: PushOptions, log: Logger) {
    const { certFile, keyFile, clientCaFile, userFile } = options;
    this.isProtected = userFile !== undefined || clientCaFile !== undefined;
    if (certFile !== undefined && keyFile !== undefined) {
      const paths = [certFile, keyFile, ...(clientCaFile === undefined ? [] : [clientCaFile])];
      this.tlsFiles = new WatchedFiles(paths, toTls, subject, log);
    }
    if (userFile !== undefined) {
      this.userFile = new WatchedFiles([userFile], toUserDigest, subject, log);
    }
  }

  /** What the files held when they were last read; undefined: plain HTTP. The same object until it changes. */
  get tls(): PushTls | undefined {
    return this.lastTls;
  }

  /** Reads what has changed. Rejects with ConfigurationError while there has never been anything usable. */
  async reread(): Promise<void> {
    try {
      this.lastTls = (await this.tlsFiles?.current())?.value;
      this.userDigest = (await this.userFile?.current())?.value;
    } catch (error) {
      throw new ConfigurationError([`eureka push: ${messageOf(error)}`]);
    }
  }

  /** @param authorization the header of a request */
  isAllowed(authorization: string | undefined): boolean {
    if (this.userFile === undefined) return true;
    const match = /^basic\s+([A-Za-z0-9+/=_-]+)\s*$/i.exec(authorization ?? '');
    if (match === null || this.userDigest === undefined) return false;
    // Digests have one length, so comparing them tells nothing of the texts.
    return timingSafeEqual(digest(Buffer.from(match[1] ?? '', 'base64')), this.userDigest);
  }
}

function toTls([cert, key, ca]: readonly Buffer[]): PushTls {
  if (cert === undefined || key === undefined) throw new Error('no certificate');
  const isAsked = ca !== undefined;
  const files = { cert, key, ...(isAsked ? { ca } : {}) };
  createSecureContext(files); // throws for what does not fit together
  if (isAsked) new X509Certificate(ca); // TLS itself passes over authorities that it cannot read
  return { ...files, requestCert: isAsked, rejectUnauthorized: isAsked };
}

/** Refuses what is no credentials: a file that is just being written is empty for a moment. */
function toUserDigest([content]: readonly Buffer[]): Buffer {
  const text = content?.toString('utf8').trim() ?? '';
  if (!/^[^:\u0000-\u001f\u007f]+:[^\u0000-\u001f\u007f]+$/.test(text)) {
    throw new Error('expected user:password on one line');
  }
  return digest(Buffer.from(text));
}

function digest(bytes: Buffer): Buffer {
  return createHash('sha256').update(bytes).digest();
}
