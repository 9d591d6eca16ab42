import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import { messageOf } from './errors.ts';

/** One file with the name under which the operator gave it. */
export interface NamedFile {
  readonly path: string | undefined;
  /** `--feed-cert`, or where else it was given. */
  readonly name: string;
}

/**
 * What is wrong with a certificate, its key and the authorities of the other side: one of the first two
 * without the other, files that are not PEM, a key that does not belong to the certificate. The
 * files are known to be readable. Returns one line a problem.
 */
export function tlsProblems(cert: NamedFile, key: NamedFile, ca: NamedFile): string[] {
  if ((cert.path === undefined) !== (key.path === undefined)) {
    return [`${cert.name}, ${key.name}: a certificate needs its key, and a key its certificate`];
  }
  const certProblem = whyNoCertificate(cert);
  const problems = certProblem === undefined ? [] : [certProblem];
  const caProblem = whyNoCertificate(ca);
  if (caProblem !== undefined) problems.push(caProblem);
  if (problems.length > 0 || cert.path === undefined || key.path === undefined) return problems;
  try {
    createSecureContext({ cert: readFileSync(cert.path), key: readFileSync(key.path) });
    return [];
  } catch (error) {
    return [`${key.name}: not the key of the certificate: ${messageOf(error)}`];
  }
}

function whyNoCertificate(file: NamedFile): string | undefined {
  if (file.path === undefined) return undefined;
  try {
    new X509Certificate(readFileSync(file.path));
    return undefined;
  } catch (error) {
    return `${file.name}: expected a certificate in PEM: ${messageOf(error)}`;
  }
}
