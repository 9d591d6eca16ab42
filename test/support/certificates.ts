import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A certificate with its key, as files and as PEM. */
export interface CertificateFiles {
  readonly certFile: string;
  readonly keyFile: string;
  readonly cert: Buffer;
  readonly key: Buffer;
}

/**
 * Certificate authorities and certificates of a test, made with the machine's `openssl` in a
 * temporary folder. Elliptic keys: some 30 ms a certificate.
 */
export class Certificates {
  private readonly folder = mkdtempSync(join(tmpdir(), 'tributary-certificates-'));
  private serial = 0;

  /** A new self-signed authority. */
  authority(commonName = 'Tributary test authority'): CertificateFiles {
    return this.make(['-x509', '-days', '2', '-subj', `/CN=${commonName}`], 'authority');
  }

  /**
   * A certificate signed by an authority.
   * @param names subject alternative names as openssl writes them: `DNS:localhost`,
   *   `IP:127.0.0.1`, `URI:spiffe://cluster.local/ns/a/sa/b`
   */
  issue(
    authority: CertificateFiles,
    names: readonly string[] = ['DNS:localhost', 'IP:127.0.0.1', 'IP:::1'],
  ): CertificateFiles {
    return this.make(
      [
        ...['-x509', '-days', '2', '-subj', '/CN=test'],
        ...['-CA', authority.certFile, '-CAkey', authority.keyFile],
        ...['-addext', `subjectAltName=${names.join(',')}`],
        ...['-addext', 'basicConstraints=critical,CA:FALSE'],
      ],
      'leaf',
    );
  }

  /** Deletes the folder. */
  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }

  private make(options: readonly string[], name: string): CertificateFiles {
    this.serial++;
    const certFile = join(this.folder, `${name}-${this.serial}.pem`);
    const keyFile = join(this.folder, `${name}-${this.serial}.key`);
    execFileSync(
      'openssl',
      [
        ...[
          'req',
          '-newkey',
          'ec',
          '-pkeyopt',
          'ec_paramgen_curve:prime256v1',
          '-nodes',
          '-sha256',
        ],
        ...['-keyout', keyFile, '-out', certFile, ...options],
      ],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    );
    return { certFile, keyFile, cert: readFileSync(certFile), key: readFileSync(keyFile) };
  }
}
