import { createSecureContext } from 'node:tls';
import type { SecureContext } from 'node:tls';
import type { Logger } from 'pino';
import { WatchedFiles } from '../../../common/watched-files.ts';
import type { Watched } from '../../../common/watched-files.ts';
import { parseTlsMaterial, parseUserLine, tlsPathsOf } from '../../access-material.ts';
import type { ZooKeeperAccess } from './tree.ts';

/** What one dial proves itself with. Secrets: never logged. */
export interface Credentials {
  /** Undefined: plain text. */
  readonly tls: TlsSettings | undefined;
  /** `user:password` for the digest scheme. */
  readonly digest: string | undefined;
  readonly sasl: SaslCredential | undefined;
}

/** How to speak TLS to any server of the ensemble. */
export interface TlsSettings {
  readonly context: SecureContext;
  /** The name that the certificate must have; default: the host as configured. */
  readonly serverName: string | undefined;
  /** Whether we have a certificate of our own to show. */
  readonly hasCertificate: boolean;
}

/** For SASL DIGEST-MD5. */
export interface SaslCredential {
  readonly user: string;
  readonly password: string;
}

const subject = 'access to zookeeper';
const minVersion = 'TLSv1.2';

/**
 * The files by which the agent proves who it is, and checks who the servers are. They may be replaced at any time:
 * each dial sees what they hold then. What is missing or unusable later leaves the last good contents in
 * force, and is logged once.
 */
export class AccessFiles {
  private readonly access: ZooKeeperAccess;
  private readonly tls: WatchedFiles<SecureContext> | undefined;
  private readonly digest: WatchedFiles<string> | undefined;
  private readonly sasl: WatchedFiles<SaslCredential> | undefined;
  private bareContext: SecureContext | undefined;

  /** Reads nothing yet. */
  constructor(access: ZooKeeperAccess, log: Logger) {
    const { digestFile, saslFile } = access;
    this.access = access;
    const paths = access.isTls ? tlsPathsOf(access) : [];
    if (paths.length > 0) {
      const parse = (contents: readonly Buffer[]): SecureContext => contextOf(access, contents);
      this.tls = new WatchedFiles(paths, parse, subject, log);
    }
    if (digestFile !== undefined) {
      const parse = ([content]: readonly Buffer[]): string => parseUserLine(digestFile, content);
      this.digest = new WatchedFiles([digestFile], parse, subject, log);
    }
    if (saslFile !== undefined) {
      const parse = ([content]: readonly Buffer[]): SaslCredential =>
        splitUser(parseUserLine(saslFile, content));
      this.sasl = new WatchedFiles([saslFile], parse, subject, log);
    }
  }

  /** Rejects with TransientError when a file has never been good; its text shows no secret. */
  async read(): Promise<Credentials> {
    const [context, digest, sasl] = await Promise.all([
      this.tls?.current(),
      this.digest?.current(),
      this.sasl?.current(),
    ]);
    return { tls: this.settings(context), digest: digest?.value, sasl: sasl?.value };
  }

  private settings(watched: Watched<SecureContext> | undefined): TlsSettings | undefined {
    const { isTls, serverName, certFile } = this.access;
    if (!isTls) return undefined;
    const context = watched?.value ?? (this.bareContext ??= createSecureContext({ minVersion }));
    return { context, serverName, hasCertificate: certFile !== undefined };
  }
}

function contextOf(access: ZooKeeperAccess, contents: readonly Buffer[]): SecureContext {
  const { ca, cert, key } = parseTlsMaterial(access, contents);
  return createSecureContext({
    minVersion,
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  });
}

function splitUser(line: string): SaslCredential {
  const colon = line.indexOf(':');
  return { user: line.slice(0, colon), password: line.slice(colon + 1) };
}
