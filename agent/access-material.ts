import { X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import { messageOf } from '../common/errors.ts';

/**
 * What the files hold by which an agent proves who it is. Pure: contents in, values out; the texts of
 * errors name the files and show nothing of what they hold.
 */

/** Files of PEM. */
export interface TlsPaths {
  readonly caFile: string | undefined;
  /** Both or none. */
  readonly certFile: string | undefined;
  readonly keyFile: string | undefined;
}

/** PEM, as the files hold it. */
export interface TlsMaterial {
  readonly ca: Buffer | undefined;
  readonly cert: Buffer | undefined;
  readonly key: Buffer | undefined;
}

/** The files that are given, in the order authorities, certificate, key. */
export function tlsPathsOf({ caFile, certFile, keyFile }: TlsPaths): string[] {
  return [caFile, certFile, keyFile].filter((path) => path !== undefined);
}

/**
 * Throws for what is no PEM, and for a certificate and a key that do not belong together.
 * @param contents of `tlsPathsOf`, in its order
 */
export function parseTlsMaterial(paths: TlsPaths, contents: readonly Buffer[]): TlsMaterial {
  const rest = [...contents];
  const next = (path: string | undefined): Buffer | undefined =>
    path === undefined ? undefined : rest.shift();
  const ca = next(paths.caFile);
  const cert = next(paths.certFile);
  const key = next(paths.keyFile);
  if (ca !== undefined) checkAuthorities(paths.caFile ?? '', ca);
  try {
    createSecureContext({
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
    });
  } catch (error) {
    throw new Error(`${paths.certFile}, ${paths.keyFile}: ${messageOf(error)}`);
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

/** The one line `user:password` of a file. Throws when it holds anything else. */
export function parseUserLine(path: string, content: Buffer | undefined): string {
  const text = content?.toString('utf8').trim() ?? '';
  if (!/^[^:\u0000-\u001f\u007f]+:[^\u0000-\u001f\u007f]*$/.test(text)) {
    throw new Error(`${path}: expected user:password on one line`);
  }
  return text;
}
