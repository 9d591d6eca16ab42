import { X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import type { Logger } from 'pino';
import { messageOf } from '../../common/errors.ts';
import type { EurekaAccess } from './options.ts';
import { basicAuthorization } from './service-url.ts';
import { WatchedFiles } from './watched-files.ts';

/** PEM, as the files hold it. */
export interface TlsMaterial {
  readonly ca: Buffer | undefined;
  readonly cert: Buffer | undefined;
  readonly key: Buffer | undefined;
}

/** What goes with a request. */
export interface AccessNow {
  /** The same object for as long as the files do not change; undefined when there are none. */
  readonly tls: TlsMaterial | undefined;
  /** What goes before the credentials of the URLs. Never logged. */
  readonly authorization: string | undefined;
  /** What is wrong with the files while their last good contents are used; fit for a log. */
  readonly problem: string | undefined;
}

const none = { value: undefined, problem: undefined };

/** The files by which the agent proves who it is, read again when they change. */
export class AccessFiles {
  private readonly tls: WatchedFiles<TlsMaterial> | undefined;
  private readonly authorization: WatchedFiles<string> | undefined;

  /** Reads nothing yet. */
  constructor(access: EurekaAccess, log: Logger) {
    const { caFile, certFile, keyFile, tokenFile, userFile } = access;
    const tlsPaths = [caFile, certFile, keyFile].filter((path) => path !== undefined);
    const parse = (contents: readonly Buffer[]): TlsMaterial => parseTls(access, contents);
    this.tls = tlsPaths.length === 0 ? undefined : new WatchedFiles(tlsPaths, parse, log);
    const path = tokenFile ?? userFile;
    const parseText = tokenFile === undefined ? parseUser : parseToken;
    this.authorization =
      path === undefined
        ? undefined
        : new WatchedFiles([path], ([content]) => parseText(path, content), log);
  }

  /** Rejects with TransientError when a file has never been good; its text shows no secret. */
  async read(): Promise<AccessNow> {
    const tls = (await this.tls?.current()) ?? none;
    const authorization = (await this.authorization?.current()) ?? none;
    const problems = [tls.problem, authorization.problem].filter((one) => one !== undefined);
    return {
      tls: tls.value,
      authorization: authorization.value,
      problem: problems.length === 0 ? undefined : problems.join('; '),
    };
  }
}

/** @param contents of the files that are given, in the order authorities, certificate, key */
function parseTls(access: EurekaAccess, contents: readonly Buffer[]): TlsMaterial {
  const rest = [...contents];
  const next = (path: string | undefined): Buffer | undefined =>
    path === undefined ? undefined : rest.shift();
  const ca = next(access.caFile);
  const cert = next(access.certFile);
  const key = next(access.keyFile);
  if (ca !== undefined) checkAuthorities(access.caFile ?? '', ca);
  try {
    createSecureContext({
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
    });
  } catch (error) {
    throw new Error(`${access.certFile}, ${access.keyFile}: ${messageOf(error)}`);
  }
  return { ca, cert, key };
}

/** TLS itself passes over what it cannot read. */
function checkAuthorities(path: string, pem: Buffer): void {
  const blocks =
    pem.toString('latin1').match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ??
    [];
  if (blocks.length === 0) throw new Error(`${path}: holds no certificate in PEM`);
  for (const block of blocks) {
    try {
      new X509Certificate(block);
    } catch (error) {
      throw new Error(`${path}: holds a broken certificate`, { cause: error });
    }
  }
}

function parseUser(path: string, content: Buffer | undefined): string {
  const text = content?.toString('utf8').trim() ?? '';
  if (!/^[^:\u0000-\u001f\u007f]+:[^\u0000-\u001f\u007f]*$/.test(text)) {
    throw new Error(`${path}: expected user:password on one line`);
  }
  return basicAuthorization(text);
}

function parseToken(path: string, content: Buffer | undefined): string {
  const text = content?.toString('utf8').trim() ?? '';
  if (!/^[\x21-\x7e]{1,8192}$/.test(text)) {
    throw new Error(`${path}: expected a token, one line of visible ASCII`);
  }
  return `Bearer ${text}`;
}
