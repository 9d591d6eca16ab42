import type { Logger } from 'pino';
import { WatchedFiles } from '../../common/watched-files.ts';
import { parseTlsMaterial, parseUserLine, tlsPathsOf } from '../access-material.ts';
import type { TlsMaterial } from '../access-material.ts';
import type { EurekaAccess } from './options.ts';
import { basicAuthorization } from './service-url.ts';

/** What goes with a request. */
export interface AccessNow {
  /** The same object for as long as the files do not change; undefined when there are none. */
  readonly tls: TlsMaterial | undefined;
  /** What goes before the credentials of the URLs. Never logged. */
  readonly authorization: string | undefined;
  /** What is wrong with the files while their last good contents are used; fit for a log. */
  readonly problem: string | undefined;
}

const subject = 'access to eureka';
const none = { value: undefined, problem: undefined };

/** The files by which the agent proves who it is, read again when they change. */
export class AccessFiles {
  private readonly tls: WatchedFiles<TlsMaterial> | undefined;
  private readonly authorization: WatchedFiles<string> | undefined;

  /** Reads nothing yet. */
  constructor(access: EurekaAccess, log: Logger) {
    const { tokenFile, userFile } = access;
    const tlsPaths = tlsPathsOf(access);
    const parse = (contents: readonly Buffer[]): TlsMaterial => parseTlsMaterial(access, contents);
    this.tls = tlsPaths.length === 0 ? undefined : new WatchedFiles(tlsPaths, parse, subject, log);
    const path = tokenFile ?? userFile;
    const parseText = tokenFile === undefined ? parseUser : parseToken;
    this.authorization =
      path === undefined
        ? undefined
        : new WatchedFiles([path], ([content]) => parseText(path, content), subject, log);
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

function parseUser(path: string, content: Buffer | undefined): string {
  return basicAuthorization(parseUserLine(path, content));
}

function parseToken(path: string, content: Buffer | undefined): string {
  const text = content?.toString('utf8').trim() ?? '';
  if (!/^[\x21-\x7e]{1,8192}$/.test(text)) {
    throw new Error(`${path}: expected a token, one line of visible ASCII`);
  }
  return `Bearer ${text}`;
}
